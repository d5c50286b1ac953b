"""Virtual machines, their running instances and migrations: kubevirt.io.

There are ten thousands of them, so records hold what the facts rest on and no more: tuples instead of
lists, words that repeat are one object, and what is only asked of instances that cannot be migrated is
dropped from those that can.
"""

from __future__ import annotations

import sys
from datetime import datetime
from functools import lru_cache
from typing import Final, Self

import msgspec

from exporter.kube.resource import Resource
from exporter.records.base import BulkMetadata, BulkRecord, Part, Present, unix

LIVE_MIGRATABLE: Final = "LiveMigratable"
RUNNING: Final = "Running"
SHARED: Final = "ReadWriteMany"
"""The access mode with which a claim can be migrated between nodes."""
HOST_DISK: Final = "non-shared hostdisk"
"""In lower case: part of the message about files of a node; a claim may have the last word in its name."""
FINISHED: Final = ("Succeeded", "Failed")
"""Phases in which a migration stays."""


class Owner(Part, frozen=True):
    """One entry of `metadata.ownerReferences`."""

    kind: str | None = None
    controller: bool | None = None


class Word(Part, frozen=True):
    """A condition without its times, which KubeVirt leaves null."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None

    def trimmed(self) -> Word:
        """Without the part of a message that is another one for every VM."""
        message = self.message
        if message is not None and (self.reason == "DisksNotLiveMigratable" or self.status == "True"):
            message = HOST_DISK if HOST_DISK in message.lower() else None
        return _words(self.type, self.status, self.reason, message)


@lru_cache(maxsize=256)
def _words(type_: str | None, status: str | None, reason: str | None, message: str | None) -> Word:
    """The one object for conditions that repeat."""
    return Word(type=type_, status=status, reason=reason, message=message)


# VirtualMachineInstance


class InstanceLabels(Part, frozen=True):
    """Of the labels, those that are facts."""

    outdated: str | None = msgspec.field(name="kubevirt.io/outdatedLauncherImage", default=None)
    """Set by virt-controller, empty; cleared by the migration into a new launcher."""


class InstanceMetadata(BulkMetadata, frozen=True):
    """ObjectMeta of a VirtualMachineInstance."""

    creation_timestamp: datetime | None = None
    deletion_timestamp: str | None = None
    labels: InstanceLabels | None = None
    owner_references: tuple[Owner, ...] | None = None


class HostDisk(Part, frozen=True):
    """A file on the node."""

    shared: bool | None = None


class Volume(Part, frozen=True):
    """One volume of the instance's spec."""

    name: str | None = None
    host_disk: HostDisk | None = None


class Multus(Part, frozen=True):
    """A network besides the pod's."""

    network_name: str | None = None


class Network(Part, frozen=True):
    """One network of the instance's spec."""

    name: str | None = None
    multus: Multus | None = None


class Interface(Part, frozen=True):
    """One interface of the guest."""

    name: str | None = None
    sriov: Present | None = None
    masquerade: Present | None = None


class Device(Part, frozen=True):
    """A device of the host, or a GPU."""

    name: str | None = None


class Devices(Part, frozen=True):
    """Of the guest's devices, those that can keep it on its node."""

    interfaces: tuple[Interface, ...] | None = None
    host_devices: tuple[Device, ...] | None = None
    gpus: tuple[Device, ...] | None = None


class Domain(Part, frozen=True):
    """The guest's hardware."""

    devices: Devices | None = None


class InstanceSpec(Part, frozen=True):
    """What was asked for when the instance was made; it never changes."""

    eviction_strategy: str | None = None
    domain: Domain | None = None
    networks: tuple[Network, ...] | None = None
    volumes: tuple[Volume, ...] | None = None


class ClaimInfo(Part, frozen=True):
    """What KubeVirt saw of a volume's PersistentVolumeClaim."""

    claim_name: str | None = None
    access_modes: tuple[str, ...] | None = None


class VolumeStatus(Part, frozen=True):
    """One volume as attached."""

    name: str | None = None
    persistent_volume_claim_info: ClaimInfo | None = None
    memory_dump_volume: Present | None = None
    """A dump of the guest's memory goes there: it is no disk, and moves with nobody."""


class InstanceStatus(Part, frozen=True):
    """How the instance runs."""

    phase: str | None = None
    node_name: str | None = None
    evacuation_node_name: str | None = None
    conditions: tuple[Word, ...] | None = None
    volume_status: tuple[VolumeStatus, ...] | None = None


_NO_STATUS: Final = InstanceStatus()
_NO_SPEC: Final = InstanceSpec()


class VirtualMachineInstance(BulkRecord, frozen=True):
    """A VM that runs, or is about to, or did."""

    metadata: InstanceMetadata
    spec: InstanceSpec | None = None
    status: InstanceStatus | None = None

    @property
    def is_running(self) -> bool:
        """The guest runs and is not about to be shut down."""
        phase = self.status.phase if self.status else None
        return phase == RUNNING and self.metadata.deletion_timestamp is None

    @property
    def live_migratable(self) -> Word | None:
        """virt-handler's verdict; None until the first one."""
        conditions = (self.status and self.status.conditions) or ()
        return next((each for each in conditions if each.type == LIVE_MIGRATABLE), None)

    @property
    def node(self) -> str:
        """Where it runs; empty while nobody says."""
        return (self.status and self.status.node_name) or ""

    @property
    def is_outdated(self) -> bool:
        """Its virt-launcher is of an earlier version."""
        labels = self.metadata.labels
        return labels is not None and labels.outdated is not None

    @property
    def is_marked(self) -> bool:
        """Marked for eviction from the node it is on; the mark of a node it has left means nothing."""
        status = self.status or _NO_STATUS
        return bool(status.node_name) and status.evacuation_node_name == status.node_name

    @property
    def owner(self) -> Owner | None:
        """What made it; None for an instance that somebody made by hand."""
        owners = self.metadata.owner_references or ()
        return next((each for each in owners if each.controller), next(iter(owners), None))

    def trimmed(self) -> Self:
        """Without what nobody asks of an instance in this state."""
        status, spec, metadata = self.status or _NO_STATUS, self.spec or _NO_SPEC, self.metadata
        said = self.live_migratable
        reason = (said.reason or "") if said is not None and said.status != "True" else ""
        owner = self.owner
        owners = (Owner(kind=_one(owner.kind)),) if owner else ()
        return type(self)(
            metadata=InstanceMetadata(
                name=metadata.name,
                namespace=_one(metadata.namespace),
                uid=metadata.uid,
                resource_version=metadata.resource_version,
                creation_timestamp=metadata.creation_timestamp,
                deletion_timestamp=metadata.deletion_timestamp,
                labels=metadata.labels if metadata.labels and metadata.labels.outdated is not None else None,
                owner_references=_BY_MACHINE if owners == _BY_MACHINE else owners,
            ),
            spec=InstanceSpec(
                eviction_strategy=_one(spec.eviction_strategy),
                # Which of these a reason is about is in its name: Interface..., HostDevice..., Disks...
                domain=None if reason.startswith("Disks") else spec.domain if reason else None,
                networks=None if reason.startswith("Disks") else spec.networks if reason else None,
                volumes=tuple(each for each in spec.volumes or () if each.host_disk) if reason else None,
            ),
            status=InstanceStatus(
                phase=_one(status.phase),
                node_name=_one(status.node_name),
                evacuation_node_name=_one(status.evacuation_node_name),
                conditions=(said.trimmed(),) if said else (),
                volume_status=_unshared(status.volume_status) if reason else None,
            ),
        )


_BY_MACHINE: Final = (Owner(kind="VirtualMachine"),)


def _unshared(volumes: tuple[VolumeStatus, ...] | None) -> tuple[VolumeStatus, ...]:
    """Disks on claims that only one node can use at a time."""
    found = []
    for each in volumes or ():
        info = each.persistent_volume_claim_info
        if info is not None and each.memory_dump_volume is None and SHARED not in (info.access_modes or ()):
            found.append(
                VolumeStatus(
                    name=_one(each.name),
                    persistent_volume_claim_info=ClaimInfo(claim_name=info.claim_name),
                )
            )
    return tuple(found)


def _one(word: str | None) -> str | None:
    """The one object for a word that repeats."""
    return None if word is None else sys.intern(word)


# VirtualMachine


class MachineMetadata(BulkMetadata, frozen=True):
    """ObjectMeta of a VirtualMachine."""

    deletion_timestamp: str | None = None


class TemplateSpec(Part, frozen=True):
    """Of the next instance's spec, what its drain depends on."""

    eviction_strategy: str | None = None


class Template(Part, frozen=True):
    """What instances are made from."""

    spec: TemplateSpec | None = None


class MachineSpec(Part, frozen=True):
    """When it is to run, and as what."""

    running: bool | None = None
    """Deprecated; excludes `runStrategy`."""
    run_strategy: str | None = None
    template: Template | None = None


class VirtualMachine(BulkRecord, frozen=True):
    """What makes instances, and makes them again."""

    metadata: MachineMetadata
    spec: MachineSpec | None = None

    @property
    def run_strategy(self) -> str:
        """When instances are made: Always, Halted, Manual, RerunOnFailure, Once, WaitAsReceiver."""
        spec = self.spec or MachineSpec()
        return spec.run_strategy or ("Always" if spec.running else "Halted")

    @property
    def eviction_strategy(self) -> str:
        """Of the next instance; empty where the template names none."""
        template = self.spec and self.spec.template
        return (template and template.spec and template.spec.eviction_strategy) or ""

    @property
    def is_deleting(self) -> bool:
        """It makes no more instances."""
        return self.metadata.deletion_timestamp is not None


# VirtualMachineInstanceMigration


class MigrationAnnotations(Part, frozen=True):
    """Who asked for the migration: an annotation each, neither is a person or something else."""

    evacuation: str | None = msgspec.field(name="kubevirt.io/evacuationMigration", default=None)
    workload_update: str | None = msgspec.field(name="kubevirt.io/workloadUpdateMigration", default=None)


class MigrationLabels(Part, frozen=True):
    """The same updater moves volumes, and says so in a label."""

    volume_update: str | None = msgspec.field(name="kubevirt.io/volume-update-migration", default=None)


class MigrationMetadata(BulkMetadata, frozen=True):
    """ObjectMeta of a migration."""

    creation_timestamp: datetime | None = None
    annotations: MigrationAnnotations | None = None
    labels: MigrationLabels | None = None


class MigrationSpec(Part, frozen=True):
    """What is migrated, and how urgent it is."""

    vmi_name: str | None = None
    priority: str | None = None
    """system-critical (drain, update), user-triggered (hotplug), system-maintenance (descheduler)."""


class PhaseTransition(Part, frozen=True):
    """When a phase was entered."""

    phase: str | None = None
    phase_transition_timestamp: datetime | None = None


class MigrationState(Part, frozen=True):
    """What virt-handler did."""

    end_timestamp: datetime | None = None


class MigrationStatus(Part, frozen=True):
    """How far the migration is."""

    phase: str | None = None
    phase_transition_timestamps: tuple[PhaseTransition, ...] | None = None
    conditions: tuple[Word, ...] | None = None
    migration_state: MigrationState | None = None


class VirtualMachineInstanceMigration(BulkRecord, frozen=True):
    """One attempt to move an instance to another launcher, mostly on another node."""

    metadata: MigrationMetadata
    spec: MigrationSpec | None = None
    status: MigrationStatus | None = None

    @property
    def vmi_name(self) -> str:
        """The instance, in the migration's namespace."""
        return (self.spec and self.spec.vmi_name) or ""

    @property
    def phase(self) -> str:
        """How far it is; empty before the first word."""
        return (self.status and self.status.phase) or ""

    @property
    def is_finished(self) -> bool:
        """It has succeeded or failed."""
        return self.phase in FINISHED

    def is_true(self, type_: str) -> bool:
        """Whether a condition holds."""
        conditions = (self.status and self.status.conditions) or ()
        return any(each.type == type_ and each.status == "True" for each in conditions)

    @property
    def entered(self) -> float | None:
        """Unix time at which the present phase was entered; else of the migration's creation."""
        transitions = (self.status and self.status.phase_transition_timestamps) or ()
        moments = [each.phase_transition_timestamp for each in transitions if each.phase == self.phase]
        return unix(next((each for each in reversed(moments) if each), self.metadata.creation_timestamp))

    @property
    def told_end(self) -> datetime | None:
        """When a finished one ended: entered its phase, else finished its transfer."""
        transitions = (self.status and self.status.phase_transition_timestamps) or ()
        moments = [each.phase_transition_timestamp for each in transitions if each.phase == self.phase]
        state = self.status and self.status.migration_state
        moments.append(state.end_timestamp if state else None)
        return next((each for each in moments if each), None)

    @property
    def ended(self) -> float:
        """Unix time of the end of a finished one, else of its creation; 0 where nothing tells."""
        return unix(self.told_end or self.metadata.creation_timestamp) or 0.0


VIRTUAL_MACHINE_INSTANCES = Resource(
    "virtualmachineinstances", "kubevirt.io", ("v1",), VirtualMachineInstance
)
VIRTUAL_MACHINES = Resource("virtualmachines", "kubevirt.io", ("v1",), VirtualMachine)
MIGRATIONS = Resource(
    "virtualmachineinstancemigrations",
    "kubevirt.io",
    ("v1",),
    VirtualMachineInstanceMigration,
    fleeting=True,
)
