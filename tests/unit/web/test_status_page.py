"""The page for a person: what it says of virtual machines, and while little is known."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from exporter.facts import RESOURCES
from exporter.history.keeper import Keeper
from exporter.history.stores import MemoryStore
from exporter.metrics.exposition import Format
from exporter.pipeline import Pipeline
from exporter.recording.lines import Line
from exporter.recording.replay import Clock, Recorded
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES
from exporter.simulator import objects
from exporter.web.status_json import status_json
from exporter.web.status_page import status_page
from tests.unit.facts.given import PLURALS
from tests.unit.facts.test_operator_upgrade import csv, installed
from tests.unit.facts.test_pending import NEW, OLD, at, sub
from tests.unit.facts.test_rollout import hco
from tests.unit.facts.test_rollout import said as operator_says
from tests.unit.facts.test_versions import BORN
from tests.unit.facts.vms import Object, kubevirt, migration, node, vm, vmi

NOW = 1787223600.0  # 2026-08-20T11:00:00Z


def cluster(*given: Object, memory: Keeper | None = None) -> Pipeline:
    """A pipeline over these objects; every resource is known."""
    pipeline = Pipeline(source="replay", wall_clock=Clock(NOW), memory=memory)
    followers = {each.plural: Recorded(each, Clock(NOW), present=True) for each in RESOURCES}
    pipeline.followers = tuple(followers.values())
    for obj in given:
        to = followers[PLURALS[obj["kind"]]]
        line = Line(NOW, 0, "ADDED", to.resource, msgspec.Raw(msgspec.json.encode(obj)))
        pipeline.note_change(to.resource.plural, to.apply(line))
    return pipeline


def said(*given: Object) -> dict[str, str]:
    """What is said about each thing, with its mark."""
    rows = re.findall(
        r"<tr class=(\w+)><td class=mark>\w+<th scope=row>([^<]+)<td>([^<]+)", status_page(cluster(*given))
    )
    return {about: f"{how}: {sentence}" for how, about, sentence in rows}


@pytest.mark.parametrize(
    ("given", "about", "sentence"),
    [
        ([vmi(), vm()], "Virtual machines", "good: 1 run, 0 of them cannot be live-migrated."),
        ([vmi(), vm()], "Drains", "good: No VM would block a node drain."),
        ([vmi(live="New"), vm()], "Drains", "bad: 1 VM would block a node drain: prod/db."),
        ([vmi(strategy="None"), vm(run="Manual")], "Drains", "good: No VM would block a node drain."),
        (
            [vmi(live="New"), vm(), node(cordoned=True, tainted="2026-08-20T10:30:00Z")],
            "Node w1",
            "bad: Cordoned since 2026-08-20 10:30:00 UTC, and held by prod/db.",
        ),
        ([vmi(), vm()], "Workload update", "good: All VMs run in the present virt-launcher."),
        (
            [vmi(outdated=True), vm(), *(migration(each, "Failed") for each in "abc"), kubevirt(methods=[])],
            "Workload update",
            "note: 1 VMs run in an earlier virt-launcher, 1 of them with migrations that keep failing; no "
            "method is enabled that would change that.",
        ),
        (
            [
                vmi(live="New"),
                node(),
                objects.infrastructure(created=BORN, control_plane="SingleReplica", workers="SingleReplica"),
            ],
            "Drains",
            "note: On a single node nothing is drained: VMs stop with the node.",
        ),
    ],
)
def test_what_is_said_of_virtual_machines(given: list[Object], about: str, sentence: str) -> None:
    assert said(*given)[about] == sentence


def test_the_pods_that_hold_up_an_update_are_named() -> None:
    names = [f"virt-operator-{number}" for number in range(7)]
    begun = csv(NEW, ("Pending", "", 0.0), ("Installing", "", 5.0))
    pods = [objects.pod(name, created=at(0), waiting="ImagePullBackOff") for name in names]
    given = [sub(), installed(phase="Replacing"), begun, hco(OLD), operator_says(OLD), *pods]
    assert said(*given)["Pods of the update"] == (
        f"note: Wait for their images: {', '.join(names[:5])} and 2 more."
    )
    document = msgspec.json.decode(status_json(cluster(*given)))
    assert document["waiting"] == [{"pod": name, "reason": "image_pull"} for name in names]


async def test_the_page_and_the_json_are_there_before_memory_has_been_read() -> None:
    pipeline = cluster(vmi(), vm(), memory=Keeper(MemoryStore()))
    # What has been read is not yet worked out either, until somebody looks.
    assert VIRTUAL_MACHINE_INSTANCES.plural in pipeline.missing()
    pipeline.refresh()
    assert pipeline.missing() == ["memory"]
    assert "is not complete yet: memory still to be read" in status_page(pipeline)
    document: dict[str, Any] = msgspec.json.decode(status_json(pipeline))
    assert (document["complete"], document["ready"]) == (False, {"operator": None, "openshift": None})
    assert b"\nvirt_upgrade_running_vms " not in pipeline.scrape(Format.TEXT)


def test_the_json_leaves_series_of_single_vms_to_the_findings() -> None:
    document: dict[str, Any] = msgspec.json.decode(status_json(cluster(vmi(live="New"), vm())))
    assert "running_vms" in document["facts"]
    assert "non_migratable_vm_info" not in document["facts"]
    blocked = next(each for each in document["findings"] if each["name"] == "drain_would_block")
    assert (blocked["objects"], blocked["count"]) == (["prod/db"], 1)
