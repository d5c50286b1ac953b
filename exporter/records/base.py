"""What all API objects share: metadata, conditions, times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True):
    """A piece of an API object; field names are the API's, in snake case."""


class Present(Part, frozen=True):
    """A field of which it matters only that it is there."""


class BulkMetadata(Part, frozen=True):
    """ObjectMeta of kinds with ten thousands of objects: identity, and what a kind adds."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class Metadata(BulkMetadata, frozen=True):
    """ObjectMeta."""

    generation: int | None = None
    creation_timestamp: datetime | None = None
    labels: dict[str, str] | None = None


class BulkRecord(Part, frozen=True):
    """One API object of a kind that has ten thousands of them, trimmed to the bone."""

    metadata: BulkMetadata

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The object's namespace; empty for cluster-scoped objects."""
        return self.metadata.namespace or ""


class Record(BulkRecord, frozen=True):
    """One API object, trimmed."""

    metadata: Metadata


class Condition(Part, frozen=True):
    """A status condition; `status` is True, False or Unknown, and any part may be missing."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None
    observed_generation: int | None = None

    @property
    def is_true(self) -> bool:
        """The condition holds; neither False nor Unknown nor absent."""
        return self.status == "True"

    @property
    def is_false(self) -> bool:
        """The condition is known not to hold."""
        return self.status == "False"


_PartT = TypeVar("_PartT", bound=Condition)


def condition(conditions: Iterable[_PartT] | None, type_: str) -> _PartT | None:
    """The condition of exactly this type, or None.

    ClusterVersion has types that begin alike (`Upgradeable`, `UpgradeableClusterOperators`).
    """
    return next((entry for entry in conditions or () if entry.type == type_), None)


def unix(time: datetime | None) -> float | None:
    """Seconds since 1970; a time without a zone is UTC, as everything in the API is."""
    if time is None:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
