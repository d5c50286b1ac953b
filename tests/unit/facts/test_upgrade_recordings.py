"""Upgrades of a real OLM and a real HyperConverged operator: every one is found, and nothing else.

Also when the exporter is killed, or away for a while, at any moment of them: what it says afterwards is the
truth, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from random import Random
from typing import Any, Final

import pytest

from exporter.facts import Facts
from exporter.history.upgrades import Upgrade
from exporter.history.value import History
from exporter.pipeline import Pipeline
from exporter.recording.lines import Recording
from exporter.recording.replay import Replay
from exporter.records.base import unix
from tests.contract.lives import started
from tests.effort import tries
from tests.unit.facts.recorded import RECORDINGS, followed, timeline

DAY: Final = "2026-11-23T"


def at(text: str) -> float:
    return unix(datetime.fromisoformat(f"{DAY}{text}+00:00")) or 0.0


def truth(
    versions: str,
    offered: str,
    started: str,
    installed: str,
    completed: str,
    *,
    opened: str = "",
    failures: Iterable[str] = (),
    by: str = "",
    at_most: bool = False,
) -> Upgrade:
    """One upgrade as the recording's README tells it, in whole seconds."""
    before, after = versions.split()
    return Upgrade(
        uid="",
        started=at(started),
        csv=f"kubevirt-hyperconverged-operator.v{after}",
        from_version=before,
        to_version=after,
        offered=at(offered),
        gated=bool(opened),
        opened=at(opened) if opened else None,
        installed=at(installed),
        completed=at(completed),
        at_most=at_most,
        arrived=True,
        failures=tuple(map(at, failures)),
        approver=by,
    )


ONE: Final = "4.17.3 4.17.4"
TWO: Final = "4.17.4 4.18.0"
TRUTH: Final[dict[str, list[Upgrade]]] = {
    "01-automatic": [truth(ONE, "00:30:37", "00:30:37", "00:30:44", "00:30:44")],
    "02-manual": [
        truth(ONE, "00:44:13", "00:45:33", "00:45:40", "00:45:40", by="unknown"),
        truth(TWO, "00:46:46", "00:47:06", "00:47:11", "00:47:11", by="unknown"),
    ],
    # The plan was made again; the update had been available since the first.
    "03-plan-deleted": [truth(ONE, "00:36:18", "00:36:53", "00:37:00", "00:37:00", by="unknown")],
    "05-csv-fails-deadline": [
        truth(ONE, "00:30:26", "00:30:26", "00:32:47", "00:32:47", failures=["00:31:07"])
    ],
    "06-not-upgradeable": [truth(ONE, "00:30:35", "00:30:35", "00:31:57", "00:31:57", opened="00:31:51")],
    "07-resolution-failures": [truth(ONE, "00:39:59", "00:39:59", "00:40:07", "00:40:07")],
    "07b-catalog-down": [truth(ONE, "00:47:40", "00:47:53", "00:48:00", "00:48:00")],
    "09-unpack-fails": [truth(ONE, "00:42:58", "00:42:58", "00:43:04", "00:43:04")],
    "10-catalogsources": [
        truth(ONE, "00:44:56", "00:44:56", "00:45:02", "00:45:02"),
        truth(TWO, "00:45:09", "00:45:10", "00:45:17", "00:45:17"),
    ],
    "hco-00-install": [],
    "hco-01-plain": [truth("1.15.2 1.16.0", "01:36:07", "01:36:31", "01:36:41", "01:37:34", by="unknown")],
    # The version that was there had come by an upgrade as well, and the objects still tell.
    "hco-02-operand-hangs": [
        truth("1.16.0 1.16.1", "01:30:48", "01:32:08", "01:32:15", "01:34:56", by="unknown"),
        truth("1.16.1 1.16.2", "01:35:18", "01:35:20", "01:35:26", "01:37:27", by="unknown"),
    ],
    "hco-03-operand-not-upgradeable": [
        truth("1.16.1 1.16.2", "01:35:18", "01:35:20", "01:35:26", "01:37:27", by="unknown"),
        truth("1.16.2 1.16.3", "01:37:45", "01:37:46", "01:37:53", "01:39:38", by="unknown"),
    ],
    "hco-04-operator-restart": [],
    "hco-06-operator-only": [
        truth("1.16.4 1.16.5", "01:38:00", "01:38:02", "01:38:12", "01:39:05", by="unknown"),
        truth("1.16.5 1.16.6", "01:39:42", "01:39:44", "01:39:51", "01:40:13", by="unknown"),
    ],
    "hco-08-after-the-end": [
        # Before the recording: of the two signs one has been lost by its beginning, but an event is left.
        truth("1.16.2 1.16.3", "01:37:45", "01:37:46", "01:37:53", "01:39:38", by="unknown"),
        truth("1.16.3 1.16.4", "01:37:59", "01:41:51", "01:41:57", "01:42:31", by="unknown"),
    ],
}

INSTANTS: Final = ("started", "offered", "opened", "installed", "completed")


@followed
def stage(facts: Facts) -> str:
    return facts.operator_upgrade.stage


@followed
def upgrades(facts: Facts) -> tuple[Upgrade, ...]:
    return facts.operator_upgrade.upgrades.records


class Nobody:
    """In the place of a pipeline while the exporter is away."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.scope, self.followers = pipeline.scope, pipeline.followers

    def note_change(self, *_: Any, **__: Any) -> None:
        pass

    def refresh(self) -> None:
        pass


@cache
def times(name: str) -> tuple[float, ...]:
    """When something happened, after the first list."""
    replay = Replay(Recording(RECORDINGS / f"{name}.jsonl.gz"))
    lines = [line.at for line in replay.recording]
    return tuple(each for each in lines if each > lines[0] + 2)


def told(name: str, absences: Iterable[tuple[float, float]], *, forgetful: bool = False) -> list[Upgrade]:
    """The records at the end, the exporter having been away in these intervals."""
    replay = Replay(Recording(RECORDINGS / f"{name}.jsonl.gz"))
    for away, back in absences:
        replay.advance(away)
        history = History() if forgetful else replay.pipeline.memory.stored
        followers = replay.pipeline.followers
        replay.pipeline = Nobody(replay.pipeline)  # type: ignore[assignment]
        replay.advance(back)
        replay.pipeline = started(followers, replay.clock, history)
        replay.pipeline.refresh()
    replay.advance(replay.end)
    assert not sum(replay.pipeline.watching().rule_errors.values())
    return list(upgrades(replay.pipeline.facts))


@pytest.mark.parametrize("name", TRUTH)
def test_every_upgrade_is_found_and_nothing_else(name: str) -> None:
    _, found = timeline(name, upgrades)[-1]
    assert len(found) == len(TRUTH[name])
    for each, expected in zip(found, TRUTH[name], strict=True):
        same = ("csv", "from_version", "to_version", "gated", "failures", "approver", "at_most")
        for field in (*INSTANTS, *same):
            assert getattr(each, field) == getattr(expected, field), field
        assert (each.outcome, each.lost) == ("completed", False)


def test_a_plan_that_fails_after_its_csv_was_made_is_a_failed_upgrade() -> None:
    # Its ClusterServiceVersion was deleted by hand in the end, and nothing took its place.
    _, (found,) = timeline("12-plan-fails", upgrades)[-1]
    assert (found.outcome, found.started, found.installed) == ("failed", at("00:48:17"), None)
    assert found.gone == at("00:51:44")
    stages = timeline("12-plan-fails", stage)
    assert ("00:49:19.227", "failed") in stages


@pytest.mark.searching
@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("forgetful", [False, True], ids=["remembering", "forgetful"])
def test_whatever_was_missed_the_truth_is_told_or_nothing(name: str, forgetful: bool) -> None:
    random = Random(f"{name} {forgetful}")
    expected = {each.csv: each for each in TRUTH[name]}
    for _ in range(tries(1, 8)):
        away = random.choice(times(name))
        back = min(away + random.choice([0.0, 0.3, 5.0, 60.0, 600.0]), times(name)[-1])
        found = told(name, [(away, back)], forgetful=forgetful)
        assert {each.csv for each in found} <= expected.keys(), (away, back)
        for each in found:
            right = expected[each.csv]
            for field in INSTANTS:
                value, wanted = getattr(each, field), getattr(right, field)
                # A later plan is all that is left of an offer that nobody saw, as a later end may be.
                late = each.at_most if field == "completed" else field == "offered" and back > away
                late = late or (field == "offered" and forgetful)
                assert value in {None, wanted} or (late and value > wanted), (field, away, back, each)
            assert each.outcome in {"completed", ""}, (away, back)
            assert set(each.failures) <= set(right.failures)
            if back == away:
                # Killed and started again at once: nothing was missed.
                assert forgetful or each.outcome == "completed"
        if not forgetful and back == away:
            assert len(found) == len(expected)
        # The last one is told by what is there.
        if expected:
            assert [*expected][-1] in {each.csv for each in found}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("01-automatic", "idle approval install idle"),
        ("02-manual", "idle approval install idle approval install idle"),
        ("05-csv-fails-deadline", "idle approval install idle"),
        ("06-not-upgradeable", "idle approval install gate install idle"),
        ("12-plan-fails", "idle approval install failed"),
        ("hco-00-install", "idle approval"),
        ("hco-01-plain", "idle approval install rollout idle"),
        ("hco-04-operator-restart", "idle approval"),
        ("hco-08-after-the-end", "idle approval install rollout approval"),
    ],
)
def test_stages_follow_each_other(name: str, stages: str) -> None:
    seen = [each for _, each in timeline(name, stage)]
    assert " ".join(seen).startswith(stages)
