"""Stories about VMs: what blocks a drain, what waits for a restart, what runs an old launcher."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product
from typing import Final

from exporter.simulator.script import Story, World
from exporter.simulator.stories.farm import (
    BRIDGE,
    FRESH,
    GPU,
    HEALTHY,
    HOST_DISK,
    HOST_MODEL,
    HOSTPATH,
    NEW,
    SEV,
    SRIOV,
    UNSHARED,
    Farm,
    Guest,
    Move,
)

MIXED: Final = 500
MANY: Final = 10_000
_UPDATED: Final = 200
_PARALLEL: Final = 5
_LATER: Final = 61.0
"""After this time a finding that has gone is gone."""

_DESIGNS: Final = (HOSTPATH, UNSHARED, HOST_DISK, BRIDGE, GPU, HOST_MODEL, SEV, NEW, FRESH)
_STRATEGIES: Final = ("LiveMigrate", "LiveMigrateIfPossible", "None", "External", None)
_RUNS: Final = ("Always", "RerunOnFailure", "Manual", "Once", "Halted")


def _crowd(count: int, nodes: int) -> Iterator[Guest]:
    """VMs of all kinds, one in ten of them not migratable."""
    odd = cycle(product(_DESIGNS, _STRATEGIES, _RUNS))
    for number in range(count):
        name, node = f"vm-{number:05}", f"w{number % nodes + 1}"
        if number % 10:
            yield Guest(name, node=node)
        else:
            design, strategy, run = next(odd)
            owner = "" if number % 70 == 0 else "VirtualMachine"
            yield Guest(name, design, run, strategy, strategy, node, owner)


def _nodes(count: int) -> list[str]:
    return [f"w{number + 1}" for number in range(count)]


def mixed(world: World) -> Iterator[float]:
    """500 VMs of all kinds: ten are restarted, ten stopped, ten evaluated."""
    farm = Farm(world, _crowd(MIXED, 12), nodes=_nodes(12))
    yield 5
    guests = list(farm.guests.values())
    for guest in islice(guests, 0, 100, 10):
        farm.template(guest, run="Always", strategy="None")
    farm.expect()
    yield 10
    for guest in islice(guests, 0, 100, 10):
        farm.restart(guest)
    farm.expect(settled=False)
    yield 10
    for guest in islice(guests, 101, 201, 10):
        farm.stop(guest)
    for guest in guests:
        if guest.design is FRESH:
            farm.evaluate(guest, HEALTHY)
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def hostpath(world: World) -> Iterator[float]:
    """A VM on the hostpath provisioner holds a node in an OpenShift update, until the way out is taken."""
    stuck, fine = Guest("db", HOSTPATH), Guest("web")
    farm = Farm(world, [stuck, fine])
    yield 20
    farm.cordon("w1", drain="rendered-worker-b")
    farm.expect()
    yield 5
    farm.mark(fine)
    farm.expect()
    yield 3
    move = farm.migrate(fine, "evacuation", "Pending", "Scheduling")
    farm.expect()
    yield 20
    farm.proceed(move, "Running")
    farm.expect()
    yield 30
    farm.proceed(move, "Succeeded", node="w2")
    farm.expect()
    yield 1800
    farm.template(stuck, strategy="None")
    farm.expect()
    yield 600
    farm.restart(stuck, node="w3")
    farm.expect(settled=False)
    yield 30
    farm.drained("w1")
    farm.expect(settled=False)
    yield 300
    farm.uncordon("w1")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def external(world: World) -> Iterator[float]:
    """A VM that somebody else is to move away holds a node until it is deleted."""
    guest = Guest("worker-0", strategy="External", template="External")
    farm = Farm(world, [guest, Guest("web", node="w2")])
    yield 20
    farm.cordon("w1", drain="rendered-worker-b")
    farm.mark(guest)
    farm.expect()
    yield 900
    farm.stop(guest)
    farm.expect(settled=False)
    yield 5
    farm.drained("w1")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def no_target(world: World) -> Iterator[float]:
    """No other node takes the VM; after five minutes KubeVirt gives up and tries again."""
    guest = Guest("big")
    farm = Farm(world, [guest])
    yield 20
    farm.cordon("w1", drain="rendered-worker-b")
    farm.mark(guest)
    move = farm.migrate(guest, "evacuation", "Pending", "Scheduling")
    farm.expect()
    yield 60
    guest.stuck = "no_target"
    farm.expect()
    yield 240
    farm.proceed(move, "Failed")
    guest.stuck = ""
    farm.expect(settled=False)
    yield 30
    move = farm.migrate(guest, "evacuation", "Pending", "Scheduling")
    farm.expect(settled=False)
    yield 40
    farm.proceed(move, "Scheduled")
    farm.proceed(move, "Running")
    farm.expect()
    yield 45
    farm.proceed(move, "Succeeded", node="w2")
    farm.expect()


def quota(world: World) -> Iterator[float]:
    """The quota of the namespace leaves no room for the second launcher."""
    guest = Guest("small")
    farm = Farm(world, [guest])
    yield 20
    farm.cordon("w1", drain="rendered-worker-b")
    farm.mark(guest)
    move = farm.migrate(guest, "evacuation", "Pending", quota=True)
    guest.stuck = "quota"
    farm.expect()
    yield 600
    move.quota = False
    guest.stuck = ""
    farm.proceed(move, "Scheduling")
    farm.expect(settled=False)
    yield 20
    farm.proceed(move, "Succeeded", node="w3")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def backoff(world: World) -> Iterator[float]:
    """Migrations fail one after the other, ever later; a person drains the node; the eighth succeeds."""
    guest = Guest("busy")
    farm = Farm(world, [guest])
    yield 20
    farm.cordon("w1")
    farm.expect()
    yield 10
    farm.mark(guest)
    farm.expect()
    pause = 20.0
    for attempt in range(7):
        yield pause
        move = farm.migrate(guest, "evacuation", "Pending", "Scheduling", "Scheduled", "Running")
        farm.expect()
        yield 30
        farm.proceed(move, "Failed")
        if attempt >= 2:
            guest.failing.add("evacuation")
            guest.stuck = "repeated_failure"
        farm.expect()
        pause *= 2
    yield 60
    move = farm.migrate(guest, "evacuation", "Pending", "Scheduling", "Scheduled", "Running")
    farm.expect()
    yield 30
    farm.proceed(move, "Succeeded", node="w2")
    farm.expect(settled=False)
    yield _LATER
    farm.uncordon("w1")
    farm.expect()


def mark_left_over(world: World) -> Iterator[float]:
    """A drain is given up, but the mark stays: the VM is migrated although nobody drains the node."""
    guest = Guest("marked")
    farm = Farm(world, [guest])
    yield 20
    farm.cordon("w1")
    farm.mark(guest)
    farm.expect()
    yield 60
    farm.uncordon("w1")
    guest.stuck = "evacuation_mark"
    farm.expect()
    yield 600
    guest.stuck = ""
    farm.mark(guest, marked=False)
    farm.expect()


def workload_update(world: World) -> Iterator[float]:
    """200 VMs are migrated into the new virt-launcher, after a burst of failures while KubeVirt rolls out."""
    guests = [Guest(f"vm-{number:03}", node=f"w{number % 10 + 1}") for number in range(_UPDATED)]
    stubborn, stuck = guests[0], Guest("gpu", GPU, strategy="LiveMigrate")
    farm = Farm(world, [*guests, stuck], nodes=_nodes(10))
    yield 20
    farm.kubevirt(rolling_to="v1.5.0", since=world.now)
    unlucky = [farm.migrate(stubborn, "other", "Pending", "Running") for _ in range(1)]
    farm.expect()
    yield 60
    for move in unlucky:
        farm.proceed(move, "Failed")
    for _ in range(2):
        farm.proceed(farm.migrate(stubborn, "other", "Pending", "Running"), "Failed")
    farm.expect()
    yield 120
    farm.version = "v1.5.0"
    farm.kubevirt(since=world.now)
    farm.outdate([*guests, stuck])
    farm.expect()
    yield 30
    rest = guests[1:]
    waves = [rest[start : start + _PARALLEL] for start in range(0, len(rest), _PARALLEL)]
    under_way: list[Move] = []
    for number, wave in enumerate(waves):
        for move in under_way:
            farm.proceed(move, "Succeeded")
        under_way = [farm.migrate(each, "workload_update", "Pending", "Scheduling") for each in wave]
        if number % 4 == 0:
            farm.expect()
            yield 60
    for move in under_way:
        farm.proceed(move, "Succeeded")
    farm.expect()
    yield 600
    for attempt in range(4):
        move = farm.migrate(stubborn, "workload_update", "Pending", "Running")
        farm.expect()
        yield 10
        farm.proceed(move, "Failed")
        if attempt >= 2:
            stubborn.failing.add("workload_update")
        farm.expect()
        yield 200
    move = farm.migrate(stubborn, "workload_update", "Pending", "Running")
    farm.expect()
    yield 10
    farm.proceed(move, "Succeeded")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def update_disabled(world: World) -> Iterator[float]:
    """Somebody has taken every method of the workload update away, and put it back days later."""
    guests = [Guest(f"vm-{number}") for number in range(4)]
    farm = Farm(world, guests)
    yield 20
    farm.kubevirt(methods=())
    farm.expect()
    yield 3600
    farm.outdate(guests)
    farm.expect()
    yield 2 * 86400
    farm.kubevirt(methods=("LiveMigrate",))
    farm.expect(settled=False)
    yield _LATER
    for guest in guests:
        farm.proceed(farm.migrate(guest, "workload_update", "Running"), "Succeeded")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def handler_down(world: World) -> Iterator[float]:
    """virt-handler of a node is silent: what it said of the VMs there is old, and a new VM is not judged."""
    farm = Farm(world, [Guest("old"), Guest("elsewhere", node="w2")])
    yield 20
    farm.handler("w1", heard=False)
    fresh = Guest("new", FRESH)
    farm.start(fresh)
    farm.expect()
    yield 900
    farm.handler("w1", heard=True)
    farm.evaluate(fresh, HEALTHY)
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def sriov_old(world: World) -> Iterator[float]:
    """On a release whose gate is closed a VM with SR-IOV cannot be migrated; there is no cluster strategy."""
    guests = [Guest("fast", SRIOV), Guest("loose", SRIOV, strategy=None, template=None)]
    # What the cluster has configured is read from KubeVirt 0.51 on.
    farm = Farm(world, guests, kubevirt="v0.41.0", cluster="None")
    yield 20
    farm.template(guests[0], strategy="None")
    farm.expect()
    yield 60
    farm.restart(guests[0])
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def collected(world: World) -> Iterator[float]:
    """Finished migrations are deleted but for five of a VM; how many there were stays known."""
    guest = Guest("wanderer")
    farm = Farm(world, [guest])
    for number in range(12):
        yield 60
        move = farm.migrate(guest, "other" if number % 3 else "evacuation", "Pending", "Running")
        farm.expect()
        yield 20
        farm.proceed(move, "Failed" if number % 4 == 1 else "Succeeded", node=f"w{number % 3 + 1}")
        farm.expect()


def many(world: World) -> Iterator[float]:
    """10,000 VMs on 120 nodes; one after the other is found to be in the way, and no longer."""
    farm = Farm(world, _crowd(MANY, 120), nodes=_nodes(120))
    guests = list(farm.guests.values())
    for number in range(50):
        yield 2
        farm.evaluate(guests[number * 7 + 1], HOSTPATH if number % 2 else HEALTHY)


STORIES: Final = (
    Story(
        "vms-mixed",
        "500 VMs of all kinds on 12 nodes",
        ('virt_upgrade_vm_drain_outcomes{outcome="blocks"}', "virt_upgrade_running_vms 490"),
        mixed,
    ),
    Story(
        "vms-hostpath",
        "A VM on local storage holds a node in an OpenShift update until it is changed and restarted",
        (
            'virt_upgrade_drain_blocking_vm_info{vm_namespace="prod",vm="db",node="w1",cause="hostpath"} 1',
            'virt_upgrade_node_draining{node="w1"} 1',
        ),
        hostpath,
        lead=20 + 5 + 3 + 20 + 30 + 1790,
        at_lead=True,
    ),
    Story(
        "vms-external",
        "A VM with the strategy External holds a node until somebody deletes it",
        (
            "virt_upgrade_drain_blocking_vm_info"
            '{vm_namespace="prod",vm="worker-0",node="w1",cause="external"} 1',
        ),
        external,
        lead=20 + 890,
        at_lead=True,
    ),
    Story(
        "vms-no-target",
        "A VM finds no other node in a drain, and later does",
        ('virt_upgrade_drain_blocking_vm_info{vm_namespace="prod",vm="big",node="w1",cause="no_target"} 1',),
        no_target,
        lead=20 + 60 + 200,
        at_lead=True,
    ),
    Story(
        "vms-quota",
        "The quota of the namespace keeps a VM on the node that is drained",
        ('virt_upgrade_drain_blocking_vm_info{vm_namespace="prod",vm="small",node="w1",cause="quota"} 1',),
        quota,
        lead=20 + 590,
        at_lead=True,
    ),
    Story(
        "vms-backoff",
        "Migrations of a VM fail again and again in a drain, ever later",
        ('virt_upgrade_migrations_finished_total{origin="evacuation",outcome="failed"} 7',),
        backoff,
        lead=20 + 10 + sum(20 * 2**attempt + 30 for attempt in range(7)),
    ),
    Story(
        "vms-mark-left-over",
        "A drain was given up, but the VM is still marked for eviction",
        (
            "virt_upgrade_drain_blocking_vm_info"
            '{vm_namespace="prod",vm="marked",node="w1",cause="evacuation_mark"} 1',
        ),
        mark_left_over,
        lead=20 + 60 + 590,
        at_lead=True,
    ),
    Story(
        "vms-workload-update",
        "200 VMs are migrated into the virt-launcher of the new version",
        ('virt_upgrade_workload_update_vms{state="updated"} 200',),
        workload_update,
        lead=20 + 60 + 120 + 20,
    ),
    Story(
        "vms-update-disabled",
        "Outdated VMs stay outdated: no method of the workload update is enabled",
        ('virt_upgrade_findings{finding="workload_update_disabled",severity="info"} 4',),
        update_disabled,
        lead=20 + 3600 + 2 * 86400 - 30,
        at_lead=True,
    ),
    Story(
        "vms-handler-down",
        "virt-handler of a node is silent",
        ('virt_upgrade_findings{finding="migratability_stale",severity="warning"} 1',),
        handler_down,
        lead=20 + 890,
        at_lead=True,
    ),
    Story(
        "vms-sriov-old",
        "A VM with SR-IOV on a release whose gate is closed",
        ('virt_upgrade_non_migratable_vms_by_cause{cause="sriov_gate_off"} 2',),
        sriov_old,
        lead=15,
    ),
    Story(
        "vms-collected",
        "Finished migrations are deleted, and stay counted",
        ('virt_upgrade_migrations_finished_total{origin="other",outcome="succeeded"} 6',),
        collected,
    ),
)

LARGE: Final = (
    Story(
        "vms-10000",
        "10,000 VMs of all kinds on 120 nodes",
        ("virt_upgrade_running_vms 10000",),
        many,
    ),
)
"""Too large for what compares at every step."""
