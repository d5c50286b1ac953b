"""How long does an update of the operator take, where does it stand, and how did the ones before end?

An update passes through these instants:

- A, it becomes available (`exporter/facts/pending.py`);
- S, its ClusterServiceVersion is created; where OLM makes none, its plan begins to be installed;
- G, the gate opens: it leaves the phase Pending after it had the reason OperatorConditionNotUpgradeable;
  the same as S for one that never had it;
- O, its ClusterServiceVersion first succeeds;
- E, the operands are rolled out (`exporter/facts/rollout.py`);
- W, no VM that could be migrated is left in an earlier launcher.

Between them are the stages approval, gate, install, rollout and workloads. Its duration is install and
rollout: the fifteen minutes of the documentation. `installedCSV`, AtLatestKnown and a plan's Complete are
the end of nothing, nor is the phase Succeeded, but where there is no HyperConverged. How each instant is
told, and what is an update at all, is in `exporter/facts/upgrade_records.py`.

It has failed while its plan has, its bundle cannot be unpacked, its ClusterServiceVersion stays Failed for a
minute or has run into the install timeout twice: until that succeeds, is replaced or deleted, or somebody
makes another plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.failed_plans import failed_plans
from exporter.facts.family import Samples, Subject, distribution, stateset
from exporter.facts.machines import Summary
from exporter.facts.package import Package, identity
from exporter.facts.pending import PLAN_FAILED, UNPACK_FAILED, Pending
from exporter.facts.rollout import Rollout
from exporter.facts.upgrade_records import RESTS_ON, TOLD_BY, look
from exporter.history.upgrades import BUCKETS, COMPLETED, Stretch, Upgrade, Upgrades
from exporter.history.value import History
from exporter.records.base import unix
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    ClusterServiceVersion,
)

SUBJECT: Final = Subject["OperatorUpgrade"]("operator upgrade")

IDLE: Final = "idle"
APPROVAL: Final = "approval"
GATE: Final = "gate"
INSTALL: Final = "install"
ROLLING_OUT: Final = "rollout"
WORKLOADS: Final = "workloads"
FAILING: Final = "failed"
STAGES: Final = (APPROVAL, GATE, INSTALL, ROLLING_OUT, WORKLOADS)
STATES: Final = (IDLE, *STAGES, FAILING)

FAILED_SECONDS: Final = 60.0
"""OLM's own retries pass through Failed within a second."""

TIMEOUTS: Final = 2
"""Attempts that ran into the install timeout, of five minutes each, after which an update has failed."""

_CHECK_FAILED: Final = "InstallCheckFailed"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LISTED: Final = 10
"""Upgrades that have a series of their own."""


@dataclass(frozen=True)
class OperatorUpgrade:
    """What this subject knows."""

    current: Upgrade | None
    """The one that is under way: S has been, E has not."""
    latest: Upgrade | None
    """The one that ended last."""
    subject: Upgrade | None
    """The one that the stages' present durations are about."""
    stage: str
    stages: dict[str, float]
    """Seconds of each stage so far; a stage of which nothing is known is missing."""
    upgrades: Upgrades
    """All that are stored."""

    @property
    def duration(self) -> float | None:
        """Seconds of install and rollout so far; 0 while nothing is under way, None where nothing tells."""
        if self.current is None:
            return 0.0
        install, rollout = self.stages.get(INSTALL), self.stages.get(ROLLING_OUT)
        return None if install is None or rollout is None else install + rollout


def derive(
    cluster: Cluster,
    history: History,
    now: float,
    *,
    package: Package,
    rollout: Rollout,
    pending: Pending,
    machines: Summary,
    methods: frozenset[str] | None,
    before: frozenset[str] | None,
) -> OperatorUpgrade:
    """The upgrades, and where the present one stands.

    Args:
        cluster: the records.
        history: what is remembered.
        now: Unix time.
        package: what is ours.
        rollout: how far the operator's versions have come.
        pending: the pending update.
        machines: what the VMs amount to.
        methods: by which VMs are moved into new launchers; None where nothing says.
        before: our ClusterServiceVersions a moment ago, by uid; None when nobody looked.
    """
    csvs = {identity(each): each for each in package.csvs}
    upgrades = history.upgrades.add(look(cluster, history, now, package, rollout, before))
    here = csvs.keys() | failed_plans(package)
    present = [each for each in upgrades.records if not each.has_ended and each.uid in here]
    current = present[0] if present else None
    # What is over is told once it is stored: it must not be forgotten again, nor counted twice.
    over = history.upgrades
    ended = [each for each in over.records if each.outcome]
    latest = ended[-1] if ended else None
    csv = csvs.get(current.uid) if current else None
    stage = _stage(package, now, current, csv, pending)
    subject = current
    if current is None and latest is not None and _moves_workloads(latest, machines, methods):
        subject = latest
        stage = WORKLOADS if stage == IDLE else stage
    return OperatorUpgrade(
        current=current,
        latest=latest,
        subject=subject,
        stage=stage,
        stages=_durations(subject, csv, pending, now),
        upgrades=over,
    )


def _moves_workloads(latest: Upgrade, machines: Summary, methods: frozenset[str] | None) -> bool:
    if latest.outcome != COMPLETED or latest.settled or not methods:
        return False
    return machines.by("outdated").get("true", 0) > 0


def _stage(
    package: Package, now: float, current: Upgrade | None, csv: ClusterServiceVersion | None, pending: Pending
) -> str:
    update = pending.update
    if update is not None and (
        update.cause == PLAN_FAILED or (update.cause == UNPACK_FAILED and not update.plan)
    ):
        return FAILING
    if current is not None and current.of_plan:
        return FAILING
    if current is None or csv is None:
        return IDLE if update is None else APPROVAL
    if current.installed is None and not csv.has_succeeded and _has_failed(package, now, current, csv):
        return FAILING
    if current.gated and current.opened is None and csv.waits:
        return GATE
    return ROLLING_OUT if csv.has_succeeded else INSTALL


def _has_failed(package: Package, now: float, current: Upgrade, csv: ClusterServiceVersion) -> bool:
    """It does not go on by itself, and nobody has made another plan since."""
    failed = [
        at
        for each in csv.changes
        if each.phase == "Failed" and each.reason == _CHECK_FAILED
        if (at := unix(each.last_transition_time)) is not None
    ]
    signs = [current.plan_failed, failed[TIMEOUTS - 1] if len(failed) >= TIMEOUTS else None]
    since = unix(csv.status.last_transition_time) if csv.status else None
    if csv.phase == "Failed" and since is not None and now - since > FAILED_SECONDS:
        signs.append(since)
    plans = [unix(each.metadata.creation_timestamp) or 0.0 for each in package.plans]
    return any(sign is not None and all(made <= sign for made in plans) for sign in signs)


def _durations(
    subject: Upgrade | None, csv: ClusterServiceVersion | None, pending: Pending, now: float
) -> dict[str, float]:
    """Seconds of each stage so far; of what nothing tells there is none."""
    found: dict[str, float | None] = dict.fromkeys(STAGES, 0.0)
    if subject is None:
        found[APPROVAL] = pending.age if pending.update else 0.0
    elif subject.of_plan:
        found |= {APPROVAL: subject.approval.seconds, INSTALL: Stretch(subject.started, now).seconds}
    elif csv is None:
        # It waits for its VMs.
        found = {stage: stretch.seconds for stage, stretch in stretches(subject)}
        if pending.update:
            # The next one waits already.
            found[APPROVAL] = pending.age
        found[WORKLOADS] = Stretch(subject.completed, now).seconds
    else:
        found[APPROVAL] = subject.approval.seconds
        opened = subject.gate_opened
        if subject.gated:
            found[GATE] = Stretch(subject.started, now if opened is None else opened).seconds
        elif not subject.whole:
            found[GATE] = None
        if csv.has_succeeded:
            found[INSTALL] = Stretch(opened, subject.installed).seconds
            found[ROLLING_OUT] = Stretch(subject.installed, now).seconds
        elif opened is not None or not subject.gated:
            found[INSTALL] = Stretch(opened, now).seconds
    return {stage: round(seconds, 3) for stage, seconds in found.items() if seconds is not None}


def stretches(upgrade: Upgrade) -> Iterator[tuple[str, Stretch]]:
    """The stages of an upgrade in their order."""
    yield APPROVAL, upgrade.approval
    yield GATE, upgrade.gate
    yield INSTALL, upgrade.install
    yield ROLLING_OUT, upgrade.rollout
    yield WORKLOADS, upgrade.workload_update


# What is shown


_OPTIONAL: Final = tuple(each for each in RESTS_ON if each is not CLUSTER_SERVICE_VERSIONS)
_gauge = partial(
    SUBJECT.gauge,
    requires=(CLUSTER_SERVICE_VERSIONS,),
    optional=_OPTIONAL,
    helpful=TOLD_BY,
    timed=True,
)


@_gauge(
    "virt_upgrade_in_progress",
    "1 while an update of the operator is under way: from the creation of its ClusterServiceVersion until "
    "all operands are rolled out.",
    source="ClusterServiceVersion: metadata.creationTimestamp; HyperConverged: status.versions, "
    "status.conditions[Progressing]; OperatorCondition: status.conditions[Upgradeable]",
)
def _in_progress(facts: OperatorUpgrade) -> Samples:
    yield (), float(facts.current is not None)


@_gauge(
    "virt_upgrade_stage",
    "Where the update of the operator stands.",
    labels=("stage",),
    source="ClusterServiceVersion: status.phase, reason, conditions; InstallPlan: status.phase; "
    "HyperConverged: status.versions; VirtualMachineInstance: labels[kubevirt.io/outdatedLauncherImage]",
    helpful=(*TOLD_BY, VIRTUAL_MACHINE_INSTANCES),
)
def _stages(facts: OperatorUpgrade) -> Samples:
    return stateset(STATES, facts.stage)


@_gauge(
    "virt_upgrade_current_duration_seconds",
    "Install and rollout of the update under way so far; 0 while there is none. Most updates take less than "
    "fifteen minutes. Absent where nothing tells.",
    source="virt_upgrade_current_stage_duration_seconds",
)
def _current_duration(facts: OperatorUpgrade) -> Samples:
    if facts.duration is not None:
        yield (), facts.duration


@_gauge(
    "virt_upgrade_current_stage_duration_seconds",
    "How long each stage of the present update has taken so far; a stage whose beginning nothing tells is "
    "missing.",
    labels=("stage",),
    source="ClusterServiceVersion: metadata.creationTimestamp, status.conditions; InstallPlan: "
    "metadata.creationTimestamp; HyperConverged, OperatorCondition: lastTransitionTime",
    helpful=(*TOLD_BY, VIRTUAL_MACHINE_INSTANCES),
)
def _current_stage_duration(facts: OperatorUpgrade) -> Samples:
    for stage, seconds in facts.stages.items():
        yield (stage,), seconds


@_gauge(
    "virt_upgrade_started_timestamp_seconds",
    "When the update under way, else the last one, began: its ClusterServiceVersion was created.",
    labels=("from_version", "to_version"),
    source="ClusterServiceVersion: metadata.creationTimestamp",
)
def _started(facts: OperatorUpgrade) -> Samples:
    if each := facts.current or facts.latest:
        yield (each.from_version, each.to_version), each.started


@_gauge(
    "virt_upgrade_completed_timestamp_seconds",
    "When the last update that has ended did; where nobody watched that, when it had at the latest.",
    labels=("from_version", "to_version", "outcome"),
    source="HyperConverged: status.conditions[Progressing].lastTransitionTime; OperatorCondition: "
    "status.conditions[Upgradeable].lastTransitionTime; Event: firstTimestamp; what was seen first is kept",
)
def _completed_at(facts: OperatorUpgrade) -> Samples:
    each = facts.latest
    if each is not None and each.end is not None:
        yield (each.from_version, each.to_version, each.outcome), each.end


@_gauge(
    "virt_upgrade_last_duration_seconds",
    "Install and rollout of the last update that has ended; where nobody watched its end that long or less.",
    source="virt_upgrade_last_stage_duration_seconds",
)
def _last_duration(facts: OperatorUpgrade) -> Samples:
    if facts.latest is not None and (seconds := facts.latest.duration) is not None:
        yield (), seconds


@_gauge(
    "virt_upgrade_last_stage_duration_seconds",
    "How long each stage of the last update that has ended took; a stage of which nothing tells is missing.",
    labels=("stage",),
    source="virt_upgrade_current_stage_duration_seconds",
)
def _last_stage_duration(facts: OperatorUpgrade) -> Samples:
    if facts.latest is not None:
        for stage, stretch in stretches(facts.latest):
            if (seconds := stretch.seconds) is not None:
                yield (stage,), seconds


@SUBJECT.histogram(
    "virt_upgrade_duration_seconds",
    "Install and rollout of all updates that have ended and are remembered; of those whose end nobody "
    "watched that long or less.",
    labels=("outcome",),
    source="virt_upgrade_last_duration_seconds",
    requires=(CLUSTER_SERVICE_VERSIONS,),
    optional=_OPTIONAL,
    helpful=TOLD_BY,
    timed=True,
)
def _distribution(facts: OperatorUpgrade) -> Samples:
    for outcome, durations in facts.upgrades.durations().items():
        yield from distribution(BUCKETS, durations.counts, durations.total, outcome)


@_gauge(
    "virt_upgrade_history_duration_seconds",
    "Install and rollout of the last ten updates; of one whose end nobody watched that long or less.",
    labels=("from_version", "to_version", "outcome", "started"),
    source="virt_upgrade_last_duration_seconds",
)
def _history(facts: OperatorUpgrade) -> Samples:
    ended = [each for each in facts.upgrades.records if each.duration is not None]
    for each in ended[-LISTED:]:
        labels = each.from_version, each.to_version, each.outcome, _written(each.started)
        yield labels, each.duration or 0.0


def _written(seconds: float) -> str:
    """A time as the API writes it; as a number when it is none that can be."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{seconds:.0f}"


@_gauge(
    "virt_upgrade_install_failures",
    "Failed attempts to install the version of the update under way, else of the last one.",
    labels=("to_version",),
    source="ClusterServiceVersion: status.conditions, phase Failed; remembered, for the API keeps twenty",
)
def _install_failures(facts: OperatorUpgrade) -> Samples:
    each = facts.current or facts.latest
    if each is not None and each.whole and not each.missed:
        yield (each.to_version,), len(each.failures)
