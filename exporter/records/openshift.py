"""OpenShift's own objects: config.openshift.io/v1 (github.com/openshift/api config/v1)."""

from __future__ import annotations

from datetime import datetime

from exporter.kube.resource import Resource
from exporter.records.base import Condition, Part, Record


class UpdateHistory(Part, frozen=True):
    """One entry of `status.history`, the newest first.

    `Partial` with a completionTime is an abandoned update; `Completed` is the control plane alone.
    """

    state: str | None = None
    version: str | None = None
    image: str | None = None
    started_time: datetime | None = None
    completion_time: datetime | None = None

    @property
    def is_completed(self) -> bool:
        """The control plane got there."""
        return self.state == "Completed"

    @property
    def is_running(self) -> bool:
        """The control plane is on its way there, if it is the newest entry."""
        return self.state == "Partial" and self.completion_time is None


class Release(Part, frozen=True):
    """A version that there is, or that is asked for."""

    version: str | None = None
    image: str | None = None


class ClusterVersionSpec(Part, frozen=True):
    """What the administrator asked for."""

    channel: str | None = None
    desired_update: Release | None = None


class ClusterVersionStatus(Part, frozen=True):
    """What the cluster-version operator did."""

    history: list[UpdateHistory] | None = None
    desired: Release | None = None
    available_updates: list[Release] | None = None
    conditions: list[Condition] | None = None


class ClusterVersion(Record, frozen=True):
    """The OpenShift version; the one that counts is named `version`."""

    spec: ClusterVersionSpec | None = None
    status: ClusterVersionStatus | None = None

    @property
    def channel(self) -> str:
        """The update channel; empty when none is set."""
        return (self.spec and self.spec.channel) or ""

    @property
    def history(self) -> list[UpdateHistory]:
        """Updates, the newest first."""
        return (self.status and self.status.history) or []

    @property
    def conditions(self) -> list[Condition]:
        """Available, Progressing, Failing, Upgradeable (absent when it is) and others that begin alike."""
        return (self.status and self.status.conditions) or []

    @property
    def recommended(self) -> list[Release]:
        """Updates that are recommended; those that only some clusters should get are not."""
        return (self.status and self.status.available_updates) or []

    @property
    def asked_for(self) -> list[Release]:
        """What is to run: asked for by the administrator, and taken up by the operator."""
        status, spec = self.status, self.spec
        return [each for each in (spec and spec.desired_update, status and status.desired) if each]

    @property
    def releases(self) -> list[str]:
        """Versions that are recommended, asked for, or on their way."""
        return [each.version for each in (*self.recommended, *self.asked_for) if each.version]


class ClusterOperatorStatus(Part, frozen=True):
    """Health of one of OpenShift's operators."""

    conditions: list[Condition] | None = None


class ClusterOperator(Record, frozen=True):
    """One of OpenShift's operators."""

    status: ClusterOperatorStatus | None = None

    @property
    def conditions(self) -> list[Condition]:
        """Available, Progressing, Degraded, Upgradeable."""
        return (self.status and self.status.conditions) or []


class InfrastructureStatus(Part, frozen=True):
    """How the cluster is built."""

    control_plane_topology: str | None = None
    infrastructure_topology: str | None = None


class Infrastructure(Record, frozen=True):
    """The cluster's topology; the object that counts is named `cluster`."""

    status: InfrastructureStatus | None = None


CLUSTER_VERSIONS = Resource("clusterversions", "config.openshift.io", ("v1",), ClusterVersion)
CLUSTER_OPERATORS = Resource("clusteroperators", "config.openshift.io", ("v1",), ClusterOperator)
INFRASTRUCTURES = Resource("infrastructures", "config.openshift.io", ("v1",), Infrastructure)
