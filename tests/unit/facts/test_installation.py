"""Which versions came by an update, and which were installed: what memory and objects prove, and what not."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.facts import Facts
from exporter.history.value import History
from exporter.simulator import objects
from tests.unit.facts.given import facts_of
from tests.unit.facts.test_operator_upgrade import (
    DONE,
    INSTALLING,
    START,
    UPGRADING,
    S,
    Watch,
    csv,
    installed,
)
from tests.unit.facts.test_pending import NEW, NEWER, OLD, at, sub
from tests.unit.facts.test_rollout import hco, said

Object = dict[str, Any]

LONG_AGO = -100_000_000.0
"""Before HyperConverged was made."""
ENDED = csv(NEW, START, INSTALLING, DONE)


def named(obj: Object, uid: str) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "uid": uid}}


def came(version: str, second: float, *, replaces: str = OLD, uid: str = "", done: bool = True) -> Object:
    """A version made at that second, and installed half a minute later."""
    phases = [("Pending", "", second), ("Installing", "", second + 10)]
    phases += [("Succeeded", "", second + 30)] if done else []
    return named(csv(version, *phases, replaces=replaces), uid or f"uid-{version}-{second:g}")


def brought(version: str, created: float, *, completed: float | None = None) -> Object:
    """The plan that OLM carried out for a version."""
    conditions = [] if completed is None else [objects.condition("Installed", "True", at(completed))]
    obj = objects.install_plan(
        f"install-{version}-{created:g}", csv=objects.csv_name(version), created=at(created), approved=True
    )
    return obj | {
        "status": {
            "phase": "Complete" if completed is not None else "Installing",
            "startTime": objects.time(at(created)),
            "conditions": conditions,
        }
    }


def updates(history: History) -> list[tuple[str, str, float, str]]:
    """From, to, beginning in seconds after T, outcome."""
    return [
        (each.from_version, each.to_version, each.started - S, each.outcome)
        for each in history.upgrades.records
    ]


def looked(
    *steps: tuple[float, list[Object]], history: History | None = None, subscribed: float = LONG_AGO
) -> History:
    """What is remembered by who has looked at these moments and had nothing go unseen in between."""
    history, before = history or History(), None
    for second, given in steps:
        cluster = facts_of(sub(created=at(subscribed)), *given).cluster
        facts = Facts(cluster, history, S + second, before=before)
        history, before = facts.observe(history), facts.seen.updates
    return history


FIRST = (OLD, NEW, 0.0, "completed")
WATCHED = looked((-10, [installed()]), (30, [installed(phase="Replacing"), csv(NEW, START)]), (60, [ENDED]))
"""Who has seen an update without HyperConverged."""


def test_an_update_was_seen() -> None:
    assert updates(WATCHED) == [FIRST]


def test_what_is_updated_to_the_same_version_once_more_is_updated_once_more() -> None:
    back = came(OLD, 500, replaces="4.18.7")
    again = came(NEW, 900, done=False)
    steps = (600.0, [back]), (905.0, [back, again]), (1000.0, [came(NEW, 900)]), (1001.0, [came(NEW, 900)])
    assert updates(looked((400, []), *steps, history=WATCHED)) == [FIRST, (OLD, NEW, 900.0, "completed")]
    assert updates(looked(*steps)) == [(OLD, NEW, 900.0, "completed")]


def test_an_event_proves_an_update_to_a_version_that_was_reached_before() -> None:
    seen = looked(
        (-10, [installed(), hco(OLD), said(OLD)]),
        (30, [installed(phase="Replacing"), csv(NEW, START), hco(OLD), said(OLD)]),
        (310, [ENDED, hco(NEW, since=at(300)), said(NEW, since=at(300))]),
    )
    # Everything was installed anew, and updated once more.
    later = [came(NEW, 900), hco(NEW, since=at(1100), created=at(600)), said(NEW, since=at(1100))]
    assert updates(looked((2000, later), history=seen)) == [FIRST]
    announced = objects.upgraded(NEW, at(1100))
    assert updates(looked((2000, [*later, announced]), history=seen)) == [
        FIRST,
        (OLD, NEW, 900.0, "completed"),
    ]


@pytest.mark.parametrize("subscribed", [LONG_AGO, -100])
def test_an_event_proves_an_update_whoever_subscribed_when(subscribed: float) -> None:
    there = [ENDED, hco(NEW, since=at(300)), said(NEW, since=at(300)), objects.upgraded(NEW, at(300))]
    # Which version a new Subscription's first one has replaced, a bundle does not know.
    before = OLD if subscribed == LONG_AGO else ""
    assert updates(looked((2000, there), subscribed=subscribed)) == [(before, NEW, 0.0, "completed")]


@pytest.mark.parametrize("plan", [[], [brought(NEW, -1000, completed=-990)]])
def test_a_version_that_is_made_again_is_no_update(
    plan: list[Object],
) -> None:
    there = [hco(NEW), said(NEW), *plan]
    moved = [hco(NEW, since=at(500)), said(NEW), *plan]
    before = named(installed(NEW), "uid-before")
    for steps in (
        # By `oc replace --force` both happen at once.
        [(-10.0, [before, *there]), (5.0, [came(NEW, 0), *there]), (600.0, [came(NEW, 0), *moved])],
        [
            (-10.0, [before, *there]),
            (-5.0, there),
            (5.0, [came(NEW, 0), *there]),
            (600.0, [came(NEW, 0), *moved]),
        ],
    ):
        assert updates(looked(*steps)) == []
    # Who comes later is told so by the plan.
    assert (updates(looked((600, [came(NEW, 0), *moved]))) == []) is bool(plan)


@pytest.mark.parametrize("phase", ["Failed", "Replacing", "Succeeded"])
def test_an_old_plan_that_is_approved_by_mistake_begins_no_update(phase: str) -> None:
    newer = came(NEWER, -500, replaces=OLD)
    stray = csv(NEW, ("Pending", "", 0.0), (phase, "OwnerConflict", 5.0), replaces=OLD)
    steps = [(-10.0, [newer]), (20.0, [newer, stray]), (9000.0, [newer, stray])]
    for each in (looked(*steps), looked(steps[-1])):
        assert updates(each) == []
    shown = Watch().look(9000, newer, stray)
    assert shown.operator_upgrade.current is None
    if phase == "Failed":
        assert shown.rollout.installed is not None
        assert (shown.rollout.installed.version, shown.rollout.complete) == (NEWER, True)


def test_what_was_there_before_somebody_subscribed_anew_proves_nothing() -> None:
    # Its bundle replaces what was uninstalled while nobody looked.
    later = [came(NEWER, 900, replaces=NEW)]
    assert updates(looked((2000, later), history=WATCHED, subscribed=800)) == [FIRST]
    assert updates(looked((2000, later), history=WATCHED)) == [FIRST, (NEW, NEWER, 900.0, "completed")]
    left = [came(NEWER, 900, replaces=NEW), brought(NEW, 100, completed=110)]
    assert updates(looked((2000, left), subscribed=800)) == []
    assert updates(looked((2000, left))) == [(NEW, NEWER, 900.0, "completed")]


def test_a_version_whose_predecessor_was_deleted_while_its_plan_waited_is_an_update_to_all() -> None:
    plans = [brought(OLD, -80_000, completed=-79_990), brought(NEW, -600)]
    steps = [(-700.0, [installed(), *plans[:1]]), (-100.0, plans), (5.0, [came(NEW, 0, done=False), *plans])]
    steps += [(40.0, [came(NEW, 0), *plans]), (41.0, [came(NEW, 0), *plans])]
    for each in (looked(*steps), looked(*steps[-2:])):
        assert updates(each) == [FIRST]


def test_a_hyperconverged_that_is_deleted_for_good_calls_the_rollout_off() -> None:
    begun = [ENDED, UPGRADING]
    steps = [
        (-10.0, [installed(), hco(OLD), said(OLD)]),
        (30.0, [installed(phase="Replacing"), csv(NEW, START), hco(OLD), said(OLD)]),
        (80.0, [*begun, hco(OLD, "True", at(70))]),
        (100.0, begun),
        (159.0, begun),
    ]
    assert updates(looked(*steps)) == [(OLD, NEW, 0.0, "")]
    over = looked(*steps, (160.0, begun), (161.0, begun))
    assert [each.completed for each in over.upgrades.records] == [S + 50]
    # One that is back in time is still rolled out.
    back = looked(*steps, (159.5, [*begun, hco(OLD, "True", at(70))]), (400.0, begun), (420.0, begun))
    assert updates(back) == [(OLD, NEW, 0.0, "")]
