"""A made-up stretch of OpenShift's life beside its operators', a step at a time, with its truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from exporter.facts.worker_rollout import TOGETHER_SECONDS
from exporter.simulator.script import Plane, World
from exporter.simulator.stories.openshift import Platform
from exporter.simulator.stories.setting import Setting

MASTER, WORKER, GPU = "master", "worker", "gpu"


class Nodes:
    """OpenShift, whose control plane and pools are updated now and then."""

    def __init__(self, setting: Setting, random: Random) -> None:
        self.random = random
        self.world: World = setting.world
        self.workers = [WORKER, GPU][: random.choice([1, 2])]
        self.platform = Platform(setting, pools=dict.fromkeys((MASTER, *self.workers), 3))
        self.version = 14
        self.late: set[str] = set()
        """Pools that do not have the update yet."""
        self.paused: set[str] = set()
        self.configured: set[str] = set()
        """Pools in the middle of a MachineConfig of the administrator."""
        self.quiet_from = self.world.now
        """From then on the last of those is told from an update's."""
        self.ends: list[datetime] = []
        """When pools came to have the update."""
        self.master_done = False
        self.given = False
        """The pools have been given the update's configuration."""
        self.shown = False
        """They have been given some configuration by it."""
        self.begun = False
        """Some pool has begun to roll it out."""

    @property
    def control(self) -> Plane:
        return self.platform.truth.control

    def step(self) -> None:
        """Something happens; perhaps nothing."""
        possible = [self.nothing, self.flap]
        if self.control.running:
            possible += [self.roll_out_control, self.roll_out_control, self.retarget]
        elif not self.late:
            possible += [self.begin, self.begin]
        if not (self.control.running and self.shown):
            # Else nobody could tell it from the update's.
            possible += [self.configure]
        if not self.given and not self.paused:
            possible += [self.pause]
        if self.paused:
            possible += [self.resume]
        if self.configured:
            possible += [self.configured_everywhere]
        if self.late - self.paused:
            possible += [self.has_it, self.has_it]
        self.random.choice(possible)()

    def expect(self, control: Plane | None = None, *, wanted: tuple[str, ...] | None = None) -> None:
        """What is true of both planes."""
        workers = self.platform.truth.workers
        assert workers is not None
        rolls = bool(self.late - self.paused)
        if rolls and not self.begun:
            workers, self.begun = replace(workers, began=self.world.now), True
        through = self.given and not self.late and not (control or self.control).running
        if through:
            workers = replace(workers, completed=max(self.ends))
            self.ends, self.given, self.begun = [], False, False
        more = {} if wanted is None else {"wanted": wanted}
        self.platform.expect(control, replace(workers, running=rolls), **more)

    def nothing(self) -> None:
        """Nothing."""

    def flap(self) -> None:
        """A node is not ready for a moment."""
        for name in self.workers:
            if name not in self.late | self.configured:
                self.platform.has(name)
                return

    def configure(self) -> None:
        """The administrator changes the configuration of a pool."""
        name = self.random.choice(self.workers)
        if name not in self.paused | self.late:
            self.platform.configures(name)
            self.configured.add(name)
            self.quiet_from = self.world.now + timedelta(seconds=TOGETHER_SECONDS)

    def configured_everywhere(self) -> None:
        """All machines have what the administrator wanted."""
        name = min(self.configured)
        if name not in self.paused:
            self.platform.has(name)
            self.configured.discard(name)

    def begin(self) -> None:
        """Another version is asked for, and taken up."""
        self.version += 1
        self.platform.begins(f"4.18.{self.version}")
        self.master_done = self.shown = False
        self.expect(replace(self.control, running=True, began=self.world.now), wanted=("patch",))

    def retarget(self) -> None:
        """Yet another one is asked for on the way."""
        self.version += 1
        self.platform.begins(f"4.18.{self.version}")
        # The pools get it as well, when it is their turn.
        self.given = False

    def roll_out_control(self) -> None:
        """The next step of the control plane."""
        if not self.given:
            if self.configured and self.world.now <= self.quiet_from:
                return
            self.given = self.shown = True
            self.late = set(self.workers)
            self.master_done = False
            self.ends.clear()
            self.configured.clear()
            self.platform.configures(MASTER, *self.workers)
            self.expect()
        elif not self.master_done:
            self.platform.has(MASTER)
            self.master_done = True
        else:
            self.platform.completes()
            self.expect(replace(self.control, running=False, completed=self.world.now), wanted=())

    def has_it(self) -> None:
        """All machines of a pool have the update."""
        name = min(self.late - self.paused)
        self.platform.has(name)
        self.late.discard(name)
        self.ends.append(self.world.now)
        self.expect()

    def pause(self) -> None:
        """The administrator holds a pool back."""
        name = self.random.choice(self.workers)
        if name not in self.configured | self.late:
            self.platform.pause(name)
            self.paused.add(name)

    def resume(self) -> None:
        """And lets it go."""
        name = min(self.paused)
        self.paused.discard(name)
        self.platform.pause(name, paused=False)
        if name in self.late:
            self.expect()
