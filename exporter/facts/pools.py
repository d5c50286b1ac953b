"""How far are the machines of each pool updated, and does a pool wait because it is paused?

OpenShift updates nodes pool by pool: each machine gets the pool's configuration, for which it is drained and
rebooted. A paused pool keeps what it has, which is right in the middle of an update of the control plane
alone and a trap afterwards. Counts compare with the configuration that the pool is to have; a machine can
be in several states at once.

Since when a pool has been paused with a configuration waiting is told by its conditions: it is not Updated
since it was given that, and not Updating since then or since it was paused, whichever is later. What was
seen first is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.history.value import History, Observations
from exporter.records.base import unix
from exporter.records.nodes import MACHINE_CONFIG_POOLS, MachineConfigPool, PoolStatus

SUBJECT: Final = Subject["Pools"]("pools")

_PAUSED: Final = "pool-paused"


@dataclass(frozen=True)
class Pool:
    """One pool."""

    name: str
    machines: int
    states: tuple[tuple[str, int], ...]
    paused: bool
    """With a configuration waiting; a pause that holds nothing back is none."""
    paused_since: float | None
    degraded: bool
    degraded_since: float | None
    memory: str
    told: float | None
    """Since when it has been paused like that, as its conditions tell."""


@dataclass(frozen=True)
class Pools:
    """What this subject knows."""

    pools: tuple[Pool, ...]


def derive(cluster: Cluster, history: History, now: float) -> Pools:
    """All pools."""
    return Pools(tuple(_pool(each, history, now) for each in cluster[MACHINE_CONFIG_POOLS]))


def _pool(pool: MachineConfigPool, history: History, now: float) -> Pool:
    status = pool.status or PoolStatus()
    degraded = pool.condition("Degraded")
    says_so = degraded is not None and degraded.is_true
    memory = f"{_PAUSED}/{pool.metadata.uid or pool.name}"
    episode = history.episode(memory)
    # One without machines keeps nothing back.
    paused = pool.is_paused and pool.is_pending and status.machine_count != 0
    return Pool(
        name=pool.name,
        machines=status.machine_count or 0,
        states=(
            ("updated", status.updated_machine_count or 0),
            ("unavailable", status.unavailable_machine_count or 0),
            ("degraded", status.degraded_machine_count or 0),
        ),
        paused=paused,
        paused_since=episode.since if paused and episode.lasts(now) else None,
        degraded=says_so or (degraded is None and bool(status.degraded_machine_count)),
        degraded_since=unix(degraded.last_transition_time) if degraded is not None and says_so else None,
        memory=memory,
        told=_told(pool) if paused else None,
    )


def _told(pool: MachineConfigPool) -> float | None:
    conditions = pool.condition("Updated"), pool.condition("Updating")
    times = [unix(each.last_transition_time) for each in conditions if each is not None and each.is_false]
    known = [each for each in times if each is not None]
    return max(known) if len(known) == len(conditions) else None


def observe(pools: Pools, seen: Observations) -> None:
    """Remember since when pools have been paused with something waiting."""
    for each in pools.pools:
        seen.holds(each.memory, each.paused, each.told)
    present = {each.memory for each in pools.pools}
    seen.forget(name for name in seen.known(_PAUSED) if name not in present)


@SUBJECT.gauge(
    "virt_upgrade_pool_machines",
    "Machines of a pool.",
    labels=("pool",),
    source="MachineConfigPool: status.machineCount",
    requires=(MACHINE_CONFIG_POOLS,),
)
def _machines(pools: Pools) -> Samples:
    for each in pools.pools:
        yield (each.name,), each.machines


@SUBJECT.gauge(
    "virt_upgrade_pool_machines_state",
    "Machines of a pool in a state; one machine can be in several.",
    labels=("pool", "state"),
    source="MachineConfigPool: status.updatedMachineCount, unavailableMachineCount, degradedMachineCount",
    requires=(MACHINE_CONFIG_POOLS,),
)
def _machines_state(pools: Pools) -> Samples:
    for each in pools.pools:
        for state, count in each.states:
            yield (each.name, state), count


@SUBJECT.gauge(
    "virt_upgrade_pool_paused",
    "1 for a pool that is paused while a configuration waits that not all its machines have.",
    labels=("pool",),
    source="MachineConfigPool: spec.paused, spec.configuration.name, status.configuration.name",
    requires=(MACHINE_CONFIG_POOLS,),
)
def _paused(pools: Pools) -> Samples:
    for each in pools.pools:
        yield (each.name,), float(each.paused)


@SUBJECT.gauge(
    "virt_upgrade_pool_paused_since_timestamp_seconds",
    "Since when a pool has been paused with a configuration waiting; absent while it is not.",
    labels=("pool",),
    source="MachineConfigPool: status.conditions[Updated, Updating].lastTransitionTime; first seen",
    requires=(MACHINE_CONFIG_POOLS,),
    timed=True,
)
def _paused_since(pools: Pools) -> Samples:
    for each in pools.pools:
        if each.paused_since is not None:
            yield (each.name,), each.paused_since
