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
    completion_time: datetime | None = None


class Release(Part, frozen=True):
    """A version that there is, or that is asked for."""

    version: str | None = None


class ClusterVersionSpec(Part, frozen=True):
    """What the administrator asked for."""

    channel: str | None = None
    desired_update: Release | None = None


class ClusterVersionStatus(Part, frozen=True):
    """What the cluster-version operator did."""

    history: list[UpdateHistory] | None = None
    desired: Release | None = None
    available_updates: list[Release] | None = None


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
    def releases(self) -> list[str]:
        """Versions that are recommended, asked for, or on their way."""
        status, spec = self.status, self.spec
        found = [*((status and status.available_updates) or [])]
        found += [each for each in (status and status.desired, spec and spec.desired_update) if each]
        return [each.version for each in found if each.version]


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
