"""Cordons, drains and the VMs that hold nodes: objects in, exposition text out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.facts import Facts
from exporter.facts.cluster import Availability, Cluster
from exporter.facts.machines import Machines
from exporter.history.value import History
from exporter.kube.store import Delta
from exporter.records.nodes import NODES
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_vm_readiness import nonzero
from tests.unit.facts.vms import Object, migration, node, vm, vmi

NOW = datetime(2026, 8, 20, 10, 30, tzinfo=UTC).timestamp()
EARLIER = "2026-08-20T10:29:01Z"
LONG_AGO = "2026-08-01T10:00:00Z"
SINCE = datetime(2026, 8, 20, 9, 30, tzinfo=UTC).timestamp()
TAINTED = "2026-08-20T09:30:00Z"
CORDONED = f'node_cordoned_since_timestamp_seconds{{node="w1"}} {SINCE:.0f}\n'
DRAINING = 'node_draining{node="w1"} 1\n'


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (node(), ""),
        (node(cordoned=True, tainted=TAINTED), CORDONED),
        # The start is unknown: the series is absent, not 0.
        (node(cordoned=True), ""),
        # The taint of a cordon that is over, before the node controller removes it.
        (node(tainted=TAINTED), ""),
        (node(cordoned=True, tainted=TAINTED, drain=("drain-a", "uncordon-b")), CORDONED + DRAINING),
        (node(drain=("drain-a", "drain-b")), DRAINING),
        (node(drain=("drain-a", "drain-a")), ""),
        (node(drain=("uncordon-a", "drain-a")), ""),
        (node(drain=("uncordon-a", "uncordon-a")), ""),
        ({**node(), "spec": None}, ""),
        ({"kind": "Node", "metadata": {"name": "w1"}}, ""),
    ],
)
def test_a_cordon_is_not_yet_a_drain(given: Object, lines: str) -> None:
    families = ["node_cordoned_since_timestamp_seconds", "node_draining"]
    assert nonzero(page_of(given, families=families, now=NOW)) == lines


@pytest.mark.parametrize(
    ("instance", "lines"),
    [
        (vmi(evacuating="w1"), DRAINING),
        # The mark of a node that the VM has left means nothing.
        (vmi(evacuating="w2"), ""),
        (vmi(evacuating="w1", deleting=True), ""),
        (vmi(), ""),
    ],
)
def test_a_vm_that_is_marked_for_eviction_shows_a_drain(instance: Object, lines: str) -> None:
    assert nonzero(page_of(instance, vm(), node(), families=["node_draining"])) == lines


def blocking(*causes: str) -> str:
    found = [
        f'drain_blocking_vm_info{{vm_namespace="prod",vm="db",node="w1",cause="{c}"}} 1\n' for c in causes
    ]
    return "".join(found) + (f'node_drain_blocking_vms{{node="w1"}} {len(causes)}\n' if causes else "")


FAILED = [migration(f"m{number}", "Failed", origin="evacuation") for number in range(3)]
MARKED = vmi(evacuating="w1")
ON_ITS_WAY: list[tuple[Object, Object, list[Object], str]] = [
    # Instance, node, migrations, cause.
    (MARKED, node(cordoned=True), [], ""),
    (MARKED, node(cordoned=True), [migration("m", "Running", origin="evacuation")], ""),
    (MARKED, node(cordoned=True), [migration("m", "Pending", origin="evacuation")], ""),
    # Scheduled to nowhere for a minute; a queue is no such thing.
    (MARKED, node(cordoned=True), [migration("m", "Scheduling", origin="evacuation")], "no_target"),
    (MARKED, node(cordoned=True), [migration("m", "Scheduling", origin="evacuation", at=EARLIER)], ""),
    (MARKED, node(cordoned=True), [migration("m", "Scheduling", transitions=False)], "no_target"),
    (
        MARKED,
        node(cordoned=True),
        [migration("m", "Pending", conditions=["migrationRejectedByResourceQuota"])],
        "quota",
    ),
    (
        MARKED,
        node(cordoned=True),
        [migration("m", "Pending", conditions=["migrationBlockedByUtilityVolumes"])],
        "migration_blocked",
    ),
    (
        MARKED,
        node(cordoned=True),
        [migration("m", "Pending", conditions=["migrationBlockedByBackup"])],
        "migration_blocked",
    ),
    (MARKED, node(cordoned=True), FAILED, "repeated_failure"),
    (MARKED, node(cordoned=True), FAILED[:2], ""),
    # What is no longer under way says nothing.
    (
        MARKED,
        node(cordoned=True),
        [migration("m", "Failed", conditions=["migrationRejectedByResourceQuota"])],
        "",
    ),
    # It was evacuated once, and well; what a person asks for now is another matter.
    (
        vmi(),
        node(cordoned=True),
        [migration("a", "Succeeded", origin="evacuation", at=LONG_AGO), migration("b", "Scheduling")],
        "",
    ),
    # Evacuations that failed before the node was cordoned were another drain's.
    (vmi(), node(cordoned=True, tainted="2026-08-20T10:10:00Z"), FAILED, ""),
    (vmi(), node(cordoned=True, tainted="2026-08-20T09:50:00Z"), FAILED, "repeated_failure"),
    # What failed before the instance was started says nothing about it.
    (vmi(evacuating="w1", created="2026-08-20T10:20:00Z"), node(cordoned=True), FAILED, ""),
    (vmi(evacuating="w1", created="2026-08-20T09:20:00Z"), node(cordoned=True), FAILED, "repeated_failure"),
    # Nobody drains the node any more, but the mark has stayed.
    (MARKED, node(), [], "evacuation_mark"),
    (MARKED, node(), FAILED, "repeated_failure"),
    # Not marked: it holds a node only if a drain has asked for it.
    (vmi(), node(), FAILED, ""),
    (vmi(), node(cordoned=True), [migration("m", "Scheduling", origin="workload_update")], ""),
    (vmi(), node(cordoned=True), FAILED, "repeated_failure"),
    (vmi(strategy="External"), node(), [], "external"),
    (vmi(strategy="External", evacuating="w1"), node(cordoned=True), [], "external"),
    (vmi(strategy="LiveMigrateIfPossible", evacuating="w1"), node(cordoned=True), FAILED, "repeated_failure"),
    (vmi(strategy="None", evacuating="w1"), node(cordoned=True), FAILED, ""),
    (vmi(live=None), node(), [], "not_evaluated"),
]


@pytest.mark.parametrize(("instance", "its_node", "migrations", "cause"), ON_ITS_WAY)
def test_what_holds_a_node_is_named_also_when_it_could_be_migrated(
    instance: Object, its_node: Object, migrations: list[Object], cause: str
) -> None:
    families = ["drain_blocking_vm_info", "node_drain_blocking_vms"]
    page = page_of(instance, vm(), its_node, *migrations, families=families, now=NOW)
    assert nonzero(page) == (blocking(cause) if cause else "")


def test_every_cordoned_node_has_a_number_of_blockers() -> None:
    given = [node("w1", cordoned=True), node("w2"), node("w3"), vmi(node="w3", live=None), vm()]
    page = page_of(*given, families=["node_drain_blocking_vms"])
    assert page == (
        'virt_upgrade_node_drain_blocking_vms{node="w1"} 0\n'
        'virt_upgrade_node_drain_blocking_vms{node="w3"} 1\n'
    )


def cordon_seen(before: Object, after: Object, seen_at: float | None) -> History:
    """What is remembered once a node has changed before our eyes."""
    first, second = (facts_of(each).cluster.records for each in (before, after))
    machines = Machines()
    machines.apply_all(first)
    old, new = first[NODES.plural]["w1"], second[NODES.plural]["w1"]
    machines.apply(NODES.plural, [Delta("MODIFIED", "w1", old, new)], seen_at)
    machines.work(second, History(), NOW)
    known = {NODES.plural: Availability.KNOWN}
    return Facts(Cluster(second, availability=known), now=NOW, machines=machines.summary()).observe(History())


@pytest.mark.parametrize(
    ("before", "after", "seen_at", "remembered"),
    [
        (node(), node(cordoned=True), NOW - 7.5, {"cordoned/uid-w1": NOW - 8}),
        # The API tells it.
        (node(), node(cordoned=True, tainted=TAINTED), NOW, {}),
        # A list that says so may come long after.
        (node(), node(cordoned=True), None, {}),
        (node(cordoned=True), node(cordoned=True), NOW, {}),
        (node(cordoned=True), node(), NOW, {}),
    ],
)
def test_a_cordon_that_is_seen_to_happen_is_remembered(
    before: Object, after: Object, seen_at: float | None, remembered: dict[str, float]
) -> None:
    assert cordon_seen(before, after, seen_at).first == remembered


def test_a_remembered_cordon_is_shown_until_it_is_over() -> None:
    history = History({"cordoned/uid-w1": SINCE, "cordoned/uid-gone": 5.0})
    families = ["node_cordoned_since_timestamp_seconds"]
    assert nonzero(page_of(node(cordoned=True), families=families, history=history)) == CORDONED
    assert facts_of(node(cordoned=True), history=history).observe(history).first == {"cordoned/uid-w1": SINCE}
    assert facts_of(node(), history=history).observe(history).first == {}


@pytest.mark.parametrize(
    ("schedulable", "heartbeat", "silent"),
    [
        ("false", "2026-08-20T10:24:59Z", True),
        # Alive, but its devices are not ready, or it is being replaced.
        ("false", "2026-08-20T10:29:30Z", False),
        ("true", "2026-08-20T10:00:00Z", False),
        ("false", None, True),
        ("false", "soon", True),
    ],
)
def test_what_a_silent_virt_handler_said_is_old(
    schedulable: str, heartbeat: str | None, silent: bool
) -> None:
    given = node(schedulable=schedulable)
    if heartbeat is not None:
        given["metadata"]["annotations"]["kubevirt.io/heartbeat"] = heartbeat
    page = page_of(given, vmi(), vm(), families=["findings"], now=NOW)
    assert f'finding="migratability_stale",severity="warning"}} {silent:d}\n' in page


def test_a_node_that_is_held_is_a_finding_with_the_vms_that_hold_it() -> None:
    given: list[Any] = [node("w1", cordoned=True), node("w2", cordoned=True), node("w3")]
    given += [vmi(each, live=None, node="w1") for each in "abcdefg"] + [vmi("h", live=None, node="w3")]
    page = page_of(*given, families=["findings", "finding_objects_info"], now=NOW)
    lines = [line for line in page.splitlines() if "node_drain_blocked" in line]
    assert lines == [
        'virt_upgrade_findings{finding="node_drain_blocked",severity="warning"} 1',
        'virt_upgrade_finding_objects_info{finding="node_drain_blocked",node="w1",'
        'objects="prod/a, prod/b, prod/c, prod/d, prod/e and 2 more"} 1',
    ]
