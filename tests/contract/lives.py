"""Random lives of an operator, and an exporter that is killed, away or cut off at any moment of them.

What it says of updates is compared with how they went: all of it, to the second, as long as it looked on.
Otherwise each value is the truth or missing, and missing only where an oracle of its own kind agrees: that
one keeps no history, but notes which instants the objects have proved to somebody who was there.

`python -m tests.contract.lives SEED...` lives single ones again.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import msgspec

from exporter.facts import RESOURCES, findings
from exporter.facts.upgrade_records import RESTS_ON
from exporter.facts.upgrade_workloads import SETTLES_SECONDS
from exporter.history.keeper import Keeper, decode, encode
from exporter.history.upgrades import Upgrade
from exporter.history.value import History
from exporter.kube.follower import Follower
from exporter.kube.resource import Resource
from exporter.kube.status import State
from exporter.pipeline import Pipeline
from exporter.recording.lines import Line
from exporter.recording.replay import Clock, Recorded
from exporter.records.nodes import MACHINE_CONFIG_POOLS
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS
from exporter.simulator import objects
from exporter.simulator.kinds import BY_KIND
from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Course, Deletion, World
from exporter.simulator.storage import Storage
from tests.contract.told import (
    expected,
    expected_of_openshift,
    expected_of_updates,
    said,
    said_of_openshift,
    said_of_updates,
)
from tests.contract.wandering import HOUR, wandering

START: Final = datetime(2026, 8, 20, 10, tzinfo=UTC)
DAYS: Final = 0.5
LONGEST: Final = 2 * HOUR
"""Nothing happens for so many seconds at most, so that much does."""
WATCHING, KILLED, AWAY, CUT, LATE, LOST = MODES = ("watching", "killed", "away", "cut", "late", "lost")
"""The last two: started for the first time in the middle of it; killed, and the last writes were lost."""
TOLD_BY: Final = tuple(
    each.plural for each in (*RESTS_ON, HYPERCONVERGEDS, CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS)
)
"""What is cut off."""
_CHANGES_KEPT: Final = 20
_WRITES_LOST: Final = 5


class Stream(Recorded):
    """A watch that can be cut off: what happens then is delivered by a list."""

    def __init__(self, resource: Resource[Any], clock: Clock) -> None:
        super().__init__(resource, clock, present=True)
        self.missed: list[Line] = []

    @property
    def is_cut(self) -> bool:
        """Whoever is cut off knows it."""
        return self.status.state is State.FAILING


@dataclass
class Proved:
    """What somebody was shown of one update."""

    seen: bool = False
    """It was there, and something that was there before it."""
    offered: bool = False
    opened: bool = False
    installed: bool = False
    completed: bool = False
    workloads: bool = False
    gone: bool = False
    whole: bool = False
    """Its history of phases from its beginning."""
    is_completed: bool = False
    """That it has ended well, whenever."""
    failures: int = 0


class Oracle:
    """What can be known by who looks at the objects of the moment, and remembers what they prove."""

    def __init__(self) -> None:
        self.since = float("-inf")
        """Since when nothing has been missed."""
        self.restarted = float("-inf")
        """When the process was started; it does not know how long there has been none."""
        self.knows_before = True
        """Somebody was there before the first update."""
        self.proved: dict[float, Proved] = {}

    def look(self, life: Life, courses: tuple[Course, ...]) -> None:
        """Note what is to be seen now."""
        for number, course in enumerate(courses):
            proved = self.proved.setdefault(course.started.timestamp(), Proved())
            later = courses[number + 1] if number + 1 < len(courses) else None
            if proved.seen and not life.cut and self._announced(course, life):
                proved.completed = proved.is_completed = True
            csv = life.object("clusterserviceversions", objects.csv_name(course.to_version))
            if csv and csv["metadata"]["creationTimestamp"] == objects.time(course.started):
                self._read(proved, course, csv, life)
            elif not life.cut and life.failed_plan(course):
                proved.seen = True
                proved.failures = max(proved.failures, 1)
            if life.cut:
                continue
            for name in ("offered", "completed", "gone"):
                at = getattr(course, name)
                # Who does not know that it never came up has to see what replaces it do so.
                doubtful = name == "gone" and course.superseded and not proved.whole
                if doubtful and (later is None or later.installed is None):
                    continue
                if at and self.since < at.timestamp() <= life.clock.now:
                    setattr(proved, name, True)
            self._count(proved, course, later, life)

    def _count(self, proved: Proved, course: Course, later: Course | None, life: Life) -> None:
        """That no VM is left is to be seen for a minute, or until the next update begins."""
        if course.workloads is None or course.completed is None:
            return
        at, ended = course.workloads.timestamp(), course.completed.timestamp()
        lasts = later is not None or life.clock.now - at >= SETTLES_SECONDS
        left = later is not None and ended < at == later.started.timestamp()
        proved.workloads |= lasts and self.since < ended and (not left or self.restarted < ended)

    def _announced(self, course: Course, life: Life) -> bool:
        """An event says so."""
        event = life.object("events", objects.upgraded(course.to_version, START)["metadata"]["name"])
        return event is not None and course.completed is not None

    def _read(self, proved: Proved, course: Course, csv: ApiObject, life: Life) -> None:
        changes = csv["status"].get("conditions", [])
        hyperconverged = life.object("hyperconvergeds", objects.HYPERCONVERGED)
        versions = (
            {each["version"] for each in hyperconverged["status"]["versions"]} if hyperconverged else set()
        )
        conditions = hyperconverged["status"]["conditions"] if hyperconverged else []
        progressing = _condition(conditions, "Progressing")
        before = life.object("clusterserviceversions", objects.csv_name(course.from_version))
        moved = bool(progressing) and progressing["lastTransitionTime"] >= objects.time(course.started)
        proved.seen |= self.knows_before or before is not None or course.to_version not in versions or moved
        if len(changes) < _CHANGES_KEPT:
            proved.whole = True
            phases = [each["phase"] for each in changes]
            proved.installed |= "Succeeded" in phases
            proved.opened |= bool(course.opened and course.opened.timestamp() <= life.clock.now)
            until = phases.index("Succeeded") if "Succeeded" in phases else len(phases)
            proved.failures = max(proved.failures, phases[:until].count("Failed"))
        # The end of what has not been seen to be installed is nothing to go by.
        installed = csv["status"]["phase"] == "Succeeded" or any(
            each["phase"] == "Succeeded" for each in changes
        )
        word = life.object("operatorconditions", objects.csv_name(course.to_version))
        if not progressing or word is None or course.completed is None or not installed:
            return
        if course.to_version in versions and self._announced(course, life):
            proved.completed = proved.is_completed = True
        if course.to_version in versions and progressing["status"] == "False":
            proved.is_completed = True
            end = objects.time(course.completed)
            upgradeable = _condition(word["spec"]["conditions"], "Upgradeable")
            agree = progressing["lastTransitionTime"] == upgradeable["lastTransitionTime"] == end
            flapped = "Failed" in [each["phase"] for each in changes[-_CHANGES_KEPT + 1 :]]
            proved.completed |= agree and upgradeable["status"] == "True" and not flapped

    def missed(self, now: float) -> None:
        """Something went unseen up to now."""
        self.since = now


def _condition(conditions: list[ApiObject], type_: str) -> ApiObject:
    return next((each for each in conditions if each["type"] == type_), {})


@dataclass
class Life:
    """A cluster in which a story happens, and whoever looks at it."""

    random: Random
    now: datetime = START
    clock: Clock = field(default_factory=lambda: Clock(START.timestamp()))
    looking: bool = True
    interleaved: bool = False
    """What happens at one moment reaches the exporter in any order."""
    courses: tuple[Course, ...] = ()
    controls: set[float] = field(default_factory=set)
    """When updates of OpenShift's control plane began."""

    def __post_init__(self) -> None:
        self.storage = Storage(clock=lambda: self.now)
        self.followers = {each.plural: Stream(each, self.clock) for each in RESOURCES}
        self.shown: dict[tuple[str, str], ApiObject] = {}
        self.history = History()
        self.oracle = Oracle()
        self.counted: dict[str, tuple[int, float]] = {}
        self.pipeline = self.start()

    @property
    def cut(self) -> bool:
        """Something is cut off."""
        return any(each.is_cut for each in self.followers.values())

    def object(self, plural: str, name: str) -> ApiObject | None:
        """As it has been delivered last."""
        return self.shown.get((plural, name))

    def failed_plan(self, course: Course) -> bool:
        """The plan by which it began, and failed, is to be seen."""
        return any(
            plural == "installplans"
            and obj["status"]["phase"] == "Failed"
            and obj["status"].get("startTime") == objects.time(course.started)
            for (plural, _), obj in self.shown.items()
        )

    def start(self) -> Pipeline:
        """A process that finds what the one before had stored."""
        return started(self.followers.values(), self.clock, self.history)

    def carry_out(self, world: World) -> None:
        """What the story does, delivered to the watches."""
        if world.truth is not None and world.truth.courses is not None:
            self.courses = world.truth.courses
        for change in self._in_some_order(world.changes):
            if isinstance(change, Deletion):
                plural = BY_KIND[change.kind].plural
                self.deliver(
                    plural, "DELETED", self.storage.delete(change.kind, change.namespace, change.name)
                )
            else:
                self.deliver(BY_KIND[change["kind"]].plural, "MODIFIED", self.storage.apply(change))
        if not world.changes:
            self.look()
        world.changes.clear()

    def _in_some_order(self, changes: list[ApiObject | Deletion]) -> Iterator[ApiObject | Deletion]:
        """Each kind has a stream of its own; only what one of them tells comes in order."""
        if not self.interleaved:
            yield from changes
            return
        streams: dict[str, list[ApiObject | Deletion]] = defaultdict(list)
        for each in changes:
            streams[each.kind if isinstance(each, Deletion) else each["kind"]].append(each)
        order = [kind for kind, each in streams.items() for _ in each]
        self.random.shuffle(order)
        for kind in order:
            yield streams[kind].pop(0)

    def deliver(self, plural: str, type_: str, obj: ApiObject) -> None:
        """An event, which waits for the next list where the watch is cut off."""
        follower = self.followers.get(plural)
        if follower is None:
            return
        line = Line(self.clock.now, 0, type_, follower.resource, msgspec.Raw(msgspec.json.encode(obj)))
        if follower.is_cut:
            follower.missed.append(line)
            return
        self._show(line)
        deltas = follower.apply(line)
        if self.looking:
            self.pipeline.note_change(plural, deltas)
            self.look()

    def _show(self, line: Line) -> None:
        obj = msgspec.json.decode(line.object)
        place = line.resource.plural, obj["metadata"]["name"]
        if line.type == "DELETED":
            self.shown.pop(place, None)
        else:
            self.shown[place] = obj

    def look(self) -> None:
        """What there is to be seen now is seen."""
        if not self.looking:
            return
        self.pipeline.refresh()
        self.oracle.look(self, self.courses)
        # Asked without a refresh of its own.
        for outcome, each in self.pipeline._facts.operator_upgrade.upgrades.durations().items():
            before, now = self.counted.get(outcome, (0, 0.0)), (sum(each.counts), each.total)
            assert now[0] >= before[0], f"the histogram of {outcome} goes down: {before}, {now}"
            assert now[1] >= before[1] - 1e-6, f"the histogram of {outcome} goes down: {before}, {now}"
            self.counted[outcome] = now

    def leave(self) -> None:
        """The process is gone; what it had stored is left."""
        self.looking = False
        self.history = self.pipeline.memory.stored

    def come_back(self, *, missed: bool = True) -> None:
        """Another process starts."""
        if missed:
            self.oracle.missed(self.clock.now)
        self.oracle.restarted = self.clock.now
        self.pipeline = self.start()
        self.looking = True
        self.look()

    def begin_late(self) -> None:
        """The first process of all starts."""
        self.history = History()
        self.oracle = Oracle()
        self.oracle.knows_before = False
        self.come_back()

    def lose(self, kept: tuple[History, dict[float, Proved]]) -> None:
        """The process is killed, and its last writes have been lost."""
        self.leave()
        self.history, proved = kept
        self.oracle.proved = deepcopy(proved)
        self.counted.clear()
        self.come_back()

    def cut_off(self, plural: str) -> None:
        """A watch breaks, and cannot be had again."""
        self.followers[plural].status.state = State.FAILING
        self.pipeline.note_change(plural)
        self.pipeline.refresh()

    def heal(self) -> None:
        """All watches that were cut off list anew."""
        for plural, follower in self.followers.items():
            if follower.is_cut:
                for line in follower.missed:
                    self._show(line)
                    self.pipeline.note_change(plural, follower.apply(line), by_watch=False)
                follower.missed.clear()
                follower.status.state = State.SYNCED
                self.pipeline.note_change(plural, by_watch=False)
        self.oracle.missed(self.clock.now)
        self.look()

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        self.clock.now = self.now.timestamp()
        self.look()


def started(followers: Iterable[Follower[Any]], clock: Clock, history: History) -> Pipeline:
    """A process that finds this in its store, and lists what there is now."""
    keeper = Keeper(None)
    keeper.memory = keeper.stored = decode(encode(history))
    pipeline = Pipeline(source="replay", wall_clock=clock, memory=keeper)
    pipeline.followers = tuple(followers)
    for each in pipeline.followers:
        pipeline.note_change(each.resource.plural, by_watch=False)
    # Nobody reads the page here, and rendering it would take half of the time.
    pipeline._page.update = lambda *_: None  # type: ignore[method-assign]
    return pipeline


def compare(life: Life, records: tuple[Upgrade, ...]) -> bool:
    """Every record is the truth or leaves open what nobody could know, and none is missing; is all known?"""
    truth = {each.started.timestamp(): each for each in life.courses}
    known = {started for started, proved in life.oracle.proved.items() if proved.seen}
    told = {each.started for each in records}
    assert told <= truth.keys(), "invented"
    assert known <= told, "missed"
    whole = told == truth.keys()
    for each in records:
        course, proved = truth[each.started], life.oracle.proved.get(each.started, Proved())
        about = (each, course, proved)
        assert (each.from_version, each.to_version) == (course.from_version, course.to_version)
        for name in ("opened", "installed", "gone", "workloads", "offered", "completed"):
            value, wanted = getattr(each, name), getattr(course, name)
            right = value == (None if wanted is None else wanted.timestamp())
            whole = whole and right
            late = value is not None and wanted is not None and value > wanted.timestamp()
            # What was seen too late is no earlier, and said so. Of an offer that went unseen an earlier one
            # of another version may have been seen instead.
            doubtful = value is None or name == "offered" or (name == "completed" and late and each.at_most)
            # Its VMs went on beyond the next update, of which nobody could know.
            doubtful |= name == "workloads" and late and _next(life, course) not in known
            unproved = not getattr(proved, name) or (name == "offered" and _may_have_been_tried(life, each))
            assert right or (doubtful and unproved), (name, *about)
        assert each.outcome in {_outcome(course)} | ({""} if not proved.is_completed else set()), about
        assert each.offered is None or each.offered <= each.started
        assert proved.failures <= len(each.failures) <= course.failures, about
        if each.installed is not None and each.whole and not each.missed:
            assert len(each.failures) == course.failures, about
        whole = whole and each.whole and not each.missed and len(each.failures) == course.failures
        whole = whole and each.outcome == _outcome(course) and not each.at_most
    return whole


def _may_have_been_tried(life: Life, record: Upgrade) -> bool:
    """What waited when the first process came may have been approved before, and given up."""
    return not life.oracle.knows_before and not any(
        each.is_completed for started, each in life.oracle.proved.items() if started < record.started
    )


def _next(life: Life, course: Course) -> float | None:
    """When the update after another began."""
    later = life.courses[life.courses.index(course) + 1 :]
    return later[0].started.timestamp() if later else None


def _outcome(course: Course) -> str:
    if course.completed:
        return "completed"
    return ("superseded" if course.superseded else "failed") if course.gone else ""


_PENDING: Final = re.compile(r"stage |current_stage_duration_seconds approval ")
"""What also rests on an offer that may have gone unseen, or whose catalog is away by now."""
_DOUBTFUL: Final = re.compile(
    # What is about all updates, or about the latest, or may have begun before anybody looked.
    r"duration_seconds (?:completed|failed|superseded) (?:sum|\+Inf) "
    r"|last_(?:stage_)?duration_seconds |completed_timestamp_seconds |stage |in_progress "
    r"|started_timestamp_seconds |install_failures |current_(?:stage_)?duration_seconds "
)


def compare_lines(told: str, true: str, every: str, *, whole: bool, late: Iterable[Upgrade] = ()) -> None:
    """All lines are true, and none is missing if all is known; in any case none of a single update is wrong,

    but of those that may have ended earlier. Where some are not known older ones are listed: `every` has all.
    """
    said_, meant = set(told.splitlines()), set(true.splitlines())
    if "in_progress  1" not in meant:
        said_, meant = ({line for line in each if not _PENDING.match(line)} for each in (said_, meant))
    assert said_ == meant or not whole, f"\n{told}---\n{true}"
    wrong = said_ - meant - set(every.splitlines())
    doubtful = tuple(f"history_duration_seconds {each.from_version} {each.to_version} " for each in late)
    assert all(_DOUBTFUL.match(line) or line.startswith(doubtful) for line in wrong), (
        f"{sorted(wrong)}\n---\n{true}"
    )


def compare_openshift(told: str, true: str, begun: Iterable[float]) -> None:
    """What it says of the nodes is true or missing, but for an end that nobody watched, and for a pool that

    was at something else when it was given the update, and of which it is heard later; not that it had begun
    before the control plane's update, all of which are given.
    """
    said_, meant = (dict(line.rsplit(" ", 1) for line in each.splitlines()) for each in (told, true))
    for name, value in said_.items():
        late = name == "openshift_upgrade_completed_timestamp_seconds workers"
        began = float(meant.get(name, 0))
        busy = name == "openshift_upgrade_started_timestamp_seconds workers" and (
            max((at for at in begun if at <= began), default=began) <= float(value) < began
        )
        assert meant.get(name) == value or late or busy, f"\n{told}---\n{true}"
    for name in meant.keys() - said_.keys():
        assert name.endswith("_timestamp_seconds workers"), f"\n{told}---\n{true}"


def live(seed: int, days: float = DAYS) -> int:
    """One history; how many updates it had.

    Raises:
        AssertionError: something is said that is not so, or not said; names the seed.
    """
    with _nothing_found():
        return _live(seed, days)


@contextmanager
def _nothing_found() -> Iterator[None]:
    """Without the findings, which are no part of this and take half of the time."""
    found = findings.FINDINGS[:]
    findings.FINDINGS.clear()
    try:
        yield
    finally:
        findings.FINDINGS.extend(found)


def _live(seed: int, days: float) -> int:
    random = Random(seed)
    mode = random.choice(MODES)
    life = Life(random, interleaved=random.random() < 0.5, looking=mode != LATE)
    world = World(clock=lambda: life.now)
    kept: list[tuple[History, dict[float, Proved]]] = []
    for step, pause in enumerate(wandering(seed, days, LONGEST).script(world)):
        where = f"seed {seed}, {mode}, step {step}, {(life.now - START).total_seconds():.0f} s"
        try:
            life.carry_out(world)
            meddle(life, mode, kept, random)
            life.passes(pause / 2)
            life.passes(pause / 2)
            check(life, world, strict=mode in {WATCHING, KILLED})
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        kept = [*kept[-_WRITES_LOST:], (life.pipeline.memory.stored, deepcopy(life.oracle.proved))]
    assert not sum(life.pipeline.watching().rule_errors.values())
    return len(life.courses)


def meddle(life: Life, mode: str, kept: list[tuple[History, dict[float, Proved]]], random: Random) -> None:
    """Do to the exporter what it has to stand."""
    happens = random.random()
    if mode == KILLED and happens < 0.2:
        life.leave()
        life.come_back(missed=False)
    elif mode == LOST and happens < 0.2 and kept:
        life.lose(random.choice(kept))
    elif mode == LATE and not life.looking and happens < 0.03:
        life.begin_late()
    elif mode == AWAY and happens < 0.2:
        if life.looking:
            life.leave()
        else:
            life.come_back()
    elif mode == CUT and happens < 0.25:
        if life.cut:
            life.heal()
        else:
            life.cut_off(random.choice(TOLD_BY))


def check(life: Life, world: World, *, strict: bool) -> None:
    """Compare what is said with the truth."""
    truth = world.truth
    if not life.looking or life.cut or truth is None or truth.courses is None:
        return
    records = life.pipeline.facts.operator_upgrade.upgrades.records
    whole = compare(life, records)
    # Asked without another refresh of its own.
    samples = {
        family.name: each for family, each in life.pipeline._page.samples(life.pipeline._facts).items()
    }
    told, true = said_of_updates(samples), expected_of_updates(truth, life.now)
    every = expected_of_updates(truth, life.now, listed=len(truth.courses))
    compare_lines(told, true, every, whole=whole, late=[each for each in records if each.at_most])
    if strict:
        told, true = told + said(samples), true + expected(truth, life.now)
        if not whole:
            # When its VMs were done is all that a kill may cost.
            true = "".join(
                each for each in true.splitlines(keepends=True) if each in told or "workloads" not in each
            )
        assert told == true, f"\n{told}---\n{true}"
    if truth.openshift is not None:
        told, true = said_of_openshift(samples), expected_of_openshift(truth.openshift)
        if strict:
            assert told == true, f"\n{told}---\n{true}"
        if (control := truth.openshift.control.began) is not None:
            life.controls.add(control.timestamp())
        compare_openshift(told, true, life.controls)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"seed {argument}: {live(int(argument))} updates")
