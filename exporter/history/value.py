"""What is remembered: a few kinds of things that merge, under names that the facts choose.

Whatever order and however often the memories of several observers are merged, the result is the same
(tests/unit/history/test_value.py). That makes a leader needless: a replica, a restarted process and a
store that was written in between always come to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from exporter.history.episodes import Episode, Episodes
from exporter.history.tally import Event, Tally
from exporter.history.upgrades import Upgrade, Upgrades

Name = str
"""Of one remembered thing: words joined by `/`, the first being its kind."""

_NOTHING: Final = Episodes()
_NEVER: Final = Tally()
_NO_UPGRADES: Final = Upgrades()


class Latest(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A text, and since when it is the one."""

    at: float
    text: str


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is remembered."""

    first: dict[Name, float] = {}
    """Unix times at which something was first so; the earliest counts."""
    episodes: dict[Name, Episodes] = {}
    """When something held."""
    latest: dict[Name, Latest] = {}
    """What something was when it was last seen."""
    tallies: dict[Name, Tally] = {}
    """How often something happened."""
    upgrades: Upgrades = _NO_UPGRADES
    """Upgrades of the operator."""

    def merge(self, other: History) -> History:
        """What both know."""
        first = dict(self.first)
        for name, at in other.first.items():
            first[name] = min(at, first.get(name, at))
        episodes = dict(self.episodes)
        for name, notes in other.episodes.items():
            episodes[name] = episodes.get(name, _NOTHING).merge(notes)
        latest = dict(self.latest)
        for name, text in other.latest.items():
            latest[name] = max(text, latest.get(name, text))
        tallies = dict(self.tallies)
        for name, tally in other.tallies.items():
            tallies[name] = tallies.get(name, _NEVER).merge(tally)
        return History(first, episodes, latest, tallies, self.upgrades.merge(other.upgrades))

    def episode(self, name: Name) -> Episode:
        """The latest episode of something."""
        return self.episodes.get(name, _NOTHING).latest()

    def every_episode(self, name: Name) -> list[Episode]:
        """The episodes of something that are still told apart, the latest last."""
        return self.episodes.get(name, _NOTHING).all()

    def text(self, name: Name) -> str | None:
        """What something was last."""
        found = self.latest.get(name)
        return found.text if found else None

    def total(self, name: Name) -> int:
        """How often something has happened."""
        return self.tallies.get(name, _NEVER).total

    def names(self) -> set[Name]:
        """Everything that is remembered, by name."""
        return {*self.first, *self.episodes, *self.latest, *self.tallies}

    def without(self, names: Iterable[Name]) -> History:
        """Less some that nobody needs any more."""
        gone = set(names)
        if gone.isdisjoint(self.names()):
            return self
        return History(
            {name: each for name, each in self.first.items() if name not in gone},
            {name: each for name, each in self.episodes.items() if name not in gone},
            {name: each for name, each in self.latest.items() if name not in gone},
            {name: each for name, each in self.tallies.items() if name not in gone},
            self.upgrades,
        )


class Observations:
    """What is seen at one moment, added to what is remembered; nothing that is known already."""

    def __init__(self, history: History, now: float) -> None:
        self.now = now
        self._known = history
        self._first: dict[Name, float] = {}
        self._episodes: dict[Name, Episodes] = {}
        self._latest: dict[Name, Latest] = {}
        self._tallies: dict[Name, Tally] = {}
        self._upgrades: list[Upgrade] = []
        self._needless: set[Name] = set()

    def first(self, name: Name, at: float | None = None) -> None:
        """Something is so, and was so at the given time already."""
        # Whole seconds, as all times of the API: what is seen and then told by the API is one moment.
        moment = float(int(self.now if at is None else min(at, self.now)))
        if moment < self._known.first.get(name, float("inf")):
            self._first[name] = moment

    def holds(self, name: Name, holds: bool, since: float | None = None) -> None:
        """Something holds now, since a time that the API may tell, or does not."""
        if not holds and name not in self._known.episodes:
            return
        known = self._known.episodes.get(name, _NOTHING)
        seen = known.observe(holds, self.now, since)
        if seen is not known:
            self._episodes[name] = seen

    def latest(self, name: Name, text: str, at: float | None = None) -> None:
        """What something is, as of now or of another time; nothing if something newer is known."""
        moment = self.now if at is None else at
        known = self._known.latest.get(name)
        if known is None or (known.text != text and known.at <= moment):
            self._latest[name] = Latest(moment, text)

    def happened(self, name: Name, events: Iterable[Event]) -> None:
        """Something happened, at times and with identities by which each counts once."""
        known = self._known.tallies.get(name, _NEVER)
        seen = known.add(events)
        if seen is not known:
            self._tallies[name] = seen

    def upgrade(self, record: Upgrade) -> None:
        """What is seen of an upgrade of the operator."""
        self._upgrades.append(record)

    def forget(self, names: Iterable[Name]) -> None:
        """Nobody needs these any more."""
        self._needless.update(names)

    def known(self, kind: str) -> Mapping[Name, str]:
        """Names of one kind that are remembered, each with what follows the kind."""
        return {
            name: name.removeprefix(f"{kind}/") for name in self._known.names() if name.startswith(f"{kind}/")
        }

    def history(self) -> History:
        """What is remembered now; the same value when there was nothing new to see."""
        known = self._known
        upgrades = known.upgrades.add(self._upgrades)
        if self._first or self._episodes or self._latest or self._tallies or upgrades is not known.upgrades:
            known = History(
                {**known.first, **self._first},
                {**known.episodes, **self._episodes},
                {**known.latest, **self._latest},
                {**known.tallies, **self._tallies},
                upgrades,
            )
        return known.without(self._needless)
