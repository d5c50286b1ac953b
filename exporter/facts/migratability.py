"""Why can a running VM not be migrated, and what is in the way?

virt-handler of the node that runs a VM writes the condition LiveMigratable of its instance (kubevirt
`pkg/virt-handler/vm.go`, calculateLiveMigrationCondition), with the first reason that it finds. The
condition is absent until it has looked, which is not the same as False. A VirtualMachine carries a copy
that may be left over from an earlier instance: it is never read. `NotMigratable` belongs to the condition
StorageLiveMigratable and `DecentralizedNotLiveMigratable` to DecentralizedLiveMigrationFailure; neither is
a reason of this one. `CPUModeLiveMigratable` is a reason against, whatever its name.

The message names at most one object. Which volumes, interfaces and devices are in the way is read from the
instance itself: claims that are not ReadWriteMany, files of the host, devices of the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from exporter.facts.eviction import Release
from exporter.records.base import BulkRecord
from exporter.records.machines import HOST_DISK as HOST_DISK_MESSAGE
from exporter.records.machines import (
    SHARED,
    Devices,
    InstanceSpec,
    InstanceStatus,
    VirtualMachineInstance,
    Word,
)
from exporter.records.storage import PersistentVolumeClaim, StorageClass

NOT_EVALUATED: Final = "NotEvaluated"
UNKNOWN: Final = "Unknown"
"""False without a reason; never seen, but possible."""

DISKS: Final = "DisksNotLiveMigratable"
INTERFACE: Final = "InterfaceNotLiveMigratable"
HOST_DEVICE: Final = "HostDeviceNotLiveMigratable"

REASONS: Final = (
    INTERFACE,
    "CPUModeLiveMigratable",
    HOST_DEVICE,
    "SEVNotLiveMigratable",
    "TDXNotLiveMigratable",
    "SecureExecutionNotLiveMigratable",
    "NoTSCFrequencyNotLiveMigratable",
    "HypervPassthroughNotLiveMigratable",
    DISKS,
    "VirtIOFSNotLiveMigratable",
    "HotplugNotLiveMigratable",
    "PersistentReservationNotLiveMigratable",
    NOT_EVALUATED,
)
"""All that any release is known to write, in the order in which they are checked."""

HOSTPATH: Final = "hostpath"
UNSHARED_CLAIM: Final = "unshared_claim"
HOST_DISK: Final = "host_disk"
SRIOV_GATE_OFF: Final = "sriov_gate_off"
POD_NETWORK: Final = "pod_network"
OTHER: Final = "other"
CAUSES: Final = (
    HOSTPATH,
    UNSHARED_CLAIM,
    HOST_DISK,
    SRIOV_GATE_OFF,
    POD_NETWORK,
    "host_device",
    "cpu",
    "security",
    "not_evaluated",
    OTHER,
)

_BY_REASON: Final = {
    HOST_DEVICE: "host_device",
    "CPUModeLiveMigratable": "cpu",
    "NoTSCFrequencyNotLiveMigratable": "cpu",
    "HypervPassthroughNotLiveMigratable": "cpu",
    "SEVNotLiveMigratable": "security",
    "TDXNotLiveMigratable": "security",
    "SecureExecutionNotLiveMigratable": "security",
    NOT_EVALUATED: "not_evaluated",
}

HOSTPATH_PROVISIONERS: Final = frozenset(
    {"kubevirt.io.hostpath-provisioner", "kubevirt.io/hostpath-provisioner"}
)
"""The CSI driver, and the provisioner before it."""

_SRIOV_GATE_UNTIL: Final = (0, 57)
"""KubeVirt release from which on SR-IOV is migrated without a gate."""

OBJECTS: Final = 5
"""Objects named of one VM."""


class Offending(msgspec.Struct, frozen=True, gc=False):
    """One object that is in the way of a migration."""

    kind: str
    """volume, interface or device."""
    object: str
    """Its name in the instance."""
    claim: str = ""
    storage_class: str = ""
    provisioner: str = ""
    network: str = ""


def reason(said: Word | None) -> str:
    """Why an instance cannot be migrated, in KubeVirt's own term; empty when it can."""
    if said is None or said.status not in {"True", "False"}:
        return NOT_EVALUATED
    return "" if said.status == "True" else said.reason or UNKNOWN


class Obstacle(NamedTuple):
    """What to change before an instance can be migrated."""

    cause: str
    """The reason as one word, of CAUSES."""
    objects: tuple[Offending, ...]
    """The first few that are in the way."""


def obstacle(
    instance: VirtualMachineInstance,
    why: str,
    claims: Mapping[str, BulkRecord],
    classes: Mapping[str, BulkRecord],
    *,
    kubevirt: Release,
    sriov_gate: bool | None,
) -> Obstacle:
    """What is in the way, by the reason that KubeVirt gives."""
    spec = instance.spec or InstanceSpec()
    found: list[Offending] = []
    if why == DISKS:
        found = list(_volumes(instance, claims, classes))
        cause = _of_disks(instance, found)
        # Whatever else is in the way, these are what the cause is about.
        found.sort(key=lambda each: (cause == HOSTPATH) > (each.provisioner in HOSTPATH_PROVISIONERS))
    elif why == INTERFACE:
        cause = _of_interfaces(instance, kubevirt=kubevirt, sriov_gate=sriov_gate)
        found = list(_interfaces(spec, gated=cause == SRIOV_GATE_OFF))
    else:
        cause = _BY_REASON.get(why, OTHER)
        if why == HOST_DEVICE:
            found = list(_devices(spec))
    return Obstacle(cause, tuple(found[:OBJECTS]))


def claim_key(namespace: str, claim: str) -> str:
    """The key of a claim's record."""
    return f"{namespace}/{claim}"


def _volumes(
    instance: VirtualMachineInstance, claims: Mapping[str, BulkRecord], classes: Mapping[str, BulkRecord]
) -> Iterator[Offending]:
    for volume in (instance.spec or InstanceSpec()).volumes or ():
        if volume.host_disk is not None and not volume.host_disk.shared:
            yield Offending("volume", volume.name or "")
    for status in (instance.status or InstanceStatus()).volume_status or ():
        info = status.persistent_volume_claim_info
        if info is None or SHARED in (info.access_modes or ()):
            continue
        name = info.claim_name or ""
        claim = claims.get(claim_key(instance.namespace, name))
        storage_class = claim.storage_class if isinstance(claim, PersistentVolumeClaim) else ""
        made_by = classes.get(storage_class)
        provisioner = (made_by.provisioner or "") if isinstance(made_by, StorageClass) else ""
        if not provisioner and isinstance(claim, PersistentVolumeClaim):
            provisioner = claim.provisioner
        yield Offending("volume", status.name or "", name, storage_class, provisioner)


def _interfaces(spec: InstanceSpec, *, gated: bool) -> Iterator[Offending]:
    """Interfaces with SR-IOV where the gate is in the way; else those bound to the pod's network.

    A masquerade is the one binding of that network that is migrated without further ado.
    """
    networks = {each.name: each for each in spec.networks or ()}
    for interface in _of(spec).interfaces or ():
        network = networks.get(interface.name)
        multus = network.multus if network else None
        bound = multus is None and interface.masquerade is None
        if interface.sriov is not None if gated else bound:
            named = (multus.network_name or "") if multus else "pod"
            yield Offending("interface", interface.name or "", network=named)


def _devices(spec: InstanceSpec) -> Iterator[Offending]:
    devices = _of(spec)
    for each in (*(devices.host_devices or ()), *(devices.gpus or ())):
        yield Offending("device", each.name or "")


def _of(spec: InstanceSpec) -> Devices:
    return (spec.domain and spec.domain.devices) or Devices()


def _of_disks(instance: VirtualMachineInstance, found: list[Offending]) -> str:
    if HOST_DISK_MESSAGE in _message(instance):
        return HOST_DISK
    claims = [each for each in found if each.claim]
    if any(each.provisioner in HOSTPATH_PROVISIONERS for each in claims):
        return HOSTPATH
    return HOST_DISK if found and not claims else UNSHARED_CLAIM


def _of_interfaces(instance: VirtualMachineInstance, *, kubevirt: Release, sriov_gate: bool | None) -> str:
    message = _message(instance)
    interfaces = _of(instance.spec or InstanceSpec()).interfaces or ()
    gated = kubevirt is not None and kubevirt < _SRIOV_GATE_UNTIL and sriov_gate is not True
    by_gate = gated and not message and any(each.sriov is not None for each in interfaces)
    return SRIOV_GATE_OFF if "feature-gate is closed" in message or by_gate else POD_NETWORK


def _message(instance: VirtualMachineInstance) -> str:
    said = instance.live_migratable
    return ((said.message if said else None) or "").lower()
