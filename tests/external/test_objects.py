"""Objects that real clusters produced, and what an expert reads out of them (`EXPECTED.md`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from exporter.facts import RESOURCES
from exporter.facts.migrations import origin
from exporter.facts.openshift_next import OPENSHIFT, OTHER_OPERATOR
from exporter.kube.decoding import ObjectDecoder
from exporter.records.base import condition
from exporter.records.machines import (
    VirtualMachine,
    VirtualMachineInstance,
    VirtualMachineInstanceMigration,
)
from exporter.records.nodes import MachineConfigPool, Node
from exporter.records.olm import CatalogSource, ClusterServiceVersion, InstallPlan, Subscription
from exporter.records.openshift import ClusterOperator, ClusterVersion
from exporter.records.pods import Pod
from exporter.records.storage import PersistentVolumeClaim
from exporter.records.virtualization import HyperConverged
from exporter.simulator import objects
from exporter.simulator.kinds import BY_KIND
from tests.unit.facts import vms
from tests.unit.facts.given import facts_of, page_of

ROOT = Path(os.environ["OBJECTS_DIR"])
DECODERS = {each.plural: ObjectDecoder(each.record) for each in RESOURCES}


def readings() -> Iterator[Any]:
    """Every file of a kind that we read, with the expert's reading."""
    for file, reading in re.findall(r"^\| (\S+\.yaml) \| (.*) \|$", (ROOT / "EXPECTED.md").read_text(), re.M):
        kind = file.partition("/")[0]
        if kind in BY_KIND and BY_KIND[kind].plural in DECODERS:
            yield pytest.param(file, reading, id=file)


def load(file: str) -> dict[str, Any]:
    class Plain(yaml.SafeLoader):
        """Times stay text, as in the API."""

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    obj: dict[str, Any] = yaml.load((ROOT / file).read_text(), Plain)
    return obj


def said(reading: str, pattern: str) -> str | None:
    found = re.search(pattern, reading)
    return found[1] if found else None


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


@pytest.mark.parametrize(("file", "reading"), list(readings()))
def test_an_object_is_read_as_an_expert_reads_it(file: str, reading: str) -> None:
    obj = load(file)
    record = DECODERS[BY_KIND[obj["kind"]].plural].decode(msgspec.json.encode(obj))
    match record:
        case Subscription():
            subscription(record, reading)
        case InstallPlan():
            assert record.approval == (said(reading, r"approval (\w+)") or "")
            assert record.waits_for_approval is ("approved False" in reading)
            assert record.approved is ("approved True" in reading)
            assert (record.status.phase if record.status else None) == said(reading, r"phase (\w+)")
            assert record.csv_names == (said(reading, r"CSVs ([^;]+);") or "").split(", ")
        case ClusterServiceVersion():
            version(record, reading)
        case CatalogSource():
            assert record.ready is ("state READY" in reading)
            assert record.last_poll == moment(said(reading, r"last poll (\S+Z)"))
            if record.ready:
                assert record.ready_since == moment(said(reading, r"last connect (\S+Z)"))
        case ClusterVersion():
            completed(obj, reading)
        case ClusterOperator():
            available = condition(record.conditions, "Available")
            assert (available.status if available else None) == said(reading, r"Available (\w+)")
        case HyperConverged():
            hyperconverged(record, reading)
        case _:
            of_machines(record, obj, reading)


def of_machines(record: object, obj: dict[str, Any], reading: str) -> None:
    match record:
        case VirtualMachine():
            machine(record, reading)
        case VirtualMachineInstance():
            instance(obj, reading)
        case VirtualMachineInstanceMigration():
            migration(record, reading)
        case Node():
            node(obj, reading)
        case MachineConfigPool():
            pool(obj, reading)
        case Pod():
            assert (record.status.phase if record.status else None) == said(reading, r"phase (\w+)")
        case PersistentVolumeClaim():
            wanted = said(reading, r"storageClass (\S+?);") or ""
            assert record.storage_class == ("" if wanted == "absent" else wanted)
            shared(obj, reading)
        case _:
            raise AssertionError(f"nobody reads a {type(record).__name__}")


def subscription(record: Subscription, reading: str) -> None:
    status = record.status
    assert record.package == said(reading, r"package (\S+);")
    assert record.channel == said(reading, r"channel (\S+);")
    assert (record.approval or "Automatic") == said(reading, r"approval (?:unset = )?(\w+);")
    absent = {"absent": None, "none": None}
    for field, word in (("state", "state"), ("installed_csv", "installed"), ("current_csv", "current")):
        text = said(reading, rf"{word} (\S+?)(?:;|$)")
        assert ((getattr(status, field) if status else None) or None) == absent.get(str(text), text)
    bad = {
        f"{each.type}=True" + (f"/{each.reason}" if each.reason else "")
        for each in record.conditions
        if each.is_true
    }
    listed = said(reading, r"bad conditions: ([^;]+)") or ""
    assert bad - {"InstallPlanPending=True/Installing", "InstallPlanPending=True/RequiresApproval"} == set(
        re.findall(r"\w+=True(?:/\w+)?", listed)
    )


def version(record: ClusterServiceVersion, reading: str) -> None:
    words = {"absent": "", "none": ""}
    for value, word in ((record.version, "version"), (record.replaces, "replaces")):
        text = said(reading, rf"{word} (\S+?);") or ""
        assert value == words.get(text, text)
    if "first Succeeded" in reading:
        assert record.has_succeeded is ("first Succeeded never" not in reading)
        assert record.first_succeeded == moment(said(reading, r"first Succeeded (\S+Z)"))
    if count := said(reading, r"history ([0-9]+) entries"):
        assert (len(record.changes), record.is_whole) == (int(count), "at its cap" not in reading)
    phase = said(reading, r"phase (\S+?)[ ;]") or ""
    assert record.phase == words.get(phase, phase)


def completed(obj: dict[str, Any], reading: str) -> None:
    page = page_of({**obj, "metadata": {"name": "version"}}, families=["openshift_info"])
    facts = facts_of({**obj, "metadata": {"name": "version"}})
    upgrade, coming = facts.openshift_upgrade, facts.openshift_next
    target = said(reading, r"UPDATING to (\S+) since")
    newest = said(reading, r"completed (\S+) at")
    assert upgrade.target == ((target if newest else None) or "")
    if newest is None:
        assert page == ""
        return
    assert f'version="{newest}"' in page
    ended, began = moment(said(reading, r"completed \S+ at (\S+Z)")), moment(said(reading, r"since (\S+Z)"))
    control = upgrade.control
    assert control is not None
    assert ended is not None
    assert (control.running, control.completed) == (bool(target), ended.timestamp())
    assert not target or (began is not None and control.began == began.timestamp())
    recommended = said(reading, r"available (\w+);")
    assert sum((coming.available or {}).values()) == int((recommended or "").replace("None", "0"))
    denied = said(reading, r"Upgradeable False/(\w+)")
    assert (denied is None) is (not coming.blockers)
    if denied is not None:
        by = OTHER_OPERATOR if denied == "IncompatibleOperatorsInstalled" else OPENSHIFT
        assert {each.by for each in coming.blockers} == {by}
    channel = said(reading, r"channel (\S+?)(?:;|$)")
    assert f'channel="{channel if channel != "unset" else ""}"' in page


def hyperconverged(record: HyperConverged, reading: str) -> None:
    assert (record.operator_version or "absent") == said(reading, r"completed operator version (\S+?);")
    shown = {
        f"{each.type}={each.status}" + (f"/{each.reason}" if each.reason else "")
        for each in record.conditions
    }
    listed = said(reading, r"; conditions ([^;]+)") or ""
    assert shown == set(re.findall(r"\w+=\w+(?:/\w+)?", listed))


def machine(record: VirtualMachine, reading: str) -> None:
    assert record.run_strategy == said(reading, r"run strategy (\w+)")
    strategy = said(reading, r"template eviction strategy (\w+)")
    assert record.eviction_strategy == ("" if strategy == "unset" else strategy)


def instance(obj: dict[str, Any], reading: str) -> None:
    families = ["running_vms", "non_migratable_vms", "vm_drain_outcomes", "non_migratable_vm_info"]

    def page(strategy: str = "") -> str:
        return page_of(obj, vms.kubevirt(strategy=strategy), families=families)

    running = "running: yes" in reading
    assert f"virt_upgrade_running_vms {running:d}\n" in page()
    if not running:
        assert "drain: no running guest" in reading or "being deleted since" in reading
        assert "} 1\n" not in page()
        return
    verdict = said(reading, r"; LiveMigratable: (\S+?);") or ""
    reason = verdict.removeprefix("False/") if verdict.startswith("False/") else ""
    assert (f'non_migratable_vms{{reason="{reason}"}} 1\n' in page()) is bool(reason)
    where = said(reading, r"; node (\S+)$")
    assert not reason or f'node="{where}"' in page()
    if "YES, BLOCKED" in reading:
        outcomes = {"blocks"}
    elif "not blocked (migrates)" in reading:
        outcomes = {"migrates"}
    else:
        assert "guest is shut down" in reading or "guest shut down" in reading
        outcomes = {"restarts", "stays_down"}
    assert outcome(page()) in outcomes
    if "with a cluster-wide LiveMigrate in the KubeVirt CR: migrates" in reading:
        assert outcome(page("LiveMigrate")) == "migrates"


def outcome(page: str) -> str | None:
    return said(page, r'vm_drain_outcomes\{outcome="(\w+)"\} 1')


def migration(record: VirtualMachineInstanceMigration, reading: str) -> None:
    assert record.vmi_name == said(reading, r"VMI (\S+);")
    assert record.phase == said(reading, r"phase (\w+);")
    assert record.is_finished is ("in flight" not in reading)
    assert (origin(record) == "other") is ("origin: user or other" in reading)


def node(obj: dict[str, Any], reading: str) -> None:
    families = ["node_cordoned_since_timestamp_seconds", "node_draining", "node_drain_blocking_vms"]
    page = page_of(obj, families=families)
    since = moment(said(reading, r"cordoned since (\S+Z)"))
    cordoned = reading.startswith("cordoned")
    assert ("node_drain_blocking_vms" in page) is cordoned
    shown = said(page, r"node_cordoned_since_timestamp_seconds\{.*\} (\d+)")
    assert (float(shown) if shown else None) == (since.timestamp() if since else None)
    assert ("node_draining" in page) is ("DRAINING" in reading)


def pool(obj: dict[str, Any], reading: str) -> None:
    families = ["pool_machines", "pool_machines_state", "pool_paused", "findings"]
    page = page_of(obj, families=families)
    name = said(reading, r"pool (\w+):")
    assert f'pool_machines{{pool="{name}"}} {said(reading, "total ([0-9]+)")}\n' in page
    for state in ("updated", "unavailable", "degraded"):
        count = said(reading, rf"\b{state} ([0-9]+)")
        assert f'pool_machines_state{{pool="{name}",state="{state}"}} {count}\n' in page
    waiting = "target config differs" in reading and "paused True" in reading
    assert f'pool_paused{{pool="{name}"}} {waiting:d}\n' in page
    began = moment(said(reading, r"Updating True since (\S+Z)"))
    if began is not None:
        history = [objects.release("4.19.1", began, None), objects.release("4.18.1", began, began)]
        given = objects.cluster_version(history, channel="", created=began)
        # It is an update of OpenShift when the control plane was being updated as it began.
        upgrade = facts_of(obj, given).openshift_upgrade
        rolling = [each.name for each in upgrade.workers.rolling]
        assert rolling == ([name] if "ROLLING OUT" in reading else [])
        assert upgrade.workers.plane is not None
        assert upgrade.workers.plane.began == began.timestamp()
    degraded = "; Degraded True" in reading
    assert f'findings{{finding="pool_degraded",severity="warning"}} {degraded:d}\n' in page


def shared(obj: dict[str, Any], reading: str) -> None:
    """The claim is in the way of a migration unless it is shared; its class is named."""
    metadata = {**obj["metadata"], "namespace": "prod"}
    attached = [("root", metadata["name"], mode) for mode in obj["spec"]["accessModes"][:1]]
    given = [{**obj, "metadata": metadata}, vms.vmi(live="DisksNotLiveMigratable", claims=attached), vms.vm()]
    page = page_of(*given, families=["non_migratable_vm_object_info"])
    assert (f'claim="{metadata["name"]}"' in page) is ("not shared" in reading)


def test_there_are_objects_to_read() -> None:
    kinds = {str(each.values[0]).partition("/")[0] for each in readings()}
    assert {"Subscription", "InstallPlan", "ClusterServiceVersion", "ClusterVersion"} <= kinds
    assert {"VirtualMachine", "VirtualMachineInstance", "Node", "MachineConfigPool"} <= kinds
