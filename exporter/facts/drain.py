"""Which nodes are cordoned or being drained, since when, and which VMs hold each of them?

A cordon is not yet a drain. A node is being drained while the machine-config operator asks for it
(annotation `desiredDrain` is a drain that `lastAppliedDrain` does not confirm; openshift/machine-config-
operator `pkg/controller/drain`), or while a VM on it is marked for eviction. A mark can outlive an aborted
drain (kubevirt issues 5177, 9585): then the VM is migrated away again and again, and the node is shown as
drained without being cordoned.

Kubernetes writes down no time of a cordon but that of the taint that follows it. Without it (no node
controller, an old object) the moment at which a watch saw the cordon happen is remembered; a cordon that
was there from the start has no known time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.finding import Names
from exporter.facts.machines import Summary
from exporter.facts.vm_readiness import DRAIN
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.base import unix
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import NODES

SUBJECT: Final = Subject["Drain"]("drain")

_CORDONED: Final = "cordoned"
_NOBODY: Final = Names()
_BLOCKERS: Final[tuple[Resource[Any], ...]] = (VIRTUAL_MACHINE_INSTANCES,)


@dataclass(frozen=True)
class NodeFacts:
    """One node."""

    name: str
    cordoned: bool
    since: float | None
    """Unix time of the cordon, where it is known."""
    memory: str
    """The name under which that is remembered when the API does not tell; empty when it does."""
    draining: bool
    blockers: Names
    """VMs that hold, or would hold, its drain."""
    silent: bool
    """Its virt-handler is silent, and VMs run on it: what is said of them is old."""


@dataclass(frozen=True)
class Drain:
    """What this subject knows."""

    nodes: tuple[NodeFacts, ...]
    blockers: dict[str, Names]
    """By node, of nodes with any, and of every cordoned node."""

    @property
    def held(self) -> dict[str, Names]:
        """Cordoned nodes that VMs hold, and these VMs."""
        return {each.name: each.blockers for each in self.nodes if each.cordoned and each.blockers.total}


def derive(cluster: Cluster, history: History, now: float, machines: Summary) -> Drain:
    """The nodes as far as drains are concerned."""
    marked, running = machines.by("marked"), machines.by("node")
    nodes = []
    for node in cluster[NODES]:
        tainted = unix(node.tainted_at)
        memory = "" if tainted is not None else f"{_CORDONED}/{node.metadata.uid or node.name}"
        nodes.append(
            NodeFacts(
                name=node.name,
                cordoned=node.is_cordoned,
                since=history.first.get(memory) if tainted is None else tainted,
                memory=memory,
                draining=node.is_config_draining or bool(marked.get(node.name)),
                blockers=machines.blockers.get(node.name, _NOBODY),
                silent=node.is_virt_handler_silent(now) and bool(running.get(node.name)),
            )
        )
    cordoned = {each.name: each.blockers for each in nodes if each.cordoned}
    return Drain(tuple(nodes), cordoned | dict(machines.blockers))


def observe(drain: Drain, machines: Summary, seen: Observations) -> None:
    """Remember when cordons happened that the API has no time of."""
    needed = {each.memory for each in drain.nodes if each.cordoned and each.memory}
    for memory in needed:
        witnessed = machines.witnessed.get(memory.removeprefix(f"{_CORDONED}/"))
        if witnessed is not None:
            seen.first(memory, witnessed)
    seen.forget(name for name in seen.known(_CORDONED) if name not in needed)


@SUBJECT.gauge(
    "virt_upgrade_node_cordoned_since_timestamp_seconds",
    "Since when a node has been cordoned; cordoned nodes only, absent where nothing tells.",
    labels=("node",),
    source="Node: spec.unschedulable, spec.taints[node.kubernetes.io/unschedulable].timeAdded",
    requires=(NODES,),
    timed=True,
)
def _cordoned_since(drain: Drain) -> Samples:
    for each in drain.nodes:
        if each.cordoned and each.since is not None:
            yield (each.name,), each.since


@SUBJECT.gauge(
    "virt_upgrade_node_draining",
    "1 for each node that is being drained: for a new configuration, or because a VM on it is marked for "
    "eviction.",
    labels=("node",),
    source="Node: annotations machineconfiguration.openshift.io/desiredDrain, lastAppliedDrain; "
    "VirtualMachineInstance: status.evacuationNodeName, status.nodeName",
    requires=(NODES,),
    optional=(VIRTUAL_MACHINE_INSTANCES,),
)
def _draining(drain: Drain) -> Samples:
    for each in drain.nodes:
        if each.draining:
            yield (each.name,), 1


@SUBJECT.gauge(
    "virt_upgrade_node_drain_blocking_vms",
    "VMs that hold, or would hold, a drain of their node; for nodes with at least one, and every cordoned "
    "node.",
    labels=("node",),
    source="virt_upgrade_drain_blocking_vm_info; Node: spec.unschedulable",
    requires=_BLOCKERS,
    optional=DRAIN,
    helpful=(NODES, MIGRATIONS),
)
def _blocking_vms(drain: Drain) -> Samples:
    for node, names in drain.blockers.items():
        yield (node,), names.total
