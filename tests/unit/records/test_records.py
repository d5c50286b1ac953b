"""Any object is read or refused, never more than that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability, Cluster
from exporter.history.keeper import decode, encode
from exporter.history.value import History
from exporter.kube.decoding import BadObject, ObjectDecoder, object_key
from exporter.kube.resource import Resource
from exporter.metrics.page import FactsPage
from exporter.records.base import BulkRecord, Record
from exporter.simulator import objects
from tests.effort import tries
from tests.unit.facts import vms
from tests.unit.facts.test_versions import BORN, T, csv, hco, openshift
from tests.unit.facts.test_waiting_pods import RUNNING, SANDBOX, pod, waiting

NOW = T.timestamp() + 1000

WHOLE: dict[str, dict[str, Any]] = {
    "clusterversions": openshift(objects.release("4.18.3", BORN, T)),
    "clusteroperators": objects.cluster_operator("marketplace", since=T),
    "infrastructures": objects.infrastructure(created=BORN),
    "subscriptions": objects.subscription(
        created=BORN, installed=objects.csv_name("4.18.3"), current=objects.csv_name("4.18.4"), plan="a"
    ),
    "installplans": objects.install_plan("a", created=T, csv=objects.csv_name("4.18.4")),
    "clusterserviceversions": csv("4.18.3"),
    "catalogsources": objects.catalog_source(created=BORN, polled=T),
    "operatorconditions": objects.operator_condition("4.18.3", since=T),
    "hyperconvergeds": hco("4.18.3"),
    "kubevirts": vms.kubevirt(strategy="LiveMigrate", deployments=("a", "b"), progressing=("True", vms.T)),
    "packagemanifests": objects.package_manifest("4.18.4", "4.18.3", created=BORN),
    "virtualmachineinstances": vms.vmi(
        live="DisksNotLiveMigratable",
        message="cannot migrate VMI: PVC db is not shared",
        outdated=True,
        evacuating="w1",
        volumes=[{"name": "file", "hostDisk": {"path": "/x", "shared": False}}],
        claims=[("root", "db", "ReadWriteOnce")],
        networks=[{"name": "fast", "multus": {"networkName": "sriov-a"}}],
        devices={
            "interfaces": [{"name": "fast", "sriov": {}}],
            "hostDevices": [{"name": "nic"}],
            "gpus": [{"name": "gpu"}],
        },
    ),
    "virtualmachines": vms.vm(strategy="None", running=True),
    "virtualmachineinstancemigrations": vms.migration(
        "m",
        "Failed",
        origin="evacuation",
        labels={"kubevirt.io/volume-update-migration": "db"},
        priority="system-critical",
        conditions=["migrationRejectedByResourceQuota"],
    ),
    "nodes": vms.node(cordoned=True, tainted=vms.T, drain=("drain-a", "uncordon-b"), schedulable="false"),
    "machineconfigpools": vms.pool(paused=True, configurations=("b", "a"), degraded="True"),
    "pods": pod(waiting("ErrImagePull"), init=(RUNNING,), conditions=(SANDBOX,), deletionTimestamp=vms.T),
    "events": objects.upgraded("4.18.4", BORN),
    "jobs": objects.unpack_job("ab12", created=BORN, failed=BORN),
    "persistentvolumeclaims": vms.claim("db", "local"),
    "storageclasses": vms.storage_class("local", vms.HOSTPATH),
}


def key_of(record: BulkRecord) -> str:
    """Where a store keeps it."""
    return object_key(record.metadata.namespace, record.name)


def whole_records() -> dict[str, dict[str, Any]]:
    """The records of WHOLE, by resource and key."""
    records: dict[str, dict[str, Any]] = {}
    for each in RESOURCES:
        record = ObjectDecoder(each.record).decode(msgspec.json.encode(WHOLE[each.plural]))
        records[each.plural] = {key_of(record): record}
    return records


def show(page: FactsPage, facts: Facts) -> None:
    """The page with everything on it."""
    page.update(facts)
    page.update_machines(facts.machines.facts, facts.machines.facts)


NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5) | st.just("4.18.3"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an object."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, each in inner for path in paths(each, (*before, key)))]


def damaged(value: Any, path: tuple[Any, ...], damage: Any, *, remove: bool) -> Any:
    """A copy of an object with one place replaced or removed."""
    if not path:
        return damage
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    if remove and not rest:
        del copy[key]
    else:
        copy[key] = damaged(value[key], tuple(rest), damage, remove=remove)
    return copy


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
@pytest.mark.searching
@settings(max_examples=tries(12, 100))
@given(data=st.data())
def test_a_damaged_object_is_read_or_refused_and_the_rules_stand_it(
    resource: Resource[Record], data: st.DataObject
) -> None:
    whole = WHOLE[resource.plural]
    path = data.draw(st.sampled_from(paths(whole)))
    obj = damaged(whole, path, data.draw(NONSENSE), remove=bool(path) and data.draw(st.booleans()))
    records = whole_records()
    try:
        record = ObjectDecoder(resource.record).decode(msgspec.json.encode(obj))
    except BadObject:
        records[resource.plural] = {}
    else:
        records[resource.plural] = {key_of(record): record}
    page = FactsPage(SUBJECTS)
    availability = dict.fromkeys(WHOLE, Availability.KNOWN)
    cluster = Cluster(records, availability=availability)
    seen = History()
    # What is first seen leads to findings, whose beginning is seen next; then nothing is new.
    for now in (NOW, NOW + 1, NOW + 2):
        facts = Facts(cluster, seen, now)
        show(page, facts)
        assert all(found.known for found in facts.findings.found)
        seen, before = facts.observe(seen), seen
    assert seen is before
    assert not page.rule_errors.total()
    assert decode(encode(seen)) == seen


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
@given(text=st.binary(max_size=50))
def test_bytes_are_read_or_refused(resource: Resource[Record], text: bytes) -> None:
    with pytest.raises(BadObject):
        # No two or three random bytes make an object with metadata and a name.
        ObjectDecoder(resource.record).decode(text)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
def test_every_optional_field_may_be_null_or_missing(resource: Resource[Record]) -> None:
    decoder = ObjectDecoder(resource.record)
    assert decoder.decode(b'{"metadata":{"name":"a"}}').name == "a"
    assert (
        decoder.decode(b'{"metadata":{"name":"a","namespace":null},"spec":null,"status":null}').namespace
        == ""
    )
    empty = decoder.decode(b'{"metadata":{"name":"a"},"spec":{},"status":{}}')
    assert empty.name == "a"
