"""Which running VMs cannot be migrated, why, what would a drain do to them, and is the way out taken?

How a VM is judged is in `exporter/facts/machine.py`, why it cannot be migrated in `migratability.py`, what
a drain does in `eviction.py`. Here are the numbers, and the series of the VMs that need attention.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import astuple

from exporter.facts.eviction import OUTCOMES, WORKAROUNDS
from exporter.facts.family import Samples, Subject
from exporter.facts.machine import Machine
from exporter.facts.machines import Summary, per_machine
from exporter.facts.migratability import CAUSES, REASONS
from exporter.kube.resource import Resource
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from exporter.records.nodes import NODES
from exporter.records.openshift import INFRASTRUCTURES
from exporter.records.storage import CLAIMS, STORAGE_CLASSES
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS

SUBJECT: Final = Subject[Summary]("VM readiness")

RUNNING_VMS: Final = "virt_upgrade_running_vms"
_RUNNING: Final = (VIRTUAL_MACHINE_INSTANCES,)
DRAIN: Final[tuple[Resource[Any], ...]] = (VIRTUAL_MACHINES, KUBEVIRTS, INFRASTRUCTURES)
"""What says, besides the instance, what a drain does to a VM."""
_STORAGE: Final[tuple[Resource[Any], ...]] = (CLAIMS, STORAGE_CLASSES)
_WHY: Final = "VirtualMachineInstance: status.conditions[LiveMigratable]"
_STRATEGY: Final = (
    "VirtualMachineInstance: spec.evictionStrategy; KubeVirt: spec.configuration.evictionStrategy; "
    "VirtualMachine: spec.runStrategy, spec.running"
)


@SUBJECT.gauge(
    RUNNING_VMS,
    "VMs that run: instances in the phase Running that nobody has asked to stop.",
    source="VirtualMachineInstance: status.phase, metadata.deletionTimestamp",
    requires=_RUNNING,
)
def _running_vms(summary: Summary) -> Samples:
    yield (), summary.running


@SUBJECT.gauge(
    "virt_upgrade_non_migratable_vms",
    "Running VMs that cannot be live-migrated, by the reason as KubeVirt writes it; NotEvaluated while "
    "nobody has looked yet. Every known reason is always there.",
    labels=("reason",),
    source=_WHY,
    requires=_RUNNING,
)
def _non_migratable_vms(summary: Summary) -> Samples:
    for reason, count in (dict.fromkeys(REASONS, 0) | summary.by("reason")).items():
        yield (reason,), count


@SUBJECT.gauge(
    "virt_upgrade_non_migratable_vms_by_cause",
    "Running VMs that cannot be live-migrated, by what is to be changed.",
    labels=("cause",),
    source=f"{_WHY}, spec.volumes, status.volumeStatus; PersistentVolumeClaim, StorageClass: provisioner",
    requires=_RUNNING,
    optional=(*_STORAGE, KUBEVIRTS, HYPERCONVERGEDS),
)
def _by_cause(summary: Summary) -> Samples:
    for cause, count in (dict.fromkeys(CAUSES, 0) | summary.by("cause")).items():
        yield (cause,), count


@SUBJECT.gauge(
    "virt_upgrade_vm_drain_outcomes",
    "What draining their nodes would do to the running VMs: migrates, restarts, stays_down, blocks the "
    "drain, or waits for an external controller.",
    labels=("outcome",),
    source=f"{_STRATEGY}; {_WHY}",
    requires=_RUNNING,
    optional=DRAIN,
    helpful=(NODES,),
)
def _drain_outcomes(summary: Summary) -> Samples:
    for outcome, count in (dict.fromkeys(OUTCOMES, 0) | summary.by("outcome")).items():
        yield (outcome,), count


@SUBJECT.gauge(
    "virt_upgrade_workaround_vms",
    "Running VMs that cannot be live-migrated, by how far the documented way out is taken: an eviction "
    "strategy that lets go, and the run strategy Always.",
    labels=("state",),
    source=f"{_STRATEGY}, spec.template.spec.evictionStrategy",
    requires=_RUNNING,
    optional=(VIRTUAL_MACHINES, KUBEVIRTS),
)
def _workaround_vms(summary: Summary) -> Samples:
    for state, count in (dict.fromkeys(WORKAROUNDS, 0) | summary.by("workaround")).items():
        yield (state,), count


@per_machine(
    SUBJECT,
    "virt_upgrade_non_migratable_vm_info",
    "A running VM that cannot be live-migrated.",
    labels=(
        "vm_namespace",
        "vm",
        "node",
        "reason",
        "eviction_strategy",
        "run_strategy",
        "drain_outcome",
        "workaround",
        "outdated",
    ),
    source=f"{_WHY}; {_STRATEGY}",
    optional=DRAIN,
    helpful=(NODES,),
)
def _non_migratable_vm_info(vm: Machine) -> Samples:
    if vm.reason:
        outdated = "true" if vm.outdated else "false"
        strategies = (vm.strategy, vm.run_strategy, vm.outcome, vm.workaround)
        yield (vm.namespace, vm.name, vm.node, vm.reason, *strategies, outdated), 1


@per_machine(
    SUBJECT,
    "virt_upgrade_non_migratable_vm_object_info",
    "What keeps a running VM from being live-migrated: claims that are not shared, interfaces, devices; at "
    "most five a VM.",
    labels=(
        "vm_namespace",
        "vm",
        "object_kind",
        "object",
        "claim",
        "storage_class",
        "provisioner",
        "network",
    ),
    source="VirtualMachineInstance: spec, status.volumeStatus; PersistentVolumeClaim: "
    "spec.storageClassName; StorageClass: provisioner",
    optional=_STORAGE,
)
def _non_migratable_vm_object_info(vm: Machine) -> Samples:
    for each in vm.objects:
        yield (vm.namespace, vm.name, *astuple(each)), 1


@per_machine(
    SUBJECT,
    "virt_upgrade_drain_blocking_vm_info",
    "A running VM that holds, or would hold, a drain of its node, and why: the cause of its not being "
    "migratable, external, or what keeps one that could be migrated from getting away.",
    labels=("vm_namespace", "vm", "node", "cause"),
    source=f"{_STRATEGY}, status.evacuationNodeName; {_WHY}; VirtualMachineInstanceMigration: status",
    optional=DRAIN,
    helpful=(*_STORAGE, MIGRATIONS, NODES, HYPERCONVERGEDS),
)
def _drain_blocking_vm_info(vm: Machine) -> Samples:
    if vm.blocking:
        yield (vm.namespace, vm.name, vm.node, vm.blocking), 1
