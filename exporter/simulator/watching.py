"""One open watch of the simulated API server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from exporter.simulator.faults import EventStream
from exporter.simulator.requests import Target, expired, shown
from exporter.simulator.selectors import Matcher
from exporter.simulator.storage import Event, Forgotten, Storage, Stored


@dataclass
class Watch:
    """One open watch."""

    storage: Storage
    target: Target
    matches: Matcher
    events: EventStream
    bookmark_interval: float | None
    metadata_only: bool

    async def run(self, after: int, *, mark_end: bool) -> None:
        """Send events after a revision, for ever; from revision 0 first everything as added."""
        plural = self.target.kind.plural
        life = self.storage.incarnation(plural)
        flag = self.storage.subscribe(plural)
        try:
            if after == 0:
                after = await self._initial(mark_end)
            elif after < self.storage.compacted:
                await self._expire(after)
                return
            while True:
                flag.clear()
                after = await self._catch_up(after)
                if self.storage.incarnation(plural) != life:
                    return
                after = await self._wait(flag, after)
        except Forgotten:
            await self._expire(after)
        finally:
            self.storage.unsubscribe(plural, flag)

    async def _initial(self, mark_end: bool) -> int:
        revision = self.storage.revision
        for stored in self.storage.objects(self.target.kind.plural):
            if self.matches(stored):
                await self._send("ADDED", stored)
        if mark_end:
            await self._bookmark(revision, {"k8s.io/initial-events-end": "true"})
        return revision

    async def _catch_up(self, after: int) -> int:
        for event in self.storage.events(self.target.kind.plural, after):
            type_ = self._seen_as(event)
            if type_:
                await self._send(type_, event.object)
            after = event.revision
        return after

    def _seen_as(self, event: Event) -> str:
        """The event's type to a client with a selector; empty when it concerns nothing selected."""
        before = event.before is not None and self.matches(event.before)
        now = event.type != "DELETED" and self.matches(event.object)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    async def _wait(self, flag: asyncio.Event, after: int) -> int:
        if self.bookmark_interval is None:
            await flag.wait()
            return after
        try:
            async with asyncio.timeout(self.bookmark_interval):
                await flag.wait()
        except TimeoutError:
            if not flag.is_set():
                # The log holds nothing after it, so this watch has seen everything up to now.
                after = self.storage.revision
                await self._bookmark(after, None)
        return after

    async def _expire(self, after: int) -> None:
        body = expired(after, self.storage.compacted).body
        await self.events.send(b'{"type":"ERROR","object":' + body + b"}\n")

    async def _bookmark(self, revision: int, annotations: dict[str, str] | None) -> None:
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, api_version = self.target.kind.kind, self.target.kind.api_version(self.target.version)
        if self.metadata_only:
            kind, api_version = "PartialObjectMetadata", "meta.k8s.io/v1"
        mark = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
        line = b'{"type":"BOOKMARK","object":' + msgspec.json.encode(mark) + b"}\n"
        await self.events.send(line, bookmark=True)

    async def _send(self, type_: str, stored: Stored) -> None:
        body = shown(stored, self.target, metadata_only=self.metadata_only)
        await self.events.send(b'{"type":"%b","object":%b}\n' % (type_.encode(), body))
