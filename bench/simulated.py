"""What only the simulator makes possible: 500 events a second, stalls during a relist, growth to 50,000."""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, Final

from bench.objects import Objects, Population
from bench.process import Settled, scrapes, settle
from bench.sides import ROOT, VMIS, Expected, Ours, Synced, prepare_environment, samples
from bench.statistics import exponent, histogram_percentile, percentile
from exporter.simulator.kinds import BY_KIND

Say = Callable[[str], None]

RATE: Final = 500
_LATENCY: Final = "virt_upgrade_exporter_event_latency_seconds"
_STUCK: Final = "virt_upgrade_non_migratable_vm_info"
_PROBES: Final = 30
_PROBE_SECONDS: Final = 0.5


class Simulator:
    """The process of `bench.cluster`, at the other end of a pipe."""

    def __init__(self, process: subprocess.Popen[str], kubeconfig: Path, expected: Expected) -> None:
        self._process = process
        self.kubeconfig = kubeconfig
        self.expected = expected
        self._kept: list[dict[str, Any]] = []

    def tell(self, command: str) -> None:
        """Send a command."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("no pipe to the simulator")
        stdin.write(f"{command}\n")
        stdin.flush()

    def answer(self, key: str) -> dict[str, Any]:
        """The next answer that holds this; others are kept for those who ask for them.

        Raises:
            RuntimeError: the simulator has ended.
        """
        for number, kept in enumerate(self._kept):
            if key in kept:
                return self._kept.pop(number)
        stdout: IO[str] | None = self._process.stdout
        while line := stdout.readline() if stdout else "":
            answer: dict[str, Any] = json.loads(line)
            if key in answer:
                return answer
            self._kept.append(answer)
        raise RuntimeError("the simulator has ended")


@contextmanager
def simulated(objects: Objects) -> Iterator[Simulator]:
    """A simulated cluster with these objects."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        arguments = [
            *("--vms", str(objects.vms)),
            *("--population", str(objects.population)),
            *("--kubeconfig", str(kubeconfig)),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.cluster", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            simulator = Simulator(process, kubeconfig, _expected(objects))
            simulator.answer("ready")
            yield simulator
        finally:
            # Its standard input ends, and so does it.
            process.communicate(timeout=30)


def _expected(objects: Objects) -> Expected:
    numbers: dict[str, int] = {}
    for obj in objects.others():
        plural = BY_KIND[obj["kind"]].plural
        numbers[plural] = numbers.get(plural, 0) + 1
    return Expected(
        {VMIS: objects.vms, **numbers}, sum(objects.stuck(number) for number in range(objects.vms))
    )


@contextmanager
def exporting(simulator: Simulator, stalls: Path | None = None) -> Iterator[tuple[Ours, Synced]]:
    """Our exporter, synced."""
    ours = Ours(simulator.kubeconfig, stalls)
    try:
        ours.start_blocking()
        yield ours, ours.wait_synced(simulator.expected)
    finally:
        ours.close_blocking()


# Events


@dataclass(frozen=True)
class Stall:
    """The longest time for which the event loop stood still."""

    seconds: float = 0.0
    computing: float = 0.0
    """How much of that our own code computed; the rest others had the processor."""


@dataclass(frozen=True)
class Events:
    """What 500 events a second do."""

    latency: tuple[float, float] | None
    """p50 and p99 in seconds, as the exporter itself measures it."""
    outside: tuple[float, ...]
    """From a change in the cluster to the end of the first scrape that shows it."""
    event_cpu: float | None
    rate: float
    stalls: dict[str, Stall]
    notes: tuple[str, ...]


def measure_events(objects: Objects, seconds: float, say: Say) -> Events:
    """Latency of a quiet exporter and of a busy one, then stalls of its event loop."""
    prepare_environment()
    with simulated(objects) as simulator:
        say(f"simulator: {objects.vms} virtual machines")
        with exporting(simulator) as (ours, synced):
            latency, event_cpu, rate = _latency(simulator, ours, seconds)
            name = objects.name(objects.vms)
            outside = tuple(_probed(simulator, ours, name)) if not synced.notes else ()
    # Another one: events have changed the machines of this, and a probe has been added to them.
    with simulated(objects) as simulator, tempfile.TemporaryDirectory() as folder:
        stalls = _stalls(simulator, Path(folder) / "stalls.jsonl", seconds)
    say(f"events at {rate:.0f}/s: latency {latency}, from outside {_ends(outside)}, CPU {event_cpu} s each")
    for name, stall in stalls.items():
        say(f"longest stall {name}: {stall.seconds * 1000:.0f} ms, {stall.computing * 1000:.0f} computing")
    return Events(latency, outside, event_cpu, rate, stalls, synced.notes)


def _latency(
    simulator: Simulator, ours: Ours, seconds: float
) -> tuple[tuple[float, float] | None, float | None, float]:
    time.sleep(2)  # what the start left to do is no event
    before, cpu = _buckets(ours.page()), ours.cpu()
    simulator.tell(f"events {RATE} {seconds}")
    made = simulator.answer("events")
    time.sleep(0.5)
    used, after = ours.cpu() - cpu, _buckets(ours.page())
    rate = made["events"] / made["seconds"]
    observed = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    number = observed.get(math.inf, 0.0)
    if number < made["events"]:
        return None, None, rate
    return (
        (histogram_percentile(observed, 0.5), histogram_percentile(observed, 0.99)),
        used / made["events"],
        rate,
    )


def _buckets(page: bytes) -> dict[float, float]:
    return {float(labels["le"]): value for labels, value in samples(page, f"{_LATENCY}_bucket")}


def _probed(simulator: Simulator, ours: Ours, name: str) -> Iterator[float]:
    """Changes of one machine among others, each looked for with one scrape after the other."""
    simulator.tell("probe off")
    simulator.answer("at")
    time.sleep(1)
    simulator.tell(f"events {RATE} {_PROBES * _PROBE_SECONDS:.0f}")
    for number in range(_PROBES):
        began = time.monotonic()
        shown = number % 2 == 0
        simulator.tell(f"probe {'on' if shown else 'off'}")
        changed = simulator.answer("at")["at"]
        seen = _seen(ours, name, shown=shown)
        if seen is not None:
            yield seen - changed
        time.sleep(max(0.0, began + _PROBE_SECONDS - time.monotonic()))
    simulator.answer("events")


def _seen(ours: Ours, name: str, *, shown: bool) -> float | None:
    """When the first scrape ended that shows the machine among those that cannot migrate, or no more."""
    sought = re.compile(rf'^{_STUCK}\{{[^}}]*vm="{name}"'.encode(), re.MULTILINE)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        _, body = ours.get("/metrics", compressed=True)
        at = time.monotonic()
        page = gzip.decompress(body)
        if (sought.search(page) is not None) is shown:
            return at
    return None


def _ends(values: tuple[float, ...]) -> str:
    if not values:
        return "not measured"
    return f"p50 {median(values) * 1000:.0f} p99 {percentile(values, 0.99) * 1000:.0f} ms"


def _stalls(simulator: Simulator, file: Path, seconds: float) -> dict[str, Stall]:
    with exporting(simulator, file) as (ours, synced):
        phases = {"while syncing": (ours.began, ours.began + synced.seconds)}
        time.sleep(3)
        began = time.monotonic()
        simulator.tell(f"events {RATE} {seconds}")
        simulator.answer("events")
        phases[f"at {RATE} events/s"] = (began, time.monotonic())
        time.sleep(3)
        if VMIS in _lists(ours):
            phases["while relisting"] = relisted(simulator, ours)
    noted = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        name: max(
            (Stall(each["stall"], each["computing"]) for each in noted if begin <= each["at"] <= end),
            key=lambda stall: stall.seconds,
            default=Stall(),
        )
        for name, (begin, end) in phases.items()
    }


_QUIET_LOOKS: Final = 4


def relisted(simulator: Simulator, ours: Ours) -> tuple[float, float]:
    """Make the exporter list everything that has changed anew; when that began and ended."""
    before = lists = _lists(ours)
    simulator.tell("relist")
    at = simulator.answer("at")["at"]
    quiet, deadline = 0, time.monotonic() + 120
    # The page is made of the new lists a moment after the last of them.
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        time.sleep(0.5)
        lists, known = _lists(ours), lists
        quiet = quiet + 1 if lists == known and lists[VMIS] > before[VMIS] else 0
    return at, time.monotonic()


def _lists(ours: Ours) -> dict[str, float]:
    """Complete lists of each resource so far."""
    found = samples(ours.page(), "virt_upgrade_exporter_lists_total")
    return {labels["resource"]: value for labels, value in found if labels["result"] == "success"}


# Growth


@dataclass(frozen=True)
class Size:
    """What one number of virtual machines costs."""

    vms: int
    sync_cpu: float
    settled: Settled
    scrape: float
    """Seconds, the middle one."""
    scrape_cpu: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Growth:
    """How costs grow; what no machine at all costs is taken off memory and processor time."""

    empty: Size
    sizes: tuple[Size, ...]

    def exponents(self) -> dict[str, tuple[float, int]]:
        """The power of the number of machines with which each cost grows, and from which number on."""
        costs: dict[str, list[float]] = {
            "sync CPU": [each.sync_cpu - self.empty.sync_cpu for each in self.sizes],
            "settled memory": [each.settled.resident - self.empty.settled.resident for each in self.sizes],
            "idle scrape": [each.scrape for each in self.sizes],
        }
        found = {}
        for name, values in costs.items():
            # What is less than a hundredth of the largest cannot be told apart from nothing.
            told = [
                (each.vms, value)
                for each, value in zip(self.sizes, values, strict=True)
                if value > max(values) / 100
            ]
            if len(told) > 1:
                power = exponent([float(vms) for vms, _ in told], [value for _, value in told])
                found[name] = power, told[0][0]
        return found


def measure_growth(sizes: list[int], population: Population, idle: float, say: Say) -> Growth:
    """Each size on a simulator of its own."""
    prepare_environment()

    def one(vms: int) -> Size:
        with simulated(Objects(vms, population)) as simulator, exporting(simulator) as (ours, synced):
            taken = scrapes(ours)
            settled = settle(ours, at_least=idle, at_most=180)
            size = Size(vms, synced.cpu, settled, median(taken.seconds), taken.cpu, synced.notes)
            say(
                f"{vms} virtual machines: sync {synced.seconds:.1f} s, {synced.cpu:.2f} s CPU; "
                f"{settled.resident:.0f} MiB, at most {ours.peak():.0f}; idle {settled.idle:.2%}; "
                f"scrape {median(taken.seconds) * 1000:.1f} ms, {taken.cpu * 1000:.1f} ms CPU, "
                f"{taken.plain / 1e6:.2f} MB as {taken.compressed / 1e6:.2f}"
                + "".join(f"; {note}" for note in synced.notes)
            )
            return size

    empty = one(0)
    return Growth(empty, tuple(one(vms) for vms in sizes))
