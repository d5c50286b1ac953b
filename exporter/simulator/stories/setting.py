"""The cluster that stories about updates begin with, and how its objects change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from exporter.facts.versions import REPORTED_OPERATORS
from exporter.simulator import objects
from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Truth, Waiting, World

INSTALLED: Final = "4.18.8"
DAY: Final = 86400.0


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
        self._openshift = [objects.release("4.18.14", world.ago(days=20), world.ago(days=20, minutes=-52))]
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
        )

    # OpenShift

    def openshift(
        self, *newest: ApiObject, channel: str = "stable-4.18", available: Iterable[str] = ()
    ) -> None:
        """OpenShift's history gets an entry, or its channel or available updates change."""
        self._openshift = [*newest, *self._openshift]
        self.world.apply(
            objects.cluster_version(self._openshift, channel=channel, created=self.birth, available=available)
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
        self, name: str, version: str, *, created: datetime, approved: bool = False, phase: str = ""
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
            )
        )

    def arrive(self, version: str, *phases: objects.Phase) -> None:
        """The new version's CSV appears, or gets to another phase; the old one is being replaced."""
        self.world.apply(
            objects.cluster_service_version(
                version, created=phases[0][2], phases=phases, replaces=objects.csv_name(self.installed)
            )
        )

    def replaced(self) -> None:
        """The old version's CSV is being replaced."""
        self.world.apply(
            objects.cluster_service_version(
                self.installed,
                created=self._since,
                succeeded=self._since + timedelta(minutes=4),
                phases=[("Replacing", "BeingReplaced", self.world.now)],
            )
        )

    def complete(self, version: str, *phases: objects.Phase) -> None:
        """The new version has succeeded and its operands are rolled out; the old one goes."""
        now = self.world.now
        self.arrive(version, *phases, ("Succeeded", "InstallSucceeded", now))
        old, self.installed, self._since = self.installed, version, phases[0][2]
        self.world.delete("ClusterServiceVersion", objects.csv_name(old), objects.NAMESPACE)
        self.world.delete("OperatorCondition", objects.csv_name(old), objects.NAMESPACE)
        self.world.apply(
            objects.operator_condition(version, since=now),
            objects.hyperconverged(version, created=self.birth, since=now),
        )
        self.subscribe()
