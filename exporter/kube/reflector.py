"""Keeps one store equal to one API resource: client-go's reflector, in async Python.

The reflector lists once and watches from the list's resourceVersion on. Every event and bookmark moves
that version, a stream that ends is resumed at it, and only a version that the server no longer holds
leads to a relist: first at the known version ("not older than", served from the watch cache), then
consistently. A relist is built aside and swapped.

Where the server has it, LIST is a WatchList (`sendInitialEvents`): the initial objects come over the
watch stream, which costs the server less and pages nothing. A server that refuses it, in whichever way,
is listed in pages instead.

Each reflector is a task of its own and reacts to its own errors only: forbidden and absent resources
are looked for again at a slow pace, everything else backs off exponentially. See client-go
`tools/cache/reflector.go`; kopf's inactivity limit is added, because without HTTP/2 pings nothing else
notices a half-open connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from exporter.kube.client import FAILURES
from exporter.kube.decoding import (
    INITIAL_EVENTS_END,
    BadObject,
    WatchEvent,
    decode_event,
    decode_identity,
    decode_list,
    object_key,
)
from exporter.kube.discovery import served_versions
from exporter.kube.errors import ApiError, KubeError, ProtocolError, Silence, StreamEnded
from exporter.kube.follower import Follower, Snapshot
from exporter.kube.patience import Patience, patient
from exporter.kube.resource import RecordT, Resource
from exporter.kube.status import ReflectorSettings
from exporter.kube.store import Delta

if TYPE_CHECKING:
    import msgspec

    from exporter.kube.client import Client

log = logging.getLogger(__name__)

_PAGED_SECONDS: Final = 3600.0
"""How long a server that did not stream a list is listed in pages: an update may teach it."""


_BETWEEN_LOOKS: Final = 256
"""Objects compared between two looks at the clock."""


class _Relist(Enum):
    NOT_NEEDED = "watch on"
    AT_KNOWN_VERSION = "not older than the version we know"
    CONSISTENT = "the newest state there is"


class _WatchListRefusedError(KubeError):
    """The server does not stream lists."""


class Reflector(Follower[RecordT]):
    """Lists and watches one resource into one store, for ever."""

    def __init__(
        self,
        resource: Resource[RecordT],
        client: Client,
        *,
        namespace: str | None = None,
        settings: ReflectorSettings | None = None,
        wall_clock: Callable[[], float],
        random: Random | None = None,
        on_change: Callable[[list[Delta], float | None], None] = lambda _deltas, _received: None,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        """A reflector that has not started.

        Args:
            resource: what to list and watch.
            client: how to reach the API server.
            namespace: the one namespace to read, for resources that have such a scope.
            settings: times and sizes.
            wall_clock: Unix time, for `last_update`.
            random: source of jitter.
            on_change: called with what changed and, for an event, the event loop's time at which its
                bytes arrived.
            on_state: called after every change of the state.
        """
        super().__init__(
            resource,
            settings=settings,
            wall_clock=wall_clock,
            random=random,
            on_change=on_change,
            on_state=on_state,
        )
        self._client = client
        self._namespace = namespace
        self._streams_lists_from = 0.0 if self._settings.watch_list else float("inf")
        self._broken_lists = 0
        self._resource_version = ""
        self._relist = _Relist.CONSISTENT
        self._worthless_streams = 0
        self._expiries = 0
        self._turn_ends = 0.0

    @property
    def fresh_seconds(self) -> float:
        """Bookmarks come about once a minute."""
        return self._settings.watch_fresh

    async def run(self) -> None:
        """List and watch until cancelled; no error ends it."""
        while True:
            try:
                await self._list_and_watch()
                delay = 0.0
            except FAILURES as error:
                delay = self._react(error)
            except Exception as error:
                # A defect of ours: it must neither end the reflector nor freeze its resource silently.
                log.exception("unexpected error while watching %s", self.resource.plural)
                self._relist = _Relist.CONSISTENT
                delay = self._failed(error)
            # Also with no delay, others get their turn.
            await asyncio.sleep(delay)

    async def _list_and_watch(self) -> None:
        if not self._versions:
            self._versions = await served_versions(
                self._client, self.resource, self._settings.request_timeout
            )
        paged = asyncio.get_running_loop().time() < self._streams_lists_from
        if self._relist is not _Relist.NOT_NEEDED and paged:
            await self._list()
        await self._watch(initial=self._relist is not _Relist.NOT_NEEDED)

    # LIST

    async def _list(self) -> None:
        version = self._relist_version()
        # client-go asks for everything at once where the watch cache answers; at 10,000
        # VirtualMachineInstances that is an answer of 85 MB, more than all our memory.
        base = {"limit": str(self._settings.page_size)}
        if version:
            base |= {"resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
        params = self._selected(base)
        snapshot: Snapshot[RecordT] = Snapshot()
        try:
            while True:
                try:
                    body = await self._get(params)
                except ApiError as error:
                    if not (error.expired and "continue" in params):
                        raise
                    # As client-go's pager: the rest of the snapshot is gone, so everything in one answer.
                    snapshot = Snapshot()
                    params = self._selected({name: base[name] for name in base if name != "limit"})
                    continue
                page = decode_list(body)
                await self._add_all(snapshot, page.items or [])
                if not page.metadata.continue_:
                    break
                # The token carries version and match, which must not be given again.
                params = self._selected({"limit": base["limit"], "continue": page.metadata.continue_})
        except Exception:
            self.status.lists["error"] += 1
            raise
        await self._swap(snapshot, page.metadata.resource_version or "")

    async def _get(self, params: dict[str, str]) -> bytes:
        path = self.resource.path(self._versions[0], self._namespace)
        return await self._client.get(path, params, read_timeout=self._settings.request_timeout)

    async def _add_all(self, snapshot: Snapshot[RecordT], items: list[msgspec.Raw]) -> None:
        loop = asyncio.get_running_loop()
        for raw in items:
            if loop.time() >= self._turn_ends:
                await asyncio.sleep(0)
                self._turn_ends = loop.time() + self._settings.slice
            self._add(snapshot, raw)

    def _add(self, snapshot: Snapshot[RecordT], raw: msgspec.Raw) -> None:
        try:
            record = self._decoder.decode(raw)
        except BadObject as error:
            key = self._bad_object(error) or f"?{len(snapshot.skipped)}"
            snapshot.skipped.add(key)
            snapshot.records.pop(key, None)
        else:
            key = self._key(record.metadata.namespace, record.metadata.name)
            known = self.store.records.get(key)
            # What has not changed stays the record that it was: a relist of tens of thousands then needs
            # no second set of them.
            snapshot.records[key] = known if known is not None and known == record else record
            snapshot.skipped.discard(key)

    async def _swap(self, snapshot: Snapshot[RecordT], version: str) -> None:
        loop = asyncio.get_running_loop()
        deltas: list[Delta] = []
        for number, changes in enumerate(self.store.compare(snapshot.records)):
            deltas += changes
            if number % _BETWEEN_LOOKS == 0 and loop.time() >= self._turn_ends:
                await asyncio.sleep(0)
                self._turn_ends = loop.time() + self._settings.slice
        self._resource_version = version
        self._relist = _Relist.NOT_NEEDED
        self._broken_lists = 0
        self.status.lists["success"] += 1
        self.status.synced_once = True
        # The state first: the facts that the change leads to must see the resource as synced.
        self._succeeded(
            f"{len(snapshot.records)} objects, {self.resource.group or 'core'}/{self._versions[0]}"
        )
        self.store.swap(snapshot.records, snapshot.skipped)
        self._changed(deltas)

    # WATCH

    async def _watch(self, *, initial: bool) -> None:
        settings = self._settings
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(self._random.uniform(*settings.watch_timeout))),
            "resourceVersion": self._relist_version() if initial else self._resource_version,
        }
        if initial:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        path = self.resource.path(self._versions[0], self._namespace)
        started = asyncio.get_running_loop().time()
        seen = 0
        answered = False
        try:
            async with (
                self._client.open(
                    path, self._selected(params), read_timeout=settings.inactivity_limit
                ) as response,
                patient(settings.watch_list_patience if initial else settings.inactivity_limit) as patience,
            ):
                answered = True
                if initial:
                    await self._initial_events(response, patience)
                    patience.change(settings.inactivity_limit)
                elif self._worthless_streams == 0:
                    # Not after a stream that was accepted and then broke: that proves nothing twice.
                    self._succeeded("the watch is back")
                while line := await self._line(response, patience):
                    self._apply(decode_event(line), asyncio.get_running_loop().time())
                    seen += 1
        except Exception as error:
            if initial and self._relist is not _Relist.NOT_NEEDED:
                self._give_up_watch_list(error, answered=answered)
            self.status.watches["error"] += 1
            if answered and seen == 0 and not (isinstance(error, ApiError) and error.expired):
                self._worthless_stream()
            raise
        if asyncio.get_running_loop().time() - started < settings.shortest_watch:
            self.status.watches["error"] += 1
            if seen == 0:
                self._worthless_stream()
            raise StreamEnded("the watch ended at once")
        self._heard()
        self.status.watches["success"] += 1

    async def _initial_events(self, response: aiohttp.ClientResponse, patience: Patience) -> None:
        snapshot: Snapshot[RecordT] = Snapshot()
        while line := await self._line(response, patience):
            event = decode_event(line)
            if event.type == "BOOKMARK":
                identity = decode_identity(event.object)
                if (identity.annotations or {}).get(INITIAL_EVENTS_END) != "true":
                    continue
                if not identity.resource_version:
                    raise ProtocolError("the bookmark after the initial events has no resourceVersion")
                await self._swap(snapshot, identity.resource_version)
                return
            if event.type == "DELETED":
                # Changes go on while the initial events are sent.
                identity = decode_identity(event.object)
                key = object_key(identity.namespace, identity.name or "")
                snapshot.records.pop(key, None)
                snapshot.skipped.discard(key)
            else:
                self._add(snapshot, event.object)
        raise StreamEnded("the streaming list ended before it was complete")

    def _give_up_watch_list(self, error: Exception, *, answered: bool) -> None:
        """Remember a refusal and turn it into a paged LIST; what a LIST would meet as well is raised on.

        A list that breaks off twice counts as refused: whatever cuts long streams would go on cutting them.
        """
        self.status.lists["error"] += 1
        if isinstance(error, ApiError):
            transient = error.unauthorized or error.forbidden or error.absent or error.throttled
            if (
                transient
                or error.expired
                or error.too_large_resource_version
                or error.code in {502, 503, 504}
            ):
                return
        elif not answered:
            return
        elif not isinstance(error, Silence):
            self._broken_lists += 1
            if self._broken_lists == 1:
                return
        self._broken_lists = 0
        self._streams_lists_from = asyncio.get_running_loop().time() + _PAGED_SECONDS
        log.info(
            "%s: the server does not stream lists, listing in pages instead (%s)", self.resource.plural, error
        )
        raise _WatchListRefusedError(str(error)) from error

    async def _line(self, response: aiohttp.ClientResponse, patience: Patience) -> bytes:
        """The next line of a stream; empty at its end.

        Raises:
            StreamEnded: the last line is cut off.
        """
        now = patience.renew()
        if now >= self._turn_ends:
            # Buffered lines are read without ever suspending; the scrape must get its turn.
            await asyncio.sleep(0)
            self._turn_ends = patience.renew() + self._settings.slice
        line = await response.content.readline(max_line_length=self._settings.max_line)
        if line and not line.endswith(b"\n"):
            raise StreamEnded("the connection was cut in the middle of an event")
        return line

    def _apply(self, event: WatchEvent, received: float) -> None:
        self._heard()
        self.status.events[event.type] += 1
        if event.type in {"ADDED", "MODIFIED"}:
            try:
                record = self._decoder.decode(event.object)
            except BadObject as error:
                key = self._bad_object(error)
                self._changed(self.store.skip(key) if key else [], received)
                version = error.identity.resource_version
            else:
                metadata = record.metadata
                self._changed(self.store.put(self._key(metadata.namespace, metadata.name), record), received)
                version = metadata.resource_version
        else:
            identity = decode_identity(event.object)
            if event.type == "DELETED" and identity.name:
                self._changed(self.store.delete(object_key(identity.namespace, identity.name)), received)
            version = identity.resource_version
        self._resource_version = version or self._resource_version

    # Reactions

    def _react(self, error: Exception) -> float:
        """Put the reflector into the right state after an error; the seconds to wait."""
        if isinstance(error, _WatchListRefusedError):
            return 0.0
        if isinstance(error, ApiError):
            if error.expired or error.too_large_resource_version:
                return self._version_refused(error)
            if error.forbidden or error.absent:
                return self._refused(error)
            if (pause := self._pause(error)) is not None:
                self._failed(error)
                return pause
        return self._failed(error)

    def _heard(self) -> None:
        """The stream is alive: it delivered something, or it was silent and ended in good order."""
        self._worthless_streams = self._expiries = 0
        self._succeeded("the watch is back")

    def _worthless_stream(self) -> None:
        if self._relist is not _Relist.NOT_NEEDED:
            return
        self._worthless_streams += 1
        if self._worthless_streams > 1:
            # Watches are accepted and bring nothing: only a list proves that what we hold is still true.
            self._worthless_streams = 0
            self._relist = _Relist.AT_KNOWN_VERSION

    def _version_refused(self, error: ApiError) -> float:
        if self._relist is _Relist.NOT_NEEDED and error.expired:
            self._relist = _Relist.AT_KNOWN_VERSION
            self._expiries += 1
            # A list that takes longer than the server remembers expires again and again.
            return 0.0 if self._expiries == 1 else self._failed(error)
        first_consistent = self._relist is not _Relist.CONSISTENT
        self._relist = _Relist.CONSISTENT
        return 0.0 if first_consistent else self._failed(error)

    def _gone(self) -> None:
        self._relist = _Relist.CONSISTENT
        self._resource_version = ""

    def _relist_version(self) -> str:
        return self._resource_version if self._relist is _Relist.AT_KNOWN_VERSION else ""

    def _selected(self, params: dict[str, str]) -> dict[str, Any]:
        """Query parameters with the resource's selectors; empty ones are left out."""
        selectors = {
            "labelSelector": self.resource.label_selector,
            "fieldSelector": self.resource.field_selector,
        }
        return {name: value for name, value in (params | selectors).items() if value}
