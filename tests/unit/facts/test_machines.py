"""What is kept up to date change by change is what a look at everything would give."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.facts import SUBJECTS, Facts, machine, machines
from exporter.facts.cluster import Availability, Cluster
from exporter.facts.machines import READS, Machines, Summary
from exporter.history.value import History
from exporter.kube.decoding import ObjectDecoder, object_key
from exporter.kube.store import Store
from exporter.metrics.exposition import Format
from exporter.metrics.gzipping import member
from exporter.metrics.page import FactsPage
from exporter.simulator import objects
from tests.effort import tries
from tests.unit.facts.given import PLURALS
from tests.unit.facts.test_versions import BORN
from tests.unit.facts.vms import HOSTPATH, Object, claim, kubevirt, migration, node, storage_class, vm, vmi

NAMES = ("a", "b", "c")
NODES = ("w1", "w2")
REASONS = (True, None, "DisksNotLiveMigratable", "SEVNotLiveMigratable", "New")
STRATEGIES = (None, "None", "LiveMigrate", "LiveMigrateIfPossible", "External")


@st.composite
def instances(draw: st.DrawFn) -> Object:
    return vmi(
        draw(st.sampled_from(NAMES)),
        live=draw(st.sampled_from(REASONS)),
        strategy=draw(st.sampled_from(STRATEGIES)),
        owner=draw(st.sampled_from(("VirtualMachine", None))),
        node=draw(st.sampled_from(NODES)),
        phase=draw(st.sampled_from(("Running", "Running", "Running", "Succeeded"))),
        outdated=draw(st.booleans()),
        created=draw(st.sampled_from(("", "2026-08-20T10:00:30Z", "2026-08-20T10:05:00Z"))),
        evacuating=draw(st.sampled_from(("", *NODES))),
        claims=[("root", draw(st.sampled_from(("x", "y"))), "ReadWriteOnce")],
    )


@st.composite
def migrations(draw: st.DrawFn) -> Object:
    minute = draw(st.integers(0, 9))
    return migration(
        f"m{draw(st.integers(0, 5))}",
        draw(st.sampled_from(("", "Pending", "Scheduling", "Succeeded", "Failed", "Failed"))),
        of=draw(st.sampled_from(NAMES)),
        origin=draw(st.sampled_from(("", "evacuation", "workload_update"))),
        at=f"2026-08-20T10:0{minute}:00Z",
        conditions=draw(st.sampled_from(((), ("migrationRejectedByResourceQuota",)))),
    )


OBJECTS = st.one_of(
    instances(),
    instances(),
    st.builds(
        vm,
        st.sampled_from(NAMES),
        st.sampled_from(("Always", "Manual")),
        strategy=st.sampled_from((None, "None", "LiveMigrate")),
    ),
    migrations(),
    st.builds(
        node,
        st.sampled_from(NODES),
        cordoned=st.booleans(),
        tainted=st.sampled_from((None, "2026-08-20T10:03:00Z")),
    ),
    st.builds(claim, st.sampled_from(("x", "y")), st.sampled_from((None, "local"))),
    st.builds(storage_class, st.just("local"), st.sampled_from((HOSTPATH, "other"))),
    st.builds(
        kubevirt,
        st.sampled_from(("v0.41.0", "v1.6.0")),
        strategy=st.sampled_from(("", "LiveMigrate")),
        deployments=st.sampled_from((("a", "a"), ("a", "b"), ("b", "b"))),
    ),
    st.builds(
        objects.infrastructure,
        created=st.just(BORN),
        control_plane=st.sampled_from(("SingleReplica", "HighlyAvailable")),
        workers=st.just("SingleReplica"),
    ),
)
STEP = st.tuples(OBJECTS, st.sampled_from(("put", "put", "put", "delete", "relist")), st.integers(0, 90))
DECODERS = {each.plural: ObjectDecoder(each.record) for each in READS}
KNOWN = dict.fromkeys(DECODERS, Availability.KNOWN)
START = 1787220000.0  # 2026-08-20T10:00:00Z


class Kept:
    """Stores, the facts that are kept of them, and the page made from these."""

    def __init__(self, limit: int) -> None:
        self.stores: dict[str, Store[Any]] = {plural: Store() for plural in DECODERS}
        self.machines = Machines()
        self.page = FactsPage(SUBJECTS, limit)
        self.history = History()
        """What the facts rest on."""

    def records(self) -> dict[str, Any]:
        return {plural: store.records for plural, store in self.stores.items()}

    def change(self, obj: Object, how: str, now: float = START) -> None:
        plural = PLURALS[obj["kind"]]
        store = self.stores[plural]
        record = DECODERS[plural].decode(msgspec.json.encode(obj))
        key = object_key(record.metadata.namespace, record.name)
        if how == "put":
            deltas = store.put(key, record)
        elif how == "delete":
            deltas = store.delete(key)
        else:
            # The list after an outage: this object is new, another has gone.
            rest = dict(list(store.records.items())[1:])
            deltas = store.replace({**rest, key: record}, set())
        self.machines.apply(plural, deltas, None if how == "relist" else now)

    def look(self, now: float, limit: int) -> None:
        records = self.records()
        while self.machines.has_work:
            self.machines.work(records, self.history, now, limit)
        self.machines.work(records, self.history, now)
        self.page.update_machines(self.machines.summary().facts, self.machines.take_changed())
        self.page.update(self.facts(now, self.machines.summary()))

    def facts(self, now: float, summary: Summary) -> Facts:
        return Facts(Cluster(self.records(), availability=KNOWN), self.history, now, machines=summary)

    def remember(self, now: float) -> None:
        self.history = self.facts(now, self.machines.summary()).observe(self.history)


def comparable(summary: Summary) -> Summary:
    # A migration that was deleted has ended all the same, and a cordon has begun, for who saw it.
    return replace(summary, facts=dict(summary.facts), ended={}, witnessed={})


@pytest.mark.searching
@settings(max_examples=tries(50, 300))
@given(st.lists(STEP, max_size=40), st.integers(1, 4), st.booleans())
def test_any_sequence_of_changes_leads_to_what_a_look_at_everything_gives(
    steps: list[tuple[Object, str, int]], limit: int, crowded: bool
) -> None:
    series = 3 if crowded else 1000
    kept, now = Kept(series), START
    for obj, how, pause in steps:
        now += pause
        kept.change(obj, how, now)
        if pause % 3:
            kept.look(now, limit)
            kept.remember(now)
    kept.look(now, limit)
    afresh = machines.derive(Cluster(kept.records()), kept.history, now)
    assert comparable(kept.machines.summary()) == comparable(afresh)
    # What a drain does is one thing of each running VM.
    outcomes, running = afresh.by("outcome"), len(afresh.facts)
    assert sum(outcomes.values()) == sum(afresh.by("workload").values()) == running == afresh.running
    assert sum(afresh.by("reason").values()) == sum(afresh.by("cause").values())
    assert sum(afresh.by("reason").values()) == sum(afresh.by("workaround").values())
    # And the page that was kept is the one that is made now, also when not all fit on it.
    page = FactsPage(SUBJECTS, series)
    page.update(kept.facts(now, afresh))
    page.update_machines(afresh.facts, sorted(afresh.facts))
    assert kept.page.render(Format.TEXT) == page.render(Format.TEXT)
    assert kept.page.omitted == page.omitted
    packed = member([kept.page.segment(Format.TEXT)])
    assert gzip.decompress(packed) == kept.page.render_bulk(Format.TEXT)


def test_a_vm_that_nothing_happens_to_changes_when_its_time_has_come() -> None:
    kept = Kept(1000)
    kept.change(vmi(evacuating="w1"), "put")
    kept.change(node(cordoned=True), "put")
    kept.change(migration("m", "Scheduling"), "put")
    kept.look(START + 59, 10)
    assert kept.machines.summary().blockers == {}
    kept.look(START + 60, 10)
    assert kept.machines.summary().blockers["w1"].first == ("prod/db",)


def ends(kept: Kept) -> list[float]:
    return [each.at for events in kept.machines.summary().ended.values() for each in events]


def test_a_migration_that_does_not_say_when_it_ended_did_when_it_was_seen_to() -> None:
    kept = Kept(1000)
    for phase, now in [("Running", START + 300), ("Failed", START + 400), ("Failed", START + 500)]:
        kept.change(migration("m", phase, transitions=False), "put", now)
        kept.look(now, 10)
    assert ends(kept) == [START + 400]
    # One that had ended when it was first listed did, for all we know, when it was made.
    kept.change(migration("n", "Failed", transitions=False), "relist", START + 600)
    kept.look(START + 600, 10)
    assert ends(kept) == [START + 400, START]


def test_a_vm_that_cannot_be_worked_out_costs_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(1000)
    for name in ("bad", "good", "worse"):
        kept.change(vmi(name), "put")
    derive = machine.derive

    def broken(instance: Any, *rest: Any) -> Any:
        if instance.name != "good":
            raise KeyError("a defect")
        return derive(instance, *rest)

    monkeypatch.setattr(machine, "derive", broken)
    kept.look(START, 10)
    assert (set(kept.machines.facts), kept.machines.errors) == ({"prod/good"}, 2)
    assert len(caplog.records) == 1


def test_one_event_costs_one_vm() -> None:
    kept = Kept(1000)
    for number in range(200):
        kept.change(vmi(f"vm{number:03}", live=None), "put")
        kept.change(vm(f"vm{number:03}"), "put")
    for each in (node("w1"), kubevirt()):
        kept.change(each, "put")
    kept.look(START, 1000)
    changes: list[tuple[Object, int]] = [
        (vmi("vm007", live=True), 1),
        (vm("vm007", "Manual"), 1),
        (migration("m", "Failed", of="vm007"), 1),
        # A node's heartbeat is nothing to a VM; its cordon is to those on it.
        ({**node("w1"), "status": {"conditions": []}}, 0),
        (claim("x", "local"), 0),
        (kubevirt(methods=[]), 0),
        (node("w1", cordoned=True), 200),
        (kubevirt(strategy="LiveMigrate"), 200),
    ]
    for obj, cost in changes:
        kept.change(obj, "put")
        work = 0
        while kept.machines.has_work:
            kept.machines.work(kept.records(), History(), START, 1)
            work += 1
        # What concerns all is looked at before the first VM.
        assert work == max(cost, 1 if PLURALS[obj["kind"]] == "kubevirts" else 0), obj["kind"]
