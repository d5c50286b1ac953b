"""Stories about OpenShift's own updates: of the control plane, and of the nodes, which follow or wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from exporter.simulator import machines, objects
from exporter.simulator.script import OpenShift, Plane, Story, World
from exporter.simulator.stories.pending import NEXT, offered
from exporter.simulator.stories.setting import Setting
from exporter.simulator.stories.upgrades import Updating

_MASTER: Final = "master"
_WORKER: Final = "worker"
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@dataclass
class _Pool:
    since: datetime
    """It has had its configuration, or not had it, since then."""
    updated: int | None = None
    """Machines that have it; None when all do."""
    updating: datetime | None = None
    paused: bool = False
    wants: int = 0
    """Configurations that it has been given."""
    has: int = 0
    """The last of them that all of its machines had."""


class Platform:
    """OpenShift with its pools, as the cluster-version and the machine-config operator change them."""

    def __init__(self, setting: Setting, *, pools: dict[str, int]) -> None:
        """`pools` with their machines."""
        self.setting, self.world = setting, setting.world
        self.machines = pools
        self.channel = "stable-4.18"
        born = self.world.ago(days=20, minutes=-52)
        self.pools = {name: _Pool(born) for name in pools}
        for name in pools:
            self._show(name)
        workers = Plane(completed=born) if pools else None
        self.truth = OpenShift(control=Plane(completed=born), workers=workers)
        self.expect()

    def expect(self, control: Plane | None = None, workers: Plane | None = None, **more: Any) -> None:
        """What is true from now on; of what is not said, what was."""
        self.truth = replace(
            self.truth, control=control or self.truth.control, workers=workers or self.truth.workers, **more
        )
        self.setting.expect_openshift(self.truth)

    def begins(self, version: str) -> None:
        """The control plane takes up a version, and gives up the one that it was at."""
        newest = self.setting.releases[0]
        if newest["completionTime"] is None:
            self.setting.releases[0] = {**newest, "completionTime": objects.time(self.world.now)}
        self.setting.openshift(objects.release(version, self.world.now, None), channel=self.channel)

    def completes(self) -> None:
        """The control plane is there."""
        newest = self.setting.releases.pop(0)
        done = {**newest, "state": "Completed", "completionTime": objects.time(self.world.now)}
        self.setting.openshift(done, channel=self.channel)

    def aims(self, channel: str) -> None:
        """The administrator changes the channel."""
        self.channel = channel
        self.setting.openshift(channel=channel)

    def configures(self, *names: str) -> None:
        """Pools are given a configuration, and begin to roll it out if they are not paused."""
        for name in names:
            pool = self.pools[name]
            pool.wants += 1
            if pool.updated is None:
                pool.since, pool.updated = self.world.now, 0
            if not pool.paused and pool.updating is None:
                pool.updating = self.world.now
            self._show(name)

    def has(self, name: str) -> None:
        """All machines of a pool have its configuration."""
        pool = self.pools[name]
        pool.since, pool.updated, pool.updating = self.world.now, None, None
        pool.has = pool.wants
        self._show(name)

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Hold a pool back, or let it go."""
        pool = self.pools[name]
        pool.paused = paused
        if not paused and pool.updated is not None:
            pool.updating = self.world.now
        self._show(name)

    def _show(self, name: str) -> None:
        pool = self.pools[name]
        done = pool.updated is None
        conditions = [
            objects.condition("Updated", str(done), pool.since),
            objects.condition("Updating", str(pool.updating is not None), pool.updating or pool.since),
        ]
        self.world.apply(
            machines.pool(
                name,
                created=self.setting.birth,
                machines=self.machines[name],
                updated=pool.updated,
                paused=pool.paused,
                wants=f"rendered-{name}-{pool.wants}",
                has=f"rendered-{name}-{pool.has}",
                conditions=conditions,
            )
        )


def two_minors_at_once(world: World) -> Iterator[float]:
    """The workers are held back over two minors, and updated once."""
    platform = Platform(Setting(world), pools={_MASTER: 3, _WORKER: 6})
    yield _MINUTE
    platform.pause(_WORKER)
    platform.aims("eus-4.20")
    # The operator's next minor comes with OpenShift's.
    platform.setting.expect(waits=True)
    platform.expect(wanted=("minor",))
    yield _MINUTE
    installed = platform.truth.control.completed
    for version in ("4.19.3", "4.20.1"):
        begun = world.now
        platform.begins(version)
        platform.expect(Plane(running=True, began=begun, completed=installed))
        yield 40 * _MINUTE
        platform.configures(_MASTER, _WORKER)
        yield 15 * _MINUTE
        platform.has(_MASTER)
        yield _MINUTE
        platform.completes()
        installed = world.now
        wanted = () if version == "4.20.1" else ("minor",)
        platform.setting.expect(waits=bool(wanted))
        platform.expect(Plane(began=begun, completed=installed), wanted=wanted)
        yield 2 * _HOUR
    begun = world.now
    platform.pause(_WORKER, paused=False)
    workers = platform.truth.workers
    platform.expect(
        workers=Plane(running=True, began=begun, completed=workers.completed if workers else None)
    )
    yield 3 * _HOUR
    platform.has(_WORKER)
    platform.expect(workers=Plane(began=begun, completed=world.now))
    yield _HOUR


def retargeted(world: World) -> Iterator[float]:
    """Another version is asked for on the way; the next update is given up, and the old version put back."""
    platform = Platform(Setting(world), pools={_MASTER: 3, _WORKER: 3})
    yield _MINUTE
    begun, before = world.now, platform.truth.control.completed
    platform.begins("4.18.15")
    platform.expect(Plane(running=True, began=begun, completed=before), wanted=("patch",))
    yield 30 * _MINUTE
    platform.begins("4.18.16")
    yield 20 * _MINUTE
    rolled, earlier = world.now, platform.truth.workers
    platform.configures(_MASTER, _WORKER)
    rolling = Plane(running=True, began=rolled, completed=earlier.completed if earlier else None)
    platform.expect(workers=rolling)
    yield 15 * _MINUTE
    platform.has(_MASTER)
    yield _MINUTE
    platform.completes()
    platform.expect(Plane(began=begun, completed=world.now), wanted=())
    yield _HOUR
    platform.has(_WORKER)
    platform.expect(workers=Plane(began=rolled, completed=world.now))
    yield 5 * _HOUR
    # A node flaps, and a MachineConfig is rolled out: neither is an update.
    platform.has(_WORKER)
    yield _HOUR
    platform.configures(_WORKER)
    yield _HOUR
    platform.has(_WORKER)
    yield _HOUR
    begun, before = world.now, platform.truth.control.completed
    platform.begins("4.18.17")
    platform.expect(Plane(running=True, began=begun, completed=before), wanted=("patch",))
    yield 30 * _MINUTE
    platform.begins("4.18.16")
    yield 10 * _MINUTE
    platform.completes()
    platform.expect(Plane(began=begun, completed=world.now), wanted=())
    # The nodes had that version all along; nobody can tell so before a minute has passed.
    world.truth = None
    yield 2 * _MINUTE
    platform.setting.expect()
    platform.expect(workers=Plane(completed=platform.truth.control.completed))
    yield _HOUR


def both_at_once(world: World) -> Iterator[float]:
    """The operator is updated in the middle of an update of OpenShift, whose drains shake it afterwards."""
    setting = Setting(world)
    platform = Platform(setting, pools={_MASTER: 3, _WORKER: 3})
    yield from offered(setting)
    begun, before = world.now, platform.truth.control.completed
    platform.begins("4.18.15")
    platform.expect(Plane(running=True, began=begun, completed=before), wanted=("patch",))
    yield 2
    updating = Updating(setting, NEXT, world.ago(minutes=10 / 60))
    yield from updating.whole()
    yield 30 * _MINUTE
    rolled, earlier = world.now, platform.truth.workers
    platform.configures(_MASTER, _WORKER)
    platform.expect(
        workers=Plane(running=True, began=rolled, completed=earlier.completed if earlier else None)
    )
    yield 10 * _MINUTE
    updating.phase("Failed", "ComponentUnhealthy")
    yield 1
    updating.phase("Pending", "NeedsReinstall")
    updating.phase("Installing", "InstallWaiting")
    updating.says("Initializing")
    yield 40
    updating.phase("Succeeded", "InstallSucceeded")
    updating.says("Upgradeable")
    yield 5 * _MINUTE
    platform.has(_MASTER)
    platform.completes()
    platform.expect(Plane(began=begun, completed=world.now), wanted=())
    yield 20 * _MINUTE
    platform.has(_WORKER)
    platform.expect(workers=Plane(began=rolled, completed=world.now))
    yield _HOUR


def compact(world: World) -> Iterator[float]:
    """Three nodes are everything; the VMs' nodes are the masters."""
    platform = Platform(Setting(world), pools={_MASTER: 3, _WORKER: 0})
    yield _MINUTE
    begun, before = world.now, platform.truth.control.completed
    platform.begins("4.18.15")
    platform.expect(Plane(running=True, began=begun, completed=before), wanted=("patch",))
    yield 40 * _MINUTE
    rolled = world.now
    platform.configures(_MASTER)
    platform.expect(workers=Plane(running=True, began=rolled, completed=before))
    yield 30 * _MINUTE
    done = world.now
    platform.has(_MASTER)
    # As long as the control plane is not complete, it is the update before that is.
    platform.expect(workers=Plane(began=rolled, completed=before))
    yield 2 * _MINUTE
    platform.completes()
    platform.expect(Plane(began=begun, completed=world.now), Plane(began=rolled, completed=done), wanted=())
    yield _HOUR


def hosted(world: World) -> Iterator[float]:
    """The control plane runs elsewhere: there are no pools."""
    platform = Platform(Setting(world), pools={})
    yield _MINUTE
    begun, before = world.now, platform.truth.control.completed
    platform.begins("4.18.15")
    platform.expect(Plane(running=True, began=begun, completed=before), wanted=("patch",))
    yield 20 * _MINUTE
    platform.completes()
    platform.expect(Plane(began=begun, completed=world.now), wanted=())
    yield _HOUR


STORIES: Final = (
    Story(
        "openshift-eus",
        "OpenShift goes from one EUS release to the next with its workers paused",
        (
            'virt_upgrade_openshift_upgrade_in_progress{plane="workers"} 1',
            'virt_upgrade_openshift_info{version="4.20.1"',
        ),
        two_minors_at_once,
        lead=2 * _MINUTE + 2 * (56 * _MINUTE + 2 * _HOUR) + _MINUTE,
        at_lead=True,
    ),
    Story(
        "openshift-retargeted",
        "Another version of OpenShift is asked for during an update, and one is given up",
        ('virt_upgrade_openshift_upgrade_in_progress{plane="control"} 1',),
        retargeted,
        lead=40 * _MINUTE,
        at_lead=True,
    ),
    Story(
        "openshift-and-operator",
        "The operator is updated in the middle of an update of OpenShift",
        ("virt_upgrade_in_progress 1", 'virt_upgrade_openshift_upgrade_in_progress{plane="control"} 1'),
        both_at_once,
        lead=60 + 8 + 2 + 20,
        at_lead=True,
    ),
    Story(
        "openshift-compact",
        "OpenShift is updated where VMs run on the masters",
        ('virt_upgrade_openshift_upgrade_in_progress{plane="workers"} 1',),
        compact,
        lead=45 * _MINUTE,
        at_lead=True,
    ),
    Story(
        "openshift-hosted",
        "OpenShift's control plane is hosted elsewhere, and updated",
        ('virt_upgrade_openshift_upgrade_in_progress{plane="control"} 1',),
        hosted,
        lead=2 * _MINUTE,
        at_lead=True,
    ),
)
