"""Are the two versions a supported pair?

OpenShift Virtualization is supported only on the OpenShift minor it was released for, and OpenShift is
updated first. So the operator is one minor behind for a while after each OpenShift minor update, which
is normal; it is never ahead. The skew is counted on the line on which OLM counts minors (4.23 = 5.0).

OpenShift runs the version of the newest Completed entry of its history: a Partial one is on its way, or
was given up. The operator's version is the one that HyperConverged has completed, `status.versions`; it
stays the old one until all operands are rolled out. During the very first installation that field holds
the new version from the first write on, and does not count yet (`exporter/facts/rollout.py`).
Without a HyperConverged it is the version of the newest ClusterServiceVersion that ever succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from exporter.facts import semver
from exporter.facts.arrival import version_of
from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import Package
from exporter.facts.rollout import RESTS_ON as ROLLOUT
from exporter.facts.rollout import Rollout
from exporter.facts.shared import CONDITION_SINCE, SUPPORT_VIOLATION
from exporter.records.base import condition, unix
from exporter.records.olm import ClusterServiceVersion
from exporter.records.openshift import (
    CLUSTER_OPERATORS,
    CLUSTER_VERSIONS,
    INFRASTRUCTURES,
    ClusterVersion,
    UpdateHistory,
)

SUBJECT: Final = Subject["Versions"]("versions")

REPORTED_OPERATORS: Final = (
    "machine-config",
    "marketplace",
    "operator-lifecycle-manager",
    "operator-lifecycle-manager-catalog",
    "operator-lifecycle-manager-packageserver",
)
"""OpenShift's operators without which the virtualization operator cannot be updated or nodes not drained."""


@dataclass(frozen=True)
class OpenShift:
    """The OpenShift version running now."""

    version: str
    channel: str
    minor_since: float | None
    """Unix time at which the control plane first completed a version of the present minor."""
    newer_minor: bool
    """A newer minor is available, asked for, on its way, or what the channel is about."""


@dataclass(frozen=True)
class Operator:
    """The completed version of OpenShift Virtualization."""

    version: str
    csv: str
    """Name of that version's ClusterServiceVersion; empty when nothing in the cluster tells it."""
    namespace: str
    package: str


@dataclass(frozen=True)
class Topology:
    """How the cluster is built: HighlyAvailable, SingleReplica, External and others."""

    control_plane: str
    infrastructure: str


@dataclass(frozen=True)
class Versions:
    """What this subject knows."""

    openshift: OpenShift | None
    operator: Operator | None
    topology: Topology | None
    operators_available: tuple[tuple[str, bool], ...]

    @property
    def skew(self) -> int | None:
        """Operator minor minus OpenShift minor; None while either is unknown."""
        if self.openshift is None or self.operator is None:
            return None
        operator = semver.operator_line(self.operator.version)
        openshift = semver.openshift_line(self.openshift.version)
        return None if operator is None or openshift is None else operator - openshift


def derive(cluster: Cluster, package: Package, rollout: Rollout) -> Versions:
    """Versions, topology and the health of the operators an update rests on."""
    version = cluster.find(CLUSTER_VERSIONS, "version")
    infrastructure = cluster.find(INFRASTRUCTURES, "cluster")
    status = infrastructure.status if infrastructure else None
    return Versions(
        openshift=_openshift(version) if version else None,
        operator=_operator(package, rollout),
        topology=Topology(status.control_plane_topology or "", status.infrastructure_topology or "")
        if status
        else None,
        operators_available=tuple(
            (operator.name, available is not None and available.is_true)
            for operator in cluster[CLUSTER_OPERATORS]
            if operator.name in REPORTED_OPERATORS
            for available in [condition(operator.conditions, "Available")]
        ),
    )


def _openshift(version: ClusterVersion) -> OpenShift | None:
    completed = [entry for entry in version.history if entry.state == "Completed" and entry.version]
    if not completed:
        return None
    running = completed[0].version or ""
    return OpenShift(
        running,
        version.channel,
        _minor_since(completed, semver.minor(running)),
        newer_minor=_newer_minor(version, running),
    )


def _newer_minor(version: ClusterVersion, running: str) -> bool:
    present = semver.openshift_line(running)
    # `stable-4.19`, `eus-4.18`
    others = (semver.openshift_line(each) for each in (*version.releases, version.channel.rpartition("-")[2]))
    return present is not None and any(each is not None and each > present for each in others)


def _minor_since(completed: Iterable[UpdateHistory], minor: str) -> float | None:
    """When the oldest of the latest uninterrupted run of entries of one minor was completed."""
    since = None
    for entry in completed:
        if semver.minor(entry.version or "") != minor:
            break
        since = unix(entry.completion_time) or since
    return since


def _operator(package: Package, rollout: Rollout) -> Operator | None:
    hyperconverged = package.hyperconverged
    if hyperconverged is not None:
        # An HyperConverged whose CSV nobody sees is believed.
        installing = rollout.first and rollout.installed is not None
        version = "" if installing else hyperconverged.operator_version
    else:
        version = next((csv.version for csv in reversed(package.csvs) if csv.has_succeeded), "")
    if not version:
        return None
    return Operator(version, _csv_name(package.csvs, version), package.namespace, package.name)


def _csv_name(csvs: tuple[ClusterServiceVersion, ...], version: str) -> str:
    for csv in reversed(csvs):
        if version in {csv.version, version_of(csv)}:
            return csv.name
    # The completed version's CSV goes as soon as the next one has succeeded, which is before its
    # operands are rolled out; the next one still names it.
    return next((csv.replaces for csv in csvs if csv.replaces.endswith(f".v{version}")), "")


@SUBJECT.gauge(
    "virt_upgrade_openshift_info",
    "OpenShift version running now: the newest completed one.",
    labels=("version", "minor", "channel"),
    source="ClusterVersion version: status.history, spec.channel",
    requires=(CLUSTER_VERSIONS,),
)
def _openshift_info(versions: Versions) -> Samples:
    if openshift := versions.openshift:
        yield (openshift.version, semver.minor(openshift.version), openshift.channel), 1


@SUBJECT.gauge(
    "virt_upgrade_openshift_topology_info",
    "Topology of the control plane and of the nodes that run workloads.",
    labels=("control_plane", "infrastructure"),
    source="Infrastructure cluster: status.controlPlaneTopology, status.infrastructureTopology",
    requires=(INFRASTRUCTURES,),
)
def _openshift_topology_info(versions: Versions) -> Samples:
    if topology := versions.topology:
        yield (topology.control_plane, topology.infrastructure), 1


@SUBJECT.gauge(
    "virt_upgrade_openshift_operator_available",
    "1 when an OpenShift operator that updates rest on is Available; absent where it is not installed.",
    labels=("name",),
    source="ClusterOperator: status.conditions[Available]",
    requires=(CLUSTER_OPERATORS,),
)
def _openshift_operator_available(versions: Versions) -> Samples:
    for name, available in versions.operators_available:
        yield (name,), float(available)


@SUBJECT.gauge(
    "virt_upgrade_operator_info",
    "Version of OpenShift Virtualization that is completely rolled out.",
    labels=("operator_namespace", "package", "csv", "version", "minor"),
    source="HyperConverged: status.versions[operator]; else ClusterServiceVersion: spec.version",
    optional=ROLLOUT,
    timed=True,
)
def _operator_info(versions: Versions) -> Samples:
    if operator := versions.operator:
        minor = semver.minor(operator.version)
        yield (operator.namespace, operator.package, operator.csv, operator.version, minor), 1


@SUBJECT.gauge(
    "virt_upgrade_version_skew",
    "Minor of OpenShift Virtualization minus minor of OpenShift: 0 is supported, negative is behind.",
    source="virt_upgrade_operator_info, virt_upgrade_openshift_info",
    requires=(CLUSTER_VERSIONS,),
    optional=ROLLOUT,
    timed=True,
)
def _version_skew(versions: Versions) -> Samples:
    if versions.skew is not None:
        yield (), versions.skew


@SUBJECT.adds_to(
    SUPPORT_VIOLATION,
    source="virt_upgrade_version_skew",
    requires=(CLUSTER_VERSIONS,),
    optional=ROLLOUT,
    timed=True,
)
def _support_violation(versions: Versions) -> Samples:
    if versions.skew is not None:
        yield ("version_skew",), float(versions.skew != 0)


@SUBJECT.adds_to(
    CONDITION_SINCE,
    source="ClusterVersion version: completionTime of the first Completed entry of the present minor",
    requires=(CLUSTER_VERSIONS,),
    optional=ROLLOUT,
    timed=True,
)
def _condition_since(versions: Versions) -> Samples:
    if versions.openshift and versions.skew and versions.openshift.minor_since is not None:
        yield ("version_skew",), versions.openshift.minor_since
