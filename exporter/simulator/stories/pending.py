"""Stories about updates that wait: for a person, for a catalog, for OLM, for OpenShift.

How OLM acts in them, which objects it writes in which order and which conditions outlive what they say, is
taken from recordings of operator-lifecycle-manager 0.38.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from exporter.simulator import objects
from exporter.simulator.objects import ApiObject, condition
from exporter.simulator.script import Story, World
from exporter.simulator.stories.setting import DAY, INSTALLED, Setting

NEXT: Final = "4.18.11"
LATER: Final = "4.18.12"
PLAN: Final = "install-7x2kp"
ANOTHER_PLAN: Final = "install-q9fzd"

UNPACKING: Final = condition("BundleUnpacking", "True", None, "UnpackingInProgress")
UNPACK_FAILED: Final = condition("BundleUnpackFailed", "True", None, "BundleUnpackFailed")
UNRESOLVED: Final = condition("ResolutionFailed", "True", None, "ConstraintsNotSatisfiable")

_LEAD_IN: Final = 60.0


def offered(setting: Setting) -> Iterator[float]:
    """After a quiet minute the catalog offers the next version, and OLM unpacks it."""
    yield _LEAD_IN
    since = setting.world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 2
    setting.subscribe(conditions=[UNPACKING])
    setting.expect(NEXT, "unpacking", since)
    yield 6


def requires_approval(since: datetime) -> list[ApiObject]:
    """The conditions of a Subscription whose plan waits; unpacking is long over."""
    return [UNPACKING, condition("InstallPlanPending", "True", since, "RequiresApproval")]


def installs(setting: Setting, version: str, since: datetime, *, kind: str = "patch") -> Iterator[float]:
    """An approved plan installs a version, as fast as ever."""
    world = setting.world
    setting.expect(version, "not_started", since, kind=kind)
    yield 1
    created = world.now
    pending: objects.Phase = ("Pending", "RequirementsUnknown", created)
    setting.arrive(version, pending)
    setting.replaced()
    setting.expect(version, "requirements_not_met", since, kind=kind)
    yield 2
    ready: objects.Phase = ("InstallReady", "AllRequirementsMet", world.now)
    setting.arrive(version, pending, ready)
    setting.expect()
    yield 2
    setting.subscribe(current=version, conditions=[UNPACKING, UNRESOLVED])
    yield 3
    installing: objects.Phase = ("Installing", "InstallWaiting", world.now)
    setting.arrive(version, pending, ready, installing)
    yield 300
    setting.complete(version, pending, ready, installing)
    setting.expect()
    yield 120


def approval_waiting(world: World) -> Iterator[float]:
    """The plan waits for three days until somebody approves it."""
    setting = Setting(world, approval="Manual")
    yield _LEAD_IN
    since = world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 2
    setting.subscribe(conditions=[UNPACKING])
    setting.expect(NEXT, "unpacking", since)
    yield 6
    made = world.now
    setting.plan(PLAN, NEXT, created=made)
    setting.subscribe(current=NEXT, plan=PLAN, conditions=requires_approval(made))
    setting.expect(NEXT, "awaiting_approval", since)
    yield 3 * DAY
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    yield from installs(setting, NEXT, since)


def plan_deleted(world: World) -> Iterator[float]:
    """Somebody deletes the plan that waits; OLM makes it again, which changes nothing."""
    setting = Setting(world, approval="Manual")
    yield from offered(setting)
    since, made = world.ago(minutes=8 / 60), world.now
    setting.plan(PLAN, NEXT, created=made)
    setting.subscribe(current=NEXT, plan=PLAN, conditions=requires_approval(made))
    setting.expect(NEXT, "awaiting_approval", since)
    yield 0.5 * DAY
    world.delete("InstallPlan", PLAN, objects.NAMESPACE)
    setting.subscribe(resolving=True, conditions=[UNPACKING])
    yield 2
    made = world.now
    setting.plan(ANOTHER_PLAN, NEXT, created=made)
    setting.subscribe(current=NEXT, plan=ANOTHER_PLAN, conditions=requires_approval(made))
    yield 0.5 * DAY
    setting.plan(ANOTHER_PLAN, NEXT, created=made, approved=True, phase="Installing")
    yield from installs(setting, NEXT, since)


def newer_head(world: World) -> Iterator[float]:
    """A newer version appears while a plan waits; its plan inherits the time of the first."""
    setting = Setting(world, approval="Manual")
    yield from offered(setting)
    since, made = world.ago(minutes=8 / 60), world.now
    setting.plan(PLAN, NEXT, created=made)
    setting.subscribe(current=NEXT, plan=PLAN, conditions=requires_approval(made))
    setting.expect(NEXT, "awaiting_approval", since)
    yield DAY
    setting.offer(LATER, NEXT, INSTALLED)
    setting.expect(NEXT, "awaiting_approval", since, stale=True)
    yield DAY
    world.delete("InstallPlan", PLAN, objects.NAMESPACE)
    setting.subscribe(resolving=True, conditions=[UNPACKING])
    setting.expect(NEXT, "awaiting_approval", since, stale=True)
    yield 1
    made = world.now
    setting.plan(ANOTHER_PLAN, LATER, created=made)
    setting.subscribe(current=LATER, plan=ANOTHER_PLAN, conditions=requires_approval(made))
    setting.expect(LATER, "awaiting_approval", since)
    yield 60


def manual_neighbour(world: World) -> Iterator[float]:
    """Ours is Automatic, a neighbour in the namespace is Manual: our update waits for a person."""
    setting = Setting(world)
    yield _LEAD_IN
    world.apply(
        objects.subscription(
            name="hostpath-provisioner",
            package="hostpath-provisioner-operator",
            created=world.now,
            installed="hostpath-provisioner-operator.v0.1.0",
            approval="Manual",
        )
    )
    yield 5
    since = world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 5
    made = world.now
    world.apply(objects.install_plan(PLAN, created=made, csv=objects.csv_name(NEXT), approval="Manual"))
    setting.subscribe(current=NEXT, plan=PLAN, conditions=requires_approval(made))
    setting.expect(NEXT, "awaiting_approval", since)


def automatic(world: World) -> Iterator[float]:
    """A z-stream installs itself."""
    setting = Setting(world)
    yield from offered(setting)
    since, made = world.ago(minutes=8 / 60), world.now
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=PLAN, conditions=[UNPACKING])
    yield from installs(setting, NEXT, since)


def resolution_failed(world: World) -> Iterator[float]:
    """A neighbour that cannot be resolved keeps our update away, until it is deleted."""
    setting = Setting(world)
    neighbour = objects.subscription(
        name="no-such-package", package="no-such-package", created=world.now, installed=""
    )
    yield _LEAD_IN
    world.apply(neighbour)
    setting.subscribe(conditions=[UNRESOLVED])
    yield 600
    since = world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "resolution_failed", since)
    yield 2 * DAY
    world.delete("Subscription", "no-such-package", objects.NAMESPACE)
    setting.subscribe(conditions=[UNPACKING])
    setting.expect(NEXT, "not_started", since)
    yield 6
    made = world.now
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=PLAN, conditions=[UNPACKING])
    yield from installs(setting, NEXT, since)


def unpack_failed(world: World) -> Iterator[float]:
    """The bundle's image cannot be pulled, until it can."""
    setting = Setting(world)
    yield from offered(setting)
    since, begun = world.ago(minutes=8 / 60), world.now
    world.apply(objects.unpack_job(_JOB, created=begun))
    yield 600
    world.apply(objects.unpack_job(_JOB, created=begun, failed=world.now))
    setting.subscribe(conditions=[UNPACKING, UNPACK_FAILED])
    setting.expect(NEXT, "unpack_failed", since)
    yield 3600
    world.delete("Job", _JOB, objects.CATALOG_NAMESPACE)
    setting.subscribe(conditions=[UNPACKING])
    # Unpacking again, but that long after nobody can tell it from a leftover.
    setting.expect(NEXT, "not_started", since)
    yield 6
    made = world.now
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=PLAN, conditions=[UNPACKING])
    yield from installs(setting, NEXT, since)


def catalog_down(world: World) -> Iterator[float]:
    """The catalog goes down with an update outstanding, and comes back."""
    setting = Setting(world)
    yield _LEAD_IN
    since = world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 3600
    setting.catalog("TRANSIENT_FAILURE")
    setting.offer_nothing()
    setting.expect(NEXT, "catalog_unhealthy", since)
    yield 2 * 3600
    setting.catalog("READY")
    # The package comes back a little after the catalog.
    setting.expect(NEXT, "not_started", since)
    yield 2
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 3600


def package_removed(world: World) -> Iterator[float]:
    """The package is removed from a catalog that goes on working."""
    setting = Setting(world)
    yield _LEAD_IN
    setting.catalog("TRANSIENT_FAILURE")
    setting.offer_nothing()
    yield 20
    # Its new content has no such package any more.
    setting.catalog("READY")
    setting.expect()
    yield 299
    world.truth = None
    yield 2
    setting.forget_offer()
    setting.expect(lost=True)
    yield 3600
    setting.offer("4.18.7")
    setting.expect(lost=True, behind=0)
    yield 60
    setting.offer(INSTALLED, "4.18.7")
    setting.expect()
    yield 60


def channel_removed(world: World) -> Iterator[float]:
    """The catalog drops the channel that is subscribed to; for a moment it could be a mistake."""
    setting = Setting(world)
    yield _LEAD_IN
    setting.offer(NEXT, INSTALLED, channel="4.18")
    setting.expect(head=INSTALLED, behind=0)
    yield 29
    world.truth = None
    yield 2
    setting.expect(lost=True)
    yield 60


def openshift_done(world: World) -> Iterator[float]:
    """OpenShift's next minor is done, its catalog offers the operator's next minor, which waits."""
    setting = Setting(world, approval="Manual")
    yield _LEAD_IN
    started = world.now
    setting.openshift(objects.release("4.19.3", started, None), channel="stable-4.19")
    # Its desired version is a newer minor.
    setting.expect(waits=True)
    yield 3600
    setting.releases.pop(0)  # the entry of the running update becomes the completed one
    setting.openshift(objects.release("4.19.3", started, world.now), channel="stable-4.19")
    setting.expect(waits=False)
    yield 60
    setting.catalog("READY")
    since = world.now
    setting.offer("4.19.2", INSTALLED)
    setting.expect("4.19.2", "not_started", since, kind="minor")
    yield 8
    made = world.now
    setting.plan(PLAN, "4.19.2", created=made)
    setting.subscribe(current="4.19.2", plan=PLAN, conditions=requires_approval(made))
    setting.expect("4.19.2", "awaiting_approval", since, kind="minor")
    yield 0.5 * DAY
    setting.plan(PLAN, "4.19.2", created=made, approved=True, phase="Installing")
    yield from installs(setting, "4.19.2", since, kind="minor")


def openshift_first(world: World) -> Iterator[float]:
    """The operator is at its head, and a minor of OpenShift is to be had: OpenShift goes first."""
    setting = Setting(world)
    yield _LEAD_IN
    setting.openshift(available=["4.18.20"])
    setting.expect(waits=False)
    yield 3600
    setting.openshift(channel="stable-4.19", available=["4.18.20", "4.19.3"])
    setting.expect(waits=True)
    yield 3600
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", world.now, waits=False)
    yield 60


def gated(world: World) -> Iterator[float]:
    """The installed version's OperatorCondition holds the update back."""
    setting = Setting(world)
    yield from offered(setting)
    since, made = world.ago(minutes=8 / 60), world.now
    world.apply(
        objects.operator_condition(INSTALLED, since=made, upgradeable=False, reason="MigrationInProgress")
    )
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=PLAN, conditions=[UNPACKING])
    setting.expect(NEXT, "not_started", since)
    yield 1
    pending: objects.Phase = ("Pending", "RequirementsUnknown", world.now)
    setting.arrive(NEXT, pending)
    setting.replaced()
    setting.expect(NEXT, "requirements_not_met", since)
    yield 1
    held: objects.Phase = ("Pending", "OperatorConditionNotUpgradeable", pending[2])
    setting.arrive(NEXT, pending, held)
    setting.expect(NEXT, "upgrade_gate", since)
    yield DAY
    # A newer version is not taken up meanwhile.
    setting.offer(LATER, NEXT, INSTALLED)
    setting.expect(NEXT, "upgrade_gate", since)
    yield DAY
    world.apply(objects.operator_condition(INSTALLED, since=world.now))
    ready: objects.Phase = ("InstallReady", "AllRequirementsMet", world.now)
    setting.arrive(NEXT, pending, held, ready)
    setting.expect()
    yield 600
    offered_since = world.ago(minutes=10 + DAY / 60)
    setting.complete(NEXT, pending, held, ready)
    setting.expect(LATER, "not_started", offered_since)
    yield 60


def plan_failed(world: World) -> Iterator[float]:
    """A step of the plan is refused until the plan has failed for good; then it is deleted."""
    setting = Setting(world)
    yield from offered(setting)
    since, made = world.ago(minutes=8 / 60), world.now
    setting.plan(PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=PLAN, conditions=[UNPACKING])
    setting.expect(NEXT, "not_started", since)
    yield 60
    setting.plan_fails(PLAN, NEXT, created=made, begun=made, since=since)
    yield 7200
    world.delete("InstallPlan", PLAN, objects.NAMESPACE)
    setting.changed(gone=world.now)
    setting.subscribe(resolving=True, conditions=[UNPACKING])
    yield 2
    made = world.now
    setting.plan(ANOTHER_PLAN, NEXT, created=made, approved=True, phase="Installing")
    setting.subscribe(current=NEXT, plan=ANOTHER_PLAN, conditions=[UNPACKING])
    yield from installs(setting, NEXT, since)


_JOB: Final = "5c1f9a0d7e"


def _pending(cause: str, to_version: str = NEXT, kind: str = "patch") -> str:
    labels = f'from_version="{INSTALLED}",to_version="{to_version}",kind="{kind}",cause="{cause}"'
    return f"virt_upgrade_pending_update_info{{{labels}}} 1"


_DONE: Final = ("virt_upgrade_pending_update_age_seconds 0", "virt_upgrade_versions_behind 0")

STORIES: Final = (
    Story(
        "approval-waiting",
        "An update waits for a person's approval since three days; it is approved after ten minutes",
        (
            _pending("awaiting_approval"),
            'virt_upgrade_findings{finding="awaiting_approval",severity="warning"} 1',
        ),
        approval_waiting,
        lead=_LEAD_IN + 8 + 3 * DAY - 600,
        at_lead=True,
    ),
    Story(
        "plan-deleted",
        "A plan that waits since half a day is deleted and made again: the update waits as long as before",
        (_pending("awaiting_approval"),),
        plan_deleted,
        lead=_LEAD_IN + 8 + 0.5 * DAY - 10,
        at_lead=True,
    ),
    Story(
        "newer-head",
        "A plan waits since a day while a newer version appears, and is made again for that one",
        (_pending("awaiting_approval", LATER), "virt_upgrade_pending_update_stale 0"),
        newer_head,
        lead=_LEAD_IN + 8 + DAY - 10,
    ),
    Story(
        "manual-neighbour",
        "A Manual neighbour makes the Automatic Subscription wait for a person",
        (
            'virt_upgrade_approval_strategy{scope="configured",strategy="Automatic"} 1',
            'virt_upgrade_approval_strategy{scope="effective",strategy="Manual"} 1',
            _pending("awaiting_approval"),
        ),
        manual_neighbour,
        lead=_LEAD_IN,
    ),
    Story("automatic", "A z-stream installs itself", _DONE, automatic, lead=_LEAD_IN - 10),
    Story(
        "resolution-failed",
        "A neighbour that cannot be resolved keeps an update away for two days",
        _DONE,
        resolution_failed,
        lead=_LEAD_IN + 600 + 2 * DAY - 30,
    ),
    Story(
        "unpack-failed",
        "A bundle cannot be unpacked for an hour",
        _DONE,
        unpack_failed,
        lead=_LEAD_IN + 8 + 600 + 3600 - 30,
    ),
    Story(
        "catalog-down",
        "The catalog goes down for two hours with an update outstanding",
        (_pending("not_started"), 'virt_upgrade_support_violation{violation="no_longer_in_catalog"} 0'),
        catalog_down,
        lead=_LEAD_IN + 3600 + 7200 - 30,
    ),
    Story(
        "package-removed",
        "The package is removed from a catalog that goes on working, and comes back",
        ('virt_upgrade_support_violation{violation="no_longer_in_catalog"} 0', *_DONE),
        package_removed,
        lead=_LEAD_IN + 20 + 270,
    ),
    Story(
        "channel-removed",
        "The catalog drops the channel, which counts after half a minute",
        ("virt_upgrade_channel_missing_since_timestamp_seconds",),
        channel_removed,
        lead=_LEAD_IN - 5,
    ),
    Story(
        "openshift-done",
        "OpenShift's minor is done, and the operator's minor appears",
        ("virt_upgrade_version_skew 0", *_DONE),
        openshift_done,
        lead=_LEAD_IN + 3600 + 30,
    ),
    Story(
        "openshift-first",
        "The operator is at its head while a minor of OpenShift is to be had",
        (_pending("not_started"), "virt_upgrade_operator_waits_for_openshift 0"),
        openshift_first,
        lead=_LEAD_IN + 3600 + 3540,
    ),
    Story(
        "gated",
        "The operator's own condition holds an update back for two days",
        (
            'virt_upgrade_pending_update_info{from_version="4.18.11",to_version="4.18.12",kind="patch",'
            'cause="not_started"} 1',
        ),
        gated,
        lead=_LEAD_IN + 10 + 2 * DAY - 30,
    ),
    Story(
        "plan-failed",
        "A plan fails, and is deleted after two hours",
        _DONE,
        plan_failed,
        lead=_LEAD_IN + 8 + 60 + 7200 - 30,
    ),
)
