"""Upgrades of the operator as they are remembered: one record each, which merge.

A record's instants come from the API, so all observers come to the same; of what only a watch can tell the
earliest counts. The newest records are kept one by one. Older ones that have ended are folded, in the order
of their beginnings, into what the histogram needs of them, with a frontier: a merge takes the folded part
with the later frontier and ignores records at or before it. So the value stays small, and merging
commutative, associative and idempotent, also between replicas that folded at different times. What is added
is folded; what is only merged may hold more records for a while.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from exporter.history.instants import earliest

RECORDS_LIMIT: Final = 50
"""Records that are kept one by one."""

FAILURES_LIMIT: Final = 50
"""Failed attempts of one upgrade that are told apart; an install timeout takes five minutes."""

BUCKETS: Final = (60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
"""Upper bounds, in seconds."""

COMPLETED: Final = "completed"
FAILED: Final = "failed"
SUPERSEDED: Final = "superseded"
OUTCOMES: Final = (COMPLETED, FAILED, SUPERSEDED)


class Stretch(NamedTuple):
    """A stage's beginning and end; None where nothing tells."""

    since: float | None
    until: float | None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.since is None or self.until is None:
            return None
        return max(0.0, self.until - self.since)


class Upgrade(msgspec.Struct, frozen=True, omit_defaults=True):
    """One upgrade of the operator: to one ClusterServiceVersion, or one plan that never made any.

    All times are Unix seconds; None where nothing tells.
    """

    uid: str
    """Of the ClusterServiceVersion, else of the plan that never made any."""
    started: float
    """S: its ClusterServiceVersion was created, else its plan begun to be installed; the same for every
    observer, for the frontier rests on it."""
    csv: str = ""
    from_version: str = ""
    to_version: str = ""
    offered: float | None = None
    """A: it became available."""
    whole: bool = False
    """Somebody has seen its history of phases from the beginning."""
    gated: bool = False
    """It had to wait because its predecessor's OperatorCondition forbade it."""
    opened: float | None = None
    """G, of a gated one: it had to wait no longer."""
    installed: float | None = None
    """O: its ClusterServiceVersion first succeeded."""
    completed: float | None = None
    """E: all operands were rolled out."""
    at_most: bool = False
    """Nobody saw E: it was then or earlier."""
    arrived: bool = False
    """It has reached E, at whatever time."""
    workloads: float | None = None
    """W: no VM was left to be moved into a new launcher."""
    settled: bool = False
    """It has reached W, at whatever time."""
    gone: float | None = None
    """It ended like this without having reached E."""
    superseded: bool = False
    """Something newer took its place then."""
    lost: bool = False
    """It has ended while nobody looked, and nothing tells how."""
    target: str = ""
    """The version that HyperConverged is to have."""
    same_version: bool | None = None
    """HyperConverged had that version before: the operator alone is replaced."""
    of_plan: bool = False
    """Its plan failed before it had made the ClusterServiceVersion."""
    plan_failed: float | None = None
    """Its plan failed for good then."""
    failures: tuple[float, ...] = ()
    """When attempts to install it failed; a second one of the same second is a millisecond later."""
    missed: bool = False
    """Some attempts may have failed unseen."""
    approver: str = ""
    """Who approved its plan, by the name under which the API server knows the client."""

    @property
    def key(self) -> tuple[float, str]:
        """Its place among the others."""
        return self.started, self.uid

    @property
    def outcome(self) -> str:
        """How it ended; empty while it has not, or when nothing tells."""
        if self.completed is not None or self.arrived:
            return COMPLETED
        if self.gone is None:
            return ""
        return SUPERSEDED if self.superseded else FAILED

    @property
    def has_ended(self) -> bool:
        """It is not under way any more."""
        return bool(self.outcome) or self.lost

    @property
    def end(self) -> float | None:
        """E, or what stands for it."""
        if self.completed is not None or self.arrived:
            return self.completed
        return self.gone

    @property
    def approval(self) -> Stretch:
        """It waited to be approved."""
        return Stretch(self.offered, self.started)

    @property
    def gate(self) -> Stretch:
        """It waited for its predecessor to allow it."""
        return Stretch(self.started, self.gate_opened)

    @property
    def install(self) -> Stretch:
        """OLM installed it."""
        until = self.installed if self.installed is not None or self.outcome == COMPLETED else self.end
        return Stretch(self.gate_opened, until)

    @property
    def rollout(self) -> Stretch:
        """The operands were rolled out."""
        since = self.installed
        if since is None and self.outcome not in {"", COMPLETED}:
            # It ended before that began.
            since = self.end
        return Stretch(since, self.end)

    @property
    def workload_update(self) -> Stretch:
        """VMs were moved into new launchers; of one that reached the end of its roll-out."""
        if self.outcome in {FAILED, SUPERSEDED}:
            return Stretch(self.end, self.end)
        return Stretch(self.completed, self.workloads)

    @property
    def duration(self) -> float | None:
        """Seconds of install and rollout together; None while it is under way, and where nothing tells."""
        return Stretch(self.gate_opened, self.end).seconds if self.outcome else None

    @property
    def gate_opened(self) -> float | None:
        """G; of one that never was held the same as S, and None while it is."""
        if not self.gated:
            # Of one that came up while nobody looked nobody knows what it waited for meanwhile.
            unseen = self.outcome == COMPLETED and self.installed is None
            return self.started if self.whole and not unseen else None
        ended_behind_it = self.opened is None and self.outcome in {FAILED, SUPERSEDED}
        return self.end if ended_behind_it else self.opened

    def bounded(self) -> Upgrade:
        """With no more failures than are kept."""
        if len(self.failures) <= FAILURES_LIMIT:
            return self
        return msgspec.structs.replace(self, failures=self.failures[:FAILURES_LIMIT])

    def merge(self, other: Upgrade) -> Upgrade:
        """What both know."""
        return Upgrade(
            uid=self.uid,
            started=min(self.started, other.started),
            csv=max(self.csv, other.csv),
            from_version=max(self.from_version, other.from_version),
            to_version=max(self.to_version, other.to_version),
            offered=earliest(self.offered, other.offered),
            whole=self.whole or other.whole,
            gated=self.gated or other.gated,
            opened=earliest(self.opened, other.opened),
            installed=earliest(self.installed, other.installed),
            completed=earliest(self.completed, other.completed),
            at_most=_at_most(self, other),
            arrived=self.arrived or other.arrived,
            workloads=earliest(self.workloads, other.workloads),
            settled=self.settled or other.settled,
            gone=earliest(self.gone, other.gone),
            superseded=_superseded(self, other),
            lost=self.lost or other.lost,
            target=max(self.target, other.target),
            same_version=_either(self.same_version, other.same_version),
            of_plan=self.of_plan or other.of_plan,
            plan_failed=earliest(self.plan_failed, other.plan_failed),
            failures=tuple(sorted({*self.failures, *other.failures}))[:FAILURES_LIMIT],
            missed=self.missed or other.missed,
            approver=max(self.approver, other.approver),
        )


class Durations(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Durations as a histogram holds them."""

    counts: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    """By bucket, not added up; the last is for what is longer than all."""
    total: float = 0.0

    def add(self, seconds: float) -> Durations:
        """With one more."""
        counts = list(self.counts)
        counts[bisect_left(BUCKETS, seconds)] += 1
        return Durations(tuple(counts), self.total + seconds)


class Folded(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Upgrades up to the frontier."""

    frontier: tuple[float, str]
    durations: tuple[Durations, ...] = (Durations(),) * len(OUTCOMES)
    """By outcome, in the order of OUTCOMES."""

    def __post_init__(self) -> None:
        """Refuse what does not fit: of a text that says so nothing is to be believed.

        Raises:
            ValueError: it has not a count for each bucket of each outcome.
        """
        if {len(each.counts) for each in self.durations} != {len(BUCKETS) + 1} or len(self.durations) != len(
            OUTCOMES
        ):
            raise ValueError("it has not a count for each bucket of each outcome")


class Upgrades(msgspec.Struct, frozen=True, omit_defaults=True):
    """All upgrades that are remembered."""

    records: tuple[Upgrade, ...] = ()
    """Later than the frontier, in the order of their beginnings."""
    folded: Folded | None = None

    def find(self, uid: str) -> Upgrade | None:
        """The record of a ClusterServiceVersion."""
        return next((each for each in self.records if each.uid == uid), None)

    def merge(self, other: Upgrades) -> Upgrades:
        """What both know."""
        folded = max((each.folded for each in (self, other) if each.folded is not None), default=None)
        known: dict[str, Upgrade] = {}
        for each in (*self.records, *other.records):
            if folded is None or each.key > folded.frontier:
                before = known.get(each.uid)
                known[each.uid] = each if before is None else before.merge(each)
        merged = Upgrades(tuple(sorted(known.values(), key=lambda each: each.key)), folded)
        return self if merged == self else merged

    def add(self, seen: Iterable[Upgrade]) -> Upgrades:
        """With what is seen now; the same value when that is nothing new."""
        merged = self.merge(Upgrades(tuple(each.bounded() for each in seen)))
        return merged if merged is self else merged.fold()

    def fold(self) -> Upgrades:
        """Small again: of too many the oldest are folded, as far as all before them have ended."""
        records, folded = list(self.records), self.folded
        while len(records) > RECORDS_LIMIT and (records[0].has_ended or len(records) > 2 * RECORDS_LIMIT):
            folded = _with(folded, records.pop(0))
        return self if folded is self.folded else Upgrades(tuple(records), folded)

    def durations(self) -> dict[str, Durations]:
        """Of all upgrades that have ended, by outcome."""
        folded = self.folded
        for each in self.records:
            folded = _with(folded, each)
        found = folded.durations if folded else Folded((0.0, "")).durations
        return dict(zip(OUTCOMES, found, strict=True))


def _with(folded: Folded | None, upgrade: Upgrade) -> Folded:
    durations = list(folded.durations if folded else Folded(upgrade.key).durations)
    seconds = upgrade.duration
    if upgrade.outcome and seconds is not None:
        place = OUTCOMES.index(upgrade.outcome)
        durations[place] = durations[place].add(seconds)
    return Folded(upgrade.key, tuple(durations))


def _either(one: bool | None, other: bool | None) -> bool | None:
    known = [each for each in (one, other) if each is not None]
    return any(known) if known else None


def _superseded(one: Upgrade, other: Upgrade) -> bool:
    """By the earlier of two ends; of two alike what somebody knows."""
    ends = [each.gone for each in (one, other) if each.gone is not None]
    return any(each.superseded for each in (one, other) if not ends or each.gone == min(ends))


def _at_most(one: Upgrade, other: Upgrade) -> bool:
    """The earlier end is the one that counts; of two alike the one that was seen."""
    if one.completed is None or other.completed is None:
        known = [each.at_most for each in (one, other) if each.completed is not None]
        return any(known or (one.at_most, other.at_most))
    if one.completed == other.completed:
        return one.at_most and other.at_most
    return one.at_most if one.completed < other.completed else other.at_most
