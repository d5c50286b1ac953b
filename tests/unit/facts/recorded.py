"""Recordings of real upgrades, and the facts as they were at each moment of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

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


def timeline(name: str, fact: Callable[[Facts], FactT]) -> list[tuple[str, FactT]]:
    """The values that a fact takes, each with the time at which it took it."""
    changes: list[tuple[str, FactT]] = []
    for moment, facts in moments(name):
        value = fact(facts)
        if not changes or changes[-1][1] != value:
            changes.append((moment.strftime("%H:%M:%S.%f")[:-3], value))
    return changes
