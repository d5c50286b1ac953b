"""Who asked for a migration, how did it end, and which VMs cannot be got away?

A migration is an object of its own, a VirtualMachineInstanceMigration. Who asked for it is in its
annotations: a drain, the update of workloads, or neither of these. The updater of workloads also moves
volumes and hot-plugged devices: those carry a label, or from KubeVirt 1.7 on another priority.

A VM that is started again begins anew: what failed in the life before says nothing about this one.

Finished ones are deleted but for the newest five of each VM, so what they amount to is counted as they
end, each once, and remembered (`exporter/history/tally.py`).

Migrations under way fail when virt-handler is replaced (kubevirt `docs/updates.md`), so failures between
the beginning of a roll-out of KubeVirt and ten minutes after its end say nothing about a VM.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from exporter.records.base import unix
from exporter.records.machines import VirtualMachineInstanceMigration as Migration

WORKLOAD_UPDATE: Final = "workload_update"
EVACUATION: Final = "evacuation"
OTHER: Final = "other"
ORIGINS: Final = (WORKLOAD_UPDATE, EVACUATION, OTHER)

SUCCESS: Final = "Succeeded"
"""The phase in which a migration that went well stays."""
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
ENDS: Final = (SUCCEEDED, FAILED)

IN_A_ROW: Final = 3
"""Failures since the last success that make a VM a failing one."""

AFTER_ROLLOUT_SECONDS: Final = 600.0
"""A failure within this time of a roll-out of virt-handler is the roll-out's."""

UNSCHEDULABLE_SECONDS: Final = 60.0
"""A target pod that is not scheduled within this time has nowhere to go; normally it takes seconds."""

RECENT_SECONDS: Final = 3600.0
"""A failed evacuation belongs to a drain for so long, where nothing tells when the node was cordoned."""

QUOTA: Final = "quota"
MIGRATION_BLOCKED: Final = "migration_blocked"
NO_TARGET: Final = "no_target"
REPEATED_FAILURE: Final = "repeated_failure"
EVACUATION_MARK: Final = "evacuation_mark"

_BLOCKED: Final = ("migrationBlockedByUtilityVolumes", "migrationBlockedByBackup")


class Window(NamedTuple):
    """A roll-out of KubeVirt: from when to when."""

    since: float
    ended: float
    """While it is under way, when it will have taken too long."""

    def covers(self, moment: float) -> bool:
        """What ended then may have ended because of it."""
        return self.since <= moment <= self.ended + AFTER_ROLLOUT_SECONDS


End: TypeAlias = tuple[str, str]
"""Who asked for a migration that has ended, and how it did."""


class Finished(NamedTuple):
    """One migration that has ended."""

    origin: str
    end: str
    at: float
    uid: str


def origin(migration: Migration) -> str:
    """Who asked for it."""
    metadata = migration.metadata
    said = metadata.annotations
    if said is None:
        return OTHER
    if said.evacuation is not None:
        return EVACUATION
    moves_volumes = metadata.labels is not None and metadata.labels.volume_update is not None
    by_hotplug = migration.spec is not None and migration.spec.priority == "user-triggered"
    updates = said.workload_update is not None and not moves_volumes and not by_hotplug
    return WORKLOAD_UPDATE if updates else OTHER


def finished(migration: Migration) -> Finished | None:
    """How it ended; None while it is under way."""
    if not migration.is_finished:
        return None
    end = SUCCEEDED if migration.phase == SUCCESS else FAILED
    return Finished(origin(migration), end, migration.ended, migration.metadata.uid or migration.name)


def of_this_life(migrations: Iterable[Migration], born: float | None) -> list[Migration]:
    """Migrations of an instance, and not of one of its name that was there before it."""
    return [
        each
        for each in migrations
        if born is None or (made := unix(each.metadata.creation_timestamp)) is None or made >= born
    ]


def _since_last_success(migrations: Collection[Migration]) -> list[Migration]:
    """Those that are under way, or failed after the last that succeeded."""
    ends = [each.ended for each in migrations if each.phase == SUCCESS]
    last = max(ends, default=float("-inf"))
    return [
        each for each in migrations if each.phase != SUCCESS and (not each.is_finished or each.ended > last)
    ]


def failing(migrations: Iterable[Migration], rollouts: Sequence[Window]) -> tuple[str, ...]:
    """Origins whose migrations of one VM keep failing."""
    ends = sorted((each for each in map(finished, migrations) if each), key=lambda each: (each.at, each.uid))
    failures: dict[str, int] = {}
    for each in ends:
        if each.end == SUCCEEDED:
            failures.clear()
        elif not any(rollout.covers(each.at) for rollout in rollouts):
            failures[each.origin] = failures.get(each.origin, 0) + 1
    return tuple(each for each in ORIGINS if failures.get(each, 0) >= IN_A_ROW)


class Stuck(NamedTuple):
    """Why a VM that could be migrated does not get away; empty when nothing is in its way yet."""

    cause: str
    due: float | None
    """Unix time at which to look again, nothing else happening."""


def stuck(
    migrations: Collection[Migration],
    *,
    marked: bool,
    cordoned: bool,
    since: float | None,
    failing: bool,
    now: float,
) -> Stuck:
    """What holds a VM that is to leave its node.

    Args:
        migrations: all of this VM.
        marked: the instance is marked for eviction from its node.
        cordoned: its node is cordoned.
        since: Unix time of the cordon, where it is known.
        failing: its migrations keep failing.
        now: Unix time.
    """
    # A drain of long ago is not the present one.
    begun = now - RECENT_SECONDS if since is None else since
    evacuating = cordoned and any(
        origin(each) == EVACUATION and (not each.is_finished or each.ended >= begun)
        for each in _since_last_success(migrations)
    )
    if not marked and not evacuating:
        return Stuck("", None)
    under_way = [each for each in migrations if not each.is_finished]
    if any(each.is_true("migrationRejectedByResourceQuota") for each in under_way):
        return Stuck(QUOTA, None)
    if any(each.is_true(type_) for each in under_way for type_ in _BLOCKED):
        return Stuck(MIGRATION_BLOCKED, None)
    scheduling = [each.entered for each in under_way if each.phase == "Scheduling"]
    due = min((each + UNSCHEDULABLE_SECONDS for each in scheduling if each is not None), default=None)
    if due is not None and due <= now:
        return Stuck(NO_TARGET, None)
    if failing:
        return Stuck(REPEATED_FAILURE, due)
    return Stuck(EVACUATION_MARK if marked and not cordoned else "", due)
