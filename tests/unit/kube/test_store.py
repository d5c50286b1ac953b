"""The store against a plain model: whatever happens, the deltas lead from the old state to the new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.kube.resource import Trimmed
from exporter.kube.store import Delta, Store
from exporter.records.base import Metadata, Record

KEYS = st.sampled_from(["a", "b", "c"])
RECORDS = st.builds(
    lambda name, uid, version: Record(
        metadata=Metadata(name=name, uid=str(uid), resource_version=str(version))
    ),
    KEYS,
    st.integers(0, 2),
    st.integers(0, 3),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), RECORDS),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("skip"), KEYS),
        st.tuples(st.just("replace"), st.lists(RECORDS)),
        st.tuples(st.just("clear"), st.none()),
    )
)


def step(store: Store[Record], action: str, value: object) -> list[Delta]:
    if isinstance(value, Record):
        return store.put(value.name, value)
    if isinstance(value, list):
        return store.replace({record.name: record for record in value}, set())
    if isinstance(value, str):
        return store.delete(value) if action == "delete" else store.skip(value)
    return store.clear()


@given(STEPS)
def test_deltas_lead_from_one_state_to_the_next(steps: list[tuple[str, object]]) -> None:
    store: Store[Record] = Store()
    model: dict[str, Trimmed] = {}
    for action, value in steps:
        for delta in step(store, action, value):
            assert model.get(delta.key) == delta.old
            assert (delta.old is None) == (delta.type == "ADDED")
            assert (delta.new is None) == (delta.type == "DELETED")
            if delta.type == "MODIFIED" and delta.old and delta.new:
                assert delta.old.metadata.uid == delta.new.metadata.uid
            if delta.new is None:
                del model[delta.key]
            else:
                model[delta.key] = delta.new
        assert model == store.records


def test_an_unchanged_relist_reports_nothing() -> None:
    store: Store[Record] = Store()
    record = Record(metadata=Metadata(name="a", uid="1", resource_version="7"))
    assert [delta.type for delta in store.replace({"a": record}, set())] == ["ADDED"]
    assert store.replace({"a": record}, {"b"}) == []
    assert store.skipped == 1


def test_what_is_skipped_is_not_there_until_it_is_understood() -> None:
    store: Store[Record] = Store()
    record = Record(metadata=Metadata(name="a"))
    store.put("a", record)
    assert store.skip("a") == [Delta("DELETED", "a", record, None)]
    assert (dict(store.records), store.skipped) == ({}, 1)
    assert store.put("a", record) == [Delta("ADDED", "a", None, record)]
    assert store.skipped == 0
    store.skip("b")
    assert store.delete("b") == []
    assert store.skipped == 0
