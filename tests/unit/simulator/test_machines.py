"""Stories about VMs: they can be told, and what they say is true fits together at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Deletion, Machines, Story, World
from exporter.simulator.storage import Storage
from exporter.simulator.stories import STORIES, virtual_machines
from exporter.simulator.stories.farm import CAUSE, HEALTHY, SRIOV

START = datetime(2026, 8, 20, 10, tzinfo=UTC)
STEPS = 60
"""The tests on real servers compare at every one of them."""

EVERY_STORY = pytest.mark.parametrize("story", virtual_machines.STORIES, ids=lambda each: each.name)


@dataclass
class Telling:
    """A story told to an empty cluster."""

    storage: Storage = field(default_factory=lambda: Storage(clock=lambda: START))
    now: datetime = START
    steps: int = 0

    def tell(self, story: Story) -> Iterator[Machines]:
        """What is true of the VMs after each step."""
        world = World(clock=lambda: self.now)
        for pause in story.script(world):
            self._carry_out(world)
            self.steps += 1
            if world.truth and world.truth.machines:
                yield world.truth.machines
            self.now += timedelta(seconds=pause)
        self._carry_out(world)
        if world.truth and world.truth.machines:
            yield world.truth.machines

    def _carry_out(self, world: World) -> None:
        for change in world.changes:
            if isinstance(change, Deletion):
                # It raises where there is nothing to delete.
                self.storage.delete(change.kind, change.namespace, change.name)
            else:
                self.storage.apply(change)
        world.changes.clear()

    def objects(self, plural: str) -> list[ApiObject]:
        return [msgspec.json.decode(each.body) for each in self.storage.objects(plural)]


def total(counts: Mapping[Any, int]) -> int:
    return sum(counts.values())


@EVERY_STORY
def test_what_is_true_fits_together(story: Story) -> None:
    telling = Telling()
    finished: Mapping[tuple[str, str], int] = {}
    for truth in telling.tell(story):
        assert total(truth.outcomes) == total(truth.workload) == truth.running
        assert total(truth.reasons) == total(truth.causes) == total(truth.workaround) <= truth.running
        assert total(truth.outdated) == truth.running - truth.workload.get("updated", 0)
        assert total(truth.nodes) == len(truth.blocking) == len({each[:2] for each in truth.blocking})
        assert set(truth.cordoned) <= set(truth.nodes)
        certain = truth.outcomes.get("blocks", 0) + truth.outcomes.get("external", 0)
        assert certain <= len(truth.blocking)
        assert total(truth.failing) <= 3 * truth.running
        # Nothing that has ended is ever forgotten.
        assert all(truth.finished.get(each, 0) >= count for each, count in finished.items())
        finished = truth.finished
    assert telling.steps <= STEPS


@EVERY_STORY
def test_what_is_true_is_of_what_is_there(story: Story) -> None:
    telling = Telling()
    for truth in telling.tell(story):
        instances = {each["metadata"]["name"]: each for each in telling.objects("virtualmachineinstances")}
        running = [each for each in instances.values() if each["status"]["phase"] == "Running"]
        assert truth.running == sum("deletionTimestamp" not in each["metadata"] for each in running)
        for namespace, name, node, _ in truth.blocking:
            assert instances[name]["metadata"]["namespace"] == namespace
            assert instances[name]["status"]["nodeName"] == node
        nodes = {each["metadata"]["name"] for each in telling.objects("nodes")}
        assert set(truth.nodes) | truth.draining | {each["status"]["nodeName"] for each in running} <= nodes
        moves = telling.objects("virtualmachineinstancemigrations")
        over = [each for each in moves if each["status"].get("phase") in {"Succeeded", "Failed"}]
        assert total(truth.migrations) == len(moves) - len(over)
        assert total(truth.finished) >= len(over)


def test_every_start_is_another_life() -> None:
    telling = Telling()
    uids = set()
    for _ in telling.tell(STORIES["vms-hostpath"]):
        for each in telling.objects("virtualmachineinstances"):
            if each["metadata"]["name"] == "db":
                uids.add(each["metadata"]["uid"])
    assert len(uids) == 2


def test_the_mixed_cluster_has_everything() -> None:
    first = next(Telling().tell(STORIES["vms-mixed"]))
    assert set(first.causes) == {cause for design, cause in CAUSE.items() if design is not SRIOV}
    named = {design.reason for design in CAUSE if design.reason}
    assert set(first.reasons) == named | {"Unknown", "NotEvaluated"}
    assert set(first.outcomes) == {"migrates", "restarts", "stays_down", "blocks", "external"}
    assert set(first.workaround) == {"applied", "incomplete", "missing"}
    assert first.running == virtual_machines.MIXED
    assert first.cordoned == {"w12": None}


def test_every_design_meets_every_strategy_and_every_strategy_every_run_strategy() -> None:
    crowd = list(virtual_machines._crowd(virtual_machines.MIXED, 12, 4))[::4]
    designs = {*CAUSE, HEALTHY} - {SRIOV}
    assert {each.design for each in crowd} == designs
    strategies = {each.strategy for each in crowd}
    assert len({(each.design, each.strategy) for each in crowd}) == len(designs) * len(strategies)
    runs = {each.run for each in crowd}
    assert len({(each.strategy, each.run) for each in crowd}) == len(strategies) * len(runs)
    assert {each.owner for each in crowd} == {"", "VirtualMachine", "VirtualMachineInstanceReplicaSet"}
    assert any(each.doomed for each in crowd)


def test_the_stories_together_show_everything_that_can_hold_a_vm_and_be_found() -> None:
    causes: set[str] = set()
    findings: set[str] = set()
    origins: set[str] = set()
    for story in virtual_machines.STORIES:
        for truth in Telling().tell(story):
            causes |= {cause for *_, cause in truth.blocking}
            findings |= truth.findings or set()
            origins |= set(truth.failing)
    held = {"quota", "migration_blocked", "no_target", "repeated_failure", "evacuation_mark", "external"}
    assert held | set(CAUSE.values()) == causes
    assert findings == {
        "drain_would_block",
        "vm_stays_down",
        "workaround_restart_required",
        "outdated_vms",
        "workload_update_disabled",
        "migrations_failing",
        "node_drain_blocked",
        "migratability_stale",
        "pool_paused",
        "pool_degraded",
    }
    assert origins == {"workload_update", "evacuation", "other"}


def test_only_five_finished_migrations_of_a_vm_are_kept() -> None:
    telling = Telling()
    *_, last = telling.tell(STORIES["vms-collected"])
    moves = telling.objects("virtualmachineinstancemigrations")
    assert len(moves) == 5
    assert total(last.finished) == 16


def test_ten_thousand_can_be_told() -> None:
    telling = Telling()
    for _ in telling.tell(STORIES["vms-10000"]):
        raise AssertionError("nothing is said to be true of them")
    assert len(telling.storage.objects("virtualmachineinstances")) == virtual_machines.MANY
