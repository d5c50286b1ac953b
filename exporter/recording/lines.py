"""The lines of a recording, in the order of time.

A recording is one JSON object a line, plain or gzip: `{"t", "type", "object"}` for what was delivered
(`resource`, the plural, may be there as well), `{"t", "note"}` for what somebody wrote down. Several
streams were written into it at once, so its lines are a little out of order; and whoever recorded may have
been killed. So it is read as far as it goes, and what is skipped is said.
"""

from __future__ import annotations

import gzip
import heapq
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from exporter.facts import RESOURCES
from exporter.kube.errors import os_reason
from exporter.kube.resource import Resource
from exporter.records.base import unix

WINDOW_SECONDS: Final = 10.0
"""Lines may be late by this much."""

TYPES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
_MAGIC: Final = b"\x1f\x8b"


class RecordingError(Exception):
    """The file is no recording; the text is one sentence for the person who named it."""


class Line(NamedTuple):
    """One thing that was delivered."""

    at: float
    """Unix time."""
    number: int
    """Of the line in the file, from 1."""
    type: str
    resource: Resource[Any]
    object: msgspec.Raw


class _Object(msgspec.Struct, rename="camel"):
    kind: str | None = None
    api_version: str | None = None


class _Entry(msgspec.Struct):
    t: datetime
    type: str | None = None
    resource: str | None = None
    object: msgspec.Raw = msgspec.Raw()


_ENTRY: Final = msgspec.json.Decoder(_Entry)
_OBJECT: Final = msgspec.json.Decoder(_Object)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)

_BY_PLURAL: Final = {each.plural: each for each in RESOURCES}


class Recording:
    """A file, and what was skipped of it."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RecordingError: it cannot be read, or holds no line of a recording.
        """
        self._path = path
        self.skipped: Counter[str] = Counter()
        """What was not understood, by what it was."""
        self.resources: set[str] = set()
        """Plurals of everything that the file tells of."""
        self.last = float("-inf")
        """Unix time of the last line, notes included."""
        for at, line in self._entries():
            self.last = max(self.last, at)
            if line is not None:
                self.resources.add(line.resource.plural)
        if self.last == float("-inf"):
            raise RecordingError(f"{path} holds no line of a recording")

    def __iter__(self) -> Iterator[Line]:
        """The lines in the order of time."""
        self.skipped.clear()
        waiting: list[tuple[float, int, Line]] = []
        newest = float("-inf")
        for at, line in self._entries():
            newest = max(newest, at)
            if line is not None:
                heapq.heappush(waiting, (at, line.number, line))
            while waiting and waiting[0][0] < newest - WINDOW_SECONDS:
                yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _entries(self) -> Iterator[tuple[float, Line | None]]:
        """Time and content of each line; None for notes and for what is skipped."""
        for number, text in enumerate(self._lines(), 1):
            if not text.strip():
                continue
            try:
                entry = _ENTRY.decode(text)
            except _UNREADABLE:
                self.skipped["lines that are none of a recording"] += 1
                continue
            at = unix(entry.t) or 0.0
            yield at, self._line(at, number, entry)

    def _line(self, at: float, number: int, entry: _Entry) -> Line | None:
        if not bytes(entry.object):
            return None
        if entry.type not in TYPES:
            if entry.type != "BOOKMARK":
                self.skipped["lines of an unknown type"] += 1
            return None
        resource = _resource(entry)
        if resource is None:
            self.skipped["objects of kinds that nobody reads"] += 1
            return None
        return Line(at, number, entry.type, resource, entry.object)

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as probe:
                compressed = probe.read(2) == _MAGIC
            with (gzip.open if compressed else open)(self._path, "rb") as lines:
                try:
                    yield from lines
                except (EOFError, zlib.error, gzip.BadGzipFile):
                    self.skipped["the rest: the file is cut off or damaged"] += 1
        except OSError as error:
            raise RecordingError(f"{self._path} cannot be read: {os_reason(error)}") from error


def _resource(entry: _Entry) -> Resource[Any] | None:
    """What a line tells of: by its plural, else by the kind and group of its object."""
    try:
        head = _OBJECT.decode(entry.object)
    except _UNREADABLE:
        head = _Object()
    if entry.resource:
        return _BY_PLURAL.get(entry.resource)
    group = (head.api_version or "").rpartition("/")[0]
    return next(
        (each for each in RESOURCES if (each.kind, each.group) == (head.kind, group)),
        None,
    )
