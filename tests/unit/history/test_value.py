"""The laws that make a leader needless, for every value that can be held."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.history.episodes import GAP_SECONDS, NOTES_LIMIT, Base, Episode, Episodes, Note
from exporter.history.keeper import decode, encode
from exporter.history.tally import Event, Folded, Tally
from exporter.history.value import History, Latest, Observations
from tests.effort import tries
from tests.unit.history.test_upgrades import memories

TIMES = st.integers(0, 400).map(float)
NAMES = st.sampled_from(["head/a", "head/b", "condition/x"])


def normal(history: History) -> History:
    """As it is decoded: notes before the frontier are gone."""
    return decode(encode(history))


EPISODES = st.builds(
    Episodes,
    st.lists(st.builds(Note, TIMES, st.booleans()), max_size=6).map(tuple),
    st.none() | st.builds(Base, TIMES, st.booleans(), TIMES),
)
EVENTS = st.builds(Event, TIMES, st.sampled_from("abcdef"))
TALLIES = st.builds(
    Tally,
    st.sets(EVENTS, max_size=6).map(sorted).map(tuple),
    st.none() | st.builds(Folded, EVENTS, st.integers(1, 9)),
)
HISTORIES = st.builds(
    History,
    st.dictionaries(NAMES, TIMES),
    st.dictionaries(NAMES, EPISODES),
    st.dictionaries(NAMES, st.builds(Latest, TIMES, st.sampled_from(["", "4.18.8", "4.18.9"]))),
    st.dictionaries(NAMES, TALLIES),
    memories(),
).map(normal)


def test_what_ends_in_the_second_in_which_it_began_has_ended() -> None:
    seen = Episodes().observe(holds=True, now=1000.0).observe(holds=False, now=1000.0)
    assert seen.latest() == Episode(holds=False, since=1000.0, ended=1001.0)
    assert seen.observe(holds=False, now=1000.0) == seen.observe(holds=False, now=1001.0) == seen
    # What begins again after more than the gap is another one.
    assert seen.observe(holds=True, now=1061.0).latest().since == 1061.0


@settings(max_examples=tries(25, 100))
@given(HISTORIES, HISTORIES)
def test_merge_is_commutative(a: History, b: History) -> None:
    assert a.merge(b) == b.merge(a)


@settings(max_examples=tries(25, 100))
@given(HISTORIES, HISTORIES, HISTORIES)
def test_merge_is_associative(a: History, b: History, c: History) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@settings(max_examples=tries(25, 100))
@given(HISTORIES, HISTORIES)
def test_merge_is_idempotent(a: History, b: History) -> None:
    assert a.merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b)


@settings(max_examples=tries(25, 100))
@given(HISTORIES)
def test_what_is_written_is_what_is_read(history: History) -> None:
    assert decode(encode(history)) == history
    assert encode(decode(encode(history))) == encode(history)


STEPS = st.lists(
    st.tuples(st.integers(1, 150), st.booleans(), st.none() | st.integers(-200, 0)), min_size=1, max_size=60
)


@given(STEPS)
def test_an_observer_always_knows_what_it_saw_last(steps: list[tuple[int, bool, int | None]]) -> None:
    episodes, now, quiet, since, ended = Episodes(), 1000.0, True, 0.0, 0.0
    for pause, holds, earlier in steps:
        now += pause
        told = None if earlier is None else now + earlier
        seen = episodes.observe(holds, now, told)
        assert seen.observe(holds, now, told) is seen
        episodes, before = seen, episodes.latest()
        latest = episodes.latest()
        assert episodes.all()[-1:] == ([latest] if latest.since is not None else [])
        assert latest.holds is holds
        assert len(episodes.notes) <= NOTES_LIMIT
        if holds and not before.holds:
            gap = min(now, told if told is not None and told >= ended else now) - ended
            assert latest.since is not None
            if quiet:
                assert latest.since == (now if told is None else told)
            elif gap < GAP_SECONDS:
                assert latest.since <= since
            else:
                assert latest.since == (told if told is not None and told > ended else now)
        if holds:
            quiet, since = False, latest.since or 0.0
        elif before.holds:
            ended = now
            assert latest == Episode(holds=False, since=since, ended=now)


@settings(max_examples=50)
@given(STEPS, st.integers(0, 3))
def test_two_observers_agree_wherever_they_were_told_of_each_other(
    steps: list[tuple[int, bool, int | None]], every: int
) -> None:
    ours, theirs, now = Episodes(), Episodes(), 1000.0
    for number, (pause, holds, _) in enumerate(steps):
        now += pause
        ours, theirs = ours.observe(holds, now), theirs.observe(holds, now + 0.4)
        if number % 4 == every:
            ours = theirs = ours.merge(theirs)
    assert ours.merge(theirs).latest().holds is steps[-1][1]


def test_nothing_new_is_no_change() -> None:
    history = History({"head/a": 5.0}, {"c": Episodes((Note(7.0, held=True),))}, {"m": Latest(3.0, "x")})
    seen = Observations(history, 9.0)
    seen.first("head/a")
    seen.first("head/a", 8.0)
    seen.holds("c", holds=True)
    seen.holds("c", holds=True, since=7.0)
    seen.holds("d", holds=False)
    seen.latest("m", "x")
    seen.forget(["head/z"])
    assert seen.history() is history


def test_what_is_new_is_added() -> None:
    history = History({"head/a": 5.0}, {"c": Episodes((Note(7.0, held=True),))}, {"m": Latest(3.0, "x")})
    seen = Observations(history, 9.0)
    seen.first("head/a", 4.0)
    seen.first("head/b", 11.0)
    seen.holds("c", holds=False)
    seen.latest("m", "y")
    assert seen.history() == History(
        {"head/a": 4.0, "head/b": 9.0},
        {"c": Episodes((Note(7.0, held=True), Note(9.0, held=False)))},
        {"m": Latest(9.0, "y")},
    )


def test_what_nobody_needs_is_forgotten() -> None:
    history = History({"head/a": 5.0, "head/b": 6.0}, {}, {"m": Latest(3.0, "x")})
    seen = Observations(history, 9.0)
    assert set(seen.known("head").values()) == {"a", "b"}
    seen.forget(["head/a", "m"])
    assert seen.history() == History({"head/b": 6.0})
