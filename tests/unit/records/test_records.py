"""Any object is read or refused, never more than that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability, Cluster
from exporter.history.keeper import decode, encode
from exporter.history.value import History
from exporter.kube.decoding import BadObject, ObjectDecoder
from exporter.kube.resource import Resource
from exporter.metrics.page import FactsPage
from exporter.records.base import Record
from exporter.simulator import objects
from tests.unit.facts.test_versions import BORN, T, csv, hco, openshift

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
    "kubevirts": objects.kubevirt("v1.4.1", created=BORN),
    "packagemanifests": objects.package_manifest("4.18.4", "4.18.3", created=BORN),
}
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
@given(data=st.data())
def test_a_damaged_object_is_read_or_refused_and_the_rules_stand_it(
    resource: Resource[Record], data: st.DataObject
) -> None:
    whole = WHOLE[resource.plural]
    path = data.draw(st.sampled_from(paths(whole)))
    obj = damaged(whole, path, data.draw(NONSENSE), remove=bool(path) and data.draw(st.booleans()))
    decoders = {each.plural: ObjectDecoder(each.record) for each in RESOURCES}
    records = {
        plural: {plural: decoders[plural].decode(msgspec.json.encode(each))} for plural, each in WHOLE.items()
    }
    try:
        record = decoders[resource.plural].decode(msgspec.json.encode(obj))
    except BadObject:
        del records[resource.plural][resource.plural]
    else:
        records[resource.plural] = {"damaged": record}
    page = FactsPage(SUBJECTS)
    availability = dict.fromkeys(WHOLE, Availability.KNOWN)
    cluster = Cluster(records, availability=availability)
    seen = History()
    # What is first seen leads to findings, whose beginning is seen next; then nothing is new.
    for now in (NOW, NOW + 1, NOW + 2):
        facts = Facts(cluster, seen, now)
        page.update(facts)
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
