"""Both sides on one kube-apiserver, in turn, with the same objects."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.loading import Loader, counted, prepared, wait_served
from bench.objects import Objects
from bench.process import Scrapes, Settled, scrapes, settle, wait_calm
from bench.sides import VMIS, Expected, Ours, Peer, Side, Synced, prepare_environment, samples
from bench.statistics import percentile
from exporter.simulator.objects import ApiObject
from tests.servers import KubeApiServer, ServerFailed

Say = Callable[[str], None]

EVENT_RATE: Final = 80.0
"""About what a real API server takes in PATCH requests on a machine of two processors."""

_CATCH_UP_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Times:
    """How long each part of a round takes, in seconds."""

    idle: float = 60.0
    settle: float = 180.0
    events: int = 2000


@dataclass(frozen=True)
class Round:
    """One side, once."""

    synced: Synced
    scrapes: Scrapes
    peak: float
    settled: Settled
    event_cpu: float
    """Processor time of one event, beyond what the side uses when idle."""
    notes: tuple[str, ...]


@dataclass
class Scope:
    """The rounds of both sides with the same objects."""

    title: str
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def median(self, side: str, of: Callable[[Round], float]) -> float | None:
        """The middle of a side's rounds."""
        values = [of(each) for each in self.rounds.get(side, ())]
        return median(values) if values else None

    def scrape_percentile(self, side: str, share: float) -> float | None:
        """Of the scrapes of all rounds, in milliseconds."""
        taken = [seconds for each in self.rounds.get(side, ()) for seconds in each.scrapes.seconds]
        return percentile(taken, share) * 1000 if taken else None

    @property
    def notes(self) -> list[str]:
        """What was remarkable about our rounds."""
        return sorted({note for each in self.rounds.get(Ours.name, ()) for note in each.notes})


def measure(objects: Objects, rounds: int, times: Times, peer: Path | None, say: Say) -> list[Scope]:
    """The two scopes: the machines alone, then everything that is watched."""
    prepare_environment()
    api = KubeApiServer()
    try:
        say("starting etcd and kube-apiserver")
        api.start_blocking()
        loader = asyncio.run(prepared(api))
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = api.kubeconfig(Path(folder) / "kubeconfig")
            bench = _Bench(api, loader, objects, kubeconfig, peer, times, say)
            bench.load(objects.vmis())
            alone = bench.scope("VirtualMachineInstances alone", rounds)
            bench.load(objects.others())
            return [alone, bench.scope("everything that is watched", rounds)]
    finally:
        api.close_blocking()


class _Bench:
    def __init__(
        self,
        api: KubeApiServer,
        loader: Loader,
        objects: Objects,
        kubeconfig: Path,
        peer: Path | None,
        times: Times,
        say: Say,
    ) -> None:
        self._api = api
        self._loader = loader
        self._objects = objects
        self._kubeconfig = kubeconfig
        self._peer = peer
        self._times = times
        self._say = say
        self._loaded: Counter[str] = Counter()

    def load(self, objects: Iterator[ApiObject]) -> None:
        """Write objects and wait until the server has them."""
        began = time.monotonic()

        def note(plural: str) -> None:
            self._loaded[plural] += 1

        number = self._loader.load(counted(objects, note))
        asyncio.run(wait_served(self._api, dict(self._loaded)))
        self._say(f"{number} objects loaded in {time.monotonic() - began:.0f} s")

    def scope(self, title: str, rounds: int) -> Scope:
        """Measure both sides in turn."""
        scope = Scope(title)
        for number in range(1, rounds + 1):
            for side in self._sides():
                taken = self._round(side)
                scope.rounds.setdefault(side.name, []).append(taken)
                self._say(f"{title}, round {number}, {side.title}: {_line(taken)}")
        return scope

    def _sides(self) -> Iterator[Side]:
        yield Ours(self._kubeconfig)
        if self._peer is not None:
            yield Peer(self._peer, self._kubeconfig)

    def _round(self, side: Side) -> Round:
        stuck = sum(self._objects.stuck(number) for number in range(self._objects.vms))
        # What loading or the other side has left the server to do is not this side's.
        wait_calm([self._api.pid, self._api.etcd.pid])
        try:
            side.start_blocking()
            synced = side.wait_synced(Expected(dict(self._loaded), stuck))
            taken = scrapes(side)
            settled = settle(side, at_least=self._times.idle, at_most=self._times.settle)
            event_cpu, notes = self._events(side, settled.idle)
            return Round(synced, taken, side.peak(), settled, event_cpu, (*synced.notes, *notes))
        finally:
            side.close_blocking()

    def _events(self, side: Side, idle: float) -> tuple[float, list[str]]:
        """Change that many machines and change them back, which leaves the server as it was."""
        half = min(self._times.events // 2, self._objects.vms)
        seen = _events_seen(side)
        before, began = side.cpu(), time.monotonic()
        for flipped in (True, False):
            changes = (self._objects.vmi(number, flipped=flipped) for number in range(half))
            self._loader.paced(changes, EVENT_RATE)
        time.sleep(_CATCH_UP_SECONDS)
        used = side.cpu() - before - idle * (time.monotonic() - began)
        notes = []
        now = _events_seen(side)
        if seen is not None and now is not None and now - seen != 2 * half:
            notes.append(f"{now - seen:.0f} of {2 * half} events arrived")
        return used / (2 * half), notes


def _events_seen(side: Side) -> float | None:
    """Events of machines that our side has counted; the other side counts none."""
    if not isinstance(side, Ours):
        return None
    page = side.page()
    if not page:
        raise ServerFailed(f"{side.name} has no page")
    for labels, value in samples(page, "virt_upgrade_exporter_events_total"):
        if labels == {"resource": VMIS, "type": "MODIFIED"}:
            return value
    return None


def _line(taken: Round) -> str:
    p50, p99 = (percentile(taken.scrapes.seconds, share) * 1000 for share in (0.5, 0.99))
    parts = [
        f"synced in {taken.synced.seconds:.1f} s with {taken.synced.cpu:.2f} s CPU",
        f"memory {taken.synced.resident:.0f} then, {taken.peak:.0f} at most, "
        f"{taken.settled.resident:.0f} MiB after {taken.settled.after:.0f} s",
        f"scrape p50 {p50:.1f} p99 {p99:.1f} CPU {taken.scrapes.cpu * 1000:.1f} ms, "
        f"{taken.scrapes.plain / 1e6:.1f} MB as {taken.scrapes.compressed / 1e6:.2f}",
        f"idle {taken.settled.idle:.2%}",
        f"event {taken.event_cpu * 1000:.2f} ms",
        *taken.notes,
    ]
    return "; ".join(parts)
