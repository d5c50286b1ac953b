"""Upgrades of the operator as they are remembered: whoever saw what, and whoever folded when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.history.episodes import NOTES_LIMIT, Episodes, Note
from exporter.history.keeper import NotOurs, decode, encode
from exporter.history.stores import SIZE_LIMIT
from exporter.history.tally import Event, Tally
from exporter.history.upgrades import (
    BUCKETS,
    FAILURES_LIMIT,
    OUTCOMES,
    RECORDS_LIMIT,
    Durations,
    Upgrade,
    Upgrades,
)
from exporter.history.value import History, Observations

TIME = st.none() | st.integers(0, 50).map(float)


@st.composite
def records(draw: st.DrawFn, number: int) -> Upgrade:
    """What somebody saw of one upgrade; when it began is the same for all."""
    return Upgrade(
        uid=f"uid-{number:03}",
        started=float(number * 100),
        csv=f"operator.v4.18.{number}",
        from_version=draw(st.sampled_from(("", "4.18.0"))),
        to_version=f"4.18.{number}",
        offered=draw(TIME),
        whole=draw(st.booleans()),
        gated=draw(st.booleans()),
        opened=draw(TIME),
        installed=draw(TIME),
        completed=draw(TIME),
        at_most=draw(st.booleans()),
        arrived=draw(st.booleans()),
        workloads=draw(TIME),
        settled=draw(st.booleans()),
        gone=draw(TIME),
        superseded=draw(st.booleans()),
        lost=draw(st.booleans()),
        target=draw(st.sampled_from(("", "4.18.1"))),
        same_version=draw(st.none() | st.booleans()),
        of_plan=draw(st.booleans()),
        plan_failed=draw(TIME),
        missed=draw(st.booleans()),
        failures=tuple(draw(st.lists(st.integers(0, 99).map(float), max_size=3, unique=True).map(sorted))),
        approver=draw(st.sampled_from(("", "kubectl"))),
    )


@st.composite
def memories(draw: st.DrawFn) -> Upgrades:
    """What one observer remembers, folded up to some point."""
    numbers = sorted(draw(st.sets(st.integers(0, 9), max_size=6)))
    known = Upgrades().add([draw(records(number)) for number in numbers])
    folded = draw(st.integers(0, len(numbers)))
    return folded_up_to(known, folded)


def folded_up_to(known: Upgrades, count: int) -> Upgrades:
    """The first so many folded, as those of a memory that has seen more are."""
    filler = [ended(200 + number) for number in range(RECORDS_LIMIT + count - len(known.records))]
    whole = Upgrades(tuple(each for each in known.records), known.folded).add(filler)
    return Upgrades(tuple(each for each in whole.records if each.started < 20_000), whole.folded)


def ended(number: int, seconds: float = 500.0, **more: Any) -> Upgrade:
    start = number * 100.0
    end = start + seconds
    return Upgrade(uid=f"uid-{number:03}", started=start, whole=True, installed=end, completed=end, **more)


@given(memories(), memories(), memories())
def test_memories_merge_in_any_order_and_as_often_as_they_like(
    one: Upgrades, two: Upgrades, three: Upgrades
) -> None:
    assert one.merge(one) == one
    assert one.merge(two) == two.merge(one)
    assert one.merge(two).merge(three) == one.merge(two.merge(three))
    assert one.merge(two).merge(two) == one.merge(two)


@given(memories())
def test_a_memory_is_read_as_it_was_written(known: Upgrades) -> None:
    history = History(upgrades=known)
    assert decode(encode(history)) == history


def test_what_an_earlier_release_has_written_is_still_read() -> None:
    # Written by the release before updates were remembered.
    history = decode((Path(__file__).parent / "formats" / "1.json").read_text())
    assert history.first["complete/hco-uid/csv-uid"] == 1_787_220_000.0
    assert history.episode("finding/awaiting_approval").ended == 1_787_223_600.0
    assert history.latest["plan/sub-uid/x/"].at == 1_787_220_000.0
    assert history.tallies["migrations/evacuation/succeeded"].total == 2
    assert history.upgrades == Upgrades()
    assert decode(encode(history)) == history


@pytest.mark.parametrize(
    "folded",
    [
        '[[1.0,"a"],[]]',
        '[[1.0,"a"],[[[1,2],3.0],[[1,2],3.0],[[1,2],3.0]]]',
        '[[1.0,"a"],[[[0,0,0,0,0,0,0,0,0,0,0],0.0]]]',
        '[1.0,"a"]',
    ],
)
def test_counts_that_do_not_fit_are_no_memory_of_ours(folded: str) -> None:
    with pytest.raises(NotOurs):
        decode(f'{{"format":2,"history":{{"upgrades":{{"folded":{folded}}}}}}}')


def test_the_oldest_are_folded_and_stay_counted() -> None:
    known = Upgrades()
    for number in range(200):
        before = known.durations()["completed"]
        known = known.add([ended(number, 60.0 * (number % 20))])
        assert sum(known.durations()["completed"].counts) == sum(before.counts) + 1
        assert len(known.records) <= RECORDS_LIMIT
    # What is told again of one that has been folded changes nothing, be it the last.
    assert known.folded is not None
    assert known.folded.frontier == ended(149).key
    for number in (3, 149):
        assert known.add([ended(number, 7.0)]) is known
    found = known.durations()["completed"]
    expected = Durations()
    for number in range(200):
        expected = expected.add(60.0 * (number % 20))
    assert found == expected
    assert len(encode(History(upgrades=known))) < 20_000


def test_of_every_outcome_the_oldest_are_folded() -> None:
    unknown = Upgrade(uid="uid-200", started=20_000.0, lost=True)
    ends = [ended(0), gone(1), gone(2, superseded=True), unknown]
    known = Upgrades().add(ends)
    before = known.durations()
    for number in range(300, 400):
        known = known.add([ended(number)])
    assert len(known.records) == RECORDS_LIMIT
    for outcome in ("failed", "superseded"):
        assert known.durations()[outcome] == before[outcome] == Durations().add(60.0)
    assert sum(known.durations()["completed"].counts) == 101


def gone(number: int, **more: Any) -> Upgrade:
    start = number * 100.0
    return Upgrade(uid=f"uid-{number:03}", started=start, whole=True, gone=start + 60, **more)


def test_as_many_as_never_end_are_folded_all_the_same() -> None:
    known = Upgrades()
    for number in range(300):
        known = known.add([Upgrade(uid=f"uid-{number:03}", started=number * 100.0)])
    assert len(known.records) == 2 * RECORDS_LIMIT


def test_of_two_ends_the_earlier_one_counts_with_what_it_was() -> None:
    failed, later = gone(1), replace(gone(1, superseded=True), gone=500.0)
    assert failed.merge(later) == later.merge(failed) == failed
    assert gone(1, superseded=True).merge(failed).outcome == "superseded"


def test_of_failures_without_end_the_first_are_kept() -> None:
    many = replace(ended(1), failures=tuple(float(each) for each in range(500)))
    known = Upgrades().add([many])
    assert known.records[0].failures == tuple(float(each) for each in range(FAILURES_LIMIT))
    assert known.merge(known) == known


def test_the_largest_memory_there_can_be_fits_into_a_configmap() -> None:
    name = "x" * 253
    records = tuple(
        Upgrade(
            uid=f"{number:036}",
            started=1_787_220_000.0 + number,
            csv=name,
            from_version="4.18.100-" + name[:100],
            to_version="4.18.101-" + name[:100],
            offered=1_787_220_000.0,
            whole=True,
            gated=True,
            opened=1_787_220_000.0,
            installed=1_787_220_000.0,
            completed=1_787_220_000.0,
            at_most=True,
            arrived=True,
            workloads=1_787_220_000.0,
            settled=True,
            gone=1_787_220_000.0,
            superseded=True,
            lost=True,
            target=name[:100],
            same_version=False,
            of_plan=True,
            plan_failed=1_787_220_000.0,
            failures=tuple(1_787_220_000.001 + each for each in range(FAILURES_LIMIT)),
            missed=True,
            approver=name,
        )
        for number in range(2 * RECORDS_LIMIT)
    )
    # Three replicas that have not folded yet, and all migrations, pools and findings that are remembered.
    tally = Tally(tuple(Event(1_787_220_000.0 + each, f"{each:013}") for each in range(128)))
    note = Episodes(tuple(Note(1_787_220_000.0 + each, bool(each % 2)) for each in range(NOTES_LIMIT)))
    history = History(
        first={f"pool-has/1787220000/{name[:60]}{number}": 1_787_220_000.0 for number in range(200)},
        episodes={f"finding/{name[:60]}{number}": note for number in range(100)},
        tallies={f"migrations/{number}": tally for number in range(6)},
        upgrades=Upgrades(records),
    )
    assert len(encode(history)) < SIZE_LIMIT / 2


def test_one_that_is_under_way_is_not_folded() -> None:
    known = Upgrades().add([Upgrade(uid="uid-000", started=0.0)])
    known = known.add([ended(number) for number in range(1, 60)])
    assert known.find("uid-000") is not None
    known = known.add([ended(0)])
    assert len(known.records) == RECORDS_LIMIT
    assert sum(known.durations()["completed"].counts) == 60


@pytest.mark.parametrize(
    ("record", "outcome", "duration", "stages"),
    [
        # Approval, gate, install, rollout, workloads.
        (
            Upgrade("u", 100.0, whole=True, offered=40.0, installed=150.0, completed=400.0, workloads=450.0),
            "completed",
            300.0,
            (60.0, 0.0, 50.0, 250.0, 50.0),
        ),
        (
            Upgrade("u", 100.0, whole=True, gated=True, opened=300.0, installed=350.0, completed=400.0),
            "completed",
            100.0,
            (None, 200.0, 50.0, 50.0, None),
        ),
        # Its beginning was seen, and that it is over: what it waited for in between was not.
        (Upgrade("u", 100.0, whole=True, arrived=True), "completed", None, (None, None, None, None, None)),
        (Upgrade("u", 100.0, whole=True, completed=400.0), "completed", None, (None, None, None, None, None)),
        (
            Upgrade("u", 100.0, whole=True, installed=150.0, arrived=True),
            "completed",
            None,
            (None, 0.0, 50.0, None, None),
        ),
        (Upgrade("u", 100.0, whole=True), "", None, (None, 0.0, None, None, None)),
        (Upgrade("u", 100.0, whole=True, lost=True), "", None, (None, 0.0, None, None, None)),
        (Upgrade("u", 100.0, whole=True, gone=160.0), "failed", 60.0, (None, 0.0, 60.0, 0.0, 0.0)),
        (
            Upgrade("u", 100.0, whole=True, installed=120.0, gone=160.0, superseded=True),
            "superseded",
            60.0,
            (None, 0.0, 20.0, 40.0, 0.0),
        ),
        (
            Upgrade("u", 100.0, whole=True, gated=True, gone=160.0, superseded=True),
            "superseded",
            0.0,
            (None, 60.0, 0.0, 0.0, 0.0),
        ),
        # Nobody knows whether it was held.
        (Upgrade("u", 100.0, completed=400.0), "completed", None, (None, None, None, None, None)),
        # One observer saw it vanish, another had seen it complete.
        (
            Upgrade("u", 100.0, whole=True, installed=120.0, completed=150.0, gone=160.0),
            "completed",
            50.0,
            (None, 0.0, 20.0, 30.0, None),
        ),
    ],
)
def test_stages_and_outcome_follow_from_the_instants(
    record: Upgrade, outcome: str, duration: float | None, stages: tuple[float | None, ...]
) -> None:
    assert (record.outcome, record.duration) == (outcome, duration)
    stretches = (record.approval, record.gate, record.install, record.rollout, record.workload_update)
    assert tuple(each.seconds for each in stretches) == stages


@given(records(1), records(1))
def test_no_stage_takes_less_than_no_time(one: Upgrade, other: Upgrade) -> None:
    record = one.merge(other)
    stretches = (record.approval, record.gate, record.install, record.rollout, record.workload_update)
    assert all(each.seconds is None or each.seconds >= 0 for each in stretches)
    assert record.outcome in {"", *OUTCOMES}
    assert record.duration is None or record.duration >= 0


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (60.0, 0), (60.5, 1), (900.0, 3), (86401.0, 10)])
def test_a_duration_falls_in_the_bucket_whose_bound_it_does_not_exceed(seconds: float, bucket: int) -> None:
    counts = Durations().add(seconds).counts
    assert (len(counts), counts[bucket], sum(counts)) == (len(BUCKETS) + 1, 1, 1)


def test_what_is_seen_is_added_to_what_is_known_and_nothing_new_is_the_same_value() -> None:
    seen = Observations(History(), 5.0)
    seen.upgrade(Upgrade("u", 100.0, csv="operator.v2"))
    seen.upgrade(Upgrade("u", 100.0, completed=150.0))
    history = seen.history()
    assert history.upgrades.records == (Upgrade("u", 100.0, csv="operator.v2", completed=150.0),)
    again = Observations(history, 6.0)
    again.upgrade(Upgrade("u", 100.0, csv="operator.v2"))
    assert again.history() is history
