"""A count to which each event adds one, whoever saw it and however often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.history.keeper import decode, encode
from exporter.history.tally import EVENTS_LIMIT, UID_LENGTH, Event, Tally
from exporter.history.value import History, Observations

HAPPENED = st.lists(st.integers(0, 400), max_size=300, unique=True).map(
    lambda seconds: [Event(float(each), f"uid-{each}") for each in sorted(seconds)]
)


@given(HAPPENED, st.integers(1, 50))
def test_every_event_counts_once_though_it_is_told_again(events: list[Event], together: int) -> None:
    tally = Tally()
    for start in range(0, len(events), together):
        told = events[max(0, start - 20) : start + together]
        tally = tally.add(told)
        assert tally.add(told) is tally
        assert len(tally.events) <= EVENTS_LIMIT
    assert tally.total == len(events)
    assert tally.lacking(events) == []
    # After a restart everything that is still there is listed again.
    assert tally.add(events) is tally


@given(HAPPENED, st.data())
def test_replicas_that_tell_each_other_count_the_same(events: list[Event], data: st.DataObject) -> None:
    ours, theirs = Tally(), Tally()
    for start in range(0, len(events), 10):
        for each in events[start : start + 10]:
            if (who := data.draw(st.integers(1, 3))) & 1:
                ours = ours.add([each])
            if who & 2:
                theirs = theirs.add([each])
        ours = theirs = ours.merge(theirs)
    assert ours.total == len(events)


def test_one_that_was_away_learns_the_count() -> None:
    events = [Event(float(second), f"uid-{second}") for second in range(1000)]
    there, away = Tally().add(events), Tally().add(events[:10])
    assert away.merge(there).total == there.merge(away).total == 1000
    assert away.merge(there).add(events[5:20]).total == 1000


def test_an_event_that_is_told_with_another_time_is_the_same_event() -> None:
    tally = Tally().add([Event.of(5.0, "a" * 36)])
    assert tally.add([Event.of(9.0, "a" * 36)]) is tally
    assert tally.events == (Event(5.0, "a" * UID_LENGTH),)


@pytest.mark.parametrize("count", [0, 1, EVENTS_LIMIT, EVENTS_LIMIT + 1, 50_000])
def test_a_tally_stays_small_and_is_read_as_it_was_written(count: int) -> None:
    seen = Observations(History(), 0.0)
    seen.happened("migrations/other/failed", [Event(float(each), f"{each:036}") for each in range(count)])
    history = seen.history()
    assert history.total("migrations/other/failed") == count
    assert decode(encode(history)) == history
    assert len(encode(history)) < 6_000
