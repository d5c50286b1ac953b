"""When had an update of the operator moved all VMs into new launchers?

W is the moment since which no VM that could be migrated has been in an earlier launcher, after E; the
beginning of the next update at the latest, and the same as E where no method is enabled. Nothing but looking
on tells it, so who was away does not know it. It is settled once it has held for a minute: what is told of
VMs may come later than what is told of HyperConverged."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from exporter.history.upgrades import COMPLETED, Upgrade, Upgrades
from exporter.history.value import History, Observations

SETTLES_SECONDS: Final = 60.0

_LEFT: Final = "workloads"
_SOME: Final = "some"
_AGAIN: Final = "again"
"""Some were left when somebody looked who had been away since E."""
_NONE: Final = "none"
_FOUND: Final = "found"
"""None were left when somebody looked for the first time after having been away."""


def observe(
    history: History,
    seen: Observations,
    known: Upgrades,
    *,
    looks_on: bool,
    methods: frozenset[str] | None,
    outdated: int | None,
) -> None:
    """Remember when no VM was left.

    Args:
        history: what is remembered.
        seen: what is added to it.
        known: the updates, with what has just been seen of them.
        looks_on: VMs were counted a moment ago, and nothing has happened to them unseen since.
        methods: by which VMs are moved into new launchers; None where nothing says.
        outdated: VMs that are still to be moved; None where nothing tells.
    """
    now = float(int(seen.now))
    for each, later in zip_longest(known.records, known.records[1:]):
        if each.outcome != COMPLETED or each.settled:
            continue
        overtaken = later is not None and each.completed is not None and later.started <= each.completed
        if overtaken or (methods is not None and not methods):
            seen.upgrade(_settled(each, each.completed))
            continue
        stored = history.upgrades.find(each.uid)
        # Of an end that was only found the rest may have ended before as well.
        found = each.at_most and (stored is None or stored.outcome != COMPLETED)
        watched = looks_on and not found
        name = f"{_LEFT}/{each.uid}"
        before = history.latest.get(name)
        left, at = (before.text, before.at) if before is not None else ("", now)
        if later is None and outdated is not None:
            after = _left(left, at, now, outdated, watched=watched or now <= (each.completed or 0.0))
            left, at = after, (at if after == left else now)
            seen.latest(name, left, at)
        since = None if each.completed is None else max(at, each.completed)
        if later is not None:
            # That VMs are left when another one begins proves nothing to who has been away: a plan in between
            # may have failed, and be gone.
            ends = {_NONE: since, _SOME: later.started if watched else None}
            at_last = ends.get(left)
            seen.upgrade(_settled(each, None if at_last is None else min(at_last, later.started)))
        elif left in {_NONE, _FOUND} and now - at >= SETTLES_SECONDS:
            seen.upgrade(_settled(each, since if left == _NONE else None))
    gone = {each.uid for each in known.records if not each.settled}
    seen.forget(name for name, uid in seen.known(_LEFT).items() if uid not in gone)


def _left(left: str, at: float, now: float, outdated: int, *, watched: bool) -> str:
    """Whether VMs are left, from what was so since a moment, and what is so now."""
    if outdated:
        return _SOME if watched and left != _AGAIN else _AGAIN
    if left == _NONE:
        # Killed meanwhile, it may go on; away for longer, much may have happened.
        return _NONE if watched or now - at <= SETTLES_SECONDS else _FOUND
    if left == _FOUND:
        return _FOUND
    return _NONE if watched else _FOUND


def _settled(record: Upgrade, workloads: float | None) -> Upgrade:
    return Upgrade(uid=record.uid, started=record.started, workloads=workloads, settled=True)
