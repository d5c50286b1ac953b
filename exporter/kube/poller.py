"""Keeps one store equal to a resource that cannot be watched: some aggregated APIs know LIST alone.

Lists of such a resource can be very large, so only what is asked for is listed, by field and label
selectors. Between the polls, and while the aggregated API is down, the last good answer stays; how old it
is can be told from the status. Who knows of a change that the resource follows wakes the poller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from exporter.kube.client import FAILURES
from exporter.kube.decoding import BadObject, decode_list, object_key
from exporter.kube.discovery import served_versions
from exporter.kube.errors import ApiError
from exporter.kube.follower import Follower, Snapshot
from exporter.kube.resource import Query, RecordT, Resource
from exporter.kube.status import ReflectorSettings
from exporter.kube.store import Delta

if TYPE_CHECKING:
    from exporter.kube.client import Client

log = logging.getLogger(__name__)


class Poller(Follower[RecordT]):
    """Lists what is asked for, again and again."""

    def __init__(
        self,
        resource: Resource[RecordT],
        client: Client,
        queries: Callable[[], Sequence[Query] | None],
        *,
        settings: ReflectorSettings | None = None,
        wall_clock: Callable[[], float],
        random: Random | None = None,
        on_change: Callable[[list[Delta], float | None], None] = lambda _deltas, _received: None,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        """A poller that has not started; `queries` tells what to ask for, None as long as nobody knows.

        The other arguments are those of a `Follower`.
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
        self._queries = queries
        self._asked: Sequence[Query] | None = None
        self._soon: list[float] = []
        self._at_once = False
        self._woken = asyncio.Event()

    @property
    def fresh_seconds(self) -> float:
        """Three polls may be missed."""
        return 3 * self._settings.poll_interval

    def wake(self) -> None:
        """Something has changed that the resource follows: look at once, and a few times more."""
        self._soon = list(self._settings.poll_after_change)
        self._woken.set()

    def look(self) -> None:
        """Look at once if something else is to be asked for."""
        if self._queries() != self._asked:
            self._at_once = True
            self._woken.set()

    async def run(self) -> None:
        """Poll until cancelled; no error ends it."""
        while True:
            self._woken.clear()
            self._at_once = False
            try:
                delay = await self._poll()
            except FAILURES as error:
                self.status.lists["error"] += 1
                delay = self._react(error)
            except Exception as error:
                # A defect of ours: it must neither end the poller nor freeze its resource silently.
                log.exception("unexpected error while polling %s", self.resource.plural)
                delay = self._failed(error)
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                continue
            # What is due later because of a change must not delay what nobody has asked for yet.
            await asyncio.sleep(0.0 if self._at_once or not self._soon else self._soon.pop(0))

    async def _poll(self) -> float | None:
        """Ask once; the seconds until the next time, None until somebody wakes us."""
        settings = self._settings
        # Before the answer: while a poll is under way or has failed, the same is no reason to ask again.
        queries = self._asked = self._queries()
        if queries is None:
            return None
        if not self._versions:
            self._versions = await served_versions(self._client, self.resource, settings.request_timeout)
        snapshot: Snapshot[RecordT] = Snapshot()
        missing = False
        for query in queries:
            before = len(snapshot.records)
            await self._add(snapshot, query)
            missing = missing or len(snapshot.records) == before
        self.status.lists["success"] += 1
        self.status.synced_once = True
        self._succeeded(f"{len(snapshot.records)} objects, {self.resource.group}/{self._versions[0]}")
        self._changed(self.store.replace(snapshot.records, snapshot.skipped))
        if self._soon:
            return self._soon.pop(0)
        return self._backoff.jittered(settings.poll_missing if missing else settings.poll_interval)

    async def _add(self, snapshot: Snapshot[RecordT], query: Query) -> None:
        body = await self._client.get(
            self.resource.path(self._versions[0], query.namespace),
            {"fieldSelector": f"metadata.name={query.name}", "labelSelector": query.labels},
            read_timeout=self._settings.request_timeout,
        )
        # An aggregated API may give its lists no resourceVersion.
        for raw in decode_list(body, versioned=False).items or []:
            try:
                record = self._decoder.decode(raw)
            except BadObject as error:
                skipped = self._bad_object(error) or f"?{len(snapshot.skipped)}"
                snapshot.skipped.add(f"{skipped} {query.labels}")
            else:
                metadata = record.metadata
                # Several catalogs may have a package of one name in one namespace.
                key = f"{object_key(metadata.namespace, metadata.name)} {query.labels}"
                snapshot.records[key] = record

    def _react(self, error: Exception) -> float:
        if isinstance(error, ApiError):
            if error.forbidden or error.absent:
                return self._refused(error)
            if (pause := self._pause(error)) is not None:
                self._failed(error)
                return pause
        return self._failed(error)
