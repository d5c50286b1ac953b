"""What do the objects tell of updates of the operator, and what of it is remembered?

One record for each ClusterServiceVersion that came by an update (`exporter/facts/operator_upgrade.py` says
which instants it holds), or for a plan that failed before it had made any. What the objects tell now is added
to what is remembered; once the outcome is known, nothing that happens later changes it.

An installation is no update (`exporter/facts/installation.py`). Flaps of an installed ClusterServiceVersion,
after a restart, a drain or a rotated certificate, begin nothing.

An update that never gets there ends when its ClusterServiceVersion is deleted or replaced: superseded when
something newer takes its place, else failed. That a newer one waits behind the gate replaces nothing yet: it
may wait for the end of this one. One whose plan fails before it has made any (its first step is refused)
began when the plan did, and ends with the plan, or with what is tried next
(`exporter/facts/failed_plans.py`). What happened while nobody looked is left open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from exporter.facts import semver, upgrade_workloads
from exporter.facts.arrival import Arrival, End, announced, progressing_ended, version_of
from exporter.facts.cluster import Cluster
from exporter.facts.failed_plans import failed_plans, upgrade_of
from exporter.facts.installation import Beginnings, plan_of
from exporter.facts.package import Package, family, identity
from exporter.facts.pending import Pending
from exporter.facts.rollout import RESTS_ON as ROLLOUT
from exporter.facts.rollout import Rollout
from exporter.history.instants import earliest
from exporter.history.upgrades import Upgrade, Upgrades
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.base import condition, unix
from exporter.records.events import EVENTS
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
    ClusterServiceVersion,
    InstallPlan,
)
from exporter.records.virtualization import HYPERCONVERGEDS

RESTS_ON: Final[tuple[Resource[Any], ...]] = (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
    INSTALL_PLANS,
)
"""What has to be known to tell anything."""
TOLD_BY: Final[tuple[Resource[Any], ...]] = (HYPERCONVERGEDS, EVENTS)
"""Where these may not be read nothing tells the end, and an update stays in its roll-out."""

_REPLACED: Final = {"Replacing", "Deleting"}
_INSTANTS: Final = ("offered", "opened", "installed", "completed", "gone", "plan_failed")
CLOCKS_APART_SECONDS: Final = 3600.0
"""No time that the API tells is further ahead than this, but by mistake: then it is not known."""
AWAY_SECONDS: Final = 60.0
"""After which a HyperConverged that is gone is not expected back: with it the roll-out was called off."""
_AWAY: Final = "hyperconverged-away"
_SAME_SECOND: Final = 0.001
"""Apart are attempts that failed within one second, which is all that the API tells."""


def observe(
    cluster: Cluster,
    history: History,
    seen: Observations,
    *,
    package: Package,
    rollout: Rollout,
    pending: Pending,
    before: frozenset[str] | None,
    methods: frozenset[str] | None,
    outdated: int | None,
    counted: bool,
) -> None:
    """Remember what can be seen of updates now.

    Args:
        cluster: the records.
        history: what is remembered.
        seen: what is added to it.
        package: what is ours.
        rollout: how far the operator's versions have come.
        pending: the pending update.
        before: uids of our ClusterServiceVersions a moment ago; None when nobody looked.
        methods: by which VMs are moved into new launchers; None where nothing says.
        outdated: VMs that are still to be moved into a new launcher; None where nothing tells.
        counted: they were counted a moment ago.
    """
    if not can_look(cluster) or _is_installation(rollout, history):
        return
    now = float(int(seen.now))
    _observe_absence(cluster, history, seen, package)
    looked = look(cluster, history, seen.now, package, rollout, before)
    for each in looked:
        seen.upgrade(_with_offer(each, pending, history))
    known = history.upgrades.add(looked)
    csvs = {identity(each) for each in package.csvs}
    plans = failed_plans(package)
    for number, each in enumerate(known.records):
        stored = history.upgrades.find(each.uid)
        if each.uid in plans:
            continue
        if each.uid in csvs:
            at_hand = before is not None and each.uid in before and cluster.hears(*ROLLOUT)
            if each.arrived and each.completed is None and at_hand and not (stored and stored.arrived):
                # Nothing but our own eyes tells when.
                seen.upgrade(_note(each, completed=now, at_most=each.at_most))
        elif not each.has_ended and cluster.known(CLUSTER_SERVICE_VERSIONS) and cluster.hears(*ROLLOUT):
            seen.upgrade(_vanished(each, cluster, package, known.records[number + 1 :], now, before))
    heard = cluster.hears(VIRTUAL_MACHINE_INSTANCES)
    upgrade_workloads.observe(
        history,
        seen,
        known,
        looks_on=before is not None and counted and heard and cluster.hears(*RESTS_ON),
        methods=methods,
        outdated=outdated if heard else None,
    )


def _observe_absence(cluster: Cluster, history: History, seen: Observations, package: Package) -> None:
    """Remember since when there is no HyperConverged any more while an update is under way."""
    rolled_out = any(
        each.same_version is not None and not each.has_ended for each in history.upgrades.records
    )
    if rolled_out and package.hyperconverged is None and cluster.known(HYPERCONVERGEDS):
        seen.first(_AWAY)
    else:
        seen.forget([_AWAY])


def can_look(cluster: Cluster) -> bool:
    """All that tells of updates is known, or will not be."""
    return cluster.decided(*RESTS_ON) and cluster.answered(*TOLD_BY)


def _is_installation(rollout: Rollout, history: History) -> bool:
    """Nothing has been there that could have been updated."""
    return rollout.first and not history.upgrades.records


def look(
    cluster: Cluster,
    history: History,
    now: float,
    package: Package,
    rollout: Rollout,
    before: frozenset[str] | None,
) -> list[Upgrade]:
    """What the objects tell of updates, with what is remembered.

    Args:
        cluster: the records.
        history: what is remembered.
        now: Unix time.
        package: what is ours.
        rollout: how far the operator's versions have come.
        before: uids of our ClusterServiceVersions a moment ago; None when nobody looked.
    """
    if not can_look(cluster) or _is_installation(rollout, history):
        return []
    away = history.first.get(_AWAY)
    given_up = away is not None and now - away >= AWAY_SECONDS
    watcher = _Look(cluster, history.upgrades, package, rollout, before, given_up=given_up)
    # What a failed plan began with is told by the ClusterServiceVersions that were there then; and what came
    # after it ends it only while it is there.
    heard = cluster.hears(CLUSTER_SERVICE_VERSIONS, INSTALL_PLANS)
    failed = failed_plans(package).values() if heard else ()
    plans = (upgrade_of(each, history.upgrades, package, before) for each in failed)
    latest = now + CLOCKS_APART_SECONDS
    found = (*watcher.records(), *(each for each in plans if each is not None))
    return [_believable(each, latest) for each in found if each.started <= latest]


def _believable(record: Upgrade, latest: float) -> Upgrade:
    """Without what is told to have been after the latest time that can be."""
    wrong = {name: None for name in _INSTANTS if (getattr(record, name) or 0.0) > latest}
    failures = tuple(at for at in record.failures if at <= latest)
    missed = record.missed or len(failures) < len(record.failures)
    return replace(record, **wrong, failures=failures, missed=missed) if wrong or missed else record


class _Look:
    """The objects of one moment."""

    def __init__(
        self,
        cluster: Cluster,
        upgrades: Upgrades,
        package: Package,
        rollout: Rollout,
        before: frozenset[str] | None,
        *,
        given_up: bool,
    ) -> None:
        self._cluster = cluster
        self._beginnings = Beginnings(cluster, upgrades, package, rollout.anew, before)
        self._upgrades = upgrades
        self._package = package
        self._hyperconverged = package.hyperconverged
        self._before = before
        self._hears = cluster.hears(*ROLLOUT)
        self._given_up = given_up

    def records(self) -> Iterator[Upgrade]:
        """A record for each ClusterServiceVersion that came by an update."""
        for csv in self._package.csvs:
            started = unix(csv.metadata.creation_timestamp)
            if started is not None and self._beginnings.is_update(csv, started):
                yield self._record(csv, started)

    # What does it tell?

    def _record(self, csv: ClusterServiceVersion, started: float) -> Upgrade:
        uid = identity(csv)
        known = self._upgrades.find(uid)
        watched = self._before is not None and uid in self._before
        plan = plan_of(csv, self._package)
        same = self._same_version(csv, known)
        begun = known is not None and known.whole and not known.missed
        unbroken = csv.is_whole or (begun and (watched or _overlaps(csv, known)))
        installed, failures = _attempts(csv, started, known, plan, unbroken=unbroken)
        # Of a version that is replaced its own history of phases may not tell whether it ever came up.
        succeeded = installed is not None if unbroken else csv.has_succeeded
        # One that was deleted for good is not waited for.
        expected = None if self._given_up else same
        arrival = Arrival(
            self._cluster, self._hyperconverged, csv, succeeded=succeeded, same_version=expected
        )
        arrived = arrival.reached
        if known is not None and known.outcome and not known.at_most:
            arrived = known.arrived
        end = self._end(arrival, known, installed, succeeded=succeeded, watched=watched)
        if end.at is not None and installed is not None:
            installed = min(installed, end.at)
        elif end.at is not None and arrived and not succeeded and self._hears:
            # The operands are through before all operators are up.
            installed = end.at
        if installed is not None:
            failures = tuple(each for each in failures if each <= installed)
        gated, opened = _gate(csv)
        # What may have arrived before anybody looked was not replaced before it had.
        over = arrived or end.at_most or (known is not None and bool(known.outcome))
        gone = None if over else self._replaced_at(csv, arrival, succeeded=succeeded)
        offered = unix(plan.metadata.creation_timestamp) if plan else None
        failed = unix(plan.failed_at) if plan is not None else None
        return Upgrade(
            uid=uid,
            started=started,
            csv=csv.name,
            from_version=(known and known.from_version) or self._beginnings.version_before(csv, started),
            to_version=csv.version,
            offered=None if offered is None else min(offered, started),
            whole=csv.is_whole,
            gated=gated,
            opened=None if opened is None else max(opened, started),
            installed=installed,
            completed=end.at,
            at_most=end.at_most,
            arrived=arrived,
            gone=gone,
            superseded=gone is not None,
            target=version_of(csv),
            same_version=same,
            plan_failed=None if failed is None else max(failed, started),
            failures=failures,
            missed=not unbroken,
            approver=plan.approver if plan else "",
        )

    def _end(
        self,
        arrival: Arrival,
        known: Upgrade | None,
        installed: float | None,
        *,
        succeeded: bool,
        watched: bool,
    ) -> End:
        """E as it is remembered, or as the objects tell."""
        if known is not None and known.outcome and not known.at_most:
            # What is over stays as it is: much may happen to its objects.
            return End(known.completed)
        followed = watched and known is not None and not known.at_most
        if not arrival.reached:
            # Who looks for the first time in the middle of something cannot tell whether it is the first.
            return End(None, at_most=not followed and succeeded and not arrival.is_first)
        told = arrival.end(installed, watched=followed)
        if known is None or known.completed is None or (told.at or known.completed) < known.completed:
            return told
        return End(known.completed, at_most=told.at_most or told.at != known.completed)

    def _same_version(self, csv: ClusterServiceVersion, known: Upgrade | None) -> bool | None:
        """HyperConverged had the version that it is to have before; None where nothing tells."""
        hyperconverged = self._hyperconverged
        if known is not None and known.same_version is not None:
            return known.same_version
        if hyperconverged is None or not hyperconverged.operator_version or not self._hears:
            return None
        if hyperconverged.operator_version != version_of(csv):
            return False
        comes = self._before is not None and identity(csv) not in self._before and not csv.has_succeeded
        if comes or not csv.has_begun:
            # Before the new operator can have written anything.
            return True
        before = next((each for each in self._package.csvs if each.name == csv.replaces), None)
        return None if before is None else version_of(before) == version_of(csv)

    def _replaced_at(self, csv: ClusterServiceVersion, arrival: Arrival, *, succeeded: bool) -> float | None:
        """When another one took its place before it had arrived."""
        successor = next((each for each in self._package.csvs if each.replaces == csv.name), None)
        if successor is None or csv.phase not in _REPLACED or not self._hears:
            # What nobody has heard of for too long may have arrived by now.
            return None
        begun = _begun_at(successor)
        said = arrival.operator_condition
        override = condition(said.overrides, "Upgradeable") if said is not None else None
        forced = override is not None and override.is_true
        if succeeded and not forced and arrival.word is not None and not successor.has_succeeded:
            # OLM goes on because the operator allows it: then HyperConverged is about to say that it arrived.
            return None
        return begun


def _begun_at(csv: ClusterServiceVersion) -> float | None:
    """When its installation began; None while it has not."""
    if not csv.has_begun:
        return None
    held, opened = _gate(csv)
    return opened if held else unix(csv.metadata.creation_timestamp)


def _attempts(
    csv: ClusterServiceVersion,
    started: float,
    known: Upgrade | None,
    plan: InstallPlan | None,
    *,
    unbroken: bool,
) -> tuple[float | None, tuple[float, ...]]:
    """O, and when attempts failed before it.

    `unbroken` is a history of phases of which nothing has been lost that is not remembered.
    """
    if known is not None and known.installed is not None:
        return known.installed, known.failures
    if not unbroken:
        return None, ()
    succeeded = unix(csv.first_succeeded)
    failures: list[float] = []
    for each in csv.changes:
        at = unix(each.last_transition_time)
        if each.phase == "Succeeded":
            break
        if each.phase == "Failed" and at is not None and (succeeded is None or at <= succeeded):
            at = max(started, at)
            while at in failures:
                at = round(at + _SAME_SECOND, 3)
            failures.append(at)
    if plan is not None and plan.failed:
        failures.append(max(started, unix(plan.failed_at) or started))
    return None if succeeded is None else max(started, succeeded), tuple(sorted({*failures}))


def _overlaps(csv: ClusterServiceVersion, known: Upgrade | None) -> bool:
    """Its history of phases reaches back to what is remembered of it."""
    oldest = next((unix(each.last_transition_time) for each in csv.changes), None)
    return known is not None and oldest is not None and oldest <= max(known.failures, default=0.0)


def _gate(csv: ClusterServiceVersion) -> tuple[bool, float | None]:
    """Whether it was held by the gate, and when that opened."""
    held = False
    for each in csv.changes:
        if held and not each.waits:
            return True, unix(each.last_transition_time)
        held = held or each.is_held
    return held or csv.is_held, None


# When nothing is left of it


def _vanished(
    record: Upgrade,
    cluster: Cluster,
    package: Package,
    later: tuple[Upgrade, ...],
    now: float,
    before: frozenset[str] | None,
) -> Upgrade:
    """One whose ClusterServiceVersion, or plan, is there no more."""
    hyperconverged = package.hyperconverged
    watched = before is not None and record.uid in before
    # When its VMs were done, before the next one at the latest, went unseen as well.
    settled = bool(later) and not watched
    target = record.target or record.to_version
    never = record.same_version or record.of_plan
    said = () if never else announced(cluster, package.namespace, target, record.started)
    if said:
        return _note(record, arrived=True, completed=said[0], settled=settled)
    if hyperconverged is not None and hyperconverged.operator_version == target and not never:
        ended = progressing_ended(hyperconverged, record.started)
        return _note(record, arrived=True, completed=ended, at_most=ended is not None, settled=settled)
    if not watched or record.at_most:
        return _note(record, lost=True)
    successor = next((each for each in package.csvs if each.replaces == record.csv), None)
    gone = _begun_at(successor) if successor is not None else None
    newer = any(semver.newer(each.version, record.to_version) for each in package.csvs)
    planned = any(
        name != record.csv and semver.newer(semver.of_csv(name), record.to_version)
        for plan in package.plans
        for name in plan.csv_names
        if family(name) == family(record.csv)
    )
    followed = any(semver.newer(each.to_version, record.to_version) for each in later)
    return _note(record, gone=now if gone is None else gone, superseded=followed or newer or planned)


def _note(record: Upgrade, **what: Any) -> Upgrade:
    """Nothing but the record's identity, and what is new."""
    return Upgrade(**{"uid": record.uid, "started": record.started, **what})


def _with_offer(record: Upgrade, pending: Pending, history: History) -> Upgrade:
    """With when it became available, as long as that is known."""
    update = pending.update
    if update is None or update.csv != record.csv:
        return record
    known = history.upgrades.find(record.uid)
    offered = earliest(update.since, record.offered, known.offered if known else None)
    return replace(record, offered=None if offered is None else min(float(int(offered)), record.started))
