"""When something held, as seen by one or several observers: a value that merges without a leader.

Observers note only changes: from this moment on it held, from that moment on it did not. Notes of several
observers are simply put together; what they mean is told by folding them in the order of time. A gap
shorter than `GAP_SECONDS` does not end an episode, because conditions of the API flap and its writers
overwrite each other.

Notes before the frontier have been folded into a base and are ignored, whoever still holds them. So the
value stays small, and merging stays commutative, associative and idempotent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

GAP_SECONDS: Final = 60.0
"""What comes back within this time had not gone."""

NOTES_LIMIT: Final = 16
"""More notes than these are folded into the base."""

_NEVER: Final = float("-inf")


class Episode(NamedTuple):
    """The latest episode, or the only one; without any, `since` is None."""

    holds: bool
    since: float | None
    """Unix time at which it began."""
    ended: float | None
    """Unix time at which it ended; None while it holds."""

    def lasts(self, now: float) -> bool:
        """It holds, or has been gone for so short a time that it may come back as the same episode."""
        return self.holds or (self.ended is not None and now - self.ended < GAP_SECONDS)


_NONE: Final = Episode(holds=False, since=None, ended=None)


class Note(NamedTuple):
    """From this moment on it held, or did not."""

    at: float
    held: bool


class Base(msgspec.Struct, frozen=True, order=True, array_like=True):
    """What all notes up to the frontier amount to."""

    frontier: float
    held: bool
    since: float


class Episodes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The notes of all observers."""

    notes: tuple[Note, ...] = ()
    """In the order of time; where it both held and did not at one moment, it held."""
    base: Base | None = None

    def merge(self, other: Episodes) -> Episodes:
        """What both know; the base with the later frontier counts."""
        bases = [each.base for each in (self, other) if each.base is not None]
        base = max(bases, default=None, key=lambda each: (each.frontier, each.held, -each.since))
        frontier = base.frontier if base else _NEVER
        notes = {note for note in (*self.notes, *other.notes) if note.at > frontier}
        return Episodes(tuple(sorted(notes)), base)

    def latest(self) -> Episode:
        """The episode that holds, or the last one that did."""
        if not self.notes and self.base is None:
            return _NONE
        episode = _NONE
        if self.base is not None:
            base = self.base
            episode = Episode(base.held, base.since, None if base.held else base.frontier)
        for note in sorted(self.notes):
            episode = _after(episode, note)
        return episode

    def all(self) -> list[Episode]:
        """Every episode that is still told apart, the latest last."""
        found: list[Episode] = []
        base = self.base
        if base is not None:
            found.append(Episode(base.held, base.since, None if base.held else base.frontier))
        for note in sorted(self.notes):
            before = found[-1] if found else _NONE
            after = _after(before, note)
            if after is before:
                continue
            if note.held and after.since != before.since:
                found.append(after)
            else:
                found[-1:] = [after]
        return found

    def observe(self, holds: bool, now: float, since: float | None = None) -> Episodes:
        """With what an observer sees now; the same value when that is nothing new.

        Args:
            holds: what is seen.
            now: Unix time.
            since: when the API says that it began; without effect where that was before the end of an
                episode that has been over for longer than the gap.
        """
        latest = self.latest()
        if not holds:
            # Of two notes of one moment the one that it held counts, so this one belongs to the next second.
            end = now + 1.0 if Note(now, held=True) in self.notes else now
            return self.with_note(Note(end, held=False)) if latest.holds else self
        seen = self if latest.holds else self.with_note(Note(now, held=True))
        known = seen.latest().since
        if since is not None and known is not None and since < known:
            seen = seen.with_note(Note(since, held=True))
        return seen

    def with_note(self, note: Note) -> Episodes:
        """With one more note; the same value when it is known, or older than the base."""
        if note in self.notes or (self.base is not None and note.at <= self.base.frontier):
            return self
        notes = tuple(sorted({*self.notes, note}))
        if len(notes) <= NOTES_LIMIT:
            return msgspec.structs.replace(self, notes=notes)
        old, kept = notes[: -NOTES_LIMIT // 2], notes[-NOTES_LIMIT // 2 :]
        episode = Episodes(old, self.base).latest()
        if episode.since is None:
            return Episodes(notes, self.base)
        return Episodes(kept, Base(old[-1].at, episode.holds, episode.since))


def _after(episode: Episode, note: Note) -> Episode:
    if note.held and not episode.holds:
        since = episode.since if episode.lasts(note.at) else note.at
        return Episode(holds=True, since=since, ended=None)
    if not note.held and episode.holds:
        return episode._replace(holds=False, ended=note.at)
    return episode
