"""OpenShift's own updates: both planes, what is to be had and asked for, and what blocks the next minor."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.facts import Facts
from exporter.facts.worker_rollout import Plane
from exporter.history.value import History
from exporter.records.nodes import MACHINE_CONFIG_POOLS
from exporter.records.openshift import CLUSTER_OPERATORS
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of

T = datetime(2026, 8, 20, 10, tzinfo=UTC)
BORN = T - timedelta(days=100)
NOW = T + timedelta(hours=30)
PLANES = [f"openshift_upgrade_{name}" for name in ("in_progress", "started_timestamp_seconds")]
PLANES += ["openshift_upgrade_completed_timestamp_seconds"]
INSTALLED = objects.release("4.18.3", BORN, BORN + timedelta(hours=1))


def at(hours: float) -> datetime:
    return T + timedelta(hours=hours)


def version(*history: dict[str, Any], channel: str = "stable-4.18", **more: Any) -> dict[str, Any]:
    return objects.cluster_version([*history, INSTALLED], channel=channel, created=BORN, **more)


def done(name: str, since: float, until: float) -> dict[str, Any]:
    return objects.release(name, at(since), at(until))


def running(name: str, since: float) -> dict[str, Any]:
    return objects.release(name, at(since), None)


def given_up(name: str, since: float, until: float) -> dict[str, Any]:
    return objects.release(name, at(since), at(until), given_up=True)


def pool(
    name: str = "worker",
    *,
    since: datetime = BORN,
    pending: bool = False,
    paused: bool = False,
    updating: datetime | None = None,
    machines: int = 3,
    rendered: str = "",
) -> dict[str, Any]:
    """A pool that has had its configuration, or not had it, since then; `updating` if it does that.

    What it is to have is `rendered`: unless told otherwise the first one before it changes, then the next.
    """
    rendered = rendered or ("rendered-a" if since == BORN and not pending else "rendered-b")

    def said(type_: str, holds: bool, moment: datetime) -> dict[str, Any]:
        return {"type": type_, "status": str(holds), "lastTransitionTime": objects.time(moment)}

    conditions = [
        said("Updated", not pending, since),
        said("Updating", updating is not None, updating or since),
    ]
    return {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"paused": paused, "configuration": {"name": rendered}},
        "status": {
            "configuration": {"name": "before" if pending else rendered},
            "machineCount": machines,
            "conditions": conditions,
        },
    }


def rolling(name: str = "worker", hours: float = 1.5, **more: Any) -> dict[str, Any]:
    return pool(name, since=at(hours), pending=True, updating=at(hours), **more)


def told(
    *given: dict[str, Any], now: datetime = NOW, history: History | None = None, **more: Any
) -> dict[str, str]:
    """Plane by plane: whether it runs, and when it began and was complete, in hours after T."""
    page = page_of(*given, families=PLANES, now=now.timestamp(), history=history, **more)
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        name, value = line.rsplit(" ", 1)
        plane = name.split('"')[1]
        hours = (float(value) - T.timestamp()) / 3600
        what = name.removeprefix("virt_upgrade_openshift_upgrade_").split("_")[0].split("{")[0]
        said = ("runs" if value == "1" else "rests") if what == "in" else f"{what} {hours:g}"
        found.setdefault(plane, []).append(said)
    return {plane: ", ".join(said) for plane, said in found.items()}


WERE = "completed -2399"
"""The installation's end."""


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([], f"rests, {WERE}", id="an installation is no update, but its end is one"),
        pytest.param([running("4.18.4", 0)], f"runs, started 0, {WERE}", id="runs"),
        pytest.param([done("4.18.4", 0, 2)], "rests, started 0, completed 2", id="is done"),
        pytest.param(
            [running("4.18.5", 1), given_up("4.18.4", 0, 1)],
            f"runs, started 0, {WERE}",
            id="another version is asked for on the way: it began with the first",
        ),
        pytest.param(
            [done("4.18.6", 2, 4), given_up("4.18.5", 1, 2), given_up("4.18.4", 0, 1)],
            "rests, started 0, completed 4",
            id="the third version on the way arrives",
        ),
        pytest.param(
            [given_up("4.18.4", 0, 1)], f"rests, {WERE}", id="given up, and nothing else has been begun"
        ),
        pytest.param(
            [running("4.19.1", 9), done("4.18.4", 0, 2)], "runs, started 9, completed 2", id="the next one"
        ),
        pytest.param(
            [objects.release("4.18.3", at(0), None)],
            f"runs, started 0, {WERE}",
            id="to several architectures: the version stays, the image does not",
        ),
    ],
)
def test_the_control_plane(history: list[dict[str, Any]], expected: str) -> None:
    assert told(version(*history)) == {"control": expected}


def test_the_installation_under_way_is_no_update() -> None:
    installing = objects.cluster_version(
        [objects.release("4.18.3", BORN, None)], channel="stable-4.18", created=BORN
    )
    assert told(installing) == {"control": "rests"}


def workers(*given: dict[str, Any], **more: Any) -> str:
    return told(*given, **more).get("workers", "")


DONE = done("4.18.4", 0, 2)
MASTER = pool("master", since=at(1.9))
MASTER_BEFORE = pool("master")


def without(obj: dict[str, Any], field: str) -> dict[str, Any]:
    return {**obj, "status": {name: each for name, each in obj["status"].items() if name != field}}


@pytest.mark.parametrize(
    ("history", "pools", "expected"),
    [
        pytest.param([], [pool(since=BORN)], "rests, completed -2400", id="installed"),
        pytest.param([running("4.18.4", 0)], [pool()], "rests, completed -2400", id="not begun"),
        pytest.param(
            [running("4.18.4", 0)],
            [rolling("master"), rolling()],
            "runs, started 1.5",
            id="begun with the masters",
        ),
        pytest.param([DONE], [MASTER, rolling()], "runs, started 1.5", id="goes on after the control plane"),
        pytest.param([DONE], [MASTER, pool(since=at(5))], "rests, completed 5", id="done"),
        pytest.param([DONE], [MASTER, pool()], "rests, completed 2", id="nothing was to be rolled out"),
        pytest.param(
            [DONE],
            [MASTER, pool(since=at(5)), rolling("gpu", 1.6)],
            "runs",
            id="the slowest pool counts, and nothing tells when the first began",
        ),
        pytest.param(
            [DONE],
            [MASTER, pool(since=at(5)), pool("gpu", since=at(7))],
            "rests, completed 7",
            id="the last pool counts",
        ),
        pytest.param(
            [DONE],
            [MASTER, pool(since=at(5)), pool("empty", machines=0, pending=True, since=at(1))],
            "rests, completed 5",
            id="a pool without machines has nothing to do",
        ),
        pytest.param([DONE], [MASTER, rolling(hours=9)], "rests", id="a MachineConfig is no update"),
        pytest.param(
            [DONE],
            [MASTER, pool(since=at(1.5), pending=True, paused=True)],
            "rests",
            id="paused: neither under way nor complete",
        ),
        pytest.param(
            [DONE],
            [MASTER, pool(since=at(1.5), pending=True, updating=at(20))],
            "runs, started 20",
            id="resumed after a day",
        ),
        pytest.param(
            [done("4.20.2", 9, 11), done("4.19.1", 0, 2)],
            [MASTER, pool(since=at(1.5), pending=True, updating=at(20))],
            "runs, started 20",
            id="resumed after two minors",
        ),
        pytest.param(
            [running("4.18.5", 1), given_up("4.18.4", 0, 1)],
            [rolling("master", 0.9), rolling(hours=0.9)],
            "runs, started 0.9",
            id="retargeted in the middle of it",
        ),
        pytest.param(
            [DONE], [pool("master", since=at(1.9))], "rests, completed 1.9", id="compact: the masters"
        ),
        pytest.param(
            [running("4.18.4", 0)],
            [pool("master", since=at(1), pending=True, updating=at(1), machines=1), pool(machines=0)],
            "runs, started 1",
            id="a single node",
        ),
        pytest.param(
            [DONE],
            [MASTER, rolling("arbiter"), pool(since=at(5))],
            "rests, completed 5",
            id="no VM runs on an arbiter",
        ),
        pytest.param([DONE], [], "", id="no pools"),
    ],
)
def test_the_workers(history: list[dict[str, Any]], pools: list[dict[str, Any]], expected: str) -> None:
    assert workers(version(*history), *pools) == expected


def test_a_hosted_control_plane_has_no_workers_plane() -> None:
    assert told(version(DONE), absent=[MACHINE_CONFIG_POOLS]) == {"control": "rests, started 0, completed 2"}


def test_pools_that_may_not_be_read_take_nothing_from_the_control_plane() -> None:
    assert told(version(DONE), unknown=[MACHINE_CONFIG_POOLS]) == {"control": "rests, started 0, completed 2"}


def seen(*steps: tuple[float, list[dict[str, Any]]]) -> History:
    history = History()
    for hours, there in steps:
        history = facts_of(*there, now=at(hours).timestamp(), history=history).observe(history)
    return history


def test_what_was_seen_of_the_workers_outlives_a_flap_and_a_machine_config() -> None:
    updated = version(DONE)
    history = seen((3, [updated, MASTER, rolling()]), (5, [updated, MASTER, pool(since=at(5))]))
    for later in (pool(since=at(8)), rolling(hours=9), pool(since=at(12))):
        assert workers(updated, MASTER, later, history=history) == "rests, started 1.5, completed 5"


def test_who_has_lost_when_the_nodes_began_does_not_take_a_later_configuration_for_the_first() -> None:
    history = seen((1.5, [UPDATING, GIVEN, rolling()]))
    lost = history.without([name for name in history.first if name.startswith("workers-began/")])
    again = rolling(hours=5, rendered="rendered-c")
    again["status"]["configuration"]["name"] = "rendered-b"
    there = [RETARGETED, GIVEN_AGAIN, again]
    assert workers(*there, history=history) == "runs, started 1.5"
    assert workers(*there, history=lost) == "runs"


def test_without_a_pool_of_the_control_plane_what_is_given_in_an_update_is_the_updates() -> None:
    assert workers(version(running("4.18.4", 0)), rolling()) == "runs, started 1.5"
    assert workers(version(running("4.18.4", 0)), MASTER_BEFORE, rolling()) == "rests"


def test_what_is_remembered_outlives_a_version_that_is_away() -> None:
    updated, well = version(DONE), pool(since=at(5))
    steps = (3.0, [updated, MASTER, rolling()]), (5.0, [updated, MASTER, well]), (6.0, [MASTER, well])
    flapped = pool(since=at(8))
    assert workers(updated, MASTER, flapped, history=seen(*steps)) == "rests, started 1.5, completed 5"


def test_the_update_before_counts_until_the_next_is_complete() -> None:
    first, second = version(DONE), version(done("4.18.5", 20, 22), DONE)
    history = seen((3, [first, MASTER, rolling()]), (5, [first, MASTER, pool(since=at(5))]))
    under_way = version(running("4.18.5", 20), DONE)
    assert workers(under_way, MASTER, pool(since=at(5)), history=history) == "rests, started 1.5, completed 5"
    assert workers(second, MASTER, rolling(hours=21), history=history) == "runs, started 21, completed 5"
    paused = pool(since=at(21), pending=True, paused=True)
    assert workers(second, MASTER, paused, history=history) == "rests, started 1.5, completed 5"


def test_a_rollout_that_is_paused_and_resumed_began_once() -> None:
    updated = version(DONE)
    paused = pool(since=at(1.5), pending=True, paused=True)
    history = seen((3, [updated, MASTER, rolling()]), (4, [updated, MASTER, paused]))
    resumed = pool(since=at(1.5), pending=True, updating=at(20))
    assert workers(updated, MASTER, paused, history=history) == "rests, started 1.5"
    assert workers(updated, MASTER, resumed, history=history) == "runs, started 1.5"


def test_pools_that_are_told_of_late_are_not_taken_for_done() -> None:
    assert workers(version(DONE), MASTER, pool(), now=at(2.03)) == "rests"
    assert workers(version(DONE), MASTER, pool(), now=at(2.04)) == "rests, completed 2"


UPDATING = version(running("4.18.4", 0))
UPDATED = version(DONE)
OVERTAKEN = version(done("4.18.5", 10, 12), DONE)
THIRD = version(running("4.18.6", 40), done("4.18.5", 10, 12), DONE)
RESUMED = pool("gpu", since=at(1.5), pending=True, updating=at(20))
GIVEN = pool("master", since=at(1.5), pending=True, updating=at(1.5))
GIVEN_NEXT = pool("master", since=at(40.5), pending=True, updating=at(40.5))
RETARGETED = version(running("4.18.5", 3.5), given_up("4.18.4", 0, 3.5))
ONCE_MORE = version(running("4.18.6", 6), given_up("4.18.5", 3.5, 6), given_up("4.18.4", 0, 3.5))
ARRIVED = version(done("4.18.5", 3.5, 6), given_up("4.18.4", 0, 3.5))
GIVEN_AGAIN = pool("master", since=at(5), pending=True, updating=at(5), rendered="rendered-c")
AGAIN = pool("master", since=at(5.9), rendered="rendered-c")


def ill(hours: float, **more: Any) -> dict[str, Any]:
    """A pool that has its configuration, but for a node that has been down since then."""
    obj = pool(since=at(hours), **more)
    for each in obj["status"]["conditions"]:
        each["status"] = str(each["type"] == "Updating")
    return obj


def watched(*steps: tuple[float, list[dict[str, Any]]]) -> str:
    """What is said of the workers at the end by who has watched all the time."""
    history, late = History(), None
    for hours, there in steps:
        facts = facts_of(*there, now=at(hours).timestamp(), history=history)
        facts = Facts(facts.cluster, history, facts.now, late=late)
        history, late = facts.observe(history), facts.seen.late_pools
    plane = Facts(facts.cluster, history, facts.now, late=late).openshift_upgrade.workers.plane
    assert plane is not None
    said = ["runs" if plane.running else "rests"]
    for what, moment in (("started", plane.began), ("completed", plane.completed)):
        if moment is not None:
            said.append(f"{what} {(moment - T.timestamp()) / 3600:g}")
    return ", ".join(said) + (" or before" if plane.at_most else "")


BEFORE = (-1.0, [version(), MASTER, pool()])
"""A look before all that."""


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            [BEFORE, (1.5, [UPDATING, GIVEN, rolling(hours=-5)])],
            "runs, started 1.5, completed -2400 or before",
            id="a node was down before: we have seen it begin",
        ),
        pytest.param(
            [(1.6, [UPDATING, GIVEN, rolling(hours=-5)])],
            "runs",
            id="a node was down before, and nobody looked: nothing tells when it began",
        ),
        pytest.param(
            [BEFORE, (1.2, [UPDATING, MASTER_BEFORE, rolling(hours=-5)])],
            "rests, completed -2400 or before",
            id="a MachineConfig is still rolled out when the update begins",
        ),
        pytest.param(
            [BEFORE, (1.2, [UPDATING, MASTER_BEFORE, ill(1.1)])],
            "rests, completed -2400 or before",
            id="a node goes down during the update, in a pool that has been given nothing yet",
        ),
        pytest.param(
            [
                BEFORE,
                (1.2, [UPDATING, MASTER_BEFORE, rolling(hours=-5)]),
                (3, [UPDATED, MASTER, rolling(hours=-5)]),
            ],
            "runs, started 3, completed -2400 or before",
            id="and is followed by the update's own: seen when the control plane was complete",
        ),
        pytest.param(
            [(20, [UPDATED, MASTER, pool(since=at(-5), pending=True, updating=at(20))])],
            "runs, started 20",
            id="a paused pool that waited for a MachineConfig is resumed",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (12, [version(done("4.18.5", 10, 12), DONE), MASTER, rolling()]),
            ],
            "runs, started 1.5",
            id="the next update overtakes it",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (12, [OVERTAKEN, MASTER, rolling()]),
                (14, [OVERTAKEN, MASTER, pool(since=at(14))]),
            ],
            "rests, started 1.5, completed 14",
            id="and it brings that one too",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (11, [version(running("4.18.5", 10), DONE), MASTER, rolling()]),
                (11.2, [version(running("4.18.5", 10), DONE), MASTER, pool(since=at(11.2))]),
            ],
            "rests, started 1.5, completed 11.2",
            id="it ends while the next one runs, which has given it nothing yet",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling(), rolling("gpu")]),
                (5, [UPDATED, MASTER, pool(since=at(5)), rolling("gpu")]),
                (5.2, [UPDATED, MASTER, ill(5.2), rolling("gpu")]),
                (7, [UPDATED, MASTER, ill(5.2), pool("gpu", since=at(7))]),
            ],
            "rests, started 1.5, completed 7",
            id="a node that goes down later takes nothing back",
        ),
        pytest.param(
            [(8, [UPDATED, MASTER, ill(5.2)])], "rests", id="a node is down, and nobody looked when it ended"
        ),
        pytest.param(
            [(8, [UPDATED, MASTER, pool(since=at(7))])],
            "rests, completed 7 or before",
            id="over before anybody looked: a node may have been down since",
        ),
        pytest.param(
            [(2.5, [UPDATED, MASTER, rolling()]), (8, [UPDATED, MASTER, pool(since=at(7))])],
            "rests, started 1.5, completed 7",
            id="watched",
        ),
        pytest.param(
            [(20.1, [UPDATED, MASTER, pool(since=at(5)), RESUMED])],
            "runs",
            id="the last pool is resumed: nothing tells when the first began",
        ),
        pytest.param(
            [
                (1, [UPDATING, pool("master")]),
                (1.5, [UPDATING, GIVEN]),
                (1.9, [UPDATING, MASTER]),
                (1.95, [UPDATING, pool("master", since=at(1.94))]),
            ],
            "rests, started 1.5, completed -2400 or before",
            id="compact: the masters have it, and the control plane is not complete",
        ),
        pytest.param(
            [
                (1, [UPDATING, pool("master")]),
                (1.5, [UPDATING, GIVEN]),
                (1.9, [UPDATING, MASTER]),
                (1.95, [UPDATING, pool("master", since=at(1.94))]),
                (2, [UPDATED, pool("master", since=at(1.94))]),
            ],
            "rests, started 1.5, completed 1.9",
            id="compact: a node flaps before the control plane is complete",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (5, [UPDATED, MASTER, pool(since=at(5))]),
                (20, [OVERTAKEN, MASTER, pool(since=at(13))]),
                (41, [THIRD, GIVEN_NEXT, pool(since=at(40.5), pending=True, paused=True)]),
            ],
            "rests, completed 13 or before",
            id="nobody saw the second roll-out begin, and the third waits: the first is not the last",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (5, [UPDATED, MASTER, pool(since=at(5))]),
                (41, [THIRD, GIVEN_NEXT, pool(since=at(40.5), pending=True, paused=True)]),
            ],
            "rests, completed 5",
            id="nor whether there was a second one",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (5, [UPDATED, MASTER, pool(since=at(5))]),
                (20, [OVERTAKEN, MASTER, pool(since=at(5))]),
                (41, [THIRD, GIVEN_NEXT, pool(since=at(40.5), pending=True, paused=True)]),
            ],
            "rests, started 1.5, completed 12",
            id="the second had nothing to roll out",
        ),
        pytest.param(
            [
                BEFORE,
                (0.5, [UPDATING, MASTER_BEFORE, rolling(hours=0.4, rendered="mine")]),
                (0.8, [UPDATING, MASTER_BEFORE, pool(since=at(0.8), rendered="mine")]),
            ],
            "rests, completed -2400 or before",
            id="a MachineConfig before the pools have been given the update's",
        ),
        pytest.param(
            [
                BEFORE,
                (0.5, [UPDATING, MASTER_BEFORE, rolling(hours=0.4, rendered="mine")]),
                (0.8, [UPDATING, MASTER_BEFORE, pool(since=at(0.8), rendered="mine")]),
                (1.5, [UPDATING, GIVEN, rolling()]),
                (5, [UPDATED, MASTER, pool(since=at(4.9))]),
            ],
            "rests, started 1.5, completed 4.9",
            id="which is rolled out after it",
        ),
        pytest.param(
            [
                BEFORE,
                (0.5, [UPDATING, MASTER_BEFORE, rolling(hours=0.4, rendered="mine")]),
                (1.5, [UPDATING, GIVEN, rolling(hours=0.4)]),
            ],
            "runs, started 1.5, completed -2400 or before",
            id="or instead of it",
        ),
        pytest.param(
            [(1.6, [UPDATING, GIVEN, rolling(hours=0.4)])],
            "runs",
            id="of a pool that was at something else nothing tells when it began",
        ),
        pytest.param(
            [
                BEFORE,
                (1.5, [UPDATING, GIVEN, rolling()]),
                (3, [UPDATING, GIVEN, pool(since=at(3))]),
                (5, [RETARGETED, GIVEN_AGAIN, rolling(hours=5, rendered="rendered-c")]),
                (6.1, [ARRIVED, AGAIN, rolling(hours=5, rendered="rendered-c")]),
                (7, [ARRIVED, AGAIN, pool(since=at(7), rendered="rendered-c")]),
            ],
            "rests, started 1.5, completed 7",
            id="another version is asked for when it has the first",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling()]),
                (3, [UPDATING, GIVEN, pool(since=at(3))]),
                (8, [ARRIVED, AGAIN, pool(since=at(7), rendered="rendered-c")]),
            ],
            "rests, started 1.5, completed 7 or before",
            id="and nobody saw that: the update's last configuration, or a MachineConfig since",
        ),
        pytest.param(
            [
                (1.5, [UPDATING, GIVEN, rolling(), rolling("gpu")]),
                (3, [UPDATED, MASTER, pool(since=at(3)), rolling("gpu")]),
                (4, [UPDATED, MASTER, rolling(hours=4, rendered="mine"), rolling("gpu")]),
                (5, [UPDATED, MASTER, pool(since=at(5), rendered="mine"), rolling("gpu")]),
                (6, [UPDATED, MASTER, pool(since=at(5), rendered="mine"), pool("gpu", since=at(6))]),
                (9, [UPDATED, MASTER, pool(since=at(9), rendered="yours"), pool("gpu", since=at(6))]),
            ],
            "rests, started 1.5, completed 6",
            id="a MachineConfig that follows it at once is none of it",
        ),
        pytest.param(
            [(5.5, [RETARGETED, GIVEN_AGAIN, rolling(hours=5)])],
            "runs",
            id="it may have had the version that was asked for before: nothing tells when it began",
        ),
        pytest.param(
            [(6.5, [ONCE_MORE, GIVEN_AGAIN, rolling(hours=5)])],
            "runs",
            id="or the one before that",
        ),
        pytest.param(
            [(22, [UPDATED, MASTER, RESUMED, rolling(hours=21)])],
            "runs",
            id="the other pool may have had it before what it rolls out now",
        ),
        pytest.param(
            [(1.95, [UPDATING, MASTER])], "rests", id="compact, looked at for the first time in the middle"
        ),
        pytest.param(
            [(30, [UPDATED, MASTER, without(pool(pending=True), "conditions")])],
            "runs",
            id="a pool without conditions is taken to lack it",
        ),
    ],
)
def test_what_is_said_of_the_workers_by_who_watches(
    steps: list[tuple[float, list[dict[str, Any]]]], expected: str
) -> None:
    assert watched(*steps) == expected


def test_pools_of_which_nothing_is_heard_are_not_taken_for_done() -> None:
    facts = facts_of(UPDATED, MASTER, pool(), now=at(3).timestamp())
    deaf = Facts(replace(facts.cluster, failing=frozenset({"machineconfigpools"})), History(), facts.now)
    assert facts.openshift_upgrade.workers.plane == Plane(
        running=False, began=None, completed=at(2).timestamp()
    )
    assert deaf.openshift_upgrade.workers.plane == Plane(running=False, began=None, completed=None)
    assert not [name for name in deaf.observe(History()).first if name.startswith(("workers", "pool"))]


def test_updates_without_a_beginning_are_told_apart_by_their_versions() -> None:
    def nameless(version_: str, until: float) -> dict[str, Any]:
        return {**done(version_, 0, until), "startedTime": None}

    first = version(nameless("4.18.4", 2))
    second = version(nameless("4.18.5", 12), nameless("4.18.4", 2))
    history = seen((5, [first, MASTER, pool(since=at(5))]))
    assert workers(first, MASTER, pool(since=at(5)), history=history) == "rests, completed 5"
    assert workers(second, MASTER, pool(since=at(15)), history=history) == "rests, completed 15"


def test_a_completed_entry_without_a_time_is_completed() -> None:
    timeless = version({**done("4.18.4", 0, 2), "completionTime": None})
    assert told(timeless) == {"control": "rests, started 0"}


def test_only_the_latest_updates_are_remembered() -> None:
    history = History()
    updates: list[dict[str, Any]] = []
    for number in range(8):
        updates.insert(0, done(f"4.18.{4 + number}", 3 * number, 3 * number + 1))
        there = [version(*updates), MASTER, pool(since=at(3 * number + 2))]
        history = facts_of(*there, now=at(3 * number + 2.5).timestamp(), history=history).observe(history)
    assert len([name for name in history.first if name.startswith("workers-done/")]) == 5


def upgrade(*given: dict[str, Any], family: str, **more: Any) -> dict[str, str]:
    page = page_of(*given, families=[f"openshift_{family}"], now=NOW.timestamp(), **more)
    return {line.split('"')[1]: line.rsplit(" ", 1)[1] for line in page.splitlines()}


def asked(cluster: dict[str, Any], **desired: str) -> dict[str, Any]:
    cluster["spec"]["desiredUpdate"] = desired
    return cluster


IMAGE = objects.release("4.19.3", T, None)["image"]


@pytest.mark.parametrize(
    ("cluster", "patch", "minor"),
    [
        pytest.param(version(), "0", "0", id="nothing"),
        pytest.param(version(DONE), "0", "0", id="done"),
        pytest.param(version(running("4.18.4", 0)), "1", "0", id="a patch runs"),
        pytest.param(version(running("4.19.1", 0)), "0", "1", id="a minor runs"),
        pytest.param(version(channel="stable-4.19"), "0", "1", id="the channel is a minor ahead"),
        pytest.param(version(channel="eus-4.20"), "0", "1", id="the channel is two minors ahead"),
        pytest.param(version(channel="stable-4.17"), "0", "0", id="the channel is behind"),
        pytest.param(version(channel=""), "0", "0", id="no channel"),
        pytest.param(version(channel="nonsense"), "0", "0", id="a channel of its own"),
        pytest.param(asked(version(), version="4.18.9"), "1", "0", id="asked for, not yet taken up"),
        pytest.param(asked(version(DONE), version="4.18.4"), "0", "0", id="what was asked for stays there"),
        pytest.param(
            asked(version(), image=IMAGE), "1", "0", id="an image of which nothing tells the version"
        ),
        pytest.param(asked(version(running("4.19.3", 0)), image=IMAGE), "0", "1", id="an image, taken up"),
        pytest.param(
            asked(version(), version="4.18.3", image="quay.io/x@sha256:1"), "1", "0", id="other architectures"
        ),
        pytest.param(
            version(running("4.18.4", 0), channel="stable-4.19"), "1", "1", id="a patch first, then a minor"
        ),
    ],
)
def test_what_is_wanted(cluster: dict[str, Any], patch: str, minor: str) -> None:
    assert upgrade(cluster, family="update_wanted") == {"patch": patch, "minor": minor}


@pytest.mark.parametrize(
    ("available", "patch", "minor"),
    [
        ([], "0", "0"),
        (["4.18.4", "4.18.5", "4.19.1"], "2", "1"),
        (["4.18.3", "4.18.2", "nonsense"], "0", "0"),
        (["4.18.4", "4.18.4"], "1", "0"),
    ],
)
def test_what_is_to_be_had(available: list[str], patch: str, minor: str) -> None:
    assert upgrade(version(available=available), family="available_updates") == {
        "patch": patch,
        "minor": minor,
    }


def test_the_last_minor_of_4_and_the_first_of_5_are_one() -> None:
    cluster = objects.cluster_version(
        [objects.release("4.23.1", BORN, BORN)],
        channel="stable-5.0",
        created=BORN,
        available=["4.23.2", "5.0.1", "5.1.0"],
    )
    assert upgrade(cluster, family="available_updates") == {"patch": "2", "minor": "1"}
    assert upgrade(cluster, family="update_wanted")["minor"] == "0"


def supports(*values: Any, text: str | None = None) -> list[dict[str, Any]]:
    """HyperConverged and its ClusterServiceVersion, whose bundle says what it supports."""
    csv = objects.cluster_service_version("4.18.8", created=BORN, succeeded=BORN)
    properties = [{"type": "olm.maxOpenShiftVersion", "value": value} for value in values]
    annotation = json.dumps({"properties": [{"type": "olm.gvk", "value": {"kind": "X"}}, *properties]})
    csv["metadata"]["annotations"] = {
        "operatorframework.io/properties": annotation if text is None else text,
        # OLM does not read what the authors write.
        "olm.properties": '[{"type":"olm.maxOpenShiftVersion","value":"4.10"}]',
    }
    return [csv, objects.hyperconverged("4.18.8", created=BORN, since=BORN)]


OURS = f"{objects.NAMESPACE}/{objects.csv_name('4.18.8')}"


def olm(message: str, reason: str = "IncompatibleOperatorsInstalled") -> dict[str, Any]:
    found = objects.cluster_operator("operator-lifecycle-manager", since=BORN)
    found["status"]["conditions"].append(objects.condition("Upgradeable", "False", T, reason, message))
    return found


def not_upgradeable(reason: str, message: str = "") -> dict[str, Any]:
    cluster = version()
    cluster["status"]["conditions"] = [
        objects.condition("UpgradeableUpgradeInProgress", "False", T, "Other", "begins alike"),
        objects.condition("Upgradeable", "False", T, reason, message),
    ]
    return cluster


LOGGING = "openshift-logging/cluster-logging.v6.0.1"
NAMES_LOGGING = (
    "ClusterServiceVersions blocking minor version upgrades to 4.19.0 or higher:\n"
    "- maximum supported OCP version for openshift-logging/cluster-logging.v6.0.1 is 4.18"
)
NAMES_OURS = f"{NAMES_LOGGING}\n- maximum supported OCP version for {OURS} is 4.18"
INVALID = 'has invalid olm.maxOpenShiftVersion properties: failed to parse "4/18", got invalid value 4.18.3'
OLDER = (
    "ClusterServiceVersions blocking cluster upgrade: {} is incompatible with OpenShift minor versions "
    "greater than 4.18"
)


@pytest.mark.parametrize(
    ("given", "virtualization", "other", "openshift"),
    [
        pytest.param([version()], "", "", "", id="nobody"),
        pytest.param([version(), *supports("4.18")], f"{OURS} 4.18", "", "", id="ours"),
        pytest.param([version(), *supports('"4.18"')], f"{OURS} 4.18", "", "", id="ours, quoted"),
        pytest.param([version(), *supports("4.19")], "", "", "", id="the next minor is supported"),
        pytest.param([version(), *supports()], "", "", "", id="it says nothing"),
        pytest.param([version(), *supports("4.19", "4.20")], f"{OURS} ", "", "", id="said twice"),
        pytest.param([version(), *supports("nonsense")], f"{OURS} ", "", "", id="no version"),
        pytest.param([version(), *supports(4.18)], f"{OURS} 4.18", "", "", id="a number"),
        pytest.param([version(), *supports("4.19.0")], "", "", "", id="a whole version"),
        pytest.param([version(), *supports("4.20.5")], f"{OURS} ", "", "", id="no minor, but a patch"),
        pytest.param([version(), *supports("4.20.0-rc.1")], f"{OURS} ", "", "", id="a candidate"),
        pytest.param([version(), *supports({"minor": 4})], f"{OURS} ", "", "", id="something else"),
        pytest.param([version(), *supports("5.0")], "", "", "", id="the next major"),
        pytest.param([version(), *supports(text="{")], f"{OURS} ", "", "", id="no JSON"),
        pytest.param(
            [version(), olm(NAMES_LOGGING)],
            "",
            f"{LOGGING} 4.18",
            "",
            id="another",
        ),
        pytest.param(
            [version(), olm(NAMES_OURS), *supports("4.18")],
            f"{OURS} 4.18",
            f"{LOGGING} 4.18",
            "",
            id="both",
        ),
        pytest.param(
            [version(), olm(OLDER.format(OURS)), *supports()],
            f"{OURS} 4.18",
            "",
            "",
            id="OLM says that it is ours",
        ),
        pytest.param(
            [version(), olm("unreadable")],
            "",
            "IncompatibleOperatorsInstalled ",
            "",
            id="a message that names none",
        ),
        pytest.param([version(), olm("", reason="Other")], "", "", "", id="OLM alone forbids nothing"),
        pytest.param(
            [
                not_upgradeable("ClusterOperatorUpgradeable-operator-lifecycle-manager"),
                olm("", reason="ErrorCheckingOperatorCompatibility"),
            ],
            "",
            "",
            "ErrorCheckingOperatorCompatibility ",
            id="OLM's own trouble is OpenShift's",
        ),
        pytest.param(
            [version(), olm(f"- openshift-logging/cluster-logging.v6.0.1 {INVALID}")],
            "",
            f"{LOGGING} ",
            "",
            id="a bundle that OLM cannot read",
        ),
        pytest.param([not_upgradeable("AdminAckRequired")], "", "", "AdminAckRequired ", id="OpenShift"),
        pytest.param(
            [not_upgradeable("IncompatibleOperatorsInstalled", OLDER.format("a/b.v1"))],
            "",
            "a/b.v1 4.18",
            "",
            id="ClusterVersion says what OLM's ClusterOperator would",
        ),
        pytest.param(
            [not_upgradeable("ClusterOperatorUpgradeable-operator-lifecycle-manager"), olm(NAMES_LOGGING)],
            "",
            f"{LOGGING} 4.18",
            "",
            id="recent releases name the ClusterOperator",
        ),
        pytest.param(
            [not_upgradeable("MultipleReasons"), olm(NAMES_LOGGING)],
            "",
            f"{LOGGING} 4.18",
            "MultipleReasons ",
            id="several reasons",
        ),
    ],
)
def test_what_blocks_the_next_minor(
    given: list[dict[str, Any]], virtualization: str, other: str, openshift: str
) -> None:
    blockers = facts_of(*given, now=NOW.timestamp()).openshift_next.blockers
    expected = {"virtualization": virtualization, "other_operator": other, "openshift": openshift}
    assert {each.by: f"{each.object} {each.supports}" for each in blockers} == {
        by: said for by, said in expected.items() if said
    }
    assert upgrade(*given, family="minor_blocked") == {
        by: str(int(bool(said))) for by, said in expected.items()
    }


def test_what_forbids_the_next_version_of_the_operator_is_nothing_to_openshift() -> None:
    denied = objects.operator_condition("4.18.8", since=T, upgradeable=False, reason="SSPNotUpgradeable")
    blocked = upgrade(version(), *supports("4.19"), denied, family="minor_blocked")
    assert set(blocked.values()) == {"0"}


def test_nothing_is_said_while_the_operators_may_not_be_read() -> None:
    assert upgrade(version(), unknown=[CLUSTER_OPERATORS], family="minor_blocked") == {}


ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["Completed", "Partial", "", None]),
        "version": st.sampled_from(["4.18.3", "4.19.1", "", None, "x"]),
        "image": st.sampled_from(["a", "b", None]),
        "startedTime": st.sampled_from([None, objects.time(T), objects.time(BORN), objects.time(NOW)]),
        "completionTime": st.sampled_from([None, objects.time(T), objects.time(BORN), objects.time(NOW)]),
    },
)
POOLS = st.builds(
    pool,
    st.sampled_from(["master", "worker", "gpu"]),
    since=st.sampled_from([BORN, T, NOW]),
    pending=st.booleans(),
    paused=st.booleans(),
    updating=st.none() | st.just(T),
    machines=st.integers(0, 3),
)


@settings(max_examples=300)
@given(
    st.lists(ENTRIES, max_size=5),
    st.lists(POOLS, max_size=3, unique_by=lambda each: each["metadata"]["name"]),
)
def test_any_history_and_any_pools_give_at_most_one_value_of_each(
    history: list[dict[str, Any]], pools: list[dict[str, Any]]
) -> None:
    cluster = version()
    cluster["status"]["history"] = history
    page = page_of(cluster, *pools, now=NOW.timestamp())
    lines = [line.rsplit(" ", 1)[0] for line in page.splitlines() if "openshift_upgrade_" in line]
    assert len(lines) == len(set(lines))
    facts = facts_of(cluster, *pools, now=NOW.timestamp())
    assert facts.observe(History()).merge(History()) == facts.observe(History())
