"""A cluster with virtual machines, what happens to them, and what is therefore true.

The truth is kept by what a script does to a VM, not by reading what it wrote: a VM knows why it cannot be
migrated and what holds it, because the script decided so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from exporter.simulator import machines, objects
from exporter.simulator.machines import PROJECT, Design
from exporter.simulator.script import Machines, World
from exporter.simulator.stories.setting import Setting

HEALTHY: Final = Design()
NOT_SHARED: Final = (
    "cannot migrate VMI: PVC {name} is not shared, live migration requires that all PVCs must be shared "
    "(using ReadWriteMany access mode)"
)
DISKS: Final = "DisksNotLiveMigratable"
HOSTPATH: Final = Design(DISKS, NOT_SHARED, machines.HOSTPATH)
UNSHARED: Final = Design(DISKS, NOT_SHARED, "gp3")
HOST_DISK: Final = Design(
    DISKS,
    "cannot migrate VMI with non-shared HostDisk",
    volumes=({"name": "file", "hostDisk": {"path": "/var/data/disk.img", "type": "DiskOrCreate"}},),
)
BRIDGE: Final = Design(
    "InterfaceNotLiveMigratable",
    "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network",
    devices=(("interfaces", ({"name": "default", "bridge": {}},)),),
)
SRIOV: Final = Design(
    "InterfaceNotLiveMigratable",
    "SRIOVLiveMigration feature-gate is closed, can't migrate VMI with SRIOV interfaces",
    devices=(("interfaces", ({"name": "default", "masquerade": {}}, {"name": "fast", "sriov": {}})),),
    networks=({"name": "default", "pod": {}}, {"name": "fast", "multus": {"networkName": "prod/sriov"}}),
)
GPU: Final = Design(
    "HostDeviceNotLiveMigratable",
    "VMI uses a PCI host devices",
    devices=(("gpus", ({"name": "gpu1", "deviceName": "nvidia.com/A2"},)),),
)
HOST_MODEL: Final = Design("CPUModeLiveMigratable", 'the node "w1" does not allow migration with host-model')
SEV: Final = Design("SEVNotLiveMigratable", "VMI uses SEV")
NEW: Final = Design("FrobnicationNotLiveMigratable", "VMI frobnicates")
FRESH: Final = Design("?")

CAUSE: Final = {
    HOSTPATH: "hostpath",
    UNSHARED: "unshared_claim",
    HOST_DISK: "host_disk",
    BRIDGE: "pod_network",
    SRIOV: "sriov_gate_off",
    GPU: "host_device",
    HOST_MODEL: "cpu",
    SEV: "security",
    NEW: "other",
    FRESH: "not_evaluated",
}
"""What a person would say is wrong with a VM of this design."""

LETS_GO: Final = {"None", "LiveMigrateIfPossible"}


@dataclass
class Guest:
    """One VM, and what the script has made of it."""

    name: str
    design: Design = HEALTHY
    run: str = "Always"
    strategy: str | None = "LiveMigrate"
    """Of the running instance."""
    template: str | None = "LiveMigrate"
    """Of the next one."""
    node: str = "w1"
    owner: str = "VirtualMachine"
    outdated: bool = False
    marked: bool = False
    stuck: str = ""
    """What keeps it on its node although it could be migrated."""
    failing: set[str] = field(default_factory=set)
    """Origins whose migrations of it keep failing."""
    born: datetime | None = None
    lives: int = 1
    """How often it has been started."""

    def after_shutdown(self) -> str:
        """What becomes of it once it has been shut down."""
        return "restarts" if self.owner == "VirtualMachine" and self.run == "Always" else "stays_down"

    def in_a_drain(self, cluster: str) -> str:
        """What a drain does to it."""
        strategy = self.strategy or cluster
        if strategy == "External":
            return "external"
        if strategy in {"LiveMigrate", "LiveMigrateIfPossible"} and self.design == HEALTHY:
            return "migrates"
        return "blocks" if strategy == "LiveMigrate" else self.after_shutdown()

    def way_out(self, cluster: str) -> str:
        """How far the documented way out is taken."""
        if (self.strategy or cluster) in LETS_GO:
            return "applied" if self.after_shutdown() == "restarts" else "incomplete"
        following = self.template if self.owner else self.strategy
        return "restart_required" if (following or cluster) in LETS_GO else "missing"


@dataclass
class Worker:
    """One node."""

    name: str
    cordoned: datetime | None = None
    drain: str = ""
    drained: str = ""
    handler: bool = True


@dataclass
class Move:
    """One migration."""

    name: str
    guest: Guest
    origin: str
    created: datetime
    phases: list[tuple[str, datetime]]
    quota: bool = False

    @property
    def over(self) -> bool:
        """It has ended."""
        return bool(self.phases) and self.phases[-1][0] in {"Succeeded", "Failed"}


KEPT: Final = 5
"""Finished migrations of one VM that KubeVirt keeps."""


class Farm:
    """A cluster with VMs."""

    def __init__(
        self,
        world: World,
        guests: Iterable[Guest] = (),
        *,
        nodes: Sequence[str] = ("w1", "w2", "w3"),
        kubevirt: str = "v1.4.1",
        cluster: str = "LiveMigrate",
    ) -> None:
        self.setting = Setting(world)
        self.world = world
        self.birth = world.ago(days=100)
        self.cluster = cluster
        self.version = kubevirt
        self.methods: tuple[str, ...] = ("LiveMigrate",)
        self.guests: dict[str, Guest] = {}
        self.workers = {name: Worker(name) for name in nodes}
        self.moves: dict[str, Move] = {}
        self.finished: Counter[tuple[str, str]] = Counter()
        world.apply(
            *(machines.storage_class(name, created=self.birth) for name in machines.CLASSES),
            machines.pool("worker", created=self.birth, machines=len(nodes)),
        )
        for worker in self.workers.values():
            self._write_node(worker)
        self.kubevirt()
        for guest in guests:
            self.start(guest)
        self.expect()

    # What is true

    def expect(self, *, settled: bool = True) -> None:
        """The truth from now on; `settled` when nothing that was found has gone for less than a minute."""
        guests = list(self.guests.values())
        stuck = [each for each in guests if each.design != HEALTHY]
        outcomes = {each.name: each.in_a_drain(self.cluster) for each in guests}
        blocking = frozenset(
            (PROJECT, each.name, each.node, cause) for each in guests if (cause := self._holds(each))
        )
        held = Counter(node for _, _, node, _ in blocking)
        cordoned = {each.name: each.cordoned for each in self.workers.values() if each.cordoned}
        draining = {each.name for each in self.workers.values() if each.drain and each.drain != each.drained}
        truth = Machines(
            running=len(guests),
            reasons=Counter("NotEvaluated" if each.design == FRESH else each.design.reason for each in stuck),
            causes=Counter(CAUSE[each.design] for each in stuck),
            outcomes=Counter(outcomes.values()),
            workaround=Counter(each.way_out(self.cluster) for each in stuck),
            outdated=Counter(
                "true" if each.design == HEALTHY else "unknown" if each.design == FRESH else "false"
                for each in guests
                if each.outdated
            ),
            workload=Counter(
                "updated" if not each.outdated else "failing" if each.failing else "remaining"
                for each in guests
            ),
            blocking=blocking,
            nodes={name: held[name] for name in {*held, *cordoned}},
            cordoned=cordoned,
            draining=frozenset(draining | {each.node for each in guests if each.marked}),
            migrations=Counter(
                (each.origin, each.phases[-1][0]) for each in self.moves.values() if not each.over
            ),
            finished=Counter(self.finished),
            failing=Counter(origin for each in guests for origin in each.failing),
            findings=self._findings(guests, set(outcomes.values()), set(held) & set(cordoned))
            if settled
            else None,
        )
        said = self.world.truth
        self.world.truth = replace(said, machines=truth) if said else None

    def _holds(self, guest: Guest) -> str:
        outcome = guest.in_a_drain(self.cluster)
        if outcome == "blocks":
            return CAUSE[guest.design]
        return "external" if outcome == "external" else guest.stuck

    def _findings(self, guests: Sequence[Guest], outcomes: set[str], held: set[str]) -> frozenset[str]:
        outdated = any(each.outdated for each in guests)
        ways = {each.way_out(self.cluster) for each in guests if each.design != HEALTHY}
        silent = {each.name for each in self.workers.values() if not each.handler}
        found = {
            "drain_would_block": "blocks" in outcomes,
            "vm_stays_down": "stays_down" in outcomes,
            "workaround_restart_required": "restart_required" in ways,
            "outdated_vms": outdated,
            "workload_update_disabled": outdated and not self.methods,
            "migrations_failing": any(each.failing for each in guests),
            "node_drain_blocked": bool(held),
            "migratability_stale": any(each.node in silent for each in guests),
        }
        return frozenset(name for name, holds in found.items() if holds)

    # Virtual machines

    def start(self, guest: Guest) -> None:
        """A VM is made and runs."""
        guest.born = guest.born or self.world.ago(days=30)
        self.guests[guest.name] = guest
        shared = guest.design.class_ == machines.SHARED
        self.world.apply(
            machines.claim(guest.name, created=guest.born, class_=guest.design.class_, shared=shared)
        )
        self.template(guest)
        self.write(guest)

    def template(self, guest: Guest, *, run: str | None = None, strategy: str | None = None) -> None:
        """Somebody changes the VirtualMachine; the running instance stays as it is."""
        guest.run, guest.template = run or guest.run, strategy or guest.template
        if guest.owner and guest.born:
            self.world.apply(
                machines.virtual_machine(
                    guest.name,
                    created=guest.born,
                    run=guest.run,
                    strategy=guest.template,
                    design=guest.design,
                )
            )

    def restart(self, guest: Guest, *, node: str = "") -> None:
        """It is shut down and started again, by its owner or after an eviction."""
        self.world.delete("VirtualMachineInstance", guest.name, PROJECT)
        guest.strategy, guest.node = guest.template, node or guest.node
        guest.outdated = guest.marked = False
        guest.stuck = ""
        guest.born = self.world.now
        guest.lives += 1
        self.write(guest)

    def stop(self, guest: Guest) -> None:
        """It is shut down and stays down."""
        self.world.delete("VirtualMachineInstance", guest.name, PROJECT)
        del self.guests[guest.name]

    def write(self, guest: Guest) -> None:
        """KubeVirt writes the instance as it is now."""
        message = guest.design.message.format(name=guest.name) if "{name}" in guest.design.message else None
        self.world.apply(
            machines.instance(
                guest.name,
                uid=f"life-{guest.lives}-of-{guest.name}",
                created=guest.born or self.birth,
                node=guest.node,
                strategy=guest.strategy,
                design=replace(guest.design, message=message) if message else guest.design,
                owner=guest.owner,
                outdated=guest.outdated,
                marked=guest.marked,
            )
        )

    def evaluate(self, guest: Guest, design: Design) -> None:
        """virt-handler says whether it can be migrated."""
        guest.design = design
        self.write(guest)

    def mark(self, guest: Guest, marked: bool = True) -> None:
        """An eviction is refused and the instance marked for a migration; or the mark is taken away."""
        guest.marked = marked
        self.write(guest)

    def outdate(self, guests: Iterable[Guest]) -> None:
        """A new virt-launcher is there, and these run in the old one."""
        for guest in guests:
            guest.outdated = True
            self.write(guest)

    # Migrations

    def migrate(self, guest: Guest, origin: str, *phases: str, quota: bool = False) -> Move:
        """Somebody asks for a migration, which gets through these phases at once."""
        now = self.world.now
        name = f"{guest.name}-{origin.replace('_', '-')}-{len(self.moves) + sum(self.finished.values())}"
        move = Move(name, guest, origin, now, [(each, now) for each in phases or ("Pending",)], quota)
        self.moves[name] = move
        self._write_move(move)
        return move

    def proceed(self, move: Move, phase: str, *, node: str = "") -> None:
        """A migration gets on, or ends; one that succeeds leaves the VM on another node in a new launcher."""
        move.phases.append((phase, self.world.now))
        self._write_move(move)
        if phase == "Succeeded":
            guest = move.guest
            guest.node = node or guest.node
            guest.outdated = guest.marked = False
            guest.stuck = ""
            guest.failing.clear()
            self.write(guest)
        if move.over:
            self.finished[move.origin, phase.lower()] += 1
            self._collect(move.guest)

    def _write_move(self, move: Move) -> None:
        self.world.apply(
            machines.migration(
                move.name,
                of=move.guest.name,
                created=move.created,
                origin=move.origin,
                phases=move.phases,
                quota=move.quota,
            )
        )

    def _collect(self, guest: Guest) -> None:
        """KubeVirt keeps a few finished migrations of each VM."""
        over = [each for each in self.moves.values() if each.guest is guest and each.over]
        for each in sorted(over, key=lambda move: move.phases[-1][1])[:-KEPT]:
            del self.moves[each.name]
            self.world.delete("VirtualMachineInstanceMigration", each.name, PROJECT)

    # Nodes, and KubeVirt itself

    def cordon(self, name: str, drain: str = "") -> None:
        """A node is cordoned, and is to be drained for a configuration if one is given."""
        worker = self.workers[name]
        worker.cordoned = worker.cordoned or self.world.now
        worker.drain = drain or worker.drain
        self._write_node(worker)

    def drained(self, name: str) -> None:
        """Nothing is left on the node that would have to go."""
        worker = self.workers[name]
        worker.drained = worker.drain
        self._write_node(worker)

    def uncordon(self, name: str) -> None:
        """The node is back, or its drain was given up."""
        self.workers[name] = Worker(name, handler=self.workers[name].handler)
        self._write_node(self.workers[name])

    def handler(self, name: str, *, heard: bool) -> None:
        """virt-handler of a node falls silent, or is back."""
        self.workers[name].handler = heard
        self._write_node(self.workers[name])

    def kubevirt(
        self, *, rolling_to: str = "", since: datetime | None = None, methods: tuple[str, ...] | None = None
    ) -> None:
        """KubeVirt is rolled out anew, or its workload update is configured."""
        self.methods = self.methods if methods is None else methods
        self.world.apply(
            objects.kubevirt(
                self.version,
                created=self.birth,
                methods=self.methods,
                strategy=self.cluster,
                rolling_to=rolling_to,
                since=since,
            )
        )

    def _write_node(self, worker: Worker) -> None:
        self.world.apply(
            machines.node(
                worker.name,
                created=self.birth,
                cordoned=worker.cordoned,
                drain=worker.drain,
                drained=worker.drained,
                handler=worker.handler,
            )
        )
