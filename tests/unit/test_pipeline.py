"""When virtual machines are derived: all at once at a start, one by one afterwards."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

import msgspec
import pytest

from exporter.facts import RESOURCES, machine
from exporter.kube.status import State
from exporter.kube.store import Delta
from exporter.metrics.exposition import Format
from exporter.pipeline import TOGETHER_SECONDS, Pipeline
from exporter.recording.lines import Line
from exporter.recording.replay import Clock, Recorded
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from exporter.records.nodes import NODES
from exporter.records.olm import SUBSCRIPTIONS
from tests.contract.watched import until
from tests.unit.facts.given import PLURALS
from tests.unit.facts.vms import Object, migration, node, vm, vmi

NOW = 1787223600.0
RUNNING = b"\nvirt_upgrade_running_vms "


class Cluster:
    """A pipeline at work over followers that are told what there is."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.pipeline = Pipeline(source="replay", wall_clock=self.clock, turn=0.0)
        self.followers = {each.plural: Recorded(each, self.clock, present=True) for each in RESOURCES}
        self.pipeline.followers = tuple(self.followers.values())

    def tell(self, obj: Object) -> list[Delta]:
        to = self.followers[PLURALS[obj["kind"]]]
        raw = msgspec.Raw(msgspec.json.encode(obj))
        return to.apply(Line(NOW, 0, "ADDED", to.resource, raw))

    def event(self, obj: Object) -> None:
        self.pipeline.changed(PLURALS[obj["kind"]], self.tell(obj), asyncio.get_running_loop().time())

    def reading(self, plural: str) -> None:
        """A resource whose first list has not come yet."""
        status = self.followers[plural].status
        status.state, status.answer = State.SYNCING, None

    def read(self, plural: str, *given: Object) -> None:
        """The list has come."""
        status = self.followers[plural].status
        status.state = status.answer = State.SYNCED
        self.pipeline.state_changed(plural)
        self.pipeline.changed(plural, [delta for each in given for delta in self.tell(each)])


@pytest.fixture
async def cluster() -> Any:
    found = Cluster()
    running = asyncio.create_task(found.pipeline.run())
    await asyncio.sleep(0)
    yield found
    running.cancel()


async def read_all(cluster: Cluster) -> None:
    await until(lambda: not cluster.pipeline.missing(), "everything is read")


async def shows(cluster: Cluster, text: bytes) -> None:
    await until(lambda: text in cluster.pipeline.scrape(Format.TEXT), text.decode())


async def test_vms_are_derived_once_all_that_they_rest_on_has_been_read(cluster: Cluster) -> None:
    cluster.reading(VIRTUAL_MACHINES.plural)
    cluster.read(
        VIRTUAL_MACHINE_INSTANCES.plural, *(vmi(f"vm{number}", strategy="None") for number in range(99))
    )
    assert RUNNING not in cluster.pipeline.scrape(Format.TEXT)
    cluster.read(VIRTUAL_MACHINES.plural, *(vm(f"vm{number}") for number in range(99)))
    # In turns, and nothing is shown before the last.
    await shows(cluster, RUNNING + b"99\n")
    assert b'outcome="restarts"} 99\n' in cluster.pipeline.scrape(Format.TEXT)


@pytest.mark.parametrize("state", [State.FAILING, State.FORBIDDEN, State.ABSENT])
async def test_what_cannot_be_read_keeps_no_vm_waiting(cluster: Cluster, state: State) -> None:
    cluster.reading(MIGRATIONS.plural)
    cluster.followers[MIGRATIONS.plural].status.state = state
    cluster.read(VIRTUAL_MACHINE_INSTANCES.plural, vmi())
    await shows(cluster, RUNNING + b"1\n")


async def test_what_takes_too_long_keeps_no_vm_waiting(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.reading(MIGRATIONS.plural)
    cluster.read(VIRTUAL_MACHINE_INSTANCES.plural, vmi())
    assert RUNNING not in cluster.pipeline.scrape(Format.TEXT)
    passed = time.perf_counter() + TOGETHER_SECONDS
    monkeypatch.setattr(time, "perf_counter", lambda: passed)
    await shows(cluster, RUNNING + b"1\n")


async def test_the_page_shows_what_has_become_known_in_whichever_order(cluster: Cluster) -> None:
    given = {
        VIRTUAL_MACHINE_INSTANCES.plural: vmi(evacuating="w1"),
        MIGRATIONS.plural: migration("m", "Scheduling", origin="evacuation"),
        NODES.plural: node(cordoned=True),
    }
    for seed in range(20):
        random, each = Random(seed), Cluster()
        running = asyncio.create_task(each.pipeline.run())
        await asyncio.sleep(0)
        order = list(each.followers)
        for plural in order:
            each.reading(plural)
        random.shuffle(order)
        for plural in order:
            each.read(plural, *([given[plural]] if plural in given else []))
            if random.random() < 0.4:
                each.pipeline.scrape(Format.TEXT)
            if random.random() < 0.4:
                await asyncio.sleep(0)
        await read_all(each)
        page = each.pipeline.scrape(Format.TEXT)
        assert b'virt_upgrade_migrations{origin="evacuation",phase="Scheduling"} 1' in page, seed
        assert b'virt_upgrade_node_drain_blocking_vms{node="w1"} 1' in page, seed
        running.cancel()


async def test_an_event_about_a_vm_works_out_nothing_else(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.read(VIRTUAL_MACHINE_INSTANCES.plural, vmi(), vmi("other"))
    await shows(cluster, RUNNING + b"2\n")
    refreshed: list[float] = []
    refresh = cluster.pipeline.refresh

    def noted() -> None:
        refreshed.append(time.perf_counter())
        refresh()

    monkeypatch.setattr(cluster.pipeline, "refresh", noted)
    cluster.event(vmi(node="w2"))
    await until(lambda: cluster.pipeline._machines.facts["prod/db"].node == "w2")
    assert refreshed == []
    # What begins something that is remembered does, and so does anything else than a VM.
    for obj in (vmi(live="New"), migration("m", "Succeeded")):
        cluster.event(obj)
        await until(lambda: bool(refreshed))
        refreshed.clear()
    cluster.pipeline.changed(SUBSCRIPTIONS.plural, [])
    await until(lambda: bool(refreshed))


async def test_a_vm_that_cannot_be_worked_out_is_counted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(machine, "derive", broken)
    cluster.read(VIRTUAL_MACHINE_INSTANCES.plural, vmi())
    await shows(cluster, RUNNING + b"0\n")
    errors = b'virt_upgrade_exporter_rule_errors_total{family="virt_upgrade_%s"} %d\n'
    page = cluster.pipeline.scrape(Format.TEXT)
    assert errors % (b"running_vms", 1) in page
    assert errors % (b"outdated_vms", 0) in page
