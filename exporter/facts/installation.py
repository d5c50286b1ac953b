"""Is a version of the operator that comes an update, or is it installed, once more perhaps?

Its bundle says what it replaces, whether that was ever there or not; OLM writes what it really replaces into
a ClusterServiceVersion only when something was. So an update is what is remembered as one, or what replaces a
version and

- that one's ClusterServiceVersion is there, is older and has succeeded, or was an update itself; or
- there is a HyperConverged older than it that has another version, or has said since that it was upgraded; or
- what it replaces is remembered, or was brought by a plan, in the life of the present Subscription; or
- a HyperConverged older than it has changed since, as far as somebody who looks for the first time can tell.

It is none, but for the first two, when

- it came when no other version was there, to no HyperConverged or to one that has it, and no plan from the
  one that it replaces waited for it: it was installed anew; that is remembered;
- an older ClusterServiceVersion of a newer version has succeeded: an old plan was approved by mistake;
- its name has been reached before, and HyperConverged has nothing else to be brought to; or
- the plan that brought it was complete over a minute before it was made: it was deleted, and made again.

The first version of a Subscription that is younger than HyperConverged may have been installed anew: then
that HyperConverged has changed since proves nothing.
"""

from __future__ import annotations

from typing import Final

from exporter.facts import semver
from exporter.facts.arrival import announced, version_of
from exporter.facts.cluster import Cluster
from exporter.facts.package import Package, identity
from exporter.history.upgrades import COMPLETED, Upgrades
from exporter.history.value import History
from exporter.records.base import condition, unix
from exporter.records.olm import ClusterServiceVersion, InstallPlan
from exporter.records.virtualization import HYPERCONVERGEDS, HyperConverged

INSTALLATION: Final = "installation"
"""Begins the names of versions that were installed anew."""

_MADE_AGAIN_SECONDS: Final = 60.0
"""A plan is complete once everything is there; so far apart are the clocks that say so, at most."""


def comes_anew(
    csv: ClusterServiceVersion, package: Package, history: History, before: frozenset[str] | None
) -> bool:
    """It came when no other version was there, and replaces nothing.

    Args:
        csv: one of ours.
        package: what is ours.
        history: what is remembered.
        before: uids of what was there a moment ago; None when nobody looked.
    """
    if f"{INSTALLATION}/{identity(csv)}" in history.first:
        return True
    if before is None or before or len(package.csvs) > 1:
        return False
    hyperconverged = package.hyperconverged
    if hyperconverged is not None and hyperconverged.operator_version not in {"", version_of(csv)}:
        return False
    started = unix(csv.metadata.creation_timestamp)
    return (
        started is None or _was_made_again(csv, started, package) or not _follows_plan(csv, started, package)
    )


def plan_of(csv: ClusterServiceVersion, package: Package) -> InstallPlan | None:
    """The plan that brought a version: the last one approved that was made, and had not failed, before it."""
    created = unix(csv.metadata.creation_timestamp) or 0.0
    plans = [
        (made, each)
        for each in package.plans
        if csv.name in each.csv_names
        and each.approved
        and (made := unix(each.metadata.creation_timestamp)) is not None
        and made <= created
        and (unix(each.failed_at) or created) >= created
    ]
    return max(plans, key=lambda each: each[0])[1] if plans else None


class Beginnings:
    """Which versions came by an update, as far as the objects of one moment tell."""

    def __init__(
        self,
        cluster: Cluster,
        upgrades: Upgrades,
        package: Package,
        anew: frozenset[str],
        before: frozenset[str] | None,
    ) -> None:
        """Look at the objects.

        Args:
            cluster: the records.
            upgrades: what is remembered.
            package: what is ours.
            anew: uids of versions that were installed anew.
            before: uids of what was there a moment ago; None when nobody looked.
        """
        self._cluster = cluster
        self._upgrades = upgrades
        self._package = package
        self._anew = anew
        self._before = before

    def is_update(self, csv: ClusterServiceVersion, started: float) -> bool:
        """It replaced something that was there when it was made."""
        if self._upgrades.find(identity(csv)) is not None:
            return True
        if not csv.replaces or identity(csv) in self._anew:
            return False
        before = self._predecessor(csv)
        made = unix(before.metadata.creation_timestamp) if before is not None else None
        if before is not None and made is not None and made < started:
            # Of one that never succeeded the one before it tells.
            return before.has_succeeded or self.is_update(before, made)
        if self._is_behind(csv, started):
            return False
        if (hyperconverged := self._older(started)) is not None and (
            hyperconverged.operator_version != version_of(csv)
            or announced(self._cluster, csv.namespace, version_of(csv), started)
        ):
            return True
        if self._was_reached(csv) or _was_made_again(csv, started, self._package):
            return False
        return (
            self._follows_record(csv, started)
            or _follows_plan(csv, started, self._package)
            or self._has_moved_something(csv, started)
        )

    def version_before(self, csv: ClusterServiceVersion, started: float) -> str:
        """The version that an update replaces; empty where nothing tells."""
        before = self._predecessor(csv)
        here = before.version if before is not None else ""
        made = next((each.to_version for each in self._upgrades.records if each.csv == csv.replaces), "")
        if here or made:
            return here or made
        if not self._may_be_first(csv, started):
            return semver.of_csv(csv.replaces)
        # What its bundle names may never have been here.
        hyperconverged = self._package.hyperconverged
        heard = hyperconverged is not None and self._cluster.hears(HYPERCONVERGEDS)
        had = hyperconverged.operator_version if hyperconverged is not None and heard else ""
        return had if had != version_of(csv) else ""

    def _predecessor(self, csv: ClusterServiceVersion) -> ClusterServiceVersion | None:
        return next((each for each in self._package.csvs if each.name == csv.replaces), None)

    def _older(self, started: float) -> HyperConverged | None:
        """HyperConverged, when it was there before."""
        hyperconverged = self._package.hyperconverged
        made = unix(hyperconverged.metadata.creation_timestamp) if hyperconverged is not None else None
        return hyperconverged if made is not None and made < started else None

    def _is_behind(self, csv: ClusterServiceVersion, started: float) -> bool:
        """A newer version had been installed before, or has been reached by an update that began before."""
        return any(
            each.has_succeeded
            and semver.newer(each.version, csv.version)
            and (unix(each.metadata.creation_timestamp) or started) < started
            for each in self._package.csvs
        )

    def _was_reached(self, csv: ClusterServiceVersion) -> bool:
        """Its name has been reached before, and HyperConverged has nothing else to be brought to."""
        hyperconverged = self._package.hyperconverged
        reached = any(each.csv == csv.name and each.outcome == COMPLETED for each in self._upgrades.records)
        return reached and (hyperconverged is None or hyperconverged.operator_version == version_of(csv))

    def _follows_record(self, csv: ClusterServiceVersion, started: float) -> bool:
        """What it replaces is remembered, and nobody has subscribed anew since."""
        asked = _subscribed(self._package)
        return any(
            each.csv == csv.replaces and not (asked is not None and each.started < asked <= started)
            for each in self._upgrades.records
        )

    def _has_moved_something(self, csv: ClusterServiceVersion, started: float) -> bool:
        """HyperConverged was there before and has changed since, to who sees it for the first time."""
        seen = self._before is not None and identity(csv) in self._before
        hyperconverged = self._older(started)
        if hyperconverged is None or seen or self._may_be_first(csv, started):
            # An operand that progresses later is no sign of an update.
            return False
        progressing = condition(hyperconverged.conditions, "Progressing")
        moved = unix(progressing.last_transition_time) if progressing is not None else None
        return moved is not None and moved >= started

    def _may_be_first(self, csv: ClusterServiceVersion, started: float) -> bool:
        """It came when no other was there, or first of a Subscription that is younger than HyperConverged."""
        if self._before is not None and not self._before and len(self._package.csvs) == 1:
            return True
        asked, hyperconverged = _subscribed(self._package), self._package.hyperconverged
        made = unix(hyperconverged.metadata.creation_timestamp) if hyperconverged is not None else None
        if made is None or asked is None or not made < asked <= started:
            return False
        return not any(
            csv.name not in plan.csv_names and (unix(plan.metadata.creation_timestamp) or started) < started
            for plan in self._package.plans
        )


def _subscribed(package: Package) -> float | None:
    """When the Subscription was made."""
    return unix(package.subscription.metadata.creation_timestamp) if package.subscription else None


def _follows_plan(csv: ClusterServiceVersion, started: float, package: Package) -> bool:
    """A plan of the present Subscription had begun to install what it replaces."""
    asked = _subscribed(package)
    return any(
        csv.replaces in plan.csv_names
        and csv.name not in plan.csv_names
        and plan.started is not None
        and (made := unix(plan.metadata.creation_timestamp)) is not None
        and made < started
        and not (asked is not None and made < asked <= started)
        for plan in package.plans
    )


def _was_made_again(csv: ClusterServiceVersion, started: float, package: Package) -> bool:
    """The plan that brought it was complete before it was made: it had been there, and was deleted."""
    plan = plan_of(csv, package)
    completed = unix(plan.completed_at) if plan is not None else None
    return completed is not None and completed + _MADE_AGAIN_SECONDS < started
