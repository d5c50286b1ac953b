"""Which Subscription and which ClusterServiceVersions are OpenShift Virtualization's?

A Subscription's own name is free, so it is found by its package (`spec.name`). Ours is the Subscription
of the package in the HyperConverged's namespace, else in the configured operator namespace, else in the
namespace of the package's ClusterServiceVersion. Only where none of these exists, before anything has
been installed, it is any Subscription of the package. Among several it is the oldest, then the first by
name.

A ClusterServiceVersion belongs to the package when OLM says so: in the property `olm.package` of its
annotation `operatorframework.io/properties`, by the component label `operators.coreos.com/PACKAGE.NAMESPACE`,
or because our Subscription names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from exporter.facts.cluster import Cluster
from exporter.records.base import Record, unix
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    SUBSCRIPTIONS,
    ClusterServiceVersion,
    InstallPlan,
    Subscription,
)
from exporter.records.virtualization import HYPERCONVERGEDS, HyperConverged

RecordT = TypeVar("RecordT", bound=Record)

PLACE: Final = (HYPERCONVERGEDS, CLUSTER_SERVICE_VERSIONS)
"""They tell which namespace is the operator's, and so which Subscription is ours."""


@dataclass(frozen=True)
class Package:
    """OpenShift Virtualization as OLM holds it in this cluster."""

    subscriptions: int
    """Subscriptions of the package in the cluster; more than one is a mistake of somebody's."""
    subscription: Subscription | None
    hyperconverged: HyperConverged | None
    csvs: tuple[ClusterServiceVersion, ...]
    """ClusterServiceVersions of the package in the operator's namespace, the oldest first."""
    plans: tuple[InstallPlan, ...]
    """InstallPlans there that are for such a ClusterServiceVersion, once one is there."""
    namespace: str
    """The operator's namespace; empty when nothing tells it."""
    name: str
    """The package's name; empty when nothing tells it."""


def derive(cluster: Cluster) -> Package:
    """Find what is ours."""
    scope = cluster.scope
    subscriptions = [each for each in cluster[SUBSCRIPTIONS] if each.package in scope.packages]
    owned = [
        (csv, package)
        for csv in cluster[CLUSTER_SERVICE_VERSIONS]
        if (package := _package_of(csv, scope.packages, subscriptions))
    ]
    hyperconverged = next(iter(oldest_first(cluster[HYPERCONVERGEDS])), None)
    told = [
        *([hyperconverged.namespace] if hyperconverged else []),
        *([scope.operator_namespace] if scope.operator_namespace else []),
        *(csv.namespace for csv in oldest_first(csv for csv, _ in owned)),
    ]
    subscription = _ours(subscriptions, told)
    namespace = subscription.namespace if subscription else next(iter(told), "")
    here = [(csv, package) for csv, package in owned if csv.namespace == namespace]
    families = {family(csv.name) for csv, _ in here}
    return Package(
        subscriptions=len(subscriptions),
        subscription=subscription,
        hyperconverged=hyperconverged,
        csvs=tuple(oldest_first(csv for csv, _ in here)),
        plans=tuple(
            plan
            for plan in oldest_first(cluster[INSTALL_PLANS])
            if plan.namespace == namespace and not families.isdisjoint(map(family, plan.csv_names))
        ),
        namespace=namespace,
        name=subscription.package if subscription else next((package for _, package in here), ""),
    )


def family(csv: str) -> str:
    """What the names of all ClusterServiceVersions of one package begin with."""
    return csv.partition(".")[0]


def oldest_first(records: Iterable[RecordT]) -> list[RecordT]:
    """Records by creation, then by name; one without a creation time comes last."""
    return sorted(
        records,
        key=lambda record: (
            float("inf") if (created := unix(record.metadata.creation_timestamp)) is None else created,
            record.name,
        ),
    )


def identity(record: Record) -> str:
    """What a record is remembered by: its uid, which no other object ever has."""
    return record.metadata.uid or f"{record.namespace}.{record.name}"


def _ours(subscriptions: list[Subscription], told: list[str]) -> Subscription | None:
    for namespace in told:
        if here := oldest_first(each for each in subscriptions if each.namespace == namespace):
            return here[0]
    return None if told else next(iter(oldest_first(subscriptions)), None)


def _package_of(
    csv: ClusterServiceVersion, packages: tuple[str, ...], subscriptions: list[Subscription]
) -> str:
    for package in _declared_packages(csv):
        return package if package in packages else ""
    labels = csv.metadata.labels or {}
    for package in packages:
        if f"operators.coreos.com/{package}.{csv.namespace}" in labels:
            return package
    for subscription in subscriptions:
        status = subscription.status
        names = {status.installed_csv, status.current_csv} if status else set()
        if subscription.namespace == csv.namespace and csv.name in names:
            return subscription.package
    return ""


class _OlmPackage(msgspec.Struct, rename="camel"):
    package_name: str


class _Property(msgspec.Struct):
    type: str
    value: msgspec.Raw


class _Properties(msgspec.Struct):
    properties: list[_Property]


def _declared_packages(csv: ClusterServiceVersion) -> Iterator[str]:
    """Packages that the bundle's properties name; nothing when the annotation is missing or broken."""
    text = csv.metadata.annotations.properties if csv.metadata.annotations else None
    if not text:
        return
    try:
        properties = msgspec.json.decode(text, type=_Properties).properties
        for each in properties:
            if each.type == "olm.package":
                yield msgspec.json.decode(each.value, type=_OlmPackage).package_name
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return
