"""What the facts are derived from: the records of every resource, and what can be known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.kube.resource import Resource

if TYPE_CHECKING:
    from exporter.records.base import BulkRecord

RecordT = TypeVar("RecordT", bound="BulkRecord")

PACKAGES: Final = ("kubevirt-hyperconverged", "community-kubevirt-hyperconverged")
"""OLM package names of OpenShift Virtualization: Red Hat's and the community's."""


class Availability(Enum):
    """Whether the records of a resource can be taken for what the cluster holds."""

    KNOWN = "synced at least once"
    ABSENT = "the cluster has no such resource"
    UNKNOWN = "forbidden, or not yet synced"


@dataclass(frozen=True)
class Scope:
    """What an administrator may have to tell us about a cluster."""

    packages: tuple[str, ...] = PACKAGES
    operator_namespace: str = ""
    """Empty when not configured."""


@dataclass(frozen=True)
class Cluster:
    """Records by resource; a resource that is not there has none."""

    records: Mapping[str, Mapping[str, BulkRecord]] = field(default_factory=dict)
    scope: Scope = Scope()
    availability: Mapping[str, Availability] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    """Resources of which nothing has been heard for too long."""
    failing: frozenset[str] = frozenset()
    """Resources that cannot be followed at present: what happens to them comes later, or never."""
    awaited: frozenset[str] = frozenset()
    """Resources that the API server has not given any answer for yet."""
    heard: Mapping[str, float] = field(default_factory=dict)
    """Unix time of the last confirmation of each resource's records."""

    def find(self, resource: Resource[RecordT], name: str, namespace: str = "") -> RecordT | None:
        """The record of this name; None when there is none."""
        records: Mapping[str, Any] = self.records.get(resource.plural, {})
        place = (namespace, name)
        return next((each for each in records.values() if (each.namespace, each.name) == place), None)

    def decided(self, *resources: Resource[Any]) -> bool:
        """It is known of each whether there is anything of it; what is absent is empty."""
        # Not by `all`: this is asked for hundreds of times for every event.
        for each in resources:
            if self.availability.get(each.plural, Availability.UNKNOWN) is Availability.UNKNOWN:
                return False
        return True

    def answered(self, *resources: Resource[Any]) -> bool:
        """The API server has said something of each, be it that it may not be read."""
        return self.awaited.isdisjoint(each.plural for each in resources)

    def known(self, *resources: Resource[Any]) -> bool:
        """Each is present in the cluster and has been read."""
        return all(self.availability.get(each.plural) is Availability.KNOWN for each in resources)

    def hears(self, *resources: Resource[Any]) -> bool:
        """What is held of each is of this moment: nothing keeps its changes away."""
        return self.failing.isdisjoint(each.plural for each in resources)

    def __getitem__(self, resource: Resource[RecordT]) -> tuple[RecordT, ...]:
        """All records of a resource, in the order of their keys."""
        records: Mapping[str, Any] = self.records.get(resource.plural, {})
        return tuple(records[key] for key in sorted(records))
