"""What update is pending, since when, and what does it wait for?

OLM has no object that says "an update has been waiting since". The target is the ClusterServiceVersion
that has appeared and not begun to be installed, else that of the plan our Subscription refers to, else the
head of the channel when it is newer than what is installed. It is pending until its CSV first leaves the
phase Pending, and nothing is pending during the first installation or while another version is rolled out.

**Since when.** The earliest of the moment at which the target was first seen as the head and the creation
of its plan (of its CSV where the plan is gone). A plan that is deleted is made again with another name and
time, and every new z-stream is a new target: so while the installed version stays and no plan was ever
approved, a target takes over the time of the targets before it. A waiting plan freezes its Subscription;
for the moment between its deletion and the next one's creation, nothing changes.

**The cause** is one word for where the update stands, the first that holds:

=================== =============================================================================
its CSV exists      `plan_failed`; `upgrade_gate`: the installed version's OperatorCondition forbids
                    it; `requirements_not_met`
its plan exists     `plan_failed`; `awaiting_approval`; `unpack_failed`, `unpacking`: its bundle
                    lookups say so; `not_started`
neither             `unpack_failed`; `catalog_unhealthy`; `resolution_failed`; `unpacking`, for
                    fifteen minutes; `not_started`, which includes that there is no way to the head
=================== =============================================================================

The Subscription's conditions ResolutionFailed, BundleUnpacking and BundleUnpackFailed outlive what they
say and stand on every Subscription of the namespace. They explain an update that has neither plan nor
CSV; they never make one. (Observed with operator-lifecycle-manager 0.38.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from exporter.facts import semver
from exporter.facts.catalog import Catalog
from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import Package, family, identity, oldest_first
from exporter.facts.rollout import Rollout
from exporter.facts.subscription import SubscriptionFacts, referenced_plan
from exporter.facts.versions import Versions
from exporter.history.instants import earliest
from exporter.history.value import History, Name, Observations
from exporter.records.base import condition, unix
from exporter.records.olm import (
    CATALOG_SOURCES,
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    OPERATOR_CONDITIONS,
    PACKAGE_MANIFESTS,
    SUBSCRIPTIONS,
    ClusterServiceVersion,
    InstallPlan,
    Subscription,
)
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS

SUBJECT: Final = Subject["Pending"]("pending")

PLAN_FAILED: Final = "plan_failed"
UPGRADE_GATE: Final = "upgrade_gate"
REQUIREMENTS_NOT_MET: Final = "requirements_not_met"
AWAITING_APPROVAL: Final = "awaiting_approval"
UNPACK_FAILED: Final = "unpack_failed"
UNPACKING: Final = "unpacking"
CATALOG_UNHEALTHY: Final = "catalog_unhealthy"
RESOLUTION_FAILED: Final = "resolution_failed"
NOT_STARTED: Final = "not_started"

UNPACKING_SECONDS: Final = 900.0
"""OLM gives up unpacking after ten minutes; what is said of it later is left over."""

GONE_SECONDS: Final = 10.0
"""A plan that is missing for less is being made again."""

_HEAD: Final = "head"
_OFFERED: Final = "offered"
_TARGET: Final = "target"
_APPROVED: Final = "approved"
_PLAN: Final = "plan"

RESTS_ON: Final = (INSTALL_PLANS, CLUSTER_SERVICE_VERSIONS, OPERATOR_CONDITIONS, HYPERCONVERGEDS)


@dataclass(frozen=True)
class Update:
    """A pending update."""

    from_version: str
    to_version: str
    csv: str
    """Name of the target's ClusterServiceVersion."""
    plan: str
    """Name of its InstallPlan, with the namespace; empty while there is none."""
    cause: str
    since: float
    """Unix time."""

    @property
    def kind(self) -> str:
        """minor, when it leads to another minor, else patch."""
        return "patch" if semver.minor(self.from_version) == semver.minor(self.to_version) else "minor"


@dataclass(frozen=True)
class Pending:
    """What this subject knows."""

    subscribed: bool
    """There is a Subscription; without one nothing can be said."""
    update: Update | None
    age: float
    """Seconds since the update became available; 0 when nothing is pending."""
    stale: bool
    """The plan that waits for approval is for a version older than the head."""
    waits_for_openshift: bool | None
    """At its head, with a newer minor of OpenShift to be had or on its way; None while unknown."""


@dataclass(frozen=True)
class _Target:
    """What is to be installed, and where that stands."""

    csv: str
    version: str
    cause: str
    plan: InstallPlan | None = None
    arrived: ClusterServiceVersion | None = None

    @property
    def told(self) -> float | None:
        """When the API says it was offered at the latest."""
        plan = unix(self.plan.metadata.creation_timestamp) if self.plan else None
        arrived = unix(self.arrived.metadata.creation_timestamp) if self.arrived else None
        return arrived if plan is None else plan


class _Remembered(msgspec.Struct, frozen=True, array_like=True):
    """A plan's target, for the moment in which the plan is missing."""

    csv: str
    version: str
    cause: str


def derive(
    cluster: Cluster,
    history: History,
    now: float,
    *,
    subscription: SubscriptionFacts,
    rollout: Rollout,
    catalog: Catalog,
    versions: Versions,
) -> Pending:
    """The pending update."""
    ours, installed = subscription.subscription, rollout.installed
    if ours is None or installed is None:
        return Pending(ours is not None, None, 0.0, stale=False, waits_for_openshift=None)
    names = _Names(ours, installed)
    target = _target(cluster, history, now, ours, rollout, catalog)
    since = _since(history, names, target) if target else None
    update = None
    if target is not None and since is not None:
        # Another clock's time may lie ahead of ours.
        since = min(since, now)
        unhealthy = cluster.decided(CATALOG_SOURCES) and not subscription.catalog_ready
        cause = target.cause or _cause_without_plan(ours, now - since, unhealthy=unhealthy)
        plan = f"{ours.namespace}/{target.plan.name}" if target.plan else ""
        update = Update(installed.version, target.version, target.csv, plan, cause, since)
    return Pending(
        subscribed=True,
        update=update,
        age=round(now - update.since, 3) if update else 0.0,
        stale=update is not None
        and update.cause == AWAITING_APPROVAL
        and catalog.channel is not None
        and semver.newer(catalog.channel.head_version, update.to_version),
        waits_for_openshift=_waits_for_openshift(versions, rollout, catalog, installed),
    )


def observe(
    cluster: Cluster,
    history: History,
    seen: Observations,
    *,
    package: Package,
    rollout: Rollout,
    catalog: Catalog,
) -> None:
    """Remember when targets were first seen, and which plans were approved."""
    ours, installed = package.subscription, rollout.installed
    if ours is None or installed is None or rollout.first:
        return
    names = _Names(ours, installed)
    present = catalog.present
    if present is not None and semver.newer(present.head_version, installed.version):
        seen.first(names.head(present.head))
    plan = referenced_plan(cluster, ours)
    plan_csv = _csv_of(plan, ours, installed) if plan else ""
    if plan is not None and plan.approved and plan_csv and plan_csv != installed.name:
        seen.first(names.of(_APPROVED, plan_csv), unix(plan.metadata.creation_timestamp))
    target = _target(cluster, history, seen.now, ours, rollout, catalog)
    if target is not None:
        _observe_target(history, seen, names, target)
    _observe_plan(seen, names, target)
    if installed.replaces and not rollout.complete:
        # Its version is on its way. Should it be taken back, no plan of then waits, and one was approved.
        before = _Names(ours, installed, of=installed.replaces)
        seen.holds(before.of(_PLAN), holds=False)
        seen.first(before.of(_APPROVED, installed.name), unix(installed.metadata.creation_timestamp))
    _forget(seen, names, ours, installed)


class _Names:
    """What things are remembered by, for one Subscription and one installed version."""

    def __init__(self, ours: Subscription, installed: ClusterServiceVersion, *, of: str = "") -> None:
        self.subscription = identity(ours)
        self.channel = ours.channel
        self.installed = of or installed.name

    def head(self, csv: str) -> Name:
        """The first time a version was the head of the channel."""
        return f"{_HEAD}/{self.subscription}/{self.channel}/{csv}"

    def of(self, kind: str, csv: str = "") -> Name:
        """Something about a target for the installed version; without a target, the beginning of all."""
        return f"{kind}/{self.subscription}/{self.installed}/{csv}"


def _target(
    cluster: Cluster,
    history: History,
    now: float,
    ours: Subscription,
    rollout: Rollout,
    catalog: Catalog,
) -> _Target | None:
    installed = rollout.installed
    if installed is None or not rollout.complete:
        return None
    if rollout.arriving is not None:
        return _arriving(cluster, history, now, ours, installed, rollout.arriving)
    plan = referenced_plan(cluster, ours)
    csv = _csv_of(plan, ours, installed) if plan else ""
    version = _version_of(csv, catalog)
    if plan is not None and csv and csv != installed.name and not semver.newer(installed.version, version):
        return _Target(csv, version, _cause_of_plan(plan), plan=plan)
    if (missing := _missing_plan(history, now, _Names(ours, installed))) is not None:
        return _Target(missing.csv, missing.version, missing.cause)
    channel = catalog.channel
    if channel is not None and channel.head and semver.newer(channel.head_version, installed.version):
        return _Target(channel.head, channel.head_version, "")
    return None


def _arriving(
    cluster: Cluster,
    history: History,
    now: float,
    ours: Subscription,
    installed: ClusterServiceVersion,
    csv: ClusterServiceVersion,
) -> _Target:
    plan = referenced_plan(cluster, ours)
    if plan is None or csv.name not in plan.csv_names:
        plans = [
            each
            for each in cluster[INSTALL_PLANS]
            if each.namespace == csv.namespace and csv.name in each.csv_names
        ]
        plan = oldest_first(plans)[-1] if plans else None
    missing = _missing_plan(history, now, _Names(ours, installed)) if plan is None else None
    if (plan is not None and plan.failed) or (missing is not None and missing.cause == PLAN_FAILED):
        cause = PLAN_FAILED
    elif csv.is_held:
        cause = UPGRADE_GATE
    else:
        cause = REQUIREMENTS_NOT_MET
    return _Target(csv.name, csv.version, cause, plan=plan, arrived=csv)


def _csv_of(plan: InstallPlan, ours: Subscription, installed: ClusterServiceVersion) -> str:
    """Our package's ClusterServiceVersion among those of a plan; empty when it has none of ours."""
    current = ours.status.current_csv if ours.status else None
    if current and current in plan.csv_names:
        return current
    ours_begin = family(installed.name)
    return next((name for name in plan.csv_names if family(name) == ours_begin), "")


def _version_of(csv: str, catalog: Catalog) -> str:
    entries = (catalog.channel and catalog.channel.entries) or []
    listed = next((entry.version for entry in entries if entry.name == csv and entry.version), None)
    return listed or semver.of_csv(csv)


def _cause_of_plan(plan: InstallPlan) -> str:
    if plan.failed:
        return PLAN_FAILED
    if plan.waits_for_approval:
        return AWAITING_APPROVAL
    if plan.lookup_holds("BundleLookupFailed"):
        return UNPACK_FAILED
    if plan.lookup_holds("BundleLookupPending"):
        return UNPACKING
    return NOT_STARTED


def _cause_without_plan(ours: Subscription, age: float, *, unhealthy: bool) -> str:
    def holds(type_: str) -> bool:
        found = condition(ours.conditions, type_)
        return found is not None and found.is_true

    if holds("BundleUnpackFailed"):
        return UNPACK_FAILED
    if unhealthy or holds("CatalogSourcesUnhealthy"):
        return CATALOG_UNHEALTHY
    if holds("ResolutionFailed"):
        return RESOLUTION_FAILED
    if holds("BundleUnpacking") and age < UNPACKING_SECONDS:
        return UNPACKING
    return NOT_STARTED


def _missing_plan(history: History, now: float, names: _Names) -> _Remembered | None:
    episode = history.episode(names.of(_PLAN))
    gone_long = episode.ended is not None and now - episode.ended >= GONE_SECONDS
    text = history.text(names.of(_PLAN))
    if episode.since is None or gone_long or text is None:
        return None
    try:
        return msgspec.json.decode(text, type=_Remembered)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _since(history: History, names: _Names, target: _Target) -> float | None:
    """When the update became available; None while that has not been stored yet."""
    own = _own_since(history, names, target)
    became = earliest(history.first.get(names.of(_TARGET, target.csv)), target.told)
    if own is None or became is None:
        return own
    if any(at <= became for csv, at in _others(history, names, _APPROVED, target.csv)):
        return own
    became_of = dict(_others(history, names, _TARGET, target.csv))
    older = [
        at
        for csv, at in _others(history, names, _OFFERED, target.csv)
        if became_of.get(csv, became + 1) <= became
    ]
    return min([own, *older])


def _own_since(history: History, names: _Names, target: _Target) -> float | None:
    stored = history.first.get(names.of(_OFFERED, target.csv))
    return earliest(stored, history.first.get(names.head(target.csv)), target.told)


def _others(history: History, names: _Names, kind: str, csv: str) -> Iterator[tuple[str, float]]:
    """What is remembered of other targets for the installed version."""
    beginning = names.of(kind)
    for name, at in history.first.items():
        other = name.removeprefix(beginning)
        if name.startswith(beginning) and other != csv:
            yield other, at


def _observe_target(history: History, seen: Observations, names: _Names, target: _Target) -> None:
    own = _own_since(history, names, target)
    if own is None and target.csv:
        own = seen.now
    seen.first(names.of(_OFFERED, target.csv), own)
    seen.first(names.of(_TARGET, target.csv), target.told)


def _observe_plan(seen: Observations, names: _Names, target: _Target | None) -> None:
    by_plan = target is not None and target.plan is not None
    if target is not None and target.plan is not None:
        # Of a plan whose CSV is there, nothing is to be kept but that it failed.
        failed = PLAN_FAILED if target.plan.failed else NOT_STARTED
        cause = failed if target.arrived else target.cause
        seen.latest(
            names.of(_PLAN), msgspec.json.encode(_Remembered(target.csv, target.version, cause)).decode()
        )
    seen.holds(names.of(_PLAN), by_plan)


def _forget(seen: Observations, names: _Names, ours: Subscription, installed: ClusterServiceVersion) -> None:
    """Keep what is of this Subscription and of the installed version and the one it replaced."""
    kept = {f"{names.subscription}/{name}/" for name in (installed.name, installed.replaces) if name}
    for kind in (_OFFERED, _TARGET, _APPROVED, _PLAN):
        seen.forget(name for name, rest in seen.known(kind).items() if not rest.startswith(tuple(kept)))
    mine = f"{names.subscription}/{ours.channel}/"
    for name, rest in seen.known(_HEAD).items():
        csv = rest.removeprefix(mine)
        version = semver.of_csv(csv)
        passed = csv == installed.name or (version and not semver.newer(version, installed.version))
        if not rest.startswith(mine) or passed:
            seen.forget([name])


def _waits_for_openshift(
    versions: Versions, rollout: Rollout, catalog: Catalog, installed: ClusterServiceVersion
) -> bool | None:
    if versions.openshift is None or catalog.channel is None or not catalog.channel.head:
        return None
    at_head = not semver.newer(catalog.channel.head_version, installed.version)
    return rollout.complete and at_head and versions.openshift.newer_minor


@SUBJECT.gauge(
    "virt_upgrade_pending_update_info",
    "The update of the operator that has not begun; absent when none is pending.",
    labels=("from_version", "to_version", "kind", "cause"),
    source="ClusterServiceVersion; InstallPlan; else PackageManifest: channel head; Subscription: conditions",
    requires=(SUBSCRIPTIONS,),
    optional=RESTS_ON,
    helpful=(PACKAGE_MANIFESTS, CATALOG_SOURCES),
    timed=True,
)
def _pending_update_info(pending: Pending) -> Samples:
    if update := pending.update:
        yield (update.from_version, update.to_version, update.kind, update.cause), 1


@SUBJECT.gauge(
    "virt_upgrade_pending_update_age_seconds",
    "How long the pending update has been available; 0 when none is pending.",
    source="virt_upgrade_pending_update_since_timestamp_seconds",
    requires=(SUBSCRIPTIONS,),
    optional=RESTS_ON,
    helpful=(PACKAGE_MANIFESTS,),
    timed=True,
)
def _pending_update_age(pending: Pending) -> Samples:
    if pending.subscribed:
        yield (), pending.age


@SUBJECT.gauge(
    "virt_upgrade_pending_update_since_timestamp_seconds",
    "When the pending update became available; absent when none is pending.",
    source="first seen as channel head (remembered); InstallPlan: metadata.creationTimestamp",
    requires=(SUBSCRIPTIONS,),
    optional=RESTS_ON,
    helpful=(PACKAGE_MANIFESTS,),
    timed=True,
)
def _pending_update_since(pending: Pending) -> Samples:
    if update := pending.update:
        yield (), update.since


@SUBJECT.gauge(
    "virt_upgrade_pending_update_stale",
    "1 when the plan that waits for approval is for a version older than the channel head.",
    source="InstallPlan: spec.clusterServiceVersionNames; PackageManifest: status.channels[].currentCSV",
    requires=(SUBSCRIPTIONS,),
    optional=RESTS_ON,
    helpful=(PACKAGE_MANIFESTS,),
    timed=True,
)
def _pending_update_stale(pending: Pending) -> Samples:
    if pending.subscribed:
        yield (), float(pending.stale)


@SUBJECT.gauge(
    "virt_upgrade_operator_waits_for_openshift",
    "1 when the operator is at its channel head and OpenShift has a newer minor available or wanted.",
    source="PackageManifest: channel head; ClusterVersion: status.availableUpdates, status.desired, spec",
    requires=(SUBSCRIPTIONS, CLUSTER_VERSIONS, PACKAGE_MANIFESTS),
    optional=RESTS_ON,
    helpful=(CATALOG_SOURCES,),
    timed=True,
)
def _operator_waits_for_openshift(pending: Pending) -> Samples:
    if pending.waits_for_openshift is not None:
        yield (), float(pending.waits_for_openshift)
