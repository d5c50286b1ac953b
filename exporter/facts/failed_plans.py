"""Which plans failed before they had made anything, and what updates of the operator did they begin?

OLM carries out an approved plan step by step; when the first step, the new ClusterServiceVersion, is refused
it tries again for a minute, and then the plan has failed for good. Nothing recovers it: the update lasts
until the plan is deleted, or until something else is tried: another plan, or a version by another way. The
version before is told by the ClusterServiceVersions that were there when it began.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.facts import semver
from exporter.facts.package import Package, family, identity
from exporter.history.upgrades import Upgrade, Upgrades
from exporter.records.base import unix
from exporter.records.olm import ClusterServiceVersion, InstallPlan


def failed_plans(package: Package) -> dict[str, InstallPlan]:
    """Plans, by uid, that failed before they had made our ClusterServiceVersion."""
    return {
        identity(plan): plan
        for plan in package.plans
        if plan.failed and not plan.has_made(name := _csv_of(plan, package))
        if not any(each.name == name and not _came_after(plan, each) for each in package.csvs)
    }


def upgrade_of(
    plan: InstallPlan, upgrades: Upgrades, package: Package, before: frozenset[str] | None
) -> Upgrade | None:
    """The update that a failed plan began; None for one that something was installed by, or by nobody.

    Args:
        plan: one of the failed ones.
        upgrades: what is remembered.
        package: what is ours.
        before: uids of what was there a moment ago; None when nobody looked.
    """
    name = _csv_of(plan, package)
    created, failed = unix(plan.metadata.creation_timestamp), unix(plan.failed_at)
    started = unix(plan.started)
    if started is None or not (created or started) <= started <= (failed or started):
        started = created
    if started is None:
        return None
    older = [each for each in package.csvs if (unix(each.metadata.creation_timestamp) or started) < started]
    made_it = any(
        each.csv == name and each.started >= started - 1 and (failed is None or each.started <= failed)
        for each in upgrades.records
        if not each.of_plan
    )
    known = upgrades.find(identity(plan))
    if known is None and (made_it or not older):
        return None
    if known is not None and known.outcome:
        return known
    version = semver.of_csv(name)
    gone, successor, generation = min(_tried_after(plan, started, package), default=(None, "", 0))
    # Plans are numbered: one in between has gone unseen, and this one ended with it.
    lost = generation > plan.generation + 1 and (before is None or identity(plan) not in before)
    return Upgrade(
        uid=identity(plan),
        started=started,
        csv=name,
        from_version=older[-1].version if older else "",
        to_version=version,
        offered=None if created is None else min(created, started),
        whole=True,
        gone=None if lost else gone,
        superseded=gone is not None and not lost and semver.newer(semver.of_csv(successor), version),
        lost=lost,
        of_plan=True,
        plan_failed=max(started, failed or started),
        failures=(max(started, failed or started),),
        approver=plan.approver,
    )


def _tried_after(plan: InstallPlan, started: float, package: Package) -> Iterator[tuple[float, str, int]]:
    """When what came after it was made, its ClusterServiceVersion, and a plan's number."""
    for other in package.plans:
        made = unix(other.metadata.creation_timestamp)
        if made is not None and made > started and identity(other) != identity(plan):
            yield made, _csv_of(other, package), other.generation
    for csv in package.csvs:
        made = unix(csv.metadata.creation_timestamp)
        if made is not None and made > started:
            yield made, csv.name, 0


def _came_after(plan: InstallPlan, csv: ClusterServiceVersion) -> bool:
    """Another plan has made it."""
    failed, created = unix(plan.failed_at), unix(csv.metadata.creation_timestamp)
    return failed is not None and created is not None and failed < created


def _csv_of(plan: InstallPlan, package: Package) -> str:
    """Our package's ClusterServiceVersion among those of one of its plans."""
    families = {family(each.name) for each in package.csvs}
    return next(name for name in plan.csv_names if family(name) in families)
