"""The records of one resource as last delivered, and what changed in them.

A relist is built aside and swapped in by `replace`, so a reader never sees half of it. The swap is
compared with what was there before: objects that vanished while the stream was away come back as
deleted, objects that did not change do not come back at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Generic, Literal, NamedTuple, TypeAlias

from exporter.kube.resource import RecordT, Trimmed

Key: TypeAlias = str
"""`namespace/name`, or `name` of a cluster-scoped object."""


class Delta(NamedTuple):
    """One change of one object."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    old: Trimmed | None
    new: Trimmed | None


class Store(Generic[RecordT]):
    """Records by key and the keys left out; every change returns what it changed."""

    def __init__(self) -> None:
        self._records: dict[Key, RecordT] = {}
        self._skipped: set[Key] = set()

    @property
    def records(self) -> Mapping[Key, RecordT]:
        """The present records; hold on to the mapping only within one turn of the event loop."""
        return self._records

    @property
    def skipped(self) -> int:
        """Objects left out right now because they could not be understood."""
        return len(self._skipped)

    def compare(self, records: dict[Key, RecordT]) -> Iterator[list[Delta]]:
        """What a complete new state changes, object by object: mostly nothing.

        Tens of thousands are a long time: who compares may give way to others in between, as long as
        nobody else changes the store.
        """
        before = self._records
        for key, old in before.items():
            yield [] if key in records else [Delta("DELETED", key, old, None)]
        for key, new in records.items():
            known = before.get(key)
            if known is None:
                yield [Delta("ADDED", key, None, new)]
            elif known.metadata.uid != new.metadata.uid:
                yield [Delta("DELETED", key, known, None), Delta("ADDED", key, None, new)]
            elif known.metadata.resource_version != new.metadata.resource_version or known != new:
                yield [Delta("MODIFIED", key, known, new)]
            else:
                yield []

    def swap(self, records: dict[Key, RecordT], skipped: set[Key]) -> None:
        """Take over a complete new state."""
        self._records, self._skipped = records, skipped

    def replace(self, records: dict[Key, RecordT], skipped: set[Key]) -> list[Delta]:
        """Compare with a complete new state and take it over."""
        deltas = list(chain.from_iterable(self.compare(records)))
        self.swap(records, skipped)
        return deltas

    def put(self, key: Key, record: RecordT) -> list[Delta]:
        """An object was added or modified."""
        old = self._records.get(key)
        self._records[key] = record
        self._skipped.discard(key)
        if old is not None and old.metadata.uid != record.metadata.uid:
            # Deleted and created again under one name between two events.
            return [Delta("DELETED", key, old, None), Delta("ADDED", key, None, record)]
        return [Delta("ADDED" if old is None else "MODIFIED", key, old, record)]

    def skip(self, key: Key) -> list[Delta]:
        """An object can no longer be understood: its last good record would be frozen, so it goes."""
        self._skipped.add(key)
        return self._remove(key)

    def delete(self, key: Key) -> list[Delta]:
        """An object was deleted."""
        self._skipped.discard(key)
        return self._remove(key)

    def clear(self) -> list[Delta]:
        """The resource itself is gone."""
        return self.replace({}, set())

    def _remove(self, key: Key) -> list[Delta]:
        old = self._records.pop(key, None)
        return [] if old is None else [Delta("DELETED", key, old, None)]
