"""The families that have series for single VMs, kept rendered and compressed.

A VM's lines are rendered when its facts change and never otherwise. They lie in buckets; a scrape that asks
for gzip gets the buckets' compressed forms put one after the other, and compresses anew only buckets that
have changed since the last one. An idle scrape costs the same with one VM as with fifty thousand.

The number of series is limited. A VM has all of its series or none; when not all fit, those that would
hold a drain come first, then the others by name.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import msgspec

from exporter.facts.family import Family, Sample
from exporter.facts.machine import Machine
from exporter.metrics.exposition import render
from exporter.metrics.gzipping import Segment, compress, joined

BUCKETS: Final = 64
"""More make a change cheaper and the compressed page longer."""

DEFAULT_LIMIT: Final = 20_000
"""Series of single VMs, unless told otherwise."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """The lines of one VM, by family."""

    rank: int
    """VMs of a lower rank are shown first."""
    series: int
    lines: tuple[bytes, ...]


class BulkFamilies:
    """Rendered lines of all VMs that need attention."""

    def __init__(self, families: Mapping[Family, Callable[[Machine], Iterable[Sample]]], limit: int) -> None:
        """Nothing yet.

        Args:
            families: each with the function that gives the samples of one VM.
            limit: series of all VMs together.
        """
        self.families = dict(families)
        self.limit = limit
        self._entries: dict[str, _Entry] = {}
        self._series = 0
        self._shown: list[set[str]] = [set() for _ in range(BUCKETS)]
        """Keys of the VMs shown, by bucket."""
        self._segments: list[list[Segment | None]] = [[None] * BUCKETS for _ in families]
        """Compressed buckets by family; None where one has changed since."""
        self._whole: list[Segment | None] = [None] * len(families)
        self._choose = False
        """Not all fit, and who is shown has to be chosen again."""
        self.omitted = 0
        """VMs that are left out."""

    def update(self, key: str, machine: Machine | None) -> None:
        """The facts of a VM have changed; None when it does not run any more."""
        before = self._entries.pop(key, None)
        entry = self._entry(machine) if machine is not None else None
        if entry is not None:
            self._entries[key] = entry
        self._series += (entry.series if entry else 0) - (before.series if before else 0)
        if (before and (before.rank, before.series)) != (entry and (entry.rank, entry.series)):
            self._choose = self._choose or self._series > self.limit or self.omitted > 0
        bucket = _bucket(key)
        shown = self._shown[bucket]
        if key in shown:
            self._spoil(bucket, before, entry)
            if entry is None:
                shown.discard(key)
        elif entry is not None and before is None and not self._choose:
            shown.add(key)
            self._spoil(bucket, None, entry)

    def _entry(self, machine: Machine) -> _Entry | None:
        lines = []
        series = 0
        for family, samples in self.families.items():
            found = list(samples(machine))
            series += len(found)
            lines.append(render(family, found).encode(errors="replace") if found else b"")
        rank = 0 if machine.blocking else 1
        return _Entry(rank, series, tuple(lines)) if series else None

    def _spoil(self, bucket: int, before: _Entry | None, after: _Entry | None) -> None:
        for index in range(len(self._segments)):
            if (before.lines[index] if before else b"") != (after.lines[index] if after else b""):
                self._segments[index][bucket] = None
                self._whole[index] = None

    def settle(self) -> None:
        """Choose who is shown, where not all fit."""
        if not self._choose:
            return
        self._choose = False
        chosen: set[str] = set()
        room = self.limit
        for _, key, series in sorted((each.rank, key, each.series) for key, each in self._entries.items()):
            room -= series
            if room < 0:
                break
            chosen.add(key)
        self.omitted = len(self._entries) - len(chosen)
        for bucket, shown in enumerate(self._shown):
            for key in [each for each in shown if each not in chosen]:
                shown.discard(key)
                self._spoil(bucket, self._entries.get(key), None)
        for key in chosen:
            bucket = _bucket(key)
            if key not in self._shown[bucket]:
                self._shown[bucket].add(key)
                self._spoil(bucket, None, self._entries[key])

    def text(self, family: Family) -> bytes:
        """All lines of a family."""
        index = self._index(family)
        return b"".join(self._bucket_text(index, bucket) for bucket in range(BUCKETS))

    def segment(self, family: Family) -> Segment:
        """The same, compressed."""
        index = self._index(family)
        whole = self._whole[index]
        if whole is None:
            segments = self._segments[index]
            for bucket, segment in enumerate(segments):
                if segment is None:
                    self._compress(index, bucket)
            whole = self._whole[index] = joined(each for each in segments if each is not None)
        return whole

    def to_compress(self, families: Iterable[Family]) -> list[Callable[[], None]]:
        """What has changed of these families, in pieces of a millisecond or two."""
        self.settle()
        return [
            partial(self._compress, index, bucket)
            for index in map(self._index, families)
            for bucket, segment in enumerate(self._segments[index])
            if segment is None
        ]

    def _compress(self, index: int, bucket: int) -> None:
        self._segments[index][bucket] = compress(self._bucket_text(index, bucket))

    def _index(self, family: Family) -> int:
        return list(self.families).index(family)

    def _bucket_text(self, index: int, bucket: int) -> bytes:
        entries = self._entries
        return b"".join(entries[key].lines[index] for key in sorted(self._shown[bucket]))


def _bucket(key: str) -> int:
    return zlib.crc32(key.encode(errors="replace")) % BUCKETS
