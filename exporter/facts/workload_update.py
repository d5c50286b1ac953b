"""How far are running VMs moved into the virt-launcher of the installed version?

After an update virt-controller labels every instance whose launcher is of another version, and the
workload updater migrates (or evicts) them, a few at a time, while a method is enabled. The label tells of
each VM; the count in KubeVirt's status is stale during an update and includes VMs that wait for something
else. A VM whose migrations keep failing stays where it is, and is tried again for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.facts import machines, migrations
from exporter.facts.cluster import Cluster
from exporter.facts.family import Family, Samples, Subject
from exporter.facts.machine import WORKLOAD_STATES
from exporter.facts.machines import Summary
from exporter.facts.migrations import End
from exporter.history.tally import Tally
from exporter.history.value import History, Observations
from exporter.records.base import condition, unix
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS, KubeVirt

SUBJECT: Final = Subject["WorkloadUpdate"]("workload update")

METHODS: Final = ("LiveMigrate", "Evict")
_MIGRATABLE: Final = ("true", "false", "unknown")
_MEMORY: Final = "migrations"


@dataclass(frozen=True)
class WorkloadUpdate:
    """What this subject knows."""

    machines: Summary
    methods: frozenset[str] | None
    """Enabled methods; None where nothing says."""
    finished: dict[tuple[str, str], int]
    """Migrations that have ended, by origin and outcome."""

    @property
    def disabled(self) -> bool:
        """Nothing will move outdated VMs."""
        return self.methods is not None and not self.methods


def derive(cluster: Cluster, history: History, summary: Summary) -> WorkloadUpdate:
    """The facts of the workload update."""
    finished = {
        (origin, end): history.total(_name(origin, end))
        for origin in migrations.ORIGINS
        for end in migrations.ENDS
    }
    return WorkloadUpdate(summary, _methods(cluster), finished)


def observe_migrations(summary: Summary, seen: Observations) -> None:
    """Remember migrations that have ended."""
    for end, events in summary.ended.items():
        seen.happened(_name(*end), events)


def observe_rollouts(cluster: Cluster, seen: Observations) -> None:
    """Remember when KubeVirt was rolled out."""
    for kubevirt in cluster[KUBEVIRTS][:1]:
        seen.holds(machines.ROLLOUT, kubevirt.is_rolling_out, _rollout_began(kubevirt))


def tally(history: History, end: End) -> Tally:
    """The ends of migrations that are remembered."""
    return history.tallies.get(_name(*end)) or Tally()


def _rollout_began(kubevirt: KubeVirt) -> float | None:
    progressing = condition(kubevirt.conditions, "Progressing")
    began = progressing is not None and progressing.is_true and kubevirt.is_rolling_out
    return unix(progressing.last_transition_time) if progressing is not None and began else None


def _methods(cluster: Cluster) -> frozenset[str] | None:
    """KubeVirt acts by its own object, which HyperConverged writes."""
    for kubevirt in cluster[KUBEVIRTS]:
        return frozenset(kubevirt.workload_update_methods)
    for hyperconverged in cluster[HYPERCONVERGEDS]:
        return frozenset(hyperconverged.workload_update_methods)
    return None


def _name(origin: str, end: str) -> str:
    return f"{_MEMORY}/{origin}/{end}"


@SUBJECT.gauge(
    "virt_upgrade_outdated_vms",
    "Running VMs in a virt-launcher of an earlier version, by whether they can be live-migrated.",
    labels=("migratable",),
    source="VirtualMachineInstance: labels[kubevirt.io/outdatedLauncherImage], "
    "status.conditions[LiveMigratable]",
    requires=(VIRTUAL_MACHINE_INSTANCES,),
)
def _outdated_vms(facts: WorkloadUpdate) -> Samples:
    for migratable, count in (dict.fromkeys(_MIGRATABLE, 0) | facts.machines.by("outdated")).items():
        yield (migratable,), count


@SUBJECT.gauge(
    "virt_upgrade_workload_update_enabled",
    "1 for each method by which running VMs are brought up to date after an update.",
    labels=("method",),
    source="KubeVirt: spec.workloadUpdateStrategy.workloadUpdateMethods; else HyperConverged: "
    "spec.workloadUpdateStrategy, spec.virtualization.workloadUpdateStrategy",
    optional=(KUBEVIRTS, HYPERCONVERGEDS),
)
def _workload_update_enabled(facts: WorkloadUpdate) -> Samples:
    if facts.methods is not None:
        for method in METHODS:
            yield (method,), float(method in facts.methods)


@SUBJECT.gauge(
    "virt_upgrade_workload_update_vms",
    "Running VMs by where they stand in the workload update: updated, remaining, or failing, whose "
    "migrations fail again and again.",
    labels=("state",),
    source="VirtualMachineInstance: labels; VirtualMachineInstanceMigration: status.phase",
    requires=(VIRTUAL_MACHINE_INSTANCES,),
    optional=(MIGRATIONS,),
    helpful=(KUBEVIRTS,),
)
def _workload_update_vms(facts: WorkloadUpdate) -> Samples:
    for state, count in (dict.fromkeys(WORKLOAD_STATES, 0) | facts.machines.by("workload")).items():
        yield (state,), count


@SUBJECT.gauge(
    "virt_upgrade_migrations",
    "Migrations that have not ended, by who asked for them and how far they are; combinations of which "
    "there is at least one.",
    labels=("origin", "phase"),
    source="VirtualMachineInstanceMigration: metadata.annotations, metadata.labels, spec.priority, "
    "status.phase",
    requires=(MIGRATIONS,),
)
def _migrations(facts: WorkloadUpdate) -> Samples:
    yield from facts.machines.under_way.items()


FINISHED: Final = Family(
    "virt_upgrade_migrations_finished_total",
    "Migrations that have ended, by who asked for them and how; what was there at the first start included.",
    type="counter",
    labels=("origin", "outcome"),
)


@SUBJECT.adds_to(
    FINISHED,
    source="VirtualMachineInstanceMigration: status.phase, status.phaseTransitionTimestamps",
    requires=(MIGRATIONS,),
    timed=True,
)
def _migrations_finished(facts: WorkloadUpdate) -> Samples:
    yield from facts.finished.items()


@SUBJECT.gauge(
    "virt_upgrade_migration_failing_vms",
    "Running VMs with at least three failed migrations since the last one that succeeded; failures during a "
    "roll-out of KubeVirt and ten minutes after it do not count.",
    labels=("origin",),
    source="VirtualMachineInstanceMigration: status.phase; KubeVirt: status.observedDeploymentID, "
    "status.targetDeploymentID",
    requires=(MIGRATIONS, VIRTUAL_MACHINE_INSTANCES),
    helpful=(KUBEVIRTS,),
)
def _migration_failing_vms(facts: WorkloadUpdate) -> Samples:
    failing = facts.machines.by("failing")
    for origin in migrations.ORIGINS:
        yield (origin,), failing.get(origin, 0)
