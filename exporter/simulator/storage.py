"""What the simulated API server remembers: objects, one revision counter, and a log of events.

As in etcd there is one counter over all kinds, and it is every object's and every list's
resourceVersion. Objects are kept as the bytes they are served as, so listing 50,000 of them joins bytes
and encodes nothing. The log lets a watch resume; compacting it makes older versions expire.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import uuid4

import msgspec

from exporter.simulator.kinds import BY_KIND, KINDS, Kind

ApiObject: TypeAlias = dict[str, Any]

LOG_LIMIT: Final = 100_000
"""Events remembered of each kind; a watcher that falls further behind has to list again."""


class NotFound(Exception):
    """There is no such object, or no such kind."""


class Forgotten(Exception):
    """Events that were asked for have been compacted."""


class Stored(NamedTuple):
    """One object at one revision."""

    namespace: str
    name: str
    revision: int
    body: bytes
    """JSON with the storage version's apiVersion."""
    labels: Mapping[str, str]


class Event(NamedTuple):
    """One change; `before` is what the object was, for selectors that it no longer matches."""

    revision: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Stored
    before: Stored | None


@dataclass
class _Collection:
    kind: Kind
    objects: dict[tuple[str, str], Stored] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    waiting: set[asyncio.Event] = field(default_factory=set)
    forgotten: int = 0
    """Revision of the newest event that has been dropped from the log."""
    incarnation: int = 0
    """Changes when the kind disappears; watches of an earlier incarnation end."""


class Storage:
    """All objects of one simulated cluster."""

    def __init__(self, *, clock: Callable[[], datetime], kinds: tuple[Kind, ...] = KINDS) -> None:
        """An empty cluster that serves these kinds."""
        self._clock = clock
        self._revision = 1
        self._compacted = 0
        self._incarnations = 0
        self._collections: dict[str, _Collection] = {}
        for kind in kinds:
            self.add_kind(kind)

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._revision

    @property
    def compacted(self) -> int:
        """Revisions before this one have expired."""
        return self._compacted

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are served now."""
        return tuple(collection.kind for collection in self._collections.values())

    def add_kind(self, kind: Kind) -> None:
        """A CustomResourceDefinition appears."""
        self._incarnations += 1
        self._collections.setdefault(kind.plural, _Collection(kind, incarnation=self._incarnations))

    def remove_kind(self, plural: str) -> None:
        """A CustomResourceDefinition disappears: first its objects, then its watches."""
        collection = self._collection(plural)
        for stored in list(collection.objects.values()):
            self._delete(collection, stored)
        del self._collections[plural]
        self._incarnations += 1
        collection.incarnation = self._incarnations
        _wake(collection)

    def objects(self, plural: str) -> list[Stored]:
        """All objects of a kind, by namespace and name.

        Raises:
            NotFound: the kind is not served.
        """
        objects = self._collection(plural).objects
        return [objects[key] for key in sorted(objects)]

    def get(self, plural: str, namespace: str, name: str) -> Stored:
        """One object.

        Raises:
            NotFound: there is none.
        """
        try:
            return self._collection(plural).objects[namespace, name]
        except KeyError:
            raise NotFound(f'{plural} "{name}" not found') from None

    def apply(self, obj: ApiObject) -> ApiObject:
        """Create or replace an object, its status included; what is stored.

        Identity is kept on replacement; creation takes a given uid and creationTimestamp. Writing what
        is there already changes nothing and is no event, as in a real server.

        Raises:
            NotFound: the kind is not served.
        """
        kind = BY_KIND[obj["kind"]]
        collection = self._collection(kind.plural)
        metadata = dict(obj.get("metadata") or {})
        namespace = str(metadata.get("namespace") or "") if kind.namespaced else ""
        name = str(metadata["name"])
        before = collection.objects.get((namespace, name))
        old: ApiObject = msgspec.json.decode(before.body) if before else {}
        old_metadata = old.get("metadata", {})
        metadata["uid"] = old_metadata.get("uid") or metadata.get("uid") or str(uuid4())
        metadata["creationTimestamp"] = (
            metadata.get("creationTimestamp")
            or old_metadata.get("creationTimestamp")
            or self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        same_spec = bool(old) and old.get("spec") == obj.get("spec")
        metadata["generation"] = old_metadata.get("generation", 0) + (0 if same_spec else 1)
        metadata["resourceVersion"] = old_metadata.get("resourceVersion", "")
        whole = {**obj, "apiVersion": kind.api_version(), "metadata": metadata}
        if whole == old:
            return whole
        self._revision += 1
        metadata["resourceVersion"] = str(self._revision)
        stored = Stored(
            namespace, name, self._revision, msgspec.json.encode(whole), metadata.get("labels") or {}
        )
        collection.objects[namespace, name] = stored
        self._log(collection, Event(self._revision, "MODIFIED" if before else "ADDED", stored, before))
        return whole

    def load(self, objects: Iterable[ApiObject]) -> None:
        """Create many objects as they are given, uid and creationTimestamp included.

        A whole cluster in seconds: nothing is looked up or made up, and an object that is there already
        is replaced as if it had not been.

        Raises:
            NotFound: a kind is not served.
        """
        for obj in objects:
            kind = BY_KIND[obj["kind"]]
            collection = self._collection(kind.plural)
            self._revision += 1
            metadata = {**obj["metadata"], "resourceVersion": str(self._revision)}
            key = (metadata.get("namespace", ""), metadata["name"])
            body = msgspec.json.encode({**obj, "metadata": metadata})
            stored = Stored(*key, self._revision, body, metadata.get("labels") or {})
            collection.objects[key] = stored
            self._log(collection, Event(self._revision, "ADDED", stored, None))

    def delete(self, kind: str, namespace: str, name: str) -> ApiObject:
        """Delete an object; what it was.

        Raises:
            NotFound: there is none.
        """
        collection = self._collection(BY_KIND[kind].plural)
        stored = self.get(collection.kind.plural, namespace, name)
        self._delete(collection, stored)
        deleted: ApiObject = msgspec.json.decode(stored.body)
        return deleted

    def compact(self) -> None:
        """Forget all events: whoever wants to resume before now has to list again."""
        self._revision += 1
        self._compacted = self._revision
        for collection in self._collections.values():
            if collection.log:
                collection.forgotten = collection.log[-1].revision
                collection.log.clear()

    def incarnation(self, plural: str) -> int:
        """Which life of a kind this is; 0 while it is not served."""
        collection = self._collections.get(plural)
        return collection.incarnation if collection else 0

    def events(self, plural: str, after: int) -> list[Event]:
        """Events of a kind after a revision, the oldest first.

        Raises:
            Forgotten: some of them are not known any more.
        """
        collection = self._collections.get(plural)
        if collection is None:
            return []
        if after < collection.forgotten:
            raise Forgotten
        start = bisect_right(collection.log, after, key=lambda event: event.revision)
        return collection.log[start:]

    def subscribe(self, plural: str) -> asyncio.Event:
        """A flag that is set whenever something happens to a kind; to be given back."""
        flag = asyncio.Event()
        self._collection(plural).waiting.add(flag)
        return flag

    def unsubscribe(self, plural: str, flag: asyncio.Event) -> None:
        """Give a flag back."""
        collection = self._collections.get(plural)
        if collection is not None:
            collection.waiting.discard(flag)

    def _collection(self, plural: str) -> _Collection:
        try:
            return self._collections[plural]
        except KeyError:
            raise NotFound(f"{plural} are not served") from None

    def _delete(self, collection: _Collection, stored: Stored) -> None:
        self._revision += 1
        last: ApiObject = msgspec.json.decode(stored.body)
        # The event of a deletion carries the revision of the deletion, so that a watch can resume there.
        last["metadata"]["resourceVersion"] = str(self._revision)
        gone = stored._replace(revision=self._revision, body=msgspec.json.encode(last))
        del collection.objects[stored.namespace, stored.name]
        self._log(collection, Event(self._revision, "DELETED", gone, stored))

    def _log(self, collection: _Collection, event: Event) -> None:
        collection.log.append(event)
        if len(collection.log) > 2 * LOG_LIMIT:
            collection.forgotten = collection.log[LOG_LIMIT - 1].revision
            self._compacted = max(self._compacted, collection.forgotten + 1)
            del collection.log[:LOG_LIMIT]
        _wake(collection)


def _wake(collection: _Collection) -> None:
    for flag in collection.waiting:
        flag.set()
