"""How far is OpenShift's own update: of its control plane, and of the nodes on which VMs run?

The control plane's is told by ClusterVersion's history: it runs while the newest entry is Partial, and began
with the oldest of the Partial entries since the last Completed one, for whoever asks for another version
meanwhile only lengthens it. A Partial entry with a completionTime was given up. Without any Completed entry
it is the installation, which is no update.

The control plane is complete when its own pools are. The nodes on which VMs run follow
(`exporter/facts/worker_rollout.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.facts import worker_rollout
from exporter.facts.cluster import Cluster
from exporter.facts.family import Family, Samples, Subject
from exporter.facts.worker_rollout import Plane, Update, Workers
from exporter.history.value import History, Observations
from exporter.records.base import unix
from exporter.records.nodes import MACHINE_CONFIG_POOLS
from exporter.records.openshift import CLUSTER_VERSIONS, UpdateHistory

SUBJECT: Final = Subject["OpenShiftUpgrade"]("OpenShift upgrade")

CONTROL: Final = "control"
WORKERS: Final = "workers"


@dataclass(frozen=True)
class OpenShiftUpgrade:
    """What this subject knows."""

    control: Plane | None
    workers: Workers
    running: Update | None
    """The one that the control plane is in."""

    @property
    def target(self) -> str:
        """What the control plane is being updated to; empty when it is not."""
        return (self.running.version or "another release") if self.running else ""

    @property
    def since(self) -> float | None:
        """When what is under way began; None while nothing is, and where nothing tells."""
        planes = [each for each in (self.control, self.workers.plane) if each is not None and each.running]
        return min((each.began for each in planes if each.began is not None), default=None)


def derive(cluster: Cluster, history: History, now: float, before: frozenset[str] | None) -> OpenShiftUpgrade:
    """Both planes.

    Args:
        cluster: the records.
        history: what is remembered.
        now: Unix time.
        before: names of the pools that did not have an update a moment ago; None when nobody looked.
    """
    version = cluster.find(CLUSTER_VERSIONS, "version")
    updates = tuple(_updates(version.history)) if version else ()
    running = updates[0] if updates and updates[0].running else None
    return OpenShiftUpgrade(
        control=_control(updates, running) if version else None,
        workers=worker_rollout.derive(cluster, history, now, updates, before),
        running=running,
    )


def observe(upgrade: OpenShiftUpgrade, seen: Observations) -> None:
    """Remember when the workers' roll-outs began and ended."""
    worker_rollout.observe(upgrade.workers, seen)


def _updates(history: list[UpdateHistory]) -> Iterator[Update]:
    """The newest first."""
    entries: list[UpdateHistory] = []
    for number, entry in enumerate(history):
        entries.append(entry)
        before = history[number + 1] if number + 1 < len(history) else None
        if before is not None and not before.is_completed:
            continue
        newest = entries[0]
        if newest.is_completed or (newest.is_running and before):
            began = [since for each in entries if (since := unix(each.started_time)) is not None]
            since = min(began, default=None)
            until = unix(newest.completion_time) if newest.is_completed else None
            yield Update(
                newest.version or "",
                since,
                until if until is None or since is None else max(since, until),
                running=not newest.is_completed,
                installation=before is None,
                retargeted=unix(entries[-2].started_time) if len(entries) > 1 else None,
            )
        entries = []


def _control(updates: tuple[Update, ...], running: Update | None) -> Plane:
    latest = running or next((each for each in updates if not each.installation), None)
    done = next((each.until for each in updates if not each.running), None)
    return Plane(running is not None, latest.since if latest else None, done)


# What is shown


_IN_PROGRESS: Final = Family(
    "virt_upgrade_openshift_upgrade_in_progress",
    "1 while an update of OpenShift is under way: of the control plane, or of the nodes on which VMs run. A "
    "paused pool is not in progress; workers is absent where there are no pools.",
    labels=("plane",),
)
_STARTED: Final = Family(
    "virt_upgrade_openshift_upgrade_started_timestamp_seconds",
    "When the update of OpenShift under way, else the last one, began, other versions asked for meanwhile "
    "included; absent where nothing tells.",
    labels=("plane",),
)
_COMPLETED: Final = Family(
    "virt_upgrade_openshift_upgrade_completed_timestamp_seconds",
    "When the last update of OpenShift, or its installation, was complete; of workers that nobody watched, "
    "when they became so at the latest.",
    labels=("plane",),
)


@SUBJECT.adds_to(_IN_PROGRESS, source="ClusterVersion version: status.history", requires=(CLUSTER_VERSIONS,))
def _control_in_progress(upgrade: OpenShiftUpgrade) -> Samples:
    if upgrade.control is not None:
        yield (CONTROL,), float(upgrade.control.running)


@SUBJECT.adds_to(
    _IN_PROGRESS,
    source="MachineConfigPool: spec.paused, configuration, status.conditions[Updated]",
    requires=(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS),
)
def _workers_in_progress(upgrade: OpenShiftUpgrade) -> Samples:
    if (plane := upgrade.workers.plane) is not None:
        yield (WORKERS,), float(plane.running)


@SUBJECT.adds_to(
    _STARTED,
    source="ClusterVersion version: status.history[].startedTime",
    requires=(CLUSTER_VERSIONS,),
)
def _control_started(upgrade: OpenShiftUpgrade) -> Samples:
    if upgrade.control is not None and upgrade.control.began is not None:
        yield (CONTROL,), upgrade.control.began


@SUBJECT.adds_to(
    _STARTED,
    source="MachineConfigPool: status.conditions[Updating].lastTransitionTime (remembered)",
    requires=(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS),
    timed=True,
)
def _workers_started(upgrade: OpenShiftUpgrade) -> Samples:
    if (plane := upgrade.workers.plane) is not None and plane.began is not None:
        yield (WORKERS,), plane.began


@SUBJECT.adds_to(
    _COMPLETED,
    source="ClusterVersion version: status.history[].completionTime",
    requires=(CLUSTER_VERSIONS,),
)
def _control_completed(upgrade: OpenShiftUpgrade) -> Samples:
    if upgrade.control is not None and upgrade.control.completed is not None:
        yield (CONTROL,), upgrade.control.completed


@SUBJECT.adds_to(
    _COMPLETED,
    source="MachineConfigPool: status.conditions[Updated].lastTransitionTime (remembered)",
    requires=(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS),
    timed=True,
)
def _workers_completed(upgrade: OpenShiftUpgrade) -> Samples:
    if (plane := upgrade.workers.plane) is not None and plane.completed is not None:
        yield (WORKERS,), plane.completed
