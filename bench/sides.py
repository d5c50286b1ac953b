"""The two sides: how each is started, and how one knows that it shows everything."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Final

from bench.process import Program
from tests.servers import ServerFailed

ROOT: Final = Path(__file__).parents[1]
VMIS: Final = "virtualmachineinstances"
BLIND: Final = f"this exporter does not watch {VMIS}"
"""What it costs says nothing then."""

_IN_FULL: Final = (VMIS, "virtualmachines")
_POLL: Final = 0.05
_PATIENCE: Final = 300.0
_LENIENT_AFTER: Final = 10.0
_QUIET_SECONDS: Final = 1.0
_QUIET_CPU: Final = 0.03
"""Processor time in a second that counts as quiet: the clock of /proc ticks in hundredths."""


@dataclass(frozen=True)
class Expected:
    """What a side has to show before it counts as synced."""

    objects: Mapping[str, int]
    """How many objects there are of each resource that has any."""
    stuck: int
    """Virtual machines that cannot migrate."""


@dataclass(frozen=True)
class Synced:
    """A side that shows everything for the first time."""

    seconds: float
    """Since exec."""
    cpu: float
    resident: float
    notes: tuple[str, ...] = ()


class Side(Program):
    """One of the two programs."""

    title: ClassVar[str]

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__()
        self.kubeconfig = kubeconfig

    def wait_synced(self, expected: Expected) -> Synced:
        """Wait until everything is shown.

        Raises:
            ServerFailed: it is not in time.
        """
        raise NotImplementedError

    def late(self, missing: object) -> ServerFailed:
        """The failure to become synced."""
        state = f"not synced after {_PATIENCE:.0f} s: {missing}"
        return ServerFailed(f"{self.name} is {state}\n{self.log_tail()}")


def samples(page: bytes, family: str) -> list[tuple[dict[str, str], float]]:
    """Labels and values of one family; for families of few samples."""
    found = []
    pattern = rf"^{re.escape(family)}(?:\{{(.*)\}})? (\S+)$"
    for labels, value in re.findall(pattern, page.decode(), re.MULTILINE):
        found.append((dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)))
    return found


def series(page: bytes, family: str) -> int:
    """How many samples a family has; fast, for the families of many."""
    name = family.encode()
    return page.count(b"\n" + name + b"{") + page.count(b"\n" + name + b" ")


class Ours(Side):
    """This project's exporter."""

    name = "virt-upgrade-exporter"
    title = "virt-upgrade-exporter"

    def __init__(self, kubeconfig: Path, stalls: Path | None = None) -> None:
        """With a file for the stalls of its event loop, if those are to be witnessed."""
        super().__init__(kubeconfig)
        self._stalls = stalls

    def command(self) -> Sequence[str]:
        """`serve`, remembering nothing."""
        program = [sys.executable, "-m", "exporter"]
        if self._stalls is not None:
            program = [sys.executable, "-m", "bench.stalls", str(self._stalls)]
        limit = ["--max-vm-series", "200000"] if "--max-vm-series" in _help() else []
        address = f"127.0.0.1:{self.port()}"
        arguments = ["serve", "--kubeconfig", str(self.kubeconfig), "--web.listen-address", address]
        return [*program, *arguments, "--state.none", "--log.level", "warning", *limit]

    def wait_synced(self, expected: Expected) -> Synced:
        """Wait until /readyz says so and the page shows every object.

        What asking for the page costs is taken off, as on the other side.
        """
        deadline = time.monotonic() + _PATIENCE
        # A page without some family is a page to be measured, once it is clear that it stays like that.
        lenient = math.inf
        asked = 0.0
        missing: object = "not ready"
        while time.monotonic() < deadline:
            if self.get("/readyz")[0] == 200:
                at, cpu = time.monotonic(), self.cpu()
                page = self.page()
                missing, lacking = self._missing(page, expected), self._lacking(page, expected)
                lenient = min(lenient, at + _LENIENT_AFTER)
                if not missing and (not lacking or at > lenient or BLIND in lacking):
                    return Synced(at - self.began, cpu - asked, self.resident(), lacking)
                asked += self.cpu() - cpu
            time.sleep(_POLL)
        raise self.late(missing)

    def _missing(self, page: bytes, expected: Expected) -> list[str]:
        held = _by_resource(page, "virt_upgrade_exporter_resource_objects")
        states = samples(page, "virt_upgrade_exporter_resource_state")
        synced = {labels["resource"] for labels, value in states if labels["state"] == "synced" and value}
        missing = [
            f"{each}: {held[each]:.0f}"
            for each, wanted in expected.objects.items()
            # Of the others some are read with a selector.
            if each in held and (each not in synced or (each in _IN_FULL and held[each] < wanted))
        ]
        running = samples(page, "virt_upgrade_running_vms")
        if running and running[0][1] != expected.objects[VMIS]:
            missing.append(f"running: {running[0][1]:.0f}")
        return missing

    def _lacking(self, page: bytes, expected: Expected) -> tuple[str, ...]:
        watched = _by_resource(page, "virt_upgrade_exporter_resource_objects")
        if VMIS not in watched:
            return (BLIND,)
        notes = []
        if not samples(page, "virt_upgrade_running_vms"):
            notes.append("virt_upgrade_running_vms is not on the page")
        shown = series(page, "virt_upgrade_non_migratable_vm_info")
        if shown != expected.stuck:
            notes.append(
                f"virt_upgrade_non_migratable_vm_info has {shown} series where {expected.stuck} were expected"
            )
        return tuple(notes)


def _by_resource(page: bytes, family: str) -> dict[str, float]:
    return {labels["resource"]: value for labels, value in samples(page, family)}


@cache
def _help() -> str:
    command = [sys.executable, "-m", "exporter", "serve", "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


class Peer(Side):
    """kube-state-metrics with CustomResourceState for the same kinds."""

    name = "kube-state-metrics"
    title = "kube-state-metrics"

    _COMPLETE: Final = {
        VMIS: "ksm_vmi_live_migratable",
        "virtualmachines": "ksm_vm_run_strategy_info",
        "persistentvolumeclaims": "kube_persistentvolumeclaim_info",
    }
    """The family that has one series for each object of a resource."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        super().__init__(kubeconfig)
        self._program = program

    def command(self) -> Sequence[str]:
        """With our configuration, and of the built-in kinds those that the exporter reads."""
        return [
            str(self._program),
            f"--kubeconfig={self.kubeconfig}",
            "--host=127.0.0.1",
            f"--port={self.port()}",
            "--telemetry-host=127.0.0.1",
            f"--telemetry-port={self.port('telemetry')}",
            "--enable-gzip-encoding",
            "--resources=namespaces,nodes,persistentvolumeclaims,storageclasses",
            f"--custom-resource-state-config-file={Path(__file__).with_name('kube-state-metrics.yaml')}",
        ]

    def wait_synced(self, expected: Expected) -> Synced:
        """Wait until it has fallen quiet with all series on its page.

        Nothing tells that it has synced but the page, and a page costs it much. So one is asked for only
        when it uses the processor no more, and what that costs is taken off: in its favour.
        """
        deadline = time.monotonic() + _PATIENCE
        asked = 0.0
        missing: object = "busy"
        cpu, since = self.cpu(), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(_POLL)
            now = self.cpu()
            if now - cpu > _QUIET_CPU:
                cpu, since = now, time.monotonic()
            elif time.monotonic() - since >= _QUIET_SECONDS:
                resident = self.resident()
                missing = self._missing(expected)
                if not missing:
                    return Synced(since - self.began, cpu - asked, resident)
                asked += self.cpu() - now
                cpu, since = self.cpu(), time.monotonic()
        raise self.late(missing)

    def _missing(self, expected: Expected) -> list[str]:
        page = self.page()
        found = {each: series(page, family) for each, family in self._COMPLETE.items()}
        return [f"{each}: {found[each]}" for each in found if found[each] < expected.objects.get(each, 0)]


def prepare_environment() -> None:
    """Let programs that are started elsewhere find this very tree, and have their bytecode at hand."""
    os.environ["PYTHONPATH"] = str(ROOT)
    _help()
