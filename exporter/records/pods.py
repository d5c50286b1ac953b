"""Pods, of which only the operator's own are read: why they are not ready (k8s.io/api core/v1)."""

from __future__ import annotations

from datetime import datetime

from exporter.kube.resource import Place, Resource
from exporter.records.base import Condition, Metadata, Part, Record


class ContainerWaiting(Part, frozen=True):
    """Why a container does not run."""

    reason: str | None = None


class ContainerRunning(Part, frozen=True):
    """It runs."""


class ContainerTerminated(Part, frozen=True):
    """It has ended."""

    exit_code: int | None = None


class ContainerState(Part, frozen=True):
    """One of waiting, running and terminated."""

    waiting: ContainerWaiting | None = None
    running: ContainerRunning | None = None
    terminated: ContainerTerminated | None = None


class ContainerStatus(Part, frozen=True):
    """One container."""

    state: ContainerState | None = None
    last_state: ContainerState | None = None
    ready: bool | None = None

    @property
    def has_crashed(self) -> bool:
        """It ended with an error the last time, and is not ready again."""
        states = [each.terminated for each in (self.state, self.last_state) if each and each.terminated]
        return not self.ready and any(each.exit_code for each in states)


class PodStatus(Part, frozen=True):
    """What the kubelet and the scheduler say."""

    phase: str | None = None
    start_time: datetime | None = None
    """When the kubelet took it up."""
    conditions: list[Condition] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    container_statuses: list[ContainerStatus] | None = None


class PodMetadata(Metadata, frozen=True):
    """Metadata with what says that it goes."""

    deletion_timestamp: datetime | None = None


class Pod(Record, frozen=True):
    """One pod of the operator's namespace."""

    metadata: PodMetadata
    status: PodStatus | None = None

    @property
    def containers(self) -> list[ContainerStatus]:
        """All of them, those that run before the others first."""
        status = self.status or PodStatus()
        return [*(status.init_container_statuses or []), *(status.container_statuses or [])]

    @property
    def waits_for(self) -> list[str]:
        """Why its containers wait."""
        waiting = [each.state.waiting for each in self.containers if each.state and each.state.waiting]
        return [each.reason for each in waiting if each.reason]

    @property
    def is_initializing(self) -> bool:
        """A container that runs before the others does; one that stays beside them is ready by then."""
        status = self.status or PodStatus()
        return any(
            each.state and each.state.running and not each.ready
            for each in status.init_container_statuses or []
        )


PODS = Resource("pods", "", ("v1",), Pod, located=Place.OPERATOR, fleeting=True)
