"""`virt-upgrade-exporter replay`: the whole exporter over a recording, on the recording's clock.

Every kind that the file tells of is synced and fresh, every other is absent from the cluster. What is
remembered begins empty and stays in memory.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from exporter.config import address_text
from exporter.facts import RESOURCES
from exporter.facts.cluster import Scope
from exporter.kube.decoding import BadObject, Identity, decode_identity, object_key
from exporter.kube.follower import Follower
from exporter.kube.resource import Resource
from exporter.kube.status import State
from exporter.kube.store import Delta
from exporter.metrics.exposition import Format
from exporter.pipeline import Pipeline
from exporter.recording.lines import Line, Recording
from exporter.service import running, stop_signals
from exporter.simulator.selectors import matcher
from exporter.simulator.storage import Stored

PAUSES: Final = (1.0, 10.0, 60.0, 300.0, 900.0)
"""Seconds after a line at which the facts are looked at, because time alone may have changed them."""


LIST_SECONDS: Final = 0.5
"""A recording begins with a list of every kind, which takes a moment: half of it is no cluster."""


class _Labels(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Labels


_LABELLED: Final = msgspec.json.Decoder(_Labelled)


class Clock:
    """The recording's time."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Unix time."""
        return self.now


class Recorded(Follower[Any]):
    """One resource as a recording tells of it."""

    def __init__(self, resource: Resource[Any], clock: Clock, *, present: bool) -> None:
        super().__init__(resource, wall_clock=clock)
        self._selects = matcher(resource.label_selector, resource.field_selector)
        if present:
            self._succeeded("the recording tells of it")
            self.status.synced_once = True
        else:
            self._set_state(State.ABSENT, "the recording tells nothing of it")
        self.status.last_update = clock()

    async def run(self) -> None:
        """Nothing comes but what the recording tells."""
        await asyncio.Event().wait()

    @property
    def fresh_seconds(self) -> float:
        """A recording is as fresh as it gets."""
        return float("inf")

    def heard(self, now: float) -> float:
        """Whatever happened since would have been recorded."""
        return now

    def apply(self, line: Line) -> list[Delta]:
        """Take over what was delivered; what that changed."""
        self.status.last_update = self._wall_clock()
        self.status.events[line.type] += 1
        identity = decode_identity(line.object)
        name = identity.name
        if line.type == "DELETED" or not self._selected(identity, line.object):
            return self.store.delete(object_key(identity.namespace, name)) if name else []
        try:
            record = self._decoder.decode(line.object)
        except BadObject as error:
            key = self._bad_object(error)
            return self.store.skip(key) if key else []
        return self.store.put(object_key(record.metadata.namespace, record.metadata.name), record)

    def _selected(self, identity: Identity, obj: msgspec.Raw) -> bool:
        try:
            labels = _LABELLED.decode(obj).metadata.labels or {}
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            labels = {}
        return self._selects(Stored(identity.namespace or "", identity.name or "", 0, bytes(obj), labels))


class Replay:
    """A recording being replayed."""

    def __init__(
        self, recording: Recording, *, scope: Scope | None = None, until: float | None = None
    ) -> None:
        """A replay that stands before the first line.

        Args:
            recording: what to replay.
            scope: what to look for, and where.
            until: Unix time at which it ends; the recording's end when not given.
        """
        self.recording = recording
        self.end = recording.last if until is None else until
        self._lines: Iterator[Line] = iter(recording)
        self._next = next(self._lines, None)
        self.clock = Clock(min(self.end, self._next.at if self._next else self.end))
        self.pipeline = Pipeline(scope=scope, source="replay", wall_clock=self.clock)
        self._listed = self.clock.now + LIST_SECONDS
        self._by_plural = {
            each.plural: Recorded(each, self.clock, present=each.plural in recording.resources)
            for each in RESOURCES
        }
        self.pipeline.followers = tuple(self._by_plural.values())

    @property
    def upcoming(self) -> float | None:
        """When the next line comes; None after the last."""
        return self._next.at if self._next else None

    def advance(self, until: float) -> None:
        """Let time pass, and everything happen that is told up to then."""
        seen = False
        while self._next is not None and self._next.at <= until:
            line = self._next
            self._pass(line.at)
            self._next = next(self._lines, None)
            if self._in_scope(line):
                plural, listed = line.resource.plural, line.at > self._listed
                deltas = self._by_plural[plural].apply(line)
                self.pipeline.note_change(plural, deltas, by_watch=listed)
                seen = listed and line.at == until
                if listed:
                    self.pipeline.refresh()
        if not seen:
            self._pass(until)
            self.pipeline.refresh()

    def page(self) -> bytes:
        """The page now."""
        return self.pipeline.scrape(Format.TEXT)

    def _pass(self, until: float) -> None:
        began = self.clock.now
        if began <= self._listed < until:
            self.clock.now = self._listed
            self.pipeline.refresh()
        for pause in PAUSES:
            if began + pause < until:
                self.clock.now = began + pause
                self.pipeline.refresh()
        self.clock.now = max(began, until)

    def _in_scope(self, line: Line) -> bool:
        namespace = self.pipeline.scope.operator_namespace
        return (
            not namespace
            or not line.resource.in_operator_namespace
            or decode_identity(line.object).namespace == namespace
        )


def final(replay: Replay) -> int:
    """Print the page at the end of a replay; the exit status."""
    replay.advance(replay.end)
    _say_skipped(replay.recording)
    sys.stdout.write(replay.page().decode())
    return 0


async def serve(replay: Replay, speed: float, address: tuple[str, int]) -> int:
    """Replay at a speed and serve the metrics until SIGTERM or SIGINT; the exit status.

    Raises:
        ServiceError: the address cannot be listened on.
    """
    stop = stop_signals()
    async with running(replay.pipeline, address) as (web, port):
        base = f"http://{address_text(address[0] or 'localhost', port)}"
        print(f"{base}/ for a person, {base}/metrics for Prometheus. Ctrl-C ends.", flush=True)  # noqa: T201
        playing = asyncio.create_task(_play(replay, speed))
        received = await stop
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        await web.stop(1.0 if received is signal.SIGTERM else 0.0)
    return 0


async def _play(replay: Replay, speed: float) -> None:
    loop = asyncio.get_running_loop()
    began, first = loop.time(), replay.clock.now
    while replay.clock.now < replay.end:
        now = min(first + (loop.time() - began) * speed, replay.end)
        replay.advance(now)
        pause = (replay.upcoming or replay.end) - now
        await asyncio.sleep(min(max(pause / speed, 0.005), 1.0))
    _say_skipped(replay.recording)


def _say_skipped(recording: Recording) -> None:
    for what, count in recording.skipped.items():
        print(f"virt-upgrade-exporter: skipped {count} {what}", file=sys.stderr)  # noqa: T201
