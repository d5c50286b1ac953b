"""How far have OpenShift's updates come on the nodes on which VMs run?

They are updated by pools of machines other than the control plane's, which finish later than that does, or
wait while they are paused: an update from one EUS release to the next keeps them so over two minors. On a
compact cluster and on a single node VMs run on the control plane's nodes, and its pool counts; a cluster
whose control plane is hosted elsewhere has no pools at all.

A pool rolls out an update of OpenShift when not all of its machines have its configuration, and

- the pools have been given the new one: they are all at once, late in the control plane's update, as its own
  pools show; and by the time that is complete they certainly have been, for it waits for that; and
- it has not been Updated since a moment of that update; or since before that, for a node was down or another
  configuration was being rolled out.

One that was given its configuration at another time rolls out a MachineConfig of the administrator. A paused
pool is not in progress, however long its configuration waits. Where another version is asked for on the way a
pool is given one configuration after another; the roll-out ends with the last of those that are the update's.

When a roll-out began and ended is told by the pool's conditions until the next one, or until a node flaps,
and so is remembered: the earliest counts. An end that nobody watched may have been earlier; a beginning that
nothing tells is left out. Who comes when the control plane's pools are through takes it that a pool which has
not been Updated for longer than that was given nothing else before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.history.instants import earliest
from exporter.history.value import History, Observations
from exporter.records.base import unix
from exporter.records.nodes import MACHINE_CONFIG_POOLS, MachineConfigPool, PoolStatus
from exporter.records.openshift import CLUSTER_VERSIONS

SETTLED_SECONDS: Final = 120.0
"""Pools that have not begun this long after the control plane's end had nothing to roll out. A watch that is
silent because it is dead has been found out by then."""

_CONTROL_PLANE_POOLS: Final = {"master", "arbiter"}
_KEPT: Final = 5
"""Updates whose roll-outs are remembered."""

TOGETHER_SECONDS: Final = 60.0
"""So far apart the pools are given a configuration at most; what an administrator has given one of them just
before cannot be told from it."""

_GIVEN: Final = "pool-given"
_OURS: Final = "pool-ours"
_OTHER: Final = "pool-other"
_HAS: Final = "pool-has"
_WATCHED: Final = "pool-watched"
_BEGAN: Final = "workers-began"
_UNSEEN: Final = "workers-unseen"
_DONE: Final = "workers-done"
_EXACT: Final = "workers-exact"
_KINDS: Final = (_GIVEN, _OURS, _OTHER, _HAS, _WATCHED, _BEGAN, _UNSEEN, _DONE, _EXACT)
"""What is remembered: of a pool when it was given an update, which configurations were the update's and which
were not, when it had each, and that this was watched; of all of them when the roll-out began, or that it
began while nobody looked, when it was done, and that this is no upper bound."""


@dataclass(frozen=True)
class Update:
    """One update of the control plane, from its first Partial entry to its Completed one."""

    version: str
    since: float | None
    until: float | None
    """Completed; None while it has not, or where nothing tells when."""
    running: bool = False
    installation: bool = False
    retargeted: float | None = None
    """When another version was asked for on the way, first; None where that was not so."""

    @property
    def name(self) -> str:
        """What its roll-outs are remembered by."""
        return f"{self.since:.0f}" if self.since is not None else f"to-{self.version}"

    def covers(self, moment: float) -> bool:
        """The control plane was being updated then."""
        begun = self.since is not None and self.since <= moment
        lasted = self.running or (self.until is not None and moment <= self.until)
        return begun and lasted and not self.installation


@dataclass(frozen=True)
class Plane:
    """One plane's present update, or its last."""

    running: bool
    began: float | None
    """Of the running one, else of the last; None where nothing tells, or where there was none."""
    completed: float | None
    """The last one's end, an installation counting as one."""
    at_most: bool = False
    """Nobody watched that end: it was then or earlier."""


@dataclass(frozen=True)
class Pool:
    """One pool with machines on which VMs run."""

    name: str
    wants: str
    """The configuration that all of its machines are to have."""
    had: str
    """The last one that all of them had."""
    paused: bool
    has_since: float | None
    """All of its machines have been well, and have had what they are to have, since then."""
    lacks_since: float | None
    """They have not been, or not had it, since then."""
    rolls_since: float | None
    """It has been replacing the configuration of its machines since then."""
    begun: bool
    """Some of its machines have what they are to have."""
    late: Update | None
    """The update of which not all of its machines have what it was given."""
    ended: Update | None
    """The update whose roll-out ended when the pool became Updated."""


@dataclass(frozen=True)
class Workers:
    """What is known of the nodes on which VMs run."""

    plane: Plane | None
    """None where there are no pools."""
    pools: tuple[Pool, ...]
    notes: tuple[tuple[str, float | None], ...]
    """What is to be remembered, and when it was; None is now."""
    remembered: frozenset[str]
    """Names of the updates that are remembered."""

    @property
    def rolling(self) -> tuple[Pool, ...]:
        """Pools that roll out an update now."""
        return tuple(each for each in self.pools if each.late and not each.paused)

    @property
    def waiting(self) -> tuple[Pool, ...]:
        """Pools that are to have an update, and are paused."""
        return tuple(each for each in self.pools if each.late and each.paused)

    @property
    def late(self) -> frozenset[str]:
        """Names of the pools that do not have an update yet."""
        return frozenset(each.name for each in self.pools if each.late)


def derive(
    cluster: Cluster,
    history: History,
    now: float,
    updates: tuple[Update, ...],
    before: frozenset[str] | None,
) -> Workers:
    """The workers' plane.

    Args:
        cluster: the records.
        history: what is remembered.
        now: Unix time.
        updates: those of the control plane, the newest first.
        before: names of the pools that did not have an update a moment ago; None when nobody looked.
    """
    every = cluster[MACHINE_CONFIG_POOLS]
    heard = cluster.hears(MACHINE_CONFIG_POOLS, CLUSTER_VERSIONS)
    pools = tuple(_pool(each, every, updates, history) for each in _of_vms(every))
    running = updates[0] if updates and updates[0].running else None
    given_out = running is not None and _is_given_out(every, running)
    given = _given_at(every, running) if running is not None else None
    look = _Look(pools, updates, history, now, given_out=given_out, given=given, heard=heard, before=before)
    plane = look.plane() if every else None
    return Workers(
        plane=plane,
        pools=pools,
        notes=tuple(look.notes) if heard else (),
        remembered=frozenset(each.name for each in updates[:_KEPT]),
    )


def observe(workers: Workers, seen: Observations) -> None:
    """Remember when roll-outs began and ended."""
    for name, at in workers.notes:
        seen.first(name, at)
    if not workers.remembered:
        # What tells of them is away, and may come back.
        return
    for kind in _KINDS:
        seen.forget(
            name
            for name, rest in seen.known(kind).items()
            if rest.partition("/")[0] not in workers.remembered
        )


# Pool by pool


def _of_vms(every: Iterable[MachineConfigPool]) -> list[MachineConfigPool]:
    """Those with machines on which VMs run."""
    manned = [each for each in every if each.status and (each.status.machine_count or 0) > 0]
    return [each for each in manned if each.name not in _CONTROL_PLANE_POOLS] or manned


def _pool(
    pool: MachineConfigPool,
    every: Iterable[MachineConfigPool],
    updates: tuple[Update, ...],
    history: History,
) -> Pool:
    status = pool.status or PoolStatus()
    late = _late(pool, every, updates, history)
    return Pool(
        name=pool.name,
        wants=(pool.spec and pool.spec.configuration and pool.spec.configuration.name) or "",
        had=(status.configuration and status.configuration.name) or "",
        paused=pool.is_paused,
        has_since=_since(pool, "Updated", holds=True),
        lacks_since=_since(pool, "Updated", holds=False),
        rolls_since=_since(pool, "Updating", holds=True),
        begun=bool(status.updated_machine_count),
        late=late,
        ended=None if late else _ended(pool, updates, history),
    )


def _since(pool: MachineConfigPool, type_: str, *, holds: bool) -> float | None:
    """Since when a condition holds, or does not; None while it is otherwise."""
    found = pool.condition(type_)
    right = found is not None and (found.is_true if holds else found.is_false)
    return unix(found.last_transition_time) if found is not None and right else None


def _late(
    pool: MachineConfigPool,
    every: Iterable[MachineConfigPool],
    updates: tuple[Update, ...],
    history: History,
) -> Update | None:
    """The update of which not all of its machines have what it was given; None when it is no update's."""
    if not pool.is_pending:
        return None
    since = _since(pool, "Updated", holds=False)
    given_out = [each for each in updates if not each.running or _is_given_out(every, each)]
    for each in given_out:
        if since is not None and each.covers(since):
            return each
    for each in given_out:
        if each.installation:
            break
        if each.running:
            return each
        if since is None:
            return None if f"{_DONE}/{each.name}" in history.first else each
        if each.until is not None and since <= each.until:
            return each
    return None


def _is_given_out(every: Iterable[MachineConfigPool], update: Update) -> bool:
    """The control plane's pools have been given a configuration since it began; all pools are at once.

    Where it has none that could tell, whatever a pool is given in the update is the update's.
    """
    planes = [each for each in every if each.name in _CONTROL_PLANE_POOLS]
    return (
        not planes
        or _given_at(planes, update) is not None
        or any((_since(each, "Updated", holds=True) or 0.0) >= _beginning(update) for each in planes)
    )


def _given_at(every: Iterable[MachineConfigPool], update: Update) -> float | None:
    """When they were, while one of them does not have it yet."""
    since = [_since(each, "Updated", holds=False) for each in every if each.name in _CONTROL_PLANE_POOLS]
    return min((at for at in since if at is not None and at >= _beginning(update)), default=None)


def _ended(pool: MachineConfigPool, updates: tuple[Update, ...], history: History) -> Update | None:
    """The update whose roll-out ended when the pool became Updated."""
    since = _since(pool, "Updated", holds=True)
    if since is None or not updates:
        return None
    running = updates[0] if updates[0].running else None
    newest = next((each for each in updates if not each.running), None)

    def may_end(update: Update) -> bool:
        return update.since is None or since >= update.since

    def was_given(update: Update) -> bool:
        return f"{_GIVEN}/{update.name}/{pool.name}" in history.first

    if running is not None and was_given(running) and may_end(running):
        return running
    if newest is None or not may_end(newest):
        return None
    # While the next one runs a node may have flapped in a pool that has got nothing of it yet.
    return newest if running is None or not may_end(running) or was_given(newest) else None


# All of them


class _Look:
    """One look at the pools, with what is remembered of earlier ones."""

    def __init__(
        self,
        pools: tuple[Pool, ...],
        updates: tuple[Update, ...],
        history: History,
        now: float,
        *,
        given_out: bool,
        given: float | None,
        heard: bool,
        before: frozenset[str] | None,
    ) -> None:
        self._pools = pools
        self._running = updates[0] if updates and updates[0].running else None
        self._done = [each for each in updates if not each.running]
        self._first = history.first
        self._now = now
        self._is_given_out = given_out
        self._given = given
        self._heard = heard
        self._before = before if heard else None
        self.notes: list[tuple[str, float | None]] = []

    def plane(self) -> Plane:
        """How far they are."""
        for each in self._pools:
            self._note(each)
        late = [each for each in self._pools if each.late]
        rolling = [each for each in late if not each.paused]
        if rolling:
            return self._rolls(rolling, _oldest(late))
        if late:
            # Those that are not paused have it; the update is complete when all have.
            return self._rests(self._last_began(*self._done), self._end_before(_oldest(late)))
        return self._is_through()

    def _note(self, pool: Pool) -> None:
        if pool.late is not None:
            # What has been completed since was given to it as well.
            for update in {pool.late, *(self._done[:1] if not pool.late.running else ())}:
                self.notes.append((f"{_GIVEN}/{update.name}/{pool.name}", pool.lacks_since))
                self.notes.append((f"{_OURS}/{update.name}/{pool.name}/{pool.wants}", pool.lacks_since))
        elif pool.lacks_since is not None:
            for update in (self._running, *self._done[:1]):
                if update is not None:
                    self.notes.append((f"{_OTHER}/{update.name}/{pool.name}/{pool.wants}", pool.lacks_since))
        elif pool.ended is not None:
            place = f"{pool.ended.name}/{pool.name}/{pool.wants}"
            self.notes.append((f"{_HAS}/{place}", pool.has_since))
            if self._before is not None and pool.name in self._before:
                self.notes.append((f"{_WATCHED}/{place}", pool.has_since))
        update = pool.late or self._running
        if update is not None and self._before is None and self._may_have_begun(pool, update):
            self.notes.append((f"{_UNSEEN}/{update.name}", None))

    def _may_have_begun(self, pool: Pool, update: Update) -> bool:
        """A roll-out of an update that is not complete may have begun there while nobody looked."""
        if f"{_GIVEN}/{update.name}/{pool.name}" in self._first:
            return False
        if pool.late is None:
            return self._is_given_out and (pool.has_since or 0.0) >= _beginning(update)
        if update.retargeted is None or (pool.lacks_since or 0.0) < update.retargeted:
            return False
        # It may have had the version that was asked for before, but not with what it had before all that.
        earlier = (each for each in self._done if each.name != update.name)
        return not any(pool.had in self._configurations(_HAS, each, pool) for each in earlier)

    # Under way

    def _rolls(self, rolling: list[Pool], oldest: Update) -> Plane:
        origin = max((each.late for each in rolling if each.late), key=_beginning)
        # What has been completed since is rolled out with it.
        about = dict.fromkeys((origin, *(self._done[:1] if not origin.running else ())))
        just_now = self._before is not None and self._before.isdisjoint(each.name for each in rolling)
        told = self._told(rolling, origin)
        if told is None and just_now:
            # Nothing but our own eyes tells when.
            told = self._now
        began = earliest(*(self._remembered(_BEGAN, each) for each in about))
        if began is None and not any(self._began_unseen(each) for each in about):
            began = told
        if began is not None:
            self.notes += [(f"{_BEGAN}/{each.name}", began) for each in about]
        return replace(self._rests(began, self._end_before(oldest)), running=True)

    def _began_unseen(self, update: Update) -> bool:
        """Some pool may have begun while nobody looked, or has had a configuration of it already."""
        unseen = f"{_UNSEEN}/{update.name}", None
        return (
            self._remembered(_UNSEEN, update) is not None
            or unseen in self.notes
            or any(
                not self._configurations(_OURS, update, each)
                .keys()
                .isdisjoint({each.had, *self._configurations(_HAS, update, each)})
                for each in self._pools
            )
        )

    def _told(self, rolling: list[Pool], origin: Update) -> float | None:
        """When the first pool began, as far as those that are at it tell."""
        times = [each.rolls_since for each in rolling if each.rolls_since is not None]
        possible = _beginning(origin)
        if origin is self._running and self._given is not None:
            possible = self._given - TOGETHER_SECONDS
        if len(times) < len(rolling) or min(times) < possible:
            # One was at something else when it was given this.
            return None
        given = min([each.lacks_since for each in rolling if each.lacks_since is not None], default=0.0)
        for each in self._pools:
            had_it_first = each.late is None and (each.has_since is None or each.has_since > given)
            if had_it_first or (each.late is not None and each.paused and each.begun):
                # Nothing tells when that one began.
                return None
        return min(times)

    # Over

    def _is_through(self) -> Plane:
        """No pool lacks anything of an update."""
        if not self._done:
            return Plane(running=False, began=None, completed=None)
        update = self._done[0]
        began = self._last_began(update)
        end = self._end(update)
        if self._remembered(_DONE, update) is None and end is not None and end[0] is not None:
            self.notes.append((f"{_DONE}/{update.name}", end[0]))
            if not end[1]:
                self.notes.append((f"{_EXACT}/{update.name}", end[0]))
        # Its control plane has only just got there: until the pools have had their say it is the one before.
        return self._rests(began, self._end_before(update) if end is None else end)

    def _last_began(self, *done: Update) -> float | None:
        """When the last roll-out began: of the update that the control plane is in, or of one of these."""
        for update in (self._running, *done):
            if update is None:
                continue
            began = self._remembered(_BEGAN, update)
            if began is not None:
                return began
            if self._remembered(_UNSEEN, update) is not None:
                return None
            given_out = update is not self._running or self._is_given_out
            if given_out and any(self._may_have_had(each, update) for each in self._pools):
                # It was rolled out there, and nobody saw when that began.
                return None
        return None

    def _may_have_had(self, pool: Pool, update: Update) -> bool:
        """A pool has rolled an update out, or nothing tells that there was nothing to roll out."""
        if pool.late is not None and _beginning(pool.late) <= _beginning(update):
            return False
        if self._configurations(_HAS, update, pool):
            return True
        if self._remembered(_DONE, update) is not None:
            return False
        return pool.late is not None or (pool.has_since or 0.0) >= _beginning(update)

    def _end(self, update: Update) -> tuple[float | None, bool] | None:
        """When all pools had it, and whether it may have been earlier; None while it may be still to come."""
        if self._remembered(_DONE, update) is not None:
            return self._remembered_end(update)
        ends: list[float] = []
        watched, missed = True, False
        for each in self._pools:
            end = self._end_of(each, update)
            if end is not None:
                ends.append(end[0])
                watched = watched and end[1]
            else:
                # One that is well, and has been since before, had nothing to roll out.
                missed = missed or each.has_since is None or each.has_since >= _beginning(update)
        settled = update.until is None or self._now - update.until >= SETTLED_SECONDS
        if ends and not missed:
            return max(ends), not watched
        if not settled or not self._heard:
            return None
        return (None, False) if missed or not self._pools else (update.until, False)

    def _end_of(self, pool: Pool, update: Update) -> tuple[float, bool] | None:
        """When one pool had it, and whether somebody saw that; None where nothing tells."""
        has = self._configurations(_HAS, update, pool)
        ours = self._configurations(_OURS, update, pool)
        others = self._configurations(_OTHER, update, pool).keys() - ours.keys()
        seen = set(self._configurations(_WATCHED, update, pool))
        if pool.ended == update and pool.has_since is not None:
            has[pool.wants] = min(has.get(pool.wants, pool.has_since), pool.has_since)
            if self._before is not None and pool.name in self._before:
                seen.add(pool.wants)
        if not has:
            return None
        strange = has.keys() - ours.keys() - others
        if strange or not has.keys() & ours.keys():
            # Nobody saw what it was given: this may be the update's, or have followed it.
            return max(has[each] for each in strange or has), False
        last = max(has.keys() & ours.keys(), key=lambda each: has[each])
        return has[last], last in seen

    def _configurations(self, kind: str, update: Update, pool: Pool) -> dict[str, float]:
        """What is remembered of the configurations of a pool in an update, by their names."""
        prefix = f"{kind}/{update.name}/{pool.name}/"
        return {name.removeprefix(prefix): at for name, at in self._first.items() if name.startswith(prefix)}

    def _end_before(self, update: Update) -> tuple[float | None, bool]:
        """The last end that is remembered of those before an update."""
        for each in self._done:
            if _beginning(each) < _beginning(update) and self._remembered(_DONE, each) is not None:
                return self._remembered_end(each)
        return None, False

    # What is remembered

    def _remembered_end(self, update: Update) -> tuple[float | None, bool]:
        return self._remembered(_DONE, update), f"{_EXACT}/{update.name}" not in self._first

    def _remembered(self, kind: str, update: Update) -> float | None:
        return self._first.get(f"{kind}/{update.name}")

    def _rests(self, began: float | None, end: tuple[float | None, bool]) -> Plane:
        return Plane(running=False, began=began, completed=end[0], at_most=end[1])


def _beginning(update: Update) -> float:
    return update.since or 0.0


def _oldest(late: list[Pool]) -> Update:
    return min((each.late for each in late if each.late), key=_beginning)
