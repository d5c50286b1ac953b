"""A made-up stretch of an operator's life, different for every seed, with its truth.

What happens is drawn at random, what OLM does then is not: the writer keeps its own simple books of when
which version was first offered, and says at each moment what has to be said.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from exporter.simulator import objects
from exporter.simulator.script import Story, World
from exporter.simulator.stories.pending import UNPACK_FAILED, UNPACKING, UNRESOLVED, requires_approval
from exporter.simulator.stories.setting import DAY, Setting
from exporter.simulator.stories.upgrades import Updating
from tests.contract.platform import Nodes

HOUR = 3600.0


class Wandering:
    """One cluster, for some days."""

    def __init__(
        self, world: World, seed: int, days: float, longest: float, *, vms: bool, proved: bool
    ) -> None:
        self.random = Random(seed)
        self.proved = proved
        self.longest = longest
        self.world = world
        self.setting = Setting(world, operator="4.18.0")
        self.stops = world.now.timestamp() + days * DAY
        self.versions = ["4.18.0"]
        self.newest = 0
        """Of the versions that have ever been offered; none comes twice."""
        self.first: dict[str, datetime] = {}
        """When each version was first the head."""
        self.since: datetime | None = None
        """When the update that waits became available, whatever its target is by now."""
        self.waiting: tuple[str, str, datetime] | None = None
        """Target, plan and creation of a plan that waits for approval."""
        self.aim = ""
        """The target for which it did."""
        self.tried = False
        """An update from the installed version was approved once, and given up."""
        self.cause = "not_started"
        self.ready = True
        self.plans = 0
        count = self.random.choice([0, 0, 1, 3])
        self.vms = [f"vm-{number}" for number in range(count if vms else 0)]
        self.setting.run_vms(*self.vms)
        self.nodes = Nodes(self.setting, self.random) if self.random.random() < 0.5 else None

    def tell(self) -> Iterator[float]:
        """Days of one thing after another, and of OpenShift's beside them."""
        for pause in self._tell():
            yield pause
            if self.nodes is not None and self.random.random() < 0.2:
                self.nodes.step()

    def _tell(self) -> Iterator[float]:
        yield 30
        while self.world.now.timestamp() < self.stops:
            self.setting.expire()
            choices = [self.quiet, self.offer, self.catalog]
            if self.setting.outdated:
                choices += [self.move_vm, self.move_vm]
            if self.waiting:
                choices += [self.delete_plan, self.approve]
            elif self.target:
                choices += [self.unresolved, self.unpack_failed, self.make_plan, self.make_plan]
            yield from self.random.choice(choices)()

    # The books

    @property
    def target(self) -> str:
        """What is to be installed: a plan's version, else the head."""
        if self.waiting:
            return self.waiting[0]
        head = self.versions[0]
        return head if head != self.setting.installed else ""

    def expect(self, cause: str = "") -> None:
        """Say what is true."""
        target = self.target
        if not target:
            self.setting.expect()
            return
        if self.since is None or (self.tried and target != self.aim):
            # What was approved once, and given up, hands its age on to nothing.
            self.since = self.first[target]
        self.aim = target
        own = "awaiting_approval" if self.waiting else cause or self.cause
        if not self.waiting and not self.ready:
            own = "catalog_unhealthy"
        stale = bool(self.waiting) and self.versions[0] != target
        self.setting.expect(target, own, self.since, stale=stale)

    def pause(self, longest: float = 0.0) -> float:
        """Some time, mostly short."""
        return float(round((longest or self.longest) ** self.random.random())) + 1

    # What happens

    def quiet(self) -> Iterator[float]:
        """Nothing."""
        yield self.pause()

    def move_vm(self) -> Iterator[float]:
        """A VM is migrated into a new launcher."""
        self.setting.run_vms(self.random.choice(self.setting.outdated))
        yield self.pause(HOUR)

    def offer(self) -> Iterator[float]:
        """The catalog gets a newer version, if it is there."""
        if not self.ready:
            return
        self.newer()
        self.expect()
        yield self.pause()

    def catalog(self) -> Iterator[float]:
        """The catalog goes, or comes back; the package follows a little later."""
        self.ready = not self.ready
        if self.ready:
            self.setting.catalog("READY")
            self.expect()
            yield 2
            self.setting.offer(*self.versions)
        else:
            self.setting.catalog("TRANSIENT_FAILURE")
            self.setting.offer_nothing()
        self.expect()
        yield self.pause(DAY)

    def unresolved(self) -> Iterator[float]:
        """OLM cannot resolve the namespace for a while."""
        yield from self.condition(UNRESOLVED, "resolution_failed")

    def unpack_failed(self) -> Iterator[float]:
        """The bundle cannot be unpacked for a while; this comes before all other causes."""
        if self.ready:
            yield from self.condition(UNPACK_FAILED, "unpack_failed")

    def condition(self, condition: objects.ApiObject, cause: str) -> Iterator[float]:
        """A condition stands on our Subscription for a while."""
        self.setting.subscribe(conditions=[condition])
        self.cause = cause
        self.expect()
        yield self.pause(DAY)
        self.setting.subscribe()
        self.cause = "not_started"
        self.expect()
        yield self.pause(HOUR)

    def make_plan(self) -> Iterator[float]:
        """OLM makes a plan, which waits or is carried out at once."""
        self.setting.approval = self.random.choice(["Manual", "Automatic"])
        version, name, made = self.target, self.plan_name(), self.world.now
        self.expect()
        if self.setting.approval == "Manual":
            self.waiting = version, name, made
            self.setting.plan(name, version, created=made)
            self.setting.subscribe(current=version, plan=name, conditions=requires_approval(made))
            self.expect()
            if self.random.random() < 0.05:
                self.stops += 3 * DAY
                yield 3 * DAY
            yield self.pause()
        else:
            self.setting.plan(name, version, created=made, approved=True, phase="Installing")
            self.setting.subscribe(current=version, plan=name, conditions=[UNPACKING])
            if self.random.random() < 0.15 and not self.proved:
                yield from self.fail_plan(name, version)
            else:
                yield from self.install(version)

    def plan_name(self) -> str:
        """OLM's names never come twice."""
        self.plans += 1
        return f"install-{self.plans:05}"

    def delete_plan(self) -> Iterator[float]:
        """Somebody deletes the plan that waits; the next one is for the head, if that can be seen."""
        assert self.waiting
        version, name, _ = self.waiting
        self.world.delete("InstallPlan", name, objects.NAMESPACE)
        self.setting.subscribe(resolving=True)
        yield self.random.randint(1, 5)
        version = self.versions[0] if self.ready else version
        name, made = self.plan_name(), self.world.now
        self.waiting = version, name, made
        self.setting.plan(name, version, created=made)
        self.setting.subscribe(current=version, plan=name, conditions=requires_approval(made))
        self.expect()
        yield self.pause()

    def approve(self) -> Iterator[float]:
        """Somebody approves the plan that waits."""
        assert self.waiting
        version, name, made = self.waiting
        self.setting.plan(name, version, created=made, approved=True, phase="Installing")
        yield from self.install(version)

    def fail_plan(self, name: str, version: str) -> Iterator[float]:
        """The first step of an approved plan is refused; after a while somebody deletes it."""
        assert self.since
        made = self.world.now
        self.setting.expect(version, "not_started", self.since)
        yield 61
        self.setting.plan_fails(name, version, created=made, begun=made, since=self.since)
        yield self.pause(HOUR)
        self.world.delete("InstallPlan", name, objects.NAMESPACE)
        self.setting.subscribe(resolving=True)
        self.setting.changed(gone=self.world.now)
        self.setting.expect(version, "plan_failed", self.since)
        yield 2
        made, name = self.world.now, self.plan_name()
        self.setting.plan(name, version, created=made, approved=True, phase="Installing")
        self.setting.subscribe(current=version, plan=name, conditions=[UNPACKING])
        yield from self.install(version)

    def install(self, version: str) -> Iterator[float]:
        """An approved plan is carried out."""
        assert self.since
        self.setting.expect(version, "not_started", self.since)
        yield 1
        updating = Updating(self.setting, version, self.since)
        updating.made()
        self.setting.expect(version, "requirements_not_met", self.since)
        yield self.random.randint(1, 3)
        if self.random.random() < 0.2:
            yield from self.held(updating)
        yield from self.carried_out(updating)

    def carried_out(self, updating: Updating, *, surely: bool = False) -> Iterator[float]:
        """What its requirements and the version before allow is installed and rolled out, or is not."""
        setting, version = self.setting, updating.version
        updating.phase("Installing", "InstallWaiting")
        setting.subscribe(current=version, conditions=[UNPACKING, UNRESOLVED])
        setting.expect()
        yield self.pause(HOUR)
        failing = not surely and self.random.random() < 0.2
        if failing:
            yield from self.fails(updating)
        how = self.random.random()
        if failing and how < 0.2 and self.ready and not self.proved:
            yield from self.given_up(updating)
            return
        if failing and how < 0.5 and self.ready:
            yield from self.superseded(updating)
            return
        if surely or self.random.random() < 0.7:
            if self.random.random() < 0.3:
                updating.kubevirt("v1.4.0", rolling_to="v1.4.1")
            yield from updating.succeeds()
            yield from self.rolled_out(updating)
        else:
            # All at once.
            self.setting.run_vms(*self.vms, outdated=True)
            updating.phases.append(("Succeeded", "InstallSucceeded", self.world.now))
            setting.changed(version, hopeless=False)
            setting.complete(version, *updating.phases)
            yield from self.over(updating)

    def fails(self, updating: Updating) -> Iterator[float]:
        """The operators do not come up, mostly because an image cannot be pulled."""
        name, created = f"virt-operator-{updating.version}", self.world.now
        self.world.apply(objects.pod(name, created=created, waiting="ContainerCreating"))
        updating.says("Initializing")
        for attempt in range(self.random.randint(1, 7)):
            yield from updating.times_out(hopeless=attempt > 0)
        self.world.apply(objects.pod(name, created=created))

    def rolled_out(self, updating: Updating) -> Iterator[float]:
        """The operators are up; the operands take their time, and the operator may restart meanwhile."""
        yield self.pause(HOUR)
        how = self.random.random()
        if how < 0.15:
            unknown = dict.fromkeys(("Available", "Progressing", "Degraded"), ("Unknown", "StatusUnknown"))
            updating.hyperconverged(self.setting.installed, others=unknown)
            yield 1
            degraded = {"Degraded": ("True", "KubeVirtDegraded")}
            updating.hyperconverged(self.setting.installed, "HCOUpgrading", degraded)
            yield self.pause(HOUR)
        elif how < 0.3:
            yield from updating.restarts()
            updating.says("AlreadyPerformingUpgrade")
            yield self.pause(HOUR)
        elif how < 0.45 and self.ready:
            yield from self.followed(updating)
            return
        yield from self.ends(updating)

    def ends(self, updating: Updating) -> Iterator[float]:
        """All operands are rolled out."""
        self.setting.run_vms(*self.vms, outdated=True)
        updating.says("Upgradeable")
        updating.hyperconverged(updating.version)
        updating.kubevirt("v1.4.1")
        self.setting.completed(updating.version, *updating.phases)
        yield from self.over(updating)

    def over(self, updating: Updating) -> Iterator[float]:
        """An update has reached its end; what happens to the operator afterwards is none."""
        self.reset(updating.version)
        self.expect()
        yield self.pause(HOUR)
        if self.random.random() < 0.4:
            yield from self.noise(updating)

    def reset(self, version: str) -> None:
        """A version is installed, and what is newer than it has been offered since then."""
        self.waiting, self.since, self.tried = None, None, False
        self.versions = self.versions[: self.versions.index(version) + 1]

    def held(self, updating: Updating) -> Iterator[float]:
        """The version before does not allow it for a while, or until it is overridden."""
        before = self.setting.installed
        no = objects.operator_condition(
            before, since=self.world.now, upgradeable=False, reason="SSPNotUpgradeable"
        )
        self.world.apply(no)
        updating.phase("Pending", "OperatorConditionNotUpgradeable")
        self.setting.expect(updating.version, "upgrade_gate", updating.since)
        yield self.pause(HOUR)
        if self.random.random() < 0.5:
            override = objects.condition("Upgradeable", "True", self.world.now, "AcceptRisk")
            self.world.apply({**no, "spec": {**no["spec"], "overrides": [override]}})
        else:
            self.world.apply(objects.operator_condition(before, since=self.world.now))

    def newer(self) -> str:
        """The catalog gets a version newer than all."""
        self.newest += self.random.randint(1, 3)
        version = f"4.18.{self.newest}"
        self.versions.insert(0, version)
        self.first[version] = self.world.now
        self.setting.offer(*self.versions)
        return version

    def next_plan(self) -> str:
        """The catalog gets a newer version, for which OLM makes a plan that is carried out at once."""
        version = self.newer()
        self.setting.approval = "Automatic"
        self.setting.plan(
            self.plan_name(), version, created=self.world.now, approved=True, phase="Installing"
        )
        return version

    def followed(self, updating: Updating) -> Iterator[float]:
        """The next version is there before this one is rolled out, and waits behind the gate for that."""
        version = self.next_plan()
        since = self.first[version]
        self.setting.expect()
        yield self.random.randint(1, 5)
        following = Updating(self.setting, version, since, over=updating.version)
        following.made()
        self.setting.changed(version, offered=since)
        yield 1
        following.phase("Pending", "OperatorConditionNotUpgradeable")
        yield self.pause(HOUR)
        updating.says("Upgradeable")
        updating.hyperconverged(updating.version)
        self.setting.completed(updating.version, *updating.phases)
        self.reset(updating.version)
        self.since = since
        self.setting.expect(version, "upgrade_gate", since)
        yield 1
        yield from self.carried_out(following)

    def superseded(self, updating: Updating) -> Iterator[float]:
        """A version that does not come up is replaced by the next one."""
        version = self.next_plan()
        since = self.first[version]
        self.setting.expect()
        # A new plan: it has not failed as long as nobody knows what comes of that.
        self.setting.changed(updating.version, hopeless=False)
        yield self.random.randint(1, 5)
        following = Updating(self.setting, version, since, over=updating.version)
        following.made()
        self.setting.changed(version, offered=since)
        begun = self.world.now
        # As long as its requirements are looked at nothing is replaced.
        self.world.truth = None
        yield 1
        self.setting.changed(updating.version, gone=begun, superseded=True)
        before = self.setting.installed
        yield from self.carried_out(following, surely=True)
        # What had come up before all this goes with the last one that had not.
        self.setting.goes(before)

    def given_up(self, updating: Updating) -> Iterator[float]:
        """The catalog takes back a version that does not come up, and somebody deletes it."""
        self.versions = self.versions[self.versions.index(updating.over) :]
        self.setting.offer(*self.versions)
        self.setting.expect()
        yield self.random.randint(1, 60)
        plans = [f"install-{number:05}" for number in range(self.plans + 1)]
        self.setting.goes(updating.version)
        self.world.delete("InstallPlan", plans[-1], objects.NAMESPACE)
        self.setting.back()
        self.setting.changed(updating.version, gone=self.world.now)
        self.waiting, self.since, self.tried = None, None, True
        self.expect()
        yield self.pause(HOUR)

    def noise(self, updating: Updating) -> Iterator[float]:
        """What happens to an operator that is not being updated."""
        yield from updating.restarts()
        updating.says("Upgradeable")
        how = self.random.random()
        if how < 0.4:
            updating.hyperconverged(updating.version, "CDIProgressing")
            yield self.pause(HOUR)
            updating.hyperconverged(updating.version)
        elif how < 0.6:
            updating.says("SSPNotUpgradeable")
            yield self.pause(HOUR)
            updating.says("Upgradeable")
        yield self.pause(HOUR)


def wandering(
    seed: int, days: float, longest: float = 30 * HOUR, *, vms: bool = True, proved: bool = False
) -> Story:
    """The story of a seed.

    Args:
        seed: another one, another story.
        days: how long it takes, or a little more.
        longest: seconds for which nothing happens, at most.
        vms: there are some.
        proved: nothing happens of which only looking on tells when, but to VMs.
    """
    return Story(
        f"wandering-{seed}",
        "One thing after another",
        (),
        lambda world: Wandering(world, seed, days, longest, vms=vms, proved=proved).tell(),
    )
