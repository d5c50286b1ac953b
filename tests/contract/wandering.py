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

HOUR = 3600.0


class Wandering:
    """One cluster, for some days."""

    def __init__(self, world: World, seed: int, days: float) -> None:
        self.random = Random(seed)
        self.world = world
        self.setting = Setting(world, operator="4.18.0")
        self.ends = world.now.timestamp() + days * DAY
        self.versions = ["4.18.0"]
        self.first: dict[str, datetime] = {}
        """When each version was first the head."""
        self.since: datetime | None = None
        """When the update that waits became available, whatever its target is by now."""
        self.waiting: tuple[str, str, datetime] | None = None
        """Target, plan and creation of a plan that waits for approval."""
        self.cause = "not_started"
        self.ready = True
        self.plans = 0

    def tell(self) -> Iterator[float]:
        """Days of one thing after another."""
        yield 30
        while self.world.now.timestamp() < self.ends:
            choices = [self.quiet, self.offer, self.catalog]
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
        if self.since is None:
            self.since = self.first[target]
        own = "awaiting_approval" if self.waiting else cause or self.cause
        if not self.waiting and not self.ready:
            own = "catalog_unhealthy"
        stale = bool(self.waiting) and self.versions[0] != target
        self.setting.expect(target, own, self.since, stale=stale)

    def pause(self, longest: float = 30 * HOUR) -> float:
        """Some time, mostly short."""
        return float(round(longest ** self.random.random())) + 1

    # What happens

    def quiet(self) -> Iterator[float]:
        """Nothing."""
        yield self.pause()

    def offer(self) -> Iterator[float]:
        """The catalog gets a newer version, if it is there."""
        if not self.ready:
            return
        version = f"4.18.{int(self.versions[0].rpartition('.')[2]) + self.random.randint(1, 3)}"
        self.versions.insert(0, version)
        self.first[version] = self.world.now
        self.setting.offer(*self.versions)
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
            yield self.pause()
        else:
            self.setting.plan(name, version, created=made, approved=True, phase="Installing")
            self.setting.subscribe(current=version, plan=name, conditions=[UNPACKING])
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

    def install(self, version: str) -> Iterator[float]:
        """An approved plan is carried out."""
        setting, world = self.setting, self.world
        assert self.since
        setting.expect(version, "not_started", self.since)
        yield 1
        pending: objects.Phase = ("Pending", "RequirementsUnknown", world.now)
        setting.arrive(version, pending)
        setting.replaced()
        setting.expect(version, "requirements_not_met", self.since)
        yield self.random.randint(1, 3)
        begun: objects.Phase = ("Installing", "InstallWaiting", world.now)
        setting.arrive(version, pending, begun)
        setting.subscribe(current=version, conditions=[UNPACKING, UNRESOLVED])
        setting.expect()
        yield self.pause(HOUR)
        setting.complete(version, pending, begun)
        self.waiting, self.since = None, None
        self.versions = self.versions[: self.versions.index(version) + 1]
        self.expect()
        yield self.pause(HOUR)


def wandering(seed: int, days: float) -> Story:
    """The story of a seed."""
    return Story(
        f"wandering-{seed}", "One thing after another", (), lambda world: Wandering(world, seed, days).tell()
    )
