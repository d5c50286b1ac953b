"""Recordings of real upgrades, and the facts as they were at each moment of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from exporter.facts import Facts
from exporter.recording.lines import Recording
from exporter.recording.replay import Replay

RECORDINGS = Path(__file__).parents[2] / "recordings"

FactT = TypeVar("FactT")


def moments(name: str) -> Iterator[tuple[datetime, Facts]]:
    """Time and facts after every line of a recording that concerns what the exporter reads."""
    replay = Replay(Recording(RECORDINGS / f"{name}.jsonl.gz"))
    while (upcoming := replay.upcoming) is not None:
        replay.advance(upcoming)
        yield datetime.fromtimestamp(upcoming, UTC), replay.pipeline.facts
    assert not sum(replay.pipeline.watching().rule_errors.values())


_FOLLOWED: list[Callable[[Facts], Any]] = []


def followed(fact: Callable[[Facts], FactT]) -> Callable[[Facts], FactT]:
    """Declare a fact whose timeline is asked for: of all of them a recording is replayed once."""
    _FOLLOWED.append(fact)
    return fact


def timeline(name: str, fact: Callable[[Facts], FactT]) -> list[tuple[str, FactT]]:
    """The values that a followed fact takes, each with the time at which it took it."""
    return list(_timelines(name)[fact])


@cache
def _timelines(name: str) -> dict[Callable[[Facts], Any], list[tuple[str, Any]]]:
    changes: dict[Callable[[Facts], Any], list[tuple[str, Any]]] = {fact: [] for fact in _FOLLOWED}
    for moment, facts in moments(name):
        for fact, seen in changes.items():
            value = fact(facts)
            if not seen or seen[-1][1] != value:
                seen.append((moment.strftime("%H:%M:%S.%f")[:-3], value))
    return changes
