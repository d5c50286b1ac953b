"""The facts of all running VMs, kept up to date change by change: one event costs one VM.

Everything else in this package is worked out anew from the records whenever somebody asks. With ten
thousands of VMs that would take longer than an event may, so this is a fold over changes: a change marks
the VMs that it is about, `work` derives those anew, and totals follow from what each VM counted for before
and after. What comes out depends on the records alone, not on the order of the changes
(tests/unit/facts/test_machines.py).

What concerns all VMs (the cluster's eviction strategy, the release, its topology) hardly ever changes; when
it does, all are marked. `work` takes as many at a time as it is told to, so nothing waits for all of them.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from exporter.facts import eviction, machine, migrations
from exporter.facts.cluster import Cluster
from exporter.facts.family import Family, Rule, Sample, Samples, Subject
from exporter.facts.finding import LISTED, Names
from exporter.facts.machine import Machine, Settings, Surroundings
from exporter.facts.migrations import End, Window
from exporter.history.tally import Event, Tally
from exporter.history.value import History
from exporter.kube.resource import Resource
from exporter.kube.store import Delta
from exporter.records.base import BulkRecord, condition, unix
from exporter.records.machines import (
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    VirtualMachineInstanceMigration,
)
from exporter.records.nodes import NODES, Node
from exporter.records.openshift import INFRASTRUCTURES, Infrastructure
from exporter.records.storage import CLAIMS, STORAGE_CLASSES
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS, HyperConverged, KubeVirt

ROLLOUT: Final = "virt-handler/rollout"
"""The name under which KubeVirt's roll-outs are remembered."""

SETTINGS: Final[tuple[Resource[Any], ...]] = (KUBEVIRTS, HYPERCONVERGEDS, INFRASTRUCTURES)
READS: Final[tuple[Resource[Any], ...]] = (
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    MIGRATIONS,
    NODES,
    CLAIMS,
    STORAGE_CLASSES,
    *SETTINGS,
)
"""What the facts of VMs rest on."""

BULK: Final = frozenset(each.plural for each in READS if each not in SETTINGS)
"""Of these, what nothing but the facts of VMs and nodes rests on."""

LONGEST_ROLLOUT_SECONDS: Final = 3600.0
"""virt-handler is replaced on a tenth of the nodes at a time, within minutes; what hangs excuses nothing."""

_MOVES_A_VM: Final = 8
"""Changes of migrations that take as long as one VM does."""

_REPORTS: Final = 100
"""Different failures that are logged."""

log = logging.getLogger(__name__)

_NO_RECORDS: Final[Mapping[str, BulkRecord]] = {}
_SINGLE: Final = "SingleReplica"

Records = Mapping[str, Mapping[str, BulkRecord]]
"""Records by key, by resource."""


_SETTINGS: Final = Settings()


@dataclass(frozen=True)
class Summary:
    """What all running VMs amount to at one moment."""

    settings: Settings = _SETTINGS
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By measure and label value; what is not there is 0."""
    facts: Mapping[str, Machine] = field(default_factory=dict)
    """The VMs themselves, by key: as they are now, not as they were at that moment."""
    running: int = 0
    names: Mapping[str, Names] = field(default_factory=dict)
    """VMs that a finding is about, by the finding's subject."""
    blockers: Mapping[str, Names] = field(default_factory=dict)
    """VMs that hold, or would hold, a drain of their node, by node."""
    under_way: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Unfinished migrations by origin and phase."""
    ended: Mapping[End, tuple[Event, ...]] = field(default_factory=dict)
    """Migrations that have ended and may not have been remembered yet."""
    witnessed: Mapping[str, float] = field(default_factory=dict)
    """Unix times at which a watch saw a node being cordoned, by the node's uid."""

    def by(self, measure: str) -> dict[str, int]:
        """Counts of one measure by label value, zeros left out."""
        return {label: count for (name, label), count in self.counts.items() if name == measure and count}


STAYS_DOWN: Final = eviction.STAYS_DOWN
WOULD_BLOCK: Final = eviction.BLOCKS
RESTART_REQUIRED: Final = eviction.RESTART_REQUIRED
OUTDATED: Final = "outdated"
FAILING: Final = "failing"


_NODE: Final = "node"
_LIST: Final = "list"
_BLOCKED: Final = "blocked"


def _places(each: Machine) -> tuple[tuple[str, str], ...]:
    """Where a VM is to be found."""
    found = [(_NODE, each.node)]
    if each.outcome in {STAYS_DOWN, WOULD_BLOCK}:
        found.append((_LIST, each.outcome))
    if each.workaround == RESTART_REQUIRED:
        found.append((_LIST, RESTART_REQUIRED))
    if each.outdated:
        found.append((_LIST, OUTDATED))
    if each.failing:
        found.append((_LIST, FAILING))
    if each.blocking:
        found.append((_BLOCKED, each.node))
    return tuple(found)


def per_machine(
    subject: Subject[Summary],
    name: str,
    help_text: str,
    *,
    source: str,
    labels: tuple[str, ...],
    optional: tuple[Resource[Any], ...] = (),
    helpful: tuple[Resource[Any], ...] = (),
) -> Callable[[Callable[[Machine], Samples]], Callable[[Machine], Samples]]:
    """Declare a gauge that has samples for each VM; the decorated function gives those of one."""

    def declare(each: Callable[[Machine], Samples]) -> Callable[[Machine], Samples]:
        def samples(summary: Summary) -> Iterator[Sample]:
            return itertools.chain.from_iterable(map(each, summary.facts.values()))

        family = Family(name, help_text, labels=labels)
        requires = (VIRTUAL_MACHINE_INSTANCES,)
        subject.rules.append(Rule(family, samples, source, requires, optional, helpful, each=each))
        return each

    return declare


class Machines:
    """All running VMs, and what they amount to."""

    def __init__(self) -> None:
        self._facts: dict[str, Machine] = {}
        self._settings = Settings()
        self._history: History | None = None
        self._unset = True
        """The settings have to be looked at again."""
        self._dirty: dict[str, None] = {}
        self._moves: deque[tuple[Delta, float | None]] = deque()
        """Changes of migrations that have not been taken in, and when a watch saw them."""
        self._due: list[tuple[float, str]] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._members: dict[str, dict[str, set[str]]] = {_NODE: {}, _LIST: {}, _BLOCKED: {}}
        """VMs by node, by the lists that they are named in, and by the node whose drain they hold."""
        self._by_claim: dict[str, tuple[str, ...]] = {}
        """Mostly one VM: a set for each would be memory, and work for the garbage collector."""
        self._migrations: dict[str, dict[str, VirtualMachineInstanceMigration]] = {}
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._ended: dict[End, dict[str, Event]] = {}
        self._ends = 0
        """How many there have been."""
        self._witnessed: dict[str, float] = {}
        self._named: dict[tuple[str, str], Names] = {}
        """Names of the lists that have not changed since they were last asked for."""
        self._summary: Summary | None = None
        self._changed: set[str] = set()
        self._reported: set[str] = set()
        self.errors = 0
        """Failures to work out a VM."""

    @property
    def facts(self) -> Mapping[str, Machine]:
        """Every running VM by its key; hold on to it only within one turn of the event loop."""
        return self._facts

    @property
    def has_work(self) -> bool:
        """Some VMs have to be derived anew."""
        return bool(self._dirty or self._moves) or self._unset

    def take_changed(self) -> set[str]:
        """Keys of VMs whose facts have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    # What has changed

    def apply_all(self, records: Records) -> None:
        """Take in everything that there is."""
        for plural, found in records.items():
            self.apply(plural, [Delta("ADDED", key, None, record) for key, record in found.items()])

    def apply(self, plural: str, deltas: Iterable[Delta], seen_at: float | None = None) -> None:
        """Take in changes of one resource.

        Args:
            plural: the resource.
            deltas: what changed.
            seen_at: Unix time at which a watch delivered them; None for what a list brought.
        """
        if plural in {VIRTUAL_MACHINE_INSTANCES.plural, VIRTUAL_MACHINES.plural}:
            self._dirty.update((delta.key, None) for delta in deltas)
        elif plural == MIGRATIONS.plural:
            self._moves.extend((delta, seen_at) for delta in deltas)
        elif plural == CLAIMS.plural:
            for delta in deltas:
                self._mark(self._by_claim.get(delta.key, ()))
        elif plural == STORAGE_CLASSES.plural:
            for keys in self._by_claim.values():
                self._mark(keys)
        elif plural == NODES.plural:
            for delta in deltas:
                self._node(delta, seen_at)
        elif any(plural == each.plural for each in SETTINGS):
            self._unset = True

    def _mark(self, keys: Iterable[str]) -> None:
        self._dirty.update(dict.fromkeys(keys))

    def _migration(self, delta: Delta, seen_at: float | None) -> None:
        old, new = delta.old, delta.new
        for record, sign in ((old, -1), (new, 1)):
            if isinstance(record, VirtualMachineInstanceMigration):
                key = f"{record.namespace}/{record.vmi_name}"
                self._dirty[key] = None
                if sign < 0:
                    self._forget_migration(key, delta.key)
                else:
                    self._migrations.setdefault(key, {})[delta.key] = record
                if not record.is_finished:
                    self._under_way[migrations.origin(record), record.phase or UNSET] += sign
        if isinstance(new, VirtualMachineInstanceMigration):
            end = migrations.finished(new)
            if end is not None and not (isinstance(old, VirtualMachineInstanceMigration) and old.is_finished):
                at = seen_at if new.told_end is None and seen_at is not None else end.at
                event = Event.of(at, end.uid)
                self._ended.setdefault((end.origin, end.end), {})[event.uid] = event
                self._ends += 1
        self._summary = None

    def _forget_migration(self, vm: str, key: str) -> None:
        known = self._migrations.get(vm, {})
        known.pop(key, None)
        if not known:
            self._migrations.pop(vm, None)

    def _node(self, delta: Delta, seen_at: float | None) -> None:
        old, new = delta.old, delta.new
        before = _state(old)
        after = _state(new)
        self._unset = self._unset or before is None or after is None
        if before != after:
            self._mark(self._members[_NODE].get(delta.key, ()))
        if isinstance(old, Node) and isinstance(new, Node) and new.is_cordoned and not old.is_cordoned:
            if seen_at is not None:
                self._witnessed[new.metadata.uid or new.name] = seen_at
        elif isinstance(old, Node) and not (isinstance(new, Node) and new.is_cordoned):
            self._witnessed.pop(old.metadata.uid or old.name, None)
        self._summary = None

    def remembered(self, counted: Callable[[End], Tally]) -> None:
        """Forget the ends of migrations that have been counted for good."""
        for end, events in list(self._ended.items()):
            left = {each.uid: each for each in counted(end).lacking(events.values())}
            if len(left) < len(events):
                self._ended[end] = left
                self._summary = None

    # What follows

    def work(self, records: Records, history: History, now: float, limit: int = 1 << 60) -> None:
        """Derive anew what is marked, at most so many VMs.

        Args:
            records: the present records.
            history: what is remembered.
            now: Unix time.
            limit: VMs to derive; the others stay marked.
        """
        if self._unset or history is not self._history:
            self._unset, self._history = False, history
            settings = read_settings(records, history)
            if settings != self._settings:
                self._settings = settings
                self._summary = None
                self._mark(records.get(VIRTUAL_MACHINE_INSTANCES.plural, _NO_RECORDS))
        while self._due and self._due[0][0] <= now:
            self._dirty[heapq.heappop(self._due)[1]] = None
        for _ in range(min(len(self._moves), limit * _MOVES_A_VM)):
            self._migration(*self._moves.popleft())
        if self._moves:
            return
        while self._dirty and limit > 0:
            key, _ = self._dirty.popitem()
            self._update(key, records, now)
            limit -= 1

    def _update(self, key: str, records: Records, now: float) -> None:
        instance: Any = records.get(VIRTUAL_MACHINE_INSTANCES.plural, _NO_RECORDS).get(key)
        old = self._facts.get(key)
        new: Machine | None = None
        if instance is not None:
            new = self._derive(key, instance, records, now)
        if new == old:
            return
        if new is None:
            del self._facts[key]
        else:
            self._facts[key] = new
            if new.due is not None:
                heapq.heappush(self._due, (new.due, key))
        self._recount(key, old, new)
        self._changed.add(key)
        self._summary = None

    def _derive(self, key: str, instance: Any, records: Records, now: float) -> Machine | None:
        try:
            return machine.derive(instance, self._around(key, instance.node, records), self._settings, now)
        except Exception as error:
            # A defect of ours costs this VM, and not the process.
            self.errors += 1
            if repr(error) not in self._reported and len(self._reported) < _REPORTS:
                self._reported.add(repr(error))
                log.exception("the VM %s cannot be worked out and is left out", key)
            return None

    def _around(self, key: str, node: str, records: Records) -> Surroundings:
        owner: Any = records.get(VIRTUAL_MACHINES.plural, _NO_RECORDS).get(key)
        its_node: Any = records.get(NODES.plural, _NO_RECORDS).get(node)
        return Surroundings(
            owner=owner,
            migrations=self._migrations.get(key, {}).values(),
            node=its_node,
            claims=records.get(CLAIMS.plural, _NO_RECORDS),
            classes=records.get(STORAGE_CLASSES.plural, _NO_RECORDS),
        )

    def _recount(self, key: str, old: Machine | None, new: Machine | None) -> None:
        before, after = (tuple(machine.measures(each)) if each else () for each in (old, new))
        if before != after:
            for measure in before:
                self._counts[measure] -= 1
            for measure in after:
                self._counts[measure] += 1
        places, present = (_places(each) if each else () for each in (old, new))
        if places != present:
            for kind, name in places:
                _remove(self._members[kind], name, key)
                self._named.pop((kind, name), None)
            for kind, name in present:
                _add(self._members[kind], name, key)
                self._named.pop((kind, name), None)
        in_the_way, still = (each.objects if each else () for each in (old, new))
        if in_the_way != still:
            for sign, each, objects in ((-1, old, in_the_way), (1, new, still)):
                for one in objects:
                    if each and one.claim:
                        self._claim(f"{each.namespace}/{one.claim}", key, sign)

    def _claim(self, claim: str, key: str, sign: int) -> None:
        rest = tuple(each for each in self._by_claim.get(claim, ()) if each != key)
        if sign > 0 or rest:
            self._by_claim[claim] = (*rest, key) if sign > 0 else rest
        else:
            self._by_claim.pop(claim, None)

    @property
    def alarms(self) -> frozenset[tuple[str, str]]:
        """What somebody waits for: lists with VMs in them, held nodes, cordons, ends of migrations."""
        what = {
            **self._members,
            _NODE: (),
            "witnessed": self._witnessed,
            "ended": (str(self._ends),),
        }
        return frozenset((kind, name) for kind, names in what.items() for name in names)

    def summary(self) -> Summary:
        """What all VMs amount to now."""
        if self._summary is None:
            self._summary = Summary(
                settings=self._settings,
                counts={measure: count for measure, count in self._counts.items() if count},
                facts=self._facts,
                running=len(self._facts),
                names=self._names(_LIST),
                blockers=self._names(_BLOCKED),
                under_way={each: count for each, count in self._under_way.items() if count},
                ended={end: tuple(events.values()) for end, events in self._ended.items() if events},
                witnessed=dict(self._witnessed),
            )
        return self._summary

    def _names(self, kind: str) -> dict[str, Names]:
        for name, keys in self._members[kind].items():
            if (kind, name) not in self._named:
                self._named[kind, name] = Names(tuple(heapq.nsmallest(LISTED, keys)), len(keys))
        return {name: self._named[kind, name] for name in self._members[kind]}


UNSET: Final = "Unset"
"""The phase of a migration that nobody has looked at yet."""


def derive(cluster: Cluster, history: History, now: float) -> Summary:
    """What all VMs of a cluster amount to, from scratch."""
    machines = Machines()
    machines.apply_all(cluster.records)
    machines.work(cluster.records, history, now)
    return machines.summary()


def read_settings(records: Records, history: History) -> Settings:
    """What all VMs share."""
    kubevirt = _first(records, KUBEVIRTS, KubeVirt)
    hyperconverged = _first(records, HYPERCONVERGEDS, HyperConverged)
    cluster = records.get(INFRASTRUCTURES.plural, _NO_RECORDS).get("cluster")
    status = cluster.status if isinstance(cluster, Infrastructure) else None
    single = status is not None and {status.control_plane_topology, status.infrastructure_topology} == {
        _SINGLE
    }
    release = eviction.release(kubevirt.observed_version) if kubevirt else None
    return Settings(
        kubevirt=release,
        strategy=eviction.cluster_strategy(kubevirt.eviction_strategy if kubevirt else "", release),
        # A cluster that was installed on one node may have got workers since.
        single_node=single and len(records.get(NODES.plural, _NO_RECORDS)) == 1,
        sriov_gate=hyperconverged.sriov_gate if hyperconverged else None,
        rollouts=_rollouts(kubevirt, history),
    )


def _rollouts(kubevirt: KubeVirt | None, history: History) -> tuple[Window, ...]:
    """Roll-outs as remembered, else what KubeVirt's conditions still tell of the end of the latest."""
    remembered = tuple(
        Window(each.since, min(each.since + LONGEST_ROLLOUT_SECONDS, each.ended or float("inf")))
        for each in history.every_episode(ROLLOUT)
        if each.since is not None
    )
    if remembered or kubevirt is None:
        return remembered
    progressing = condition(kubevirt.conditions, "Progressing")
    changed = unix(progressing.last_transition_time) if progressing else None
    if kubevirt.is_rolling_out:
        ends = float("inf") if changed is None else changed + LONGEST_ROLLOUT_SECONDS
        return (Window(changed or 0.0, ends),)
    return () if changed is None else (Window(changed - migrations.AFTER_ROLLOUT_SECONDS, changed),)


def _first(records: Records, resource: Resource[Any], type_: type[Any]) -> Any:
    """The one object of a kind of which there can be only one."""
    found = records.get(resource.plural, _NO_RECORDS)
    each = found[min(found)] if found else None
    return each if isinstance(each, type_) else None


def _state(node: object) -> tuple[bool, datetime | None] | None:
    """What VMs on a node depend on."""
    return (node.is_cordoned, node.tainted_at) if isinstance(node, Node) else None


def _add(sets: dict[str, set[str]], name: str, key: str) -> None:
    sets.setdefault(name, set()).add(key)


def _remove(sets: dict[str, set[str]], name: str, key: str) -> None:
    keys = sets[name]
    keys.discard(key)
    if not keys:
        del sets[name]
