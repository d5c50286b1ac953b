"""Stories about updates that take their time, that fail, or that only look like some.

In which order the operators write what is taken from recordings of operator-lifecycle-manager 0.38 and of
hyperconverged-cluster-operator 1.15 to 1.18.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from exporter.simulator import objects
from exporter.simulator.script import Story, World
from exporter.simulator.stories.pending import LATER, NEXT, PLAN, offered
from exporter.simulator.stories.setting import DAY, INSTALLED, Setting

_TIMEOUT: Final = 300.0
"""After which OLM gives an install up, and tries again."""
_KUBEVIRT: Final = ("v1.4.0", "v1.4.1")
_UPDATING: Final = ("Available", "Progressing", "Degraded")
_CONDITIONS: Final = ("Available", "Progressing", "Degraded", "Upgradeable")


class Updating:
    """An update of the operator, step by step as OLM and HyperConverged take them."""

    def __init__(self, setting: Setting, version: str, since: datetime, *, over: str = "") -> None:
        self.setting, self.world, self.version = setting, setting.world, version
        self.since = since
        """When it became available."""
        self.over = over or setting.installed
        """The version that it is installed over."""
        self.phases: list[objects.Phase] = []
        self._said: tuple[bool, datetime] | None = None

    def phase(self, name: str, reason: str) -> None:
        """The ClusterServiceVersion gets to another phase."""
        self.phases.append((name, reason, self.world.now))
        self.setting.arrive(self.version, *self.phases, over=self.over)

    def made(self, reason: str = "RequirementsUnknown") -> None:
        """The ClusterServiceVersion is there, and the one before is being replaced."""
        self.phase("Pending", reason)
        self.setting.replaced(self.over)

    def says(self, reason: str) -> None:
        """The operator's word to OLM."""
        upgradeable = reason == "Upgradeable"
        if self._said is None or self._said[0] is not upgradeable:
            # Another reason is no transition.
            self._said = upgradeable, self.world.now
        self.world.apply(
            objects.operator_condition(
                self.version, since=self._said[1], upgradeable=upgradeable, reason=reason
            )
        )

    def hyperconverged(
        self, version: str, progressing: str = "", others: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """HyperConverged has completed a version, and progresses for a reason or does not."""
        said = dict(others or {})
        if progressing:
            said["Progressing"] = ("True", progressing)
        obj = objects.hyperconverged(version, created=self.setting.birth, since=self.world.now)
        for each in obj["status"]["conditions"]:
            state, reason = said.get(each["type"], (each["status"], each["reason"]))
            each |= {"status": state, "reason": reason}
        self.world.apply(obj)

    def kubevirt(self, version: str, *, rolling_to: str = "") -> None:
        """KubeVirt runs a version, or is on its way to another one and degraded until then."""
        since = self.world.now
        obj = objects.kubevirt(version, created=self.setting.birth, rolling_to=rolling_to, since=since)
        if rolling_to:
            obj["status"]["targetKubeVirtVersion"] = rolling_to
            said = [objects.condition(each, "True", since, "UpdateInProgress") for each in _UPDATING]
            obj["status"]["conditions"] = said
        self.world.apply(obj)

    def is_made(self) -> Iterator[float]:
        """An approved plan makes the ClusterServiceVersion."""
        setting = self.setting
        setting.plan(PLAN, self.version, created=self.world.now, approved=True, phase="Installing")
        setting.subscribe(current=self.version, plan=PLAN)
        setting.expect(self.version, "not_started", self.since)
        yield 1
        self.made()
        setting.expect(self.version, "requirements_not_met", self.since)
        yield 2

    def is_installed(self) -> Iterator[float]:
        """OLM installs the operators."""
        self.phase("InstallReady", "AllRequirementsMet")
        self.setting.expect()
        yield 2
        self.phase("Installing", "InstallWaiting")
        yield 30

    def times_out(self, *, hopeless: bool = False) -> Iterator[float]:
        """The operators' pods do not come up; OLM gives up for an instant and tries again."""
        yield _TIMEOUT - 30
        self.phase("Failed", "InstallCheckFailed")
        self.setting.changed(self.version, hopeless=hopeless)
        yield 1
        self.phase("Pending", "NeedsReinstall")
        yield 1
        self.phase("InstallReady", "AllRequirementsMet")
        self.phase("Installing", "InstallWaiting")
        yield 30

    def succeeds(self) -> Iterator[float]:
        """The operators are up, and the old version goes; after a while a leader rolls the operands out."""
        yield from self.is_up()
        yield 16
        self.hyperconverged(self.setting.installed, "HCOUpgrading")
        yield 90

    def is_up(self) -> Iterator[float]:
        """The operators are up, and the old version goes."""
        self.says("Initializing")
        yield 1
        self.phase("Succeeded", "InstallSucceeded")
        self.setting.changed(self.version, hopeless=False)
        yield 1
        self.setting.goes(self.over)

    def restarts(self) -> Iterator[float]:
        """A pod of the operator's is gone for half a minute, whatever the operator is at."""
        self.phase("Failed", "ComponentUnhealthy")
        yield 1
        self.phase("Pending", "NeedsReinstall")
        self.phase("InstallReady", "AllRequirementsMet")
        self.phase("Installing", "InstallWaiting")
        self.says("Initializing")
        yield 4
        self.phase("Succeeded", "InstallSucceeded")
        yield 16

    def ends(self) -> Iterator[float]:
        """All operands are rolled out."""
        self.says("Upgradeable")
        self.hyperconverged(self.version)
        self.setting.completed(self.version, *self.phases)
        self.setting.expect()
        yield 60

    def whole(self) -> Iterator[float]:
        """From the plan to the end, as it mostly goes."""
        yield from self.is_made()
        yield from self.is_installed()
        yield from self.succeeds()
        yield from self.ends()


def _begun(world: World) -> tuple[Setting, Iterator[float]]:
    setting = Setting(world)
    return setting, offered(setting)


def timeouts(world: World) -> Iterator[float]:
    """The operators do not come up for a quarter of an hour, and then they do."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from updating.is_made()
    yield from updating.is_installed()
    yield from updating.times_out()
    # The second time is no accident, though it may still end well.
    yield from updating.times_out(hopeless=True)
    yield from updating.times_out(hopeless=True)
    yield from updating.succeeds()
    yield from updating.ends()


def given_up(world: World) -> Iterator[float]:
    """The operators do not come up; after an hour somebody deletes the new version."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from updating.is_made()
    yield from updating.is_installed()
    yield from updating.times_out()
    yield _TIMEOUT - 30
    updating.phase("Failed", "InstallComponentFailed")
    yield 60
    # What stays Failed for more than a minute does not pass by itself.
    world.truth = None
    yield 1
    setting.expect()
    setting.changed(hopeless=True)
    yield 3600
    world.delete("ClusterServiceVersion", objects.csv_name(NEXT), objects.NAMESPACE)
    world.delete("InstallPlan", PLAN, objects.NAMESPACE)
    setting.back()
    setting.changed(gone=world.now)
    setting.offer(INSTALLED)
    setting.expect()
    yield 3600


def hangs(world: World) -> Iterator[float]:
    """All is green but one operand, for three hours."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from updating.is_made()
    yield from updating.is_installed()
    yield from updating.succeeds()
    yield 3 * 3600
    yield from updating.ends()


def degraded(world: World) -> Iterator[float]:
    """KubeVirt and HyperConverged are degraded, and nothing is known for an instant, as in most updates."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    before, after = _KUBEVIRT
    updating.kubevirt(before)
    yield from updating.is_made()
    yield from updating.is_installed()
    yield from updating.is_up()
    # Nobody leads yet: HyperConverged is all green while the operand is under way.
    updating.kubevirt(before, rolling_to=after)
    yield 16
    updating.says("AlreadyPerformingUpgrade")
    updating.hyperconverged(INSTALLED, others=dict.fromkeys(_CONDITIONS, ("Unknown", "StatusUnknown")))
    yield 1
    updating.hyperconverged(INSTALLED, "HCOUpgrading", {"Degraded": ("True", "KubeVirtDegraded")})
    yield 1200
    updating.kubevirt(after)
    # All is well for an instant, but for the version.
    updating.hyperconverged(INSTALLED)
    yield 1
    updating.hyperconverged(INSTALLED, "HCOUpgrading")
    yield 90
    yield from updating.ends()


def overridden(world: World) -> Iterator[float]:
    """The version before does not allow it for two hours, until an administrator overrides it."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    no = objects.operator_condition(INSTALLED, since=world.now, upgradeable=False, reason="SSPNotUpgradeable")
    world.apply(no)
    yield from updating.is_made()
    updating.phase("Pending", "OperatorConditionNotUpgradeable")
    setting.expect(NEXT, "upgrade_gate", updating.since)
    yield 2 * 3600
    override = objects.condition("Upgradeable", "True", world.now, "AcceptRisk")
    world.apply({**no, "spec": {**no["spec"], "overrides": [override]}})
    yield 1
    yield from updating.is_installed()
    yield from updating.succeeds()
    yield from updating.ends()


def image_pulls(world: World) -> Iterator[float]:
    """The images of two pods are pulled for twenty minutes, while OLM gives up and tries again."""
    setting, offer = _begun(world)
    setting.expect_waiting()
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from updating.is_made()
    updating.phase("InstallReady", "AllRequirementsMet")
    setting.expect()
    yield 2
    updating.phase("Installing", "InstallWaiting")
    created = world.now
    for name in ("hco-operator-0", "virt-operator-0"):
        world.apply(objects.pod(name, created=created, waiting="ContainerCreating"))
    # The ones before run on, and one that is ready is no trouble.
    world.apply(objects.pod("cdi-operator-0", created=created))
    yield 55
    # It counts after a minute.
    world.truth = None
    yield 10
    setting.expect()
    setting.expect_waiting(image_pull=2)
    for attempt in range(4):
        yield from updating.times_out(hopeless=attempt > 0)
    for name in ("hco-operator-0", "virt-operator-0"):
        world.apply(objects.pod(name, created=created))
    setting.expect_waiting()
    yield from updating.succeeds()
    yield from updating.ends()


def noise(world: World) -> Iterator[float]:
    """A day after an update the operator restarts, an operand progresses, another is not upgradeable."""
    setting, offer = _begun(world)
    yield from offer
    updating = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from updating.whole()
    yield DAY
    yield from updating.restarts()
    updating.says("Upgradeable")
    yield 600
    updating.hyperconverged(NEXT, "KubeVirtProgressing")
    yield 60
    updating.hyperconverged(NEXT)
    yield 600
    updating.says("SSPNotUpgradeable")
    yield DAY


def two_hops(world: World) -> Iterator[float]:
    """The catalog offers two versions, which are installed one after the other."""
    setting = Setting(world)
    yield 60
    since = world.now
    setting.offer(LATER, NEXT, INSTALLED)
    setting.expect(LATER, "not_started", since)
    yield 8
    # It has waited as long as the other.
    first = Updating(setting, NEXT, since)
    yield from first.is_made()
    yield from first.is_installed()
    yield from first.succeeds()
    first.says("Upgradeable")
    first.hyperconverged(NEXT)
    setting.completed(NEXT, *first.phases)
    setting.expect(LATER, "not_started", since)
    yield 30
    yield from Updating(setting, LATER, since).whole()


def overlapping(world: World) -> Iterator[float]:
    """The next version is there before the first is rolled out: it waits behind the gate for that."""
    setting = Setting(world)
    yield 60
    since = world.now
    setting.offer(NEXT, INSTALLED)
    setting.expect(NEXT, "not_started", since)
    yield 8
    first = Updating(setting, NEXT, since)
    yield from first.is_made()
    yield from first.is_installed()
    yield from first.is_up()
    offered_since = world.now
    setting.offer(LATER, NEXT, INSTALLED)
    setting.plan("install-9wk2b", LATER, created=world.now, approved=True, phase="Installing")
    setting.expect()
    yield 5
    second = Updating(setting, LATER, offered_since, over=NEXT)
    second.made()
    setting.changed(LATER, offered=offered_since)
    yield 1
    second.phase("Pending", "OperatorConditionNotUpgradeable")
    yield 90
    first.says("Upgradeable")
    first.hyperconverged(NEXT)
    setting.completed(NEXT, *first.phases)
    setting.expect(LATER, "upgrade_gate", offered_since)
    yield 1
    yield from second.is_installed()
    yield from second.succeeds()
    yield from second.ends()


def superseded(world: World) -> Iterator[float]:
    """The operators of a version do not come up, and a newer version takes its place."""
    setting, offer = _begun(world)
    yield from offer
    first = Updating(setting, NEXT, world.ago(minutes=8 / 60))
    yield from first.is_made()
    yield from first.is_installed()
    first.says("Initializing")
    yield from first.times_out()
    yield from first.times_out(hopeless=True)
    since = world.now
    setting.offer(LATER, NEXT, INSTALLED)
    setting.plan("install-9wk2b", LATER, created=world.now, approved=True, phase="Installing")
    setting.changed(NEXT, hopeless=False)
    setting.expect()
    yield 5
    # For the moment that its requirements take, nothing is replaced yet.
    second = Updating(setting, LATER, since, over=NEXT)
    second.made()
    setting.changed(LATER, offered=since)
    begun = world.now
    world.truth = None
    yield 2
    setting.changed(NEXT, gone=begun, superseded=True)
    yield from second.is_installed()
    yield from second.succeeds()
    setting.goes(INSTALLED)
    yield from second.ends()


def _last(outcome: str) -> str:
    labels = f'from_version="{INSTALLED}",to_version="{NEXT}",outcome="{outcome}"'
    return f"virt_upgrade_completed_timestamp_seconds{{{labels}}}"


STORIES: Final = (
    Story(
        "upgrade-timeouts",
        "The operators of an update do not come up for a quarter of an hour",
        ('virt_upgrade_install_failures{to_version="4.18.11"} 3', _last("completed")),
        timeouts,
        lead=60 + 8 + 2 * _TIMEOUT,
    ),
    Story(
        "upgrade-given-up",
        "An update that does not come up is deleted after an hour",
        # Once it is gone only who has seen it can tell.
        ('virt_upgrade_stage{stage="failed"} 1', "virt_upgrade_in_progress 1"),
        given_up,
        lead=60 + 8 + 2 * _TIMEOUT + 3600,
        at_lead=True,
    ),
    Story(
        "upgrade-hangs",
        "One operand holds the end of an update for three hours",
        (_last("completed"), 'virt_upgrade_last_stage_duration_seconds{stage="rollout"}'),
        hangs,
        lead=60 + 8 + 60 + 3 * 3600,
    ),
    Story(
        "upgrade-degraded",
        "KubeVirt and HyperConverged are degraded while they are updated, as they mostly are",
        ('virt_upgrade_stage{stage="rollout"} 1', 'virt_upgrade_install_failures{to_version="4.18.11"} 0'),
        degraded,
        lead=60 + 8 + 60 + 600,
        at_lead=True,
    ),
    Story(
        "upgrade-overridden",
        "The version before holds an update for two hours, until it is overridden",
        (_last("completed"), 'virt_upgrade_last_stage_duration_seconds{stage="gate"}'),
        overridden,
        lead=60 + 8 + 2 * 3600 - 30,
    ),
    Story(
        "upgrade-image-pulls",
        "The images of an update are pulled for twenty minutes",
        ('virt_upgrade_operator_waiting_pods{reason="image_pull"} 2', 'virt_upgrade_stage{stage="failed"} 1'),
        image_pulls,
        lead=60 + 8 + 5 + 3 * _TIMEOUT,
        at_lead=True,
    ),
    Story(
        "upgrade-noise",
        "A day after an update its operator restarts and its operands progress: no update",
        ('virt_upgrade_stage{stage="idle"} 1', _last("completed")),
        noise,
        lead=60 + 8 + 200 + DAY - 30,
    ),
    Story(
        "upgrade-two-hops",
        "Two updates, one after the other",
        ("virt_upgrade_versions_behind 0", 'virt_upgrade_last_stage_duration_seconds{stage="approval"}'),
        two_hops,
        lead=60,
    ),
    Story(
        "upgrade-overlapping",
        "The next version waits behind the gate for the end of the one before",
        ("virt_upgrade_in_progress 1", 'virt_upgrade_stage{stage="rollout"} 1'),
        overlapping,
        lead=60 + 8 + 40 + 6 + 30,
        at_lead=True,
    ),
    Story(
        "upgrade-superseded",
        "A version that does not come up is replaced by a newer one",
        ('virt_upgrade_install_failures{to_version="4.18.12"} 0', "virt_upgrade_in_progress 1"),
        superseded,
        lead=60 + 8 + 40 + 2 * _TIMEOUT + 60,
        at_lead=True,
    ),
)
