"""The cluster that stories about updates begin with, and how its objects change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final

from exporter.facts.versions import REPORTED_OPERATORS
from exporter.simulator import machines, objects
from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Course, OpenShift, Truth, Waiting, World

INSTALLED: Final = "4.18.8"
DAY: Final = 86400.0
EVENTS_LAST: Final = timedelta(hours=3)
"""On OpenShift."""
_PHASES_KEPT: Final = 20
"""By OLM, in a ClusterServiceVersion's history."""
_NOT_UPGRADEABLE: Final = "OperatorConditionNotUpgradeable"


class Setting:
    """A cluster of some age on which nothing is wrong and nothing is going on: what a story begins with.

    The methods change one object each, as OLM, OpenShift or an administrator would, and keep the rest.
    """

    def __init__(self, world: World, *, approval: str = "Automatic", operator: str = INSTALLED) -> None:
        self.world = world
        self.birth = world.ago(days=200)
        self.approval = approval
        self.installed = operator
        self._since = world.ago(days=15)
        self._offered = [operator]
        self._courses: list[Course] = []
        self._replaced: dict[str, str] = {}
        """What versions were installed over."""
        self._phases: dict[str, tuple[objects.Phase, ...]] = {}
        self.outdated: list[str] = []
        """VMs in launchers of an earlier version."""
        self._events: dict[str, datetime] = {}
        self._openshift: OpenShift | None = None
        self._waiting: dict[str, int] | None = None
        self.releases = [objects.release("4.18.14", world.ago(days=20), world.ago(days=20, minutes=-52))]
        world.apply(
            objects.infrastructure(created=self.birth),
            *(objects.cluster_operator(name, since=self.birth) for name in REPORTED_OPERATORS),
            objects.cluster_service_version(
                operator, created=self._since, succeeded=self._since + timedelta(minutes=4)
            ),
            objects.operator_condition(operator, since=self._since + timedelta(minutes=9)),
            objects.hyperconverged(operator, created=self.birth, since=self._since + timedelta(minutes=9)),
            objects.kubevirt("v1.4.1", created=self.birth),
        )
        self.openshift()
        self.catalog(connected=self.birth)
        self.offer(operator)
        self.subscribe()
        self.expect()

    # What is true

    def expect(
        self,
        to_version: str = "",
        cause: str = "",
        since: datetime | None = None,
        *,
        kind: str = "patch",
        stale: bool = False,
        lost: bool = False,
        waits: bool | None = None,
        head: str | None = None,
        behind: int | None = None,
    ) -> None:
        """The truth from now on: nothing is pending, or an update for this reason since then."""
        update = None
        if to_version and since is not None:
            update = Waiting(self.installed, to_version, kind, cause, since)
        newest = self._offered[0] if self._offered else ""
        head = newest if head is None else head
        if behind is None and head:
            behind = self._offered.index(self.installed) if self.installed in self._offered else None
        self.world.truth = Truth(
            update=update,
            stale=stale,
            behind=behind,
            lost=lost,
            waits_for_openshift=waits if waits is not None or not head else False,
            head=head,
            courses=tuple(self._courses),
            openshift=self._openshift,
            waiting=self._waiting,
        )

    def expect_openshift(self, openshift: OpenShift) -> None:
        """The truth about OpenShift's own updates from now on."""
        self._openshift = openshift
        if self.world.truth is not None:
            self.world.truth = replace(self.world.truth, openshift=openshift)

    def expect_waiting(self, **reasons: int) -> None:
        """The truth about the operator's pods from now on."""
        self._waiting = reasons
        if self.world.truth is not None:
            self.world.truth = replace(self.world.truth, waiting=reasons)

    def changed(self, version: str = "", **what: Any) -> None:
        """Something has become true of the update to a version; where none is named, of the latest."""
        number = len(self._courses) - 1
        while version and self._courses[number].to_version != version:
            number -= 1
        self._courses[number] = replace(self._courses[number], **what)
        if self.world.truth is not None:
            self.world.truth = replace(self.world.truth, courses=tuple(self._courses))

    def _go_on(self, version: str, phases: Iterable[objects.Phase]) -> None:
        """What the phases of a ClusterServiceVersion tell of its update."""
        phases = list(phases)
        begun = phases[0][2]
        if not any((each.to_version, each.started) == (version, begun) for each in self._courses):
            update = self.world.truth.update if self.world.truth else None
            offered = update.since if update and update.to_version == version else begun
            self._begin(Course(self._replaced[version], version, offered, begun))
        before = list(takewhile(lambda each: each[0] != "Succeeded", phases))
        gate = next((number for number, each in enumerate(phases) if each[1] == _NOT_UPGRADEABLE), None)
        after = [] if gate is None else phases[gate:]
        self.changed(
            version,
            held=gate is not None,
            opened=next((at for phase, _, at in after if phase != "Pending"), None),
            installed=next((at for phase, _, at in phases if phase == "Succeeded"), None),
            failures=len({at for phase, _, at in before if phase == "Failed"}),
        )

    def _begin(self, course: Course) -> None:
        """Another update: nobody waits any longer for the VMs of the one before."""
        if self._courses and self._courses[-1].completed and self._courses[-1].workloads is None:
            self._courses[-1] = replace(self._courses[-1], workloads=course.started)
        self._courses.append(course)

    # OpenShift

    def openshift(
        self, *newest: ApiObject, channel: str = "stable-4.18", available: Iterable[str] = ()
    ) -> None:
        """OpenShift's history gets an entry, or its channel or available updates change."""
        self.releases = [*newest, *self.releases]
        self.world.apply(
            objects.cluster_version(self.releases, channel=channel, created=self.birth, available=available)
        )

    # The catalog

    def catalog(self, state: str = "READY", connected: datetime | None = None) -> None:
        """OLM's connection to the catalog changes."""
        self.world.apply(
            objects.catalog_source(
                created=self.birth,
                polled=self.world.ago(minutes=35),
                state=state,
                connected=connected or self.world.now,
            )
        )

    def offer(self, *versions: str, channel: str = "stable") -> None:
        """The catalog offers these versions, the newest first."""
        self._offered = list(versions) if channel == "stable" else []
        self.world.apply(objects.package_manifest(*versions, created=self.birth, channel=channel))

    def offer_nothing(self) -> None:
        """The package is gone from the catalog, or the catalog from OLM's sight."""
        self.world.delete("PackageManifest", objects.PACKAGE, objects.CATALOG_NAMESPACE)

    def forget_offer(self) -> None:
        """Nobody counts on the last offer any more."""
        self._offered = []

    # OLM

    def subscribe(
        self,
        *,
        current: str = "",
        plan: str = "",
        conditions: Iterable[ApiObject] = (),
        resolving: bool = False,
    ) -> None:
        """OLM writes our Subscription."""
        self.world.apply(
            objects.subscription(
                created=self.birth,
                installed=objects.csv_name(self.installed),
                current=objects.csv_name(current) if current else "",
                approval=self.approval,
                plan=plan,
                conditions=conditions,
                resolving=resolving,
            )
        )

    def plan(
        self,
        name: str,
        version: str,
        *,
        created: datetime,
        approved: bool = False,
        phase: str = "",
        begun: datetime | None = None,
        failed: datetime | None = None,
    ) -> None:
        """OLM makes or changes a plan."""
        self.world.apply(
            objects.install_plan(
                name,
                created=created,
                csv=objects.csv_name(version),
                approval=self.approval,
                approved=approved,
                phase=phase,
                begun=begun,
                failed=failed,
            )
        )

    def arrive(self, version: str, *phases: objects.Phase, over: str = "") -> None:
        """The new version's CSV appears, or gets to another phase; the one it is installed over, the
        installed one unless told otherwise, is being replaced."""
        self._replaced.setdefault(version, over or self.installed)
        self._go_on(version, phases)
        self._phases[version] = phases
        self.world.apply(self._csv(version))

    def _csv(self, version: str, *more: objects.Phase) -> ApiObject:
        """A version's ClusterServiceVersion as it was written last, with more phases."""
        if version not in self._phases:
            # The one with which the story begins.
            return objects.cluster_service_version(
                version, created=self._since, succeeded=self._since + timedelta(minutes=4), phases=more
            )
        phases = self._phases[version]
        return objects.cluster_service_version(
            version,
            created=phases[0][2],
            phases=(*phases, *more)[-_PHASES_KEPT:],
            replaces=objects.csv_name(self._replaced[version]),
        )

    def replaced(self, version: str = "") -> None:
        """The old version's CSV is being replaced, or that of another one."""
        self.world.apply(self._csv(version or self.installed, ("Replacing", "BeingReplaced", self.world.now)))

    def goes(self, version: str) -> None:
        """A version that has been replaced goes, and its word to OLM with it."""
        self.world.delete("ClusterServiceVersion", objects.csv_name(version), objects.NAMESPACE)
        self.world.delete("OperatorCondition", objects.csv_name(version), objects.NAMESPACE)

    def complete(self, version: str, *phases: objects.Phase) -> None:
        """The new version has succeeded and its operands are rolled out; the old one goes."""
        now = self.world.now
        if not any(phase == "Succeeded" for phase, _, _ in phases):
            phases = (*phases, ("Succeeded", "InstallSucceeded", now))
        self.arrive(version, *phases)
        self.goes(self.installed)
        self.world.apply(
            objects.operator_condition(version, since=now),
            objects.hyperconverged(version, created=self.birth, since=now),
        )
        self.completed(version, *phases)

    def completed(self, version: str, *phases: objects.Phase) -> None:
        """All of the new version is rolled out; VMs are to be moved, if there are any in old launchers."""
        # Nobody waits for the VMs of an update that the next one has followed.
        waits = self.outdated and self._courses[-1].to_version == version
        self.changed(version, completed=self.world.now, workloads=None if waits else self.world.now)
        self.expire()
        event = objects.upgraded(version, self.world.now)
        self.world.apply(event)
        self._events[event["metadata"]["name"]] = self.world.now
        self.installed, self._since = version, phases[0][2]
        self.subscribe()

    def run_vms(self, *names: str, outdated: bool = False) -> None:
        """VMs that can be migrated run, in present or in old launchers; what had the latter and has no more
        completes the update when it is the last."""
        for name in names:
            self.world.apply(
                machines.instance(
                    name,
                    uid=f"uid-{name}",
                    created=self.birth,
                    node="worker-0",
                    strategy="LiveMigrate",
                    design=machines.Design(),
                    outdated=outdated,
                )
            )
        others = [each for each in self.outdated if each not in names]
        done = bool(self.outdated) and not outdated and not others
        self.outdated = [*others, *names] if outdated else others
        if done and self._courses[-1].completed and self._courses[-1].workloads is None:
            self.changed(workloads=self.world.now)

    def expire(self) -> None:
        """Old events go."""
        for name, at in list(self._events.items()):
            if self.world.now - at >= EVENTS_LAST:
                self.world.delete("Event", name, objects.NAMESPACE)
                del self._events[name]

    def plan_fails(
        self, name: str, version: str, *, created: datetime, begun: datetime, since: datetime
    ) -> None:
        """A plan's first step has been refused for a minute: it will never make its ClusterServiceVersion."""
        now = self.world.now
        self.plan(name, version, created=created, approved=True, begun=begun, failed=now)
        self._begin(Course(self.installed, version, since, begun, failures=1, hopeless=True))
        self.expect(version, "plan_failed", since)

    def back(self) -> None:
        """The old version is not being replaced any more."""
        self.world.apply(self._csv(self.installed))
        self.subscribe()
