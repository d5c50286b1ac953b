"""What is known of one running VM: can it be migrated, what would a drain do to it, what holds it?

A running VM is an instance in the phase Running that nobody has asked to stop. The running instance is
judged, never the VirtualMachine's template: a template that was changed since, or a cluster's default that
was written in at creation, makes them differ. Of the VirtualMachine only what happens *after* a shutdown
is read.

A pure function of an instance and what belongs to it; `exporter/facts/machines.py` keeps the results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from exporter.facts import eviction, migratability, migrations
from exporter.facts.eviction import Release
from exporter.facts.migratability import Offending
from exporter.facts.migrations import Window
from exporter.records.base import BulkRecord, unix
from exporter.records.machines import (
    VirtualMachine,
    VirtualMachineInstance,
    VirtualMachineInstanceMigration,
)
from exporter.records.nodes import Node

UPDATED: Final = "updated"
REMAINING: Final = "remaining"
FAILING: Final = "failing"
WORKLOAD_STATES: Final = (UPDATED, REMAINING, FAILING)


@dataclass(frozen=True)
class Settings:
    """What all VMs of a cluster share."""

    kubevirt: Release = None
    strategy: str = eviction.NONE
    """Of VMs that name none."""
    single_node: bool = False
    sriov_gate: bool | None = None
    rollouts: tuple[Window, ...] = ()
    """Roll-outs of KubeVirt, as far as they are known."""


class Machine(msgspec.Struct, frozen=True, gc=False):
    """The facts of one running VM."""

    namespace: str
    name: str
    node: str
    reason: str
    """Why it cannot be migrated, in KubeVirt's term; empty when it can."""
    cause: str
    strategy: str
    """The effective eviction strategy."""
    run_strategy: str
    """Empty for an instance without a VirtualMachine."""
    outcome: str
    workaround: str
    """Empty for one that can be migrated."""
    outdated: bool
    """It runs in a virt-launcher of an earlier version."""
    marked: bool
    """It is marked for eviction from its node."""
    blocking: str
    """Why it holds, or would hold, a drain of its node; empty when it does not."""
    failing: tuple[str, ...]
    """Origins whose migrations of it keep failing."""
    objects: tuple[Offending, ...]
    """What keeps it from being migrated."""
    due: float | None
    """Unix time at which these facts change without any event."""

    @property
    def workload_state(self) -> str:
        """Where it stands in the update of workloads."""
        if not self.outdated:
            return UPDATED
        return FAILING if self.failing else REMAINING

    @property
    def migratable(self) -> str:
        """true, false or unknown."""
        if not self.reason:
            return "true"
        return "unknown" if self.reason == migratability.NOT_EVALUATED else "false"


class Surroundings(msgspec.Struct, frozen=True):
    """What belongs to an instance, and what its claims are looked up in."""

    owner: VirtualMachine | None = None
    """The VirtualMachine of the same name."""
    migrations: Collection[VirtualMachineInstanceMigration] = ()
    node: Node | None = None
    claims: Mapping[str, BulkRecord] = {}
    classes: Mapping[str, BulkRecord] = {}


def derive(
    instance: VirtualMachineInstance, around: Surroundings, settings: Settings, now: float
) -> Machine | None:
    """The facts of a VM; None while it does not run."""
    if not instance.is_running:
        return None
    owner = instance.owner
    made_by = owner.kind if owner else None
    machine = around.owner if made_by == "VirtualMachine" else None
    run_strategy = machine.run_strategy if machine else ""
    comes_back = made_by == "VirtualMachineInstanceReplicaSet" or (
        machine is not None and run_strategy == eviction.ALWAYS and not machine.is_deleting
    )
    kubevirt = settings.kubevirt
    own = (instance.spec.eviction_strategy if instance.spec else None) or ""
    strategy = eviction.effective(own, settings.strategy, kubevirt)
    why = migratability.reason(instance.live_migratable)
    outcome = eviction.outcome(
        strategy, migratable=not why, comes_back=comes_back, single_node=settings.single_node
    )
    moves: Collection[VirtualMachineInstanceMigration] = around.migrations
    if moves:
        moves = migrations.of_this_life(moves, unix(instance.metadata.creation_timestamp))
    failing = migrations.failing(moves, settings.rollouts) if moves else ()
    objects: tuple[Offending, ...] = ()
    cause = workaround = blocking = ""
    due = None
    marked = instance.is_marked
    if why:
        cause, objects = migratability.obstacle(
            instance, why, around.claims, around.classes, kubevirt=kubevirt, sriov_gate=settings.sriov_gate
        )
        next_own = machine.eviction_strategy if machine else own
        template = eviction.effective(next_own, settings.strategy, kubevirt)
        workaround = eviction.workaround(strategy, template, comes_back=comes_back)
    if outcome == eviction.BLOCKS:
        blocking = cause
    elif outcome == eviction.EXTERNALLY:
        blocking = eviction.EXTERNALLY
    elif outcome == eviction.MIGRATES and (marked or moves):
        node = around.node
        blocking, due = migrations.stuck(
            moves,
            marked=marked,
            cordoned=node is not None and node.is_cordoned,
            since=unix(node.tainted_at) if node is not None else None,
            failing=bool(failing),
            now=now,
        )
    return Machine(
        namespace=instance.namespace,
        name=instance.name,
        node=instance.node,
        reason=why,
        cause=cause,
        strategy=strategy,
        run_strategy=run_strategy,
        outcome=outcome,
        workaround=workaround,
        outdated=instance.is_outdated,
        marked=marked,
        blocking=blocking,
        failing=failing,
        objects=objects,
        due=due,
    )


def measures(machine: Machine) -> Iterator[tuple[str, str]]:
    """What a VM counts for: a measure, and the label value under which it counts once."""
    yield "outcome", machine.outcome
    yield "workload", machine.workload_state
    yield "node", machine.node
    if machine.reason:
        yield "reason", machine.reason
        yield "cause", machine.cause
        yield "workaround", machine.workaround
    if machine.outdated:
        yield "outdated", machine.migratable
    if machine.blocking:
        yield "blocking", machine.node
    if machine.marked:
        yield "marked", machine.node
    for each in machine.failing:
        yield "failing", each
