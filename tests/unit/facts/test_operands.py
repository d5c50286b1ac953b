"""Since when the operator may not be updated, from API objects to exposition text."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.facts import Facts
from exporter.history.value import History
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_pending import BORN, OLD, at, csv, hco, sub

Object = dict[str, Any]


def says(reason: str, since: float, *, override: tuple[str, float] | None = None) -> Object:
    """The installed version's word to OLM: Upgradeable only for the reason of that name."""
    upgradeable = reason == "Upgradeable"
    found = objects.operator_condition(OLD, since=at(since), upgradeable=upgradeable, reason=reason)
    if override is not None:
        entry = objects.condition("Upgradeable", override[0], at(override[1]), "Admin")
        found["spec"]["overrides"] = [entry]
    return found


def since(*steps: tuple[float, Object], watched: bool) -> str:
    """What is said at the end by who has looked at these times."""
    history, before = History(), None
    for seconds, there in steps:
        facts = facts_of(csv(), hco(), sub(), there, now=at(seconds).timestamp(), history=history)
        facts = Facts(facts.cluster, history, facts.now, before=before if watched else None)
        history, before = facts.observe(history), facts.seen.updates
    moment, there = steps[-1]
    page = page_of(
        csv(),
        hco(),
        sub(),
        there,
        families=["condition_since_timestamp_seconds"],
        now=at(moment).timestamp(),
        history=history,
    )
    lines = [each for each in page.splitlines() if "operator_not_upgradeable" in each]
    return f"{float(lines[0].rsplit(' ', 1)[1]) - at(0).timestamp():g}" if lines else ""


@pytest.mark.parametrize(
    ("steps", "watched", "expected"),
    [
        pytest.param([(5000, says("Upgradeable", 900))], False, "", id="it may"),
        pytest.param([(5000, says("Initializing", 4990))], False, "", id="its operator restarts"),
        pytest.param([(5000, says("AlreadyPerformingUpgrade", 900))], False, "", id="it is being updated"),
        pytest.param([(5000, says("SSPNotUpgradeable", 4000))], False, "4000", id="the API tells since when"),
        pytest.param(
            [(4000, says("Initializing", 4000)), (4016, says("SSPNotUpgradeable", 4000))],
            True,
            "4016",
            id="the reason has changed, and the API tells nothing of that, but we have seen it",
        ),
        pytest.param(
            [(4000, says("Upgradeable", 900)), (4016, says("SSPNotUpgradeable", 4016))],
            True,
            "4016",
            id="seen as it began",
        ),
        pytest.param(
            [(5000, says("Upgradeable", 900, override=("False", 3000)))],
            False,
            "3000",
            id="an administrator forbids it",
        ),
        pytest.param(
            [(5000, says("SSPNotUpgradeable", 900, override=("True", 3000)))], False, "", id="one allows it"
        ),
        pytest.param(
            [(5000, says("SSPNotUpgradeable", -500 * 86400))],
            False,
            f"{(BORN - at(0)).total_seconds():g}",
            id="not before it was installed",
        ),
    ],
)
def test_since_when_it_may_not_be_updated(
    steps: list[tuple[float, Object]], watched: bool, expected: str
) -> None:
    assert since(*steps, watched=watched) == expected
