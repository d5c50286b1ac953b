"""What is watched: one declaration per API resource.

A declaration names the resource as the API does, the versions this exporter understands, and the record
type that one object is trimmed to. Everything that depends on the set of watched resources (the
reflectors, the self-monitoring series, the RBAC rules) is derived from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar


class Identified(Protocol):
    """What tells one object, and one state of it, from another."""

    @property
    def name(self) -> str:
        """Unique among the objects of a kind in one namespace."""

    @property
    def namespace(self) -> str | None:
        """None for cluster-scoped objects."""

    @property
    def uid(self) -> str | None:
        """Differs between two objects that had one name after the other."""

    @property
    def resource_version(self) -> str | None:
        """Differs between any two states of an object."""


class Trimmed(Protocol):
    """An API object trimmed to what is read of it."""

    @property
    def metadata(self) -> Identified:
        """The object's identity."""


RecordT = TypeVar("RecordT", bound=Trimmed)


class Query(NamedTuple):
    """Which objects of a polled resource are asked for."""

    namespace: str
    name: str
    labels: str
    """A label selector."""


class Place(Enum):
    """A namespace that is known only once some of the cluster has been read."""

    OPERATOR = "operator"
    CATALOG = "catalog"
    """The one that our Subscription takes its catalog from."""


@dataclass(frozen=True)
class Resource(Generic[RecordT]):
    """One API resource that the exporter reads."""

    plural: str
    """The resource's name in API paths and in the label `resource`: `subscriptions`."""
    group: str
    """API group; empty for the core group."""
    versions: tuple[str, ...]
    """API versions the record type understands, the one to prefer first."""
    record: type[RecordT]
    """What an object is trimmed to."""
    in_operator_namespace: bool = False
    """Read in the operator's namespace alone when one is configured, else in all namespaces."""
    located: Place | None = None
    """Read nowhere but there, wherever that turns out to be."""
    label_selector: str = ""
    """Keeps objects away that say nothing about us, such as copied ClusterServiceVersions."""
    field_selector: str = ""
    """The same by one of the few fields that API servers select by."""
    polled: bool = False
    """Its API has no WATCH, as some aggregated ones."""
    fleeting: bool = False
    """Its objects come and go all day, each under a name of its own."""

    @property
    def kind(self) -> str:
        """The objects' kind; records are named after it."""
        return self.record.__name__

    @property
    def group_path(self) -> str:
        """Discovery path of the API group."""
        return f"/apis/{self.group}" if self.group else "/api"

    def path(self, version: str, namespace: str | None = None) -> str:
        """LIST and WATCH path in one API version, of one namespace or of all."""
        scoped = self.in_operator_namespace or self.polled or self.located is not None
        scope = f"/namespaces/{namespace}" if namespace and scoped else ""
        return f"{self.group_path}/{version}{scope}/{self.plural}"
