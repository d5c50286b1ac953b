"""Nodes, and the pools in which OpenShift's machine-config operator updates them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from exporter.kube.resource import Resource
from exporter.records.base import BulkMetadata, BulkRecord, Condition, Part, Record, condition, unix

UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
"""The taint that follows a cordon; its `timeAdded` is the only time that the API has of it."""

SILENT_SECONDS: Final = 300.0
"""virt-controller, too, gives a node up after five minutes without a heartbeat."""

_MCO: Final = "machineconfiguration.openshift.io"


class NodeAnnotations(Part, frozen=True):
    """What the machine-config operator wants of a node and has got."""

    desired_drain: str | None = msgspec.field(name=f"{_MCO}/desiredDrain", default=None)
    """`drain-...` or `uncordon-...`, with the name of the configuration it is for."""
    last_applied_drain: str | None = msgspec.field(name=f"{_MCO}/lastAppliedDrain", default=None)
    heartbeat: str | None = msgspec.field(name="kubevirt.io/heartbeat", default=None)
    """When virt-handler was last alive, written by itself once a minute."""


class NodeLabels(Part, frozen=True):
    """What KubeVirt says of a node."""

    schedulable: str | None = msgspec.field(name="kubevirt.io/schedulable", default=None)
    """`false` while its virt-handler is silent, but also while it is alive and not ready for VMs."""


class NodeMetadata(BulkMetadata, frozen=True):
    """ObjectMeta of a node."""

    annotations: NodeAnnotations | None = None
    labels: NodeLabels | None = None


class Taint(Part, frozen=True):
    """One taint."""

    key: str | None = None
    time_added: datetime | None = None


class NodeSpec(Part, frozen=True):
    """What may be scheduled on a node."""

    unschedulable: bool | None = None
    taints: tuple[Taint, ...] | None = None


class Node(BulkRecord, frozen=True):
    """A machine that VMs run on."""

    metadata: NodeMetadata
    spec: NodeSpec | None = None

    @property
    def is_cordoned(self) -> bool:
        """Nothing new may be scheduled on it."""
        return bool(self.spec and self.spec.unschedulable)

    @property
    def tainted_at(self) -> datetime | None:
        """When the taint of the cordon was added."""
        taints = (self.spec and self.spec.taints) or ()
        return next((each.time_added for each in taints if each.key == UNSCHEDULABLE), None)

    @property
    def is_config_draining(self) -> bool:
        """The machine-config operator has asked for a drain that is not yet done."""
        said = self.metadata.annotations or NodeAnnotations()
        wanted = said.desired_drain or ""
        return wanted.startswith("drain-") and wanted != said.last_applied_drain

    def is_virt_handler_silent(self, now: float) -> bool:
        """KubeVirt takes no new VMs there, and has heard nothing for so long: its word on VMs is old."""
        labels, annotations = self.metadata.labels, self.metadata.annotations
        if labels is None or labels.schedulable != "false":
            return False
        try:
            beat = unix(datetime.fromisoformat((annotations and annotations.heartbeat) or ""))
        except (ValueError, OverflowError):
            return True
        return beat is None or now - beat > SILENT_SECONDS


class PoolConfiguration(Part, frozen=True):
    """A rendered configuration."""

    name: str | None = None


class PoolSpec(Part, frozen=True):
    """What a pool is to get."""

    paused: bool | None = None
    configuration: PoolConfiguration | None = None


class PoolStatus(Part, frozen=True):
    """What its machines have."""

    configuration: PoolConfiguration | None = None
    machine_count: int | None = None
    updated_machine_count: int | None = None
    unavailable_machine_count: int | None = None
    degraded_machine_count: int | None = None
    conditions: list[Condition] | None = None


class MachineConfigPool(Record, frozen=True):
    """Nodes that get one configuration."""

    spec: PoolSpec | None = None
    status: PoolStatus | None = None

    @property
    def is_paused(self) -> bool:
        """Its machines keep what they have."""
        return bool(self.spec and self.spec.paused)

    @property
    def is_pending(self) -> bool:
        """A configuration waits that not all machines have."""
        target = self.spec.configuration.name if self.spec and self.spec.configuration else None
        current = self.status.configuration.name if self.status and self.status.configuration else None
        return bool(target) and target != current

    def condition(self, type_: str) -> Condition | None:
        """Updated, Updating, Degraded."""
        return condition(self.status.conditions if self.status else None, type_)


NODES = Resource("nodes", "", ("v1",), Node)
MACHINE_CONFIG_POOLS = Resource(
    "machineconfigpools", "machineconfiguration.openshift.io", ("v1",), MachineConfigPool
)
