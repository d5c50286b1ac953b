"""Stories about VMs: what blocks a drain, what waits for a restart, what runs an old launcher."""

from __future__ import annotations

from collections.abc import Iterator
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
    HOTPLUG,
    HYPERV,
    NEW,
    NOBODY_KNOWS,
    OLD_HOSTPATH,
    RESERVATION,
    SECURE,
    SEV,
    SPEECHLESS,
    SRIOV,
    TDX,
    TSC,
    UNDECIDED,
    UNSHARED,
    VIRTIOFS,
    Farm,
    Guest,
    Move,
    Worker,
)

MIXED: Final = 500
MANY: Final = 10_000
_UPDATED: Final = 200
_PARALLEL: Final = 5
_LATER: Final = 61.0
"""After this time a finding that has gone is gone."""

_ROLLOUT: Final = 120.0
"""Time for which KubeVirt is rolled out."""

_DESIGNS: Final = (
    HOSTPATH,
    OLD_HOSTPATH,
    UNSHARED,
    HOST_DISK,
    BRIDGE,
    GPU,
    HOST_MODEL,
    TSC,
    HYPERV,
    SEV,
    TDX,
    SECURE,
    VIRTIOFS,
    HOTPLUG,
    RESERVATION,
    NEW,
    SPEECHLESS,
    UNDECIDED,
    FRESH,
    HEALTHY,
)
_STRATEGIES: Final = ("LiveMigrate", "LiveMigrateIfPossible", "None", "External", None, NOBODY_KNOWS)
_RUNS: Final = ("Always", "RerunOnFailure", "Manual", "true", "Once", "Halted", "false", "-")


def _crowd(count: int, nodes: int, one_in: int) -> Iterator[Guest]:
    """VMs of all kinds, and so many as plain as VMs mostly are that one in some is not."""
    for number in range(count):
        name, node = f"vm-{number:05}", f"w{number % nodes + 1}"
        if number % one_in:
            yield Guest(name, node=node)
        else:
            yield _odd_one(number // one_in, name, node)


def _odd_one(number: int, name: str, node: str) -> Guest:
    """Every design with every strategy, and every strategy with every run strategy."""
    turn, kind = divmod(number, len(_DESIGNS))
    strategy = _STRATEGIES[(turn + kind) % len(_STRATEGIES)]
    run = _RUNS[number // 3 % len(_RUNS)]
    owner = {3: "", 5: "VirtualMachineInstanceReplicaSet"}.get(number % 11, "VirtualMachine")
    return Guest(name, _DESIGNS[kind], run, strategy, strategy, node, owner, doomed=number % 13 == 6)


def _nodes(count: int) -> list[str]:
    return [f"w{number + 1}" for number in range(count)]


def mixed(world: World) -> Iterator[float]:
    """500 VMs of all kinds: ten take the way out and are restarted, ten stopped, some evaluated."""
    # Of a cordon that was there before anybody watched, nothing tells since when without its taint.
    old = Worker("w12", cordoned=world.ago(days=3), tainted=False)
    farm = Farm(world, _crowd(MIXED, 12, 4), nodes=_nodes(12), already=[old])
    yield 5
    guests = list(farm.guests.values())
    owned = [each for each in guests if each.owner == "VirtualMachine" and each.design != HEALTHY][:10]
    for guest in owned:
        farm.template(guest, run="Always", strategy="None")
    farm.outdate(guests[::7])
    farm.expect()
    yield 10
    for guest in owned:
        farm.restart(guest)
    farm.expect(settled=False)
    yield 10
    for guest in guests[101:201:10]:
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
    farm.pool(updated=0)
    farm.cordon("w1", drain="rendered-worker-b")
    farm.expect()
    yield 5
    farm.mark(fine)
    farm.expect()
    yield 3
    move = farm.migrate(fine, "evacuation", "Pending", "Scheduling")
    farm.expect()
    yield 20
    farm.proceed(move, "Running", node="w2")
    farm.expect()
    yield 30
    farm.proceed(move, "Succeeded", node="w2")
    farm.expect()
    yield 1800
    farm.template(stuck, strategy="None")
    farm.expect()
    yield 600
    farm.shut_down(stuck)
    farm.expect(settled=False)
    yield 25
    farm.start_again(stuck, node="w3")
    farm.expect(settled=False)
    yield 5
    farm.boot(stuck)
    farm.expect(settled=False)
    yield 30
    farm.drained("w1")
    farm.expect()
    yield 300
    farm.uncordon("w1")
    farm.pool(updated=1)
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
    move = farm.migrate(guest, "evacuation")
    farm.expect()
    yield 1
    farm.proceed(move, "Pending")
    farm.proceed(move, "Scheduling")
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
    farm.proceed(move, "Running", node="w2")
    farm.expect()
    yield 45
    farm.proceed(move, "Succeeded", node="w2")
    farm.expect()


def quota(world: World) -> Iterator[float]:
    """The namespace's quota leaves no room for a second launcher; a backup holds another VM."""
    small, saved = Guest("small"), Guest("saved")
    farm = Farm(world, [small, saved])
    yield 20
    farm.cordon("w1", drain="rendered-worker-b")
    moves = []
    for guest, stuck, condition in (
        (small, "quota", "migrationRejectedByResourceQuota"),
        (saved, "migration_blocked", "migrationBlockedByBackup"),
    ):
        farm.mark(guest)
        moves.append(farm.migrate(guest, "evacuation", "Pending", condition=condition))
        guest.stuck = stuck
    farm.expect()
    yield 600
    for move in moves:
        move.condition = ""
        move.guest.stuck = ""
        farm.proceed(move, "Scheduling")
    farm.expect(settled=False)
    yield 20
    for move in moves:
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
    unlucky = [farm.migrate(each, "person", "Pending", "Running") for each in guests[:8]]
    farm.expect()
    yield 60
    # virt-handler goes from under them: whoever was on the way has failed.
    for move in unlucky:
        farm.proceed(move, "Failed")
    for _ in range(2):
        farm.proceed(farm.migrate(stubborn, "person", "Pending", "Running"), "Failed")
    farm.expect()
    yield _ROLLOUT
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
            if number in {4, 8, 12}:
                # So soon after the roll-out it is still the roll-out's doing.
                move = farm.migrate(stubborn, "workload_update", "Pending", "Running")
                farm.proceed(move, "Failed")
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
    """On an old release SR-IOV cannot be migrated, and newer strategies and settings mean nothing."""
    fast = Guest("fast", SRIOV)
    guests = [
        fast,
        Guest("loose", SRIOV, strategy=None, template=None),
        Guest("hosted", strategy="External", template="External"),
        Guest("maybe", strategy="LiveMigrateIfPossible", template="LiveMigrateIfPossible", run="Manual"),
    ]
    farm = Farm(
        world,
        guests,
        kubevirt="v0.41.0",
        cluster="None",
        configured="LiveMigrate",
        unknown={"External", "LiveMigrateIfPossible"},
    )
    yield 20
    farm.template(fast, strategy="None")
    farm.expect()
    yield 60
    farm.restart(fast)
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def collected(world: World) -> Iterator[float]:
    """Finished migrations are deleted but for five of a VM; how many there were stays known."""
    guest = Guest("wanderer")
    farm = Farm(world, [guest])
    asked = ("evacuation", "person", "volumes", "evacuation", "hotplug", "person")
    for number, what in enumerate(asked * 2):
        yield 60
        # Older releases tell of the end in the state alone.
        move = farm.migrate(guest, what, "Pending", "Running", timed=number % 2 == 0)
        farm.expect()
        yield 20
        farm.proceed(move, "Failed" if number % 4 == 1 else "Succeeded")
        farm.expect()
    for attempt in range(3):
        yield 60
        move = farm.migrate(guest, "hotplug", "Pending", "Running", timed=False)
        farm.expect()
        yield 20
        farm.proceed(move, "Failed")
        if attempt == 2:
            guest.failing.add("other")
        farm.expect()
    yield 60
    farm.proceed(farm.migrate(guest, "evacuation", "Pending", "Running"), "Succeeded")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def single_node(world: World) -> Iterator[float]:
    """On the only node nothing is drained, so nothing holds a drain; a second node changes that."""
    guests = [
        Guest("db", HOSTPATH),
        Guest("old", HOSTPATH, run="Manual"),
        Guest("hosted", strategy="External", template="External"),
        Guest("web"),
    ]
    farm = Farm(world, guests, nodes=("w1",), single=True)
    yield 20
    farm.cordon("w1")
    farm.expect()
    yield 300
    farm.join("w2")
    farm.expect()
    yield 300
    farm.uncordon("w1")
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def pool_paused(world: World) -> Iterator[float]:
    """A pool is paused, which means nothing until a configuration waits; later a machine cannot get it."""
    farm = Farm(world, [Guest("web")])
    yield 20
    farm.pool(paused=True)
    farm.expect()
    yield 3600
    farm.pool(updated=0, paused=True)
    farm.expect()
    yield 86400
    farm.pool(updated=1, degraded=True)
    farm.expect(settled=False)
    yield _LATER
    farm.expect()
    yield 600
    farm.pool()
    farm.expect(settled=False)
    yield _LATER
    farm.expect()


def many(world: World) -> Iterator[float]:
    """10,000 VMs on 120 nodes; one after the other is found to be in the way, and no longer."""
    farm = Farm(world, _crowd(MANY, 120, 10), nodes=_nodes(120))
    world.truth = None
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
        lead=20 + 1 + 60 + 200,
        at_lead=True,
    ),
    Story(
        "vms-quota",
        "The quota of the namespace keeps a VM on the node that is drained, and a backup another one",
        (
            'virt_upgrade_drain_blocking_vm_info{vm_namespace="prod",vm="small",node="w1",cause="quota"} 1',
            "virt_upgrade_drain_blocking_vm_info"
            '{vm_namespace="prod",vm="saved",node="w1",cause="migration_blocked"} 1',
        ),
        quota,
        lead=20 + 590,
        at_lead=True,
    ),
    Story(
        "vms-backoff",
        "Migrations of a VM fail again and again in a drain, ever later",
        (
            "virt_upgrade_drain_blocking_vm_info"
            '{vm_namespace="prod",vm="busy",node="w1",cause="repeated_failure"} 1',
            'virt_upgrade_migration_failing_vms{origin="evacuation"} 1',
        ),
        backoff,
        lead=20 + 10 + sum(20 * 2**attempt + 30 for attempt in range(7)) + 30,
        at_lead=True,
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
        lead=20 + 60 + _ROLLOUT + 20,
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
        "VMs with SR-IOV on an old release whose gate is closed",
        ('virt_upgrade_non_migratable_vms_by_cause{cause="sriov_gate_off"} 2',),
        sriov_old,
        lead=15,
    ),
    Story(
        "vms-collected",
        "Finished migrations are deleted, and stay counted",
        # How many depends on how many are left for whoever begins to watch.
        ('virt_upgrade_migrations_finished_total{origin="other",outcome="succeeded"}',),
        collected,
    ),
    Story(
        "vms-single-node",
        "A cluster of one node, on which nothing is drained, gets a second one",
        (
            'virt_upgrade_vm_drain_outcomes{outcome="blocks"} 0',
            'virt_upgrade_vm_drain_outcomes{outcome="restarts"} 3',
            'virt_upgrade_vm_drain_outcomes{outcome="stays_down"} 1',
        ),
        single_node,
        lead=20 + 290,
        at_lead=True,
    ),
    Story(
        "pool-paused",
        "A paused pool keeps its nodes from the configuration that waits",
        (
            'virt_upgrade_pool_paused{pool="worker"} 1',
            'virt_upgrade_findings{finding="pool_paused",severity="info"} 1',
        ),
        pool_paused,
        lead=20 + 3600 + 86400 - 600,
        at_lead=True,
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
