"""How often something has happened: a count that merges, each event counted once whoever saw it.

Events are known by when they happened and by their identity. The newest are kept one by one; older ones
are folded into a number with a frontier, the latest event in it. A merge takes the number with the later
frontier, and ignores events at or before it, which that number holds. So two replicas that have seen the
same events agree on the count, and one that was away learns it from the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

EVENTS_LIMIT: Final = 128
"""More events than these are folded, down to half of them: replicas see one event within seconds of each
other, and hundreds do not end in that time."""

UID_LENGTH: Final = 13
"""Of an identity this much is kept: with the second it happened in, enough to tell it from others."""


class Event(NamedTuple):
    """One event."""

    at: float
    """Unix time."""
    uid: str

    @classmethod
    def of(cls, at: float, uid: str) -> Event:
        """An event by its whole identity."""
        return cls(at, uid[:UID_LENGTH])


class Folded(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Events up to the frontier, as a number."""

    frontier: Event
    count: int


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """A count."""

    events: tuple[Event, ...] = ()
    """Later than the frontier, in their order."""
    folded: Folded | None = None

    @property
    def total(self) -> int:
        """How often it has happened."""
        return len(self.events) + (self.folded.count if self.folded else 0)

    def lacking(self, events: Iterable[Event]) -> list[Event]:
        """Those that have not been counted."""
        counted = {each.uid for each in self.events}
        return [each for each in _later(events, self.folded) if each.uid not in counted]

    def merge(self, other: Tally) -> Tally:
        """What both know."""
        folded = max((each.folded for each in (self, other) if each.folded is not None), default=None)
        return Tally(tuple(sorted(_later({*self.events, *other.events}, folded))), folded)

    def add(self, events: Iterable[Event]) -> Tally:
        """With more events; the same value when they are known."""
        # Mostly all are known; and what has happened once may be told again with another time.
        new = self.lacking(events)
        if not new:
            return self
        return Tally(tuple(sorted({*self.events, *new})), self.folded).fold()

    def fold(self) -> Tally:
        """Small again."""
        if len(self.events) <= EVENTS_LIMIT:
            return self
        old, kept = self.events[: -EVENTS_LIMIT // 2], self.events[-EVENTS_LIMIT // 2 :]
        count = len(old) + (self.folded.count if self.folded else 0)
        return Tally(kept, Folded(old[-1], count))


def _later(events: Iterable[Event], folded: Folded | None) -> list[Event]:
    if folded is None:
        return list(events)
    frontier = folded.frontier
    return [each for each in events if each > frontier]
