"""A cluster with virtual machines, what happens to them, and what is therefore true.

The truth is kept by what a script does to a VM, not by reading what it wrote: a VM knows why it cannot be
migrated and what holds it, because the script decided so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
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
HOSTPATH: Final = Design(DISKS, NOT_SHARED, class_=machines.HOSTPATH)
OLD_HOSTPATH: Final = Design(DISKS, NOT_SHARED, class_=machines.OLD_HOSTPATH)
UNSHARED: Final = Design(DISKS, NOT_SHARED, class_="gp3")
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
TSC: Final = Design("NoTSCFrequencyNotLiveMigratable", "TSC frequency is required but not known")
HYPERV: Final = Design("HypervPassthroughNotLiveMigratable", "VMI uses hyperv passthrough")
SEV: Final = Design("SEVNotLiveMigratable", "VMI uses SEV")
TDX: Final = Design("TDXNotLiveMigratable", "VMI uses TDX")
SECURE: Final = Design("SecureExecutionNotLiveMigratable", "VMI uses Secure Execution")
VIRTIOFS: Final = Design("VirtIOFSNotLiveMigratable", "VMI uses virtiofs")
HOTPLUG: Final = Design("HotplugNotLiveMigratable", "VMI has hotplugged disks")
RESERVATION: Final = Design("PersistentReservationNotLiveMigratable", "VMI uses SCSI persistent reservation")
NEW: Final = Design("FrobnicationNotLiveMigratable", "VMI frobnicates")
SPEECHLESS: Final = Design(verdict="False")
UNDECIDED: Final = Design(verdict="Unknown")
FRESH: Final = Design(verdict="-")

CAUSE: Final = {
    HOSTPATH: "hostpath",
    OLD_HOSTPATH: "hostpath",
    UNSHARED: "unshared_claim",
    HOST_DISK: "host_disk",
    BRIDGE: "pod_network",
    SRIOV: "sriov_gate_off",
    GPU: "host_device",
    HOST_MODEL: "cpu",
    TSC: "cpu",
    HYPERV: "cpu",
    SEV: "security",
    TDX: "security",
    SECURE: "security",
    VIRTIOFS: "other",
    HOTPLUG: "other",
    RESERVATION: "other",
    NEW: "other",
    SPEECHLESS: "other",
    UNDECIDED: "not_evaluated",
    FRESH: "not_evaluated",
}
"""What a person would say is wrong with a VM of this design."""

UNKNOWN_YET: Final = {FRESH, UNDECIDED}
REASON: Final = {SPEECHLESS: "Unknown", FRESH: "NotEvaluated", UNDECIDED: "NotEvaluated"}
"""Where KubeVirt itself gives none."""

ASKED_BY: Final = {
    "evacuation": "evacuation",
    "workload_update": "workload_update",
    "volumes": "other",
    "hotplug": "other",
    "person": "other",
}
"""Origin of a migration by what it is for: the updater of workloads moves volumes and devices, too."""

NOBODY_KNOWS: Final = "Postpone"
"""No release has such a strategy."""

LETS_GO: Final = {"None", "LiveMigrateIfPossible"}


@dataclass
class Guest:
    """One VM, and what the script has made of it."""

    name: str
    design: Design = HEALTHY
    run: str = "Always"
    """Run strategy; `true`, `false` or `-` in the words of before there were any."""
    strategy: str | None = "LiveMigrate"
    """Of the running instance."""
    template: str | None = "LiveMigrate"
    """Of the next one."""
    node: str = "w1"
    owner: str = "VirtualMachine"
    doomed: bool = False
    """Its VirtualMachine is being deleted."""
    phase: str = "Running"
    leaving: bool = False
    """It was asked to stop."""
    outdated: bool = False
    marked: bool = False
    stuck: str = ""
    """What keeps it on its node although it could be migrated."""
    failing: set[str] = field(default_factory=set)
    """Origins whose migrations of it keep failing."""
    born: datetime | None = None
    lives: int = 1
    """How often it has been started."""
    left: str = ""
    """Node of a launcher that has outlived a migration."""

    @property
    def runs(self) -> bool:
        """It is one of the running VMs."""
        return self.phase == "Running" and not self.leaving

    def after_shutdown(self) -> str:
        """What becomes of it once it has been shut down."""
        if self.owner == "VirtualMachineInstanceReplicaSet":
            return "restarts"
        kept_up = self.owner == "VirtualMachine" and self.run in {"Always", "true"} and not self.doomed
        return "restarts" if kept_up else "stays_down"


@dataclass
class Worker:
    """One node."""

    name: str
    cordoned: datetime | None = None
    tainted: bool = True
    config: str = "rendered-worker-a"
    drain: str = ""
    drained: str = ""
    handler: bool = True


@dataclass
class Move:
    """One migration."""

    name: str
    guest: Guest
    asked: str
    created: datetime
    source: str
    phases: list[tuple[str, datetime]]
    target: str = ""
    condition: str = ""
    timed: bool = True

    @property
    def over(self) -> bool:
        """It has ended."""
        return bool(self.phases) and self.phases[-1][0] in {"Succeeded", "Failed"}

    @property
    def standing(self) -> tuple[str, str]:
        """Origin and phase."""
        return ASKED_BY[self.asked], self.phases[-1][0] if self.phases else "Unset"


KEPT: Final = 5
"""Finished migrations of one VM that KubeVirt keeps."""


class Farm:
    """A cluster with VMs.

    Args:
        world: what is changed.
        guests: VMs that run from the start.
        nodes: names of the workers.
        kubevirt: release of KubeVirt.
        cluster: eviction strategy that counts for VMs that name none.
        configured: what KubeVirt's object says of it, if that is something else.
        unknown: strategies that this release does not know.
        single: OpenShift is installed on one node.
        already: workers that are not as new ones are.
    """

    def __init__(
        self,
        world: World,
        guests: Iterable[Guest] = (),
        *,
        nodes: Sequence[str] = ("w1", "w2", "w3"),
        kubevirt: str = "v1.4.1",
        cluster: str = "LiveMigrate",
        configured: str | None = None,
        unknown: Collection[str] = (NOBODY_KNOWS,),
        single: bool = False,
        already: Iterable[Worker] = (),
    ) -> None:
        self.setting = Setting(world)
        self.world = world
        self.birth = world.ago(days=100)
        self.cluster = cluster
        self.configured = cluster if configured is None else configured
        self.unknown = unknown
        self.single = single
        self.version = kubevirt
        # Before 1.4 nothing said whether volumes could be moved.
        self.storage = not kubevirt.startswith("v0.")
        self.methods: tuple[str, ...] = ("LiveMigrate",)
        self.guests: dict[str, Guest] = {}
        self.workers = {name: Worker(name) for name in nodes} | {each.name: each for each in already}
        self.moves: dict[str, Move] = {}
        self.finished: Counter[tuple[str, str]] = Counter()
        self.troubled: set[str] = set()
        """Findings about the pool."""
        world.apply(*(machines.storage_class(name, created=self.birth) for name in machines.CLASSES))
        if single:
            replicas = "SingleReplica"
            world.apply(
                objects.infrastructure(created=self.setting.birth, control_plane=replicas, workers=replicas)
            )
        self.pool()
        for worker in self.workers.values():
            self._write_node(worker)
        self.kubevirt()
        for guest in guests:
            self.start(guest)
        self.expect()

    # What is true

    @property
    def drains(self) -> bool:
        """Nodes are drained; where there is just one, VMs stop with it."""
        return not self.single or len(self.workers) > 1

    def acts_as(self, strategy: str | None) -> str:
        """The strategy that counts."""
        counts = strategy or self.cluster
        return "None" if counts in self.unknown else counts

    def in_a_drain(self, guest: Guest) -> str:
        """What a drain does to a VM."""
        strategy = self.acts_as(guest.strategy)
        if not self.drains:
            return guest.after_shutdown()
        if strategy == "External":
            return "external"
        if strategy in {"LiveMigrate", "LiveMigrateIfPossible"} and guest.design == HEALTHY:
            return "migrates"
        return "blocks" if strategy == "LiveMigrate" else guest.after_shutdown()

    def way_out(self, guest: Guest) -> str:
        """How far the documented way out is taken."""
        if self.acts_as(guest.strategy) in LETS_GO:
            return "applied" if guest.after_shutdown() == "restarts" else "incomplete"
        following = guest.template if guest.owner == "VirtualMachine" else guest.strategy
        return "restart_required" if self.acts_as(following) in LETS_GO else "missing"

    def expect(self, *, settled: bool = True) -> None:
        """The truth from now on; `settled` when nothing that was found has gone for less than a minute."""
        guests = [each for each in self.guests.values() if each.runs]
        stuck = [each for each in guests if each.design != HEALTHY]
        outcomes = {each.name: self.in_a_drain(each) for each in guests}
        blocking = frozenset(
            (PROJECT, each.name, each.node, cause)
            for each in guests
            if self.drains and (cause := self._holds(each, outcomes[each.name]))
        )
        held = Counter(node for _, _, node, _ in blocking)
        workers = self.workers.values()
        cordoned = {each.name: each.cordoned if each.tainted else None for each in workers if each.cordoned}
        draining = {each.name for each in workers if each.drain and each.drain != each.drained}
        truth = Machines(
            running=len(guests),
            reasons=Counter(REASON.get(each.design, each.design.reason) for each in stuck),
            causes=Counter(CAUSE[each.design] for each in stuck),
            outcomes=Counter(outcomes.values()),
            workaround=Counter(self.way_out(each) for each in stuck),
            outdated=Counter(
                "true" if each.design == HEALTHY else "unknown" if each.design in UNKNOWN_YET else "false"
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
            migrations=Counter(each.standing for each in self.moves.values() if not each.over),
            finished=Counter(self.finished),
            failing=Counter(origin for each in guests for origin in each.failing),
            findings=self._findings(guests, set(outcomes.values()), set(held) & set(cordoned))
            if settled
            else None,
        )
        said = self.world.truth
        self.world.truth = replace(said, machines=truth) if said else None

    def _holds(self, guest: Guest, outcome: str) -> str:
        if outcome == "blocks":
            return CAUSE[guest.design]
        return "external" if outcome == "external" else guest.stuck

    def _findings(self, guests: Sequence[Guest], outcomes: set[str], held: set[str]) -> frozenset[str]:
        outdated = any(each.outdated for each in guests)
        ways = {self.way_out(each) for each in guests if each.design != HEALTHY}
        silent = {each.name for each in self.workers.values() if not each.handler}
        found = {
            "drain_would_block": "blocks" in outcomes,
            "vm_stays_down": "stays_down" in outcomes and self.drains,
            "workaround_restart_required": "restart_required" in ways,
            "outdated_vms": outdated,
            "workload_update_disabled": outdated and not self.methods,
            "migrations_failing": any(each.failing for each in guests),
            "node_drain_blocked": bool(held),
            "migratability_stale": any(each.node in silent for each in guests),
        }
        return frozenset(self.troubled | {name for name, holds in found.items() if holds})

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
        if guest.owner == "VirtualMachine" and guest.born:
            self.world.apply(
                machines.virtual_machine(
                    guest.name,
                    created=guest.born,
                    run=guest.run,
                    strategy=guest.template,
                    design=guest.design,
                    deleted=self.world.ago(hours=1) if guest.doomed else None,
                )
            )

    def restart(self, guest: Guest, *, node: str = "") -> None:
        """It is shut down and started again, faster than anybody looks."""
        self.shut_down(guest)
        self.start_again(guest, node=node)
        self.boot(guest)

    def shut_down(self, guest: Guest) -> None:
        """It is asked to stop, by its owner or after an eviction."""
        guest.leaving = True
        self.write(guest)

    def start_again(self, guest: Guest, *, node: str = "") -> None:
        """The instance is gone, and its owner makes the next one from the template."""
        self.world.delete("VirtualMachineInstance", guest.name, PROJECT)
        guest.strategy, guest.node = guest.template, node or guest.node
        guest.outdated = guest.marked = guest.leaving = False
        guest.stuck = guest.left = ""
        guest.born = self.world.now
        guest.phase = "Scheduling"
        guest.lives += 1
        self.write(guest)

    def boot(self, guest: Guest) -> None:
        """The guest runs."""
        guest.phase = "Running"
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
                phase=guest.phase,
                deleted=self.world.now if guest.leaving else None,
                outdated=guest.outdated,
                marked=guest.marked,
                storage=self.storage,
                pods={f"pod-{node}": node for node in (guest.node, guest.left)} if guest.left else None,
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

    def migrate(
        self, guest: Guest, asked: str, *phases: str, condition: str = "", timed: bool = True
    ) -> Move:
        """A migration is asked for, and gets through these phases at once."""
        now = self.world.now
        name = f"{guest.name}-{asked.replace('_', '-')}-{len(self.moves) + sum(self.finished.values())}"
        through = [(each, now) for each in phases]
        move = Move(name, guest, asked, now, guest.node, through, condition=condition, timed=timed)
        self.moves[name] = move
        self._write_move(move)
        return move

    def elsewhere(self, guest: Guest) -> str:
        """The next node."""
        names = list(self.workers)
        return names[(names.index(guest.node) + 1) % len(names)]

    def proceed(self, move: Move, phase: str, *, node: str = "") -> None:
        """A migration gets on, or ends; one that succeeds leaves the VM on another node in a new launcher."""
        move.phases.append((phase, self.world.now))
        move.target = node or move.target
        self._write_move(move)
        if phase == "Succeeded":
            guest = move.guest
            # The launcher that it left can be there for a while.
            guest.left, guest.node = guest.node, node or self.elsewhere(guest)
            guest.outdated = guest.marked = False
            guest.stuck = ""
            guest.failing.clear()
            self.write(guest)
        if move.over:
            self.finished[ASKED_BY[move.asked], phase.lower()] += 1
            self._collect(move.guest)

    def _write_move(self, move: Move) -> None:
        self.world.apply(
            machines.migration(
                move.name,
                of=move.guest.name,
                created=move.created,
                asked=move.asked,
                source=move.source,
                target=move.target,
                phases=move.phases,
                condition=move.condition,
                timed=move.timed,
            )
        )

    def _collect(self, guest: Guest) -> None:
        """KubeVirt keeps a few finished migrations of each VM."""
        over = [each for each in self.moves.values() if each.guest is guest and each.over]
        for each in sorted(over, key=lambda move: move.phases[-1][1])[:-KEPT]:
            del self.moves[each.name]
            self.world.delete("VirtualMachineInstanceMigration", each.name, PROJECT)

    # Nodes, and KubeVirt itself

    def join(self, name: str) -> None:
        """Another node."""
        self.workers[name] = Worker(name)
        self._write_node(self.workers[name])

    def cordon(self, name: str, drain: str = "", *, tainted: bool = True) -> None:
        """A node is cordoned, and is to be drained for a configuration if one is given."""
        worker = self.workers[name]
        worker.cordoned = worker.cordoned or self.world.now
        worker.tainted = tainted
        worker.drain = drain or worker.drain
        self._write_node(worker)

    def drained(self, name: str) -> None:
        """Nothing is left on the node that would have to go."""
        worker = self.workers[name]
        worker.drained = worker.drain
        self._write_node(worker)

    def uncordon(self, name: str) -> None:
        """The node is back with its new configuration, or its drain was given up."""
        before = self.workers[name]
        config = before.drained or before.config
        self.workers[name] = Worker(name, config=config, handler=before.handler)
        self._write_node(self.workers[name])

    def handler(self, name: str, *, heard: bool) -> None:
        """virt-handler of a node falls silent, or is back."""
        self.workers[name].handler = heard
        self._write_node(self.workers[name])

    def pool(self, *, updated: int | None = None, paused: bool = False, degraded: bool = False) -> None:
        """The pool gets another configuration, which so many have; or is paused, or cannot get on."""
        waits = paused and updated is not None
        troubles = {"pool_paused": waits, "pool_degraded": degraded}
        self.troubled = {name for name, holds in troubles.items() if holds}
        self.world.apply(
            machines.pool(
                "worker",
                created=self.birth,
                machines=len(self.workers),
                updated=updated,
                paused=paused,
                degraded=degraded,
            )
        )

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
                strategy=self.configured,
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
                tainted=worker.tainted,
                config=worker.config,
                drain=worker.drain,
                drained=worker.drained,
                heartbeat=self.world.now if worker.handler else self.world.ago(minutes=6),
                handler=worker.handler,
            )
        )
