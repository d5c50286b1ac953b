"""The way of a byte from the watch stream to the scrape, put together.

Followers fill stores; what changed is gathered for a few milliseconds, then the facts that rest on it are
derived anew and their families rendered. What is seen for the first time is remembered; facts rest on what
the store has taken. A scrape never waits for any of that: whatever has been received is on the page it
gets, at the moment of the scrape.

An event about a VM costs that VM: the other facts wait for the next scrape or tick, unless the event begins
or ends something that is to be remembered. Where thousands of VMs have to be derived at once, after a list,
that is done in turns, and what rests on them counts as unknown until the first time is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any, Final

from exporter.allocator import give_back
from exporter.facts import RESOURCES, SUBJECTS, Facts, catalog, machines, upgrade_records, workload_update
from exporter.facts.cluster import Availability, Cluster, Scope
from exporter.facts.family import Family, Sample
from exporter.facts.machines import Machines
from exporter.facts.package import PLACE
from exporter.facts.vm_readiness import RUNNING_VMS
from exporter.history.keeper import Keeper
from exporter.history.value import History
from exporter.kube.client import Client
from exporter.kube.credentials import Credentials
from exporter.kube.follower import Follower
from exporter.kube.located import Located
from exporter.kube.poller import Poller
from exporter.kube.reflector import Reflector
from exporter.kube.resource import Place, Query, Resource
from exporter.kube.status import ReflectorSettings, State
from exporter.kube.store import Delta
from exporter.metrics.bulk import DEFAULT_LIMIT
from exporter.metrics.exposition import Format
from exporter.metrics.gzipping import compress, member
from exporter.metrics.page import FactsPage
from exporter.metrics.selfmonitoring import SelfMonitoring, Watching
from exporter.records.base import BulkRecord
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import MACHINE_CONFIG_POOLS
from exporter.records.olm import CATALOG_SOURCES, SUBSCRIPTIONS
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS

log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.03
"""Changes gathered before the facts are derived anew: a burst of events costs one derivation."""

TICK_SECONDS: Final = 5.0
"""What changes with time alone is noticed this often, if nobody asks."""

TURN_SECONDS: Final = 0.01
"""VMs are derived for so long at a time while others wait for their turn."""

_AT_A_TIME: Final = 20
"""VMs derived between two looks at the clock."""

TOGETHER_SECONDS: Final = 30.0
"""At a start VMs are derived once all that they rest on has been read, so that each is derived once; but
nothing that takes longer than this keeps them waiting."""

_FOLLOWED: Final = frozenset(each.plural for each in (*upgrade_records.RESTS_ON, HYPERCONVERGEDS))
_PLATFORM: Final = frozenset({CLUSTER_VERSIONS.plural, MACHINE_CONFIG_POOLS.plural})

_MACHINES: Final = frozenset(each.plural for each in machines.READS)


class _Records(Mapping[str, Mapping[str, BulkRecord]]):
    """The records of all resources, as they are at the moment of the look."""

    def __init__(self, followers: Iterable[Follower[Any]]) -> None:
        self._followers = {each.resource.plural: each for each in followers}

    def __getitem__(self, plural: str) -> Mapping[str, BulkRecord]:
        return self._followers[plural].store.records

    def __iter__(self) -> Iterator[str]:
        return iter(self._followers)

    def __len__(self) -> int:
        return len(self._followers)


class Pipeline:
    """Followers, memory, facts and page of one cluster."""

    def __init__(
        self,
        *,
        scope: Scope | None = None,
        memory: Keeper | None = None,
        source: str = "cluster",
        revision: str = "",
        wall_clock: Callable[[], float] = time.time,
        max_vm_series: int = DEFAULT_LIMIT,
        turn: float = float("inf"),
    ) -> None:
        """A pipeline without followers.

        Args:
            scope: what to look for, and where.
            memory: what is remembered, and where; without one it lives as long as the process.
            source: cluster, simulator or replay.
            revision: commit the program was built from.
            wall_clock: Unix time.
            max_vm_series: series of single VMs, at most.
            turn: seconds for which VMs may be derived before others get their turn.
        """
        self.scope = scope or Scope()
        self.memory = memory or Keeper(None)
        self.memory.on_stored = self._mark
        self.followers: tuple[Follower[Any], ...] = ()
        self._wall_clock = wall_clock
        self._source = source
        self._revision = revision
        self._turn = turn
        self._machines = Machines()
        self._alarms: frozenset[tuple[str, str]] = frozenset()
        self._digested: set[str] = set()
        """Resources whose first list has gone into the facts of VMs."""
        self._urgent = False
        self._missed: set[str] = set()
        """Resources to which something may have happened unseen."""
        self._together_until = 0.0
        self._page = FactsPage(SUBJECTS, max_vm_series)
        self._self_monitoring = SelfMonitoring(self.watching)
        self._facts = Facts(Cluster(scope=self.scope))
        self._seen = self._facts.seen
        self._changed: set[str] = set()
        self._received: list[float] = []
        self._problem = ""
        self._flush_handle: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Follow until cancelled."""
        self._together_until = time.perf_counter() + TOGETHER_SECONDS
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [
                    *(
                        group.create_task(each.run(), name=f"follow {each.resource.plural}")
                        for each in self.followers
                    ),
                    group.create_task(self.memory.run(), name="remember"),
                    group.create_task(self._tick(), name="tick"),
                ]
        finally:
            if self._flush_handle is not None:
                self._flush_handle.cancel()

    async def _tick(self) -> None:
        read = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.refresh()
            if (lists := sum(each.status.lists["success"] for each in self.followers)) != read:
                read = lists
                give_back()

    @property
    def alive(self) -> bool:
        """Every follower is at work; an API server that does not answer changes nothing about that."""
        return not any(task.done() for task in self._tasks)

    @property
    def facts(self) -> Facts:
        """The facts of everything received so far, now."""
        self.refresh()
        return self._facts

    def watching(self) -> Watching:
        """The followers, as the self-monitoring shows them now."""
        errors = Counter(self._page.rule_errors)
        # A VM that cannot be worked out is missing everywhere, and from this number first.
        errors[RUNNING_VMS] += self._machines.errors
        return Watching(
            now=self._wall_clock(),
            source=self._source,
            revision=self._revision,
            followers=self.followers,
            rule_errors=errors,
            memory=self.memory,
            omitted=self._page.omitted,
        )

    def missing(self) -> list[str]:
        """What was never read, or not yet gone into the facts, of what is permitted and present."""
        memory = [] if self.memory.loaded else ["memory"]
        return [
            each.resource.plural
            for each in self.followers
            if each.status.answer is None
            or (each.status.answer is State.SYNCED and each.resource.plural in machines.BULK - self._digested)
        ] + memory

    def availability(self) -> Mapping[str, Availability]:
        """What can be known of each resource."""
        if not self.memory.loaded:
            return {}
        return {
            each.resource.plural: Availability.UNKNOWN
            if each.resource.plural in machines.BULK - self._digested
            else _availability(each)
            for each in self.followers
        }

    def scrape(self, format_: Format) -> bytes:
        """The whole page, with everything that has been received."""
        self.refresh()
        return self._page.render_bulk(format_) + self._rest(format_)

    async def scrape_gzip(self, format_: Format) -> bytes:
        """The same, compressed."""
        self.refresh()
        if pieces := self._page.to_compress():
            for compress_some in pieces:
                compress_some()
                # Others get their turn; what they change is compressed at the end, with all that came.
                await asyncio.sleep(0)
            self.refresh()
        return member((self._page.segment(format_), compress(self._rest(format_))))

    def _rest(self, format_: Format) -> bytes:
        end = "# EOF\n" if format_ is Format.OPENMETRICS else ""
        page = self._page.render_few(format_) + self._self_monitoring.render(format_) + end
        # JSON may hold half of a surrogate pair, which is no text: it must not cost the page.
        return page.encode(errors="replace")

    def samples(self, *, bulk: bool = True) -> dict[Family, list[Sample]]:
        """The facts as samples, with everything that has been received; those of single VMs if `bulk`."""
        self.refresh()
        return self._page.samples(self._facts, bulk=bulk)

    def changed(self, plural: str, deltas: Iterable[Delta], received: float | None = None) -> None:
        """Objects of a resource have changed; `received` is the loop's time of an event's arrival."""
        if received is not None:
            self._received.append(received)
        self.note_change(plural, deltas, by_watch=received is not None)
        self._mark()

    def state_changed(self, plural: str) -> None:
        """What can be known of a resource may have changed."""
        self._urgent = True
        self._changed.add(plural)
        self._mark()

    def note_change(self, plural: str, deltas: Iterable[Delta] = (), *, by_watch: bool = True) -> None:
        """Objects of a resource have changed; somebody will call `refresh`."""
        self._changed.add(plural)
        if plural in _MACHINES:
            self._machines.apply(plural, deltas, self._wall_clock() if by_watch else None)
        self._urgent = self._urgent or plural not in machines.BULK
        if not by_watch:
            # What a list brings has happened while nobody looked.
            self._missed.add(plural)

    def _mark(self, after: float = GATHER_SECONDS) -> None:
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_later(after, self._flush)

    def _flush(self) -> None:
        """Take in what has been gathered; all facts only if something else than VMs is concerned."""
        self._flush_handle = None
        done = self._work()
        if self._urgent or (done and self._machines.alarms != self._alarms):
            self.refresh()
        elif done:
            self._measure()
        self._go_on()

    def _go_on(self) -> None:
        """Derive the rest of the VMs when others have had their turn."""
        if self._machines.has_work and self._tasks and not self._is_gathering():
            self._mark(0.0)

    def _is_gathering(self) -> bool:
        """Something that VMs rest on is still being read for the first time."""
        if time.perf_counter() >= self._together_until:
            return False
        return any(
            each.status.answer is None and each.status.state is State.SYNCING
            for each in self.followers
            if each.resource.plural in _MACHINES
        )

    def _work(self) -> bool:
        """Derive VMs anew for one turn; whether that was all."""
        if self._is_gathering():
            return False
        machines_ = self._machines
        records = {each.resource.plural: each.store.records for each in self.followers}
        now = round(self._wall_clock(), 3)
        # Not the wall clock: that is the story's, and may stand still.
        ends = time.perf_counter() + self._turn
        while True:
            machines_.work(records, self.memory.stored, now, _AT_A_TIME)
            if changed := machines_.take_changed():
                self._changed.add(VIRTUAL_MACHINE_INSTANCES.plural)
                self._page.update_machines(machines_.facts, changed)
            if not machines_.has_work or time.perf_counter() >= ends:
                break
        if machines_.has_work:
            return False
        self._digested = {
            each.resource.plural
            for each in self.followers
            if each.resource.plural in _MACHINES and each.status.answer is not None
        }
        return True

    def refresh(self) -> None:
        """Bring facts, memory and page up to the present."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        done = self._work()
        self._urgent = False
        self._alarms = self._machines.alarms
        changed, self._changed = self._changed, set()
        availability = self.availability()
        now = round(self._wall_clock(), 3)
        stale = frozenset(each.resource.plural for each in self.followers if not each.fresh(now))
        heard = {each.resource.plural: each.heard(now) for each in self.followers}
        summary = self._machines.summary()
        known = self._facts.cluster.availability
        # What rests on a resource is shown, or not, by what is known of it.
        changed |= {
            plural for plural in {*known, *availability} if known.get(plural) != availability.get(plural)
        }
        if changed - machines.BULK or self._facts.cluster.availability != availability:
            failing = frozenset(
                each.resource.plural for each in self.followers if each.status.state is State.FAILING
            )
            awaited = frozenset(each.resource.plural for each in self.followers if each.status.answer is None)
            cluster = Cluster(
                _Records(self.followers), self.scope, availability, stale, failing, awaited, heard
            )
            self._facts = Facts(
                cluster,
                self.memory.stored,
                now,
                recent=self._facts.findings.names,
                machines=summary,
                before=self._seen.updates if self._missed.isdisjoint(_FOLLOWED) else None,
                late=self._seen.late_pools if self._missed.isdisjoint(_PLATFORM) else None,
                counted=self._seen.counted and VIRTUAL_MACHINE_INSTANCES.plural not in self._missed,
            )
        else:
            counted = VIRTUAL_MACHINE_INSTANCES.plural not in self._missed
            self._facts = self._facts.later(self.memory.stored, now, stale, heard, summary, counted=counted)
        self._missed.clear()
        # Now, for the records change.
        self._seen = self._facts.seen
        if self.memory.loaded:
            self.memory.remember(self._observed())
            self._machines.remembered(partial(workload_update.tally, self.memory.memory))
            if self.memory.stored is not self._facts.history:
                # Without a store what was seen counts at once.
                self._facts = self._facts.later(self.memory.stored, now, stale, heard)
        self._page.update(self._facts, changed)
        if done:
            self._measure()
        else:
            self._go_on()

    def _observed(self) -> History:
        try:
            return self._facts.observe(self.memory.memory)
        except Exception as error:
            # A defect of ours costs what would have been remembered, not the page.
            if repr(error) != self._problem:
                log.exception("what is seen cannot be remembered")
            self._problem = repr(error)
            return self.memory.memory

    def _measure(self) -> None:
        received, self._received = self._received, []
        for each in received:
            latency = asyncio.get_running_loop().time() - each
            self._self_monitoring.event_latency.observe(max(0.0, latency))


class LivePipeline(Pipeline):
    """A pipeline that follows an API server."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        scope: Scope | None = None,
        settings: ReflectorSettings | None = None,
        memory: Callable[[Client], Keeper] = lambda _: Keeper(None),
        source: str = "cluster",
        revision: str = "",
        wall_clock: Callable[[], float] = time.time,
        random: Random | None = None,
        max_vm_series: int = DEFAULT_LIMIT,
    ) -> None:
        """A pipeline that has not started.

        Args:
            credentials: how to reach the API server.
            scope: what to look for, and where.
            settings: times and sizes of the watch protocol.
            memory: what is remembered, and where.
            source: cluster or simulator.
            revision: commit the program was built from.
            wall_clock: Unix time.
            random: source of jitter.
            max_vm_series: series of single VMs, at most.
        """
        self._client = Client(credentials)
        super().__init__(
            scope=scope,
            memory=memory(self._client),
            source=source,
            revision=revision,
            wall_clock=wall_clock,
            max_vm_series=max_vm_series,
            turn=TURN_SECONDS,
        )
        self._settings = settings
        self._random = random
        self._pollers: list[Poller[Any]] = []
        self._located: list[Located[Any]] = []
        self._places = dict.fromkeys(Place, "")
        self.followers = tuple(self._follower(resource) for resource in RESOURCES)

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await super().run()
        finally:
            await self._client.close()

    def refresh(self) -> None:
        """Bring facts, memory and page up to the present, and look for the operator where it is by now."""
        super().refresh()
        for each in self._located:
            each.look()

    def _where(self, place: Place) -> str | None:
        told_by = (SUBSCRIPTIONS, *PLACE)
        if self._facts.cluster.decided(*told_by):
            ours = self._facts.package.subscription
            catalogs = ours.source_namespace if ours else ""
            self._places[place] = catalogs if place is Place.CATALOG else self._facts.package.namespace
        elif any(each.status.answer is None for each in self.followers if each.resource in told_by):
            return self._places[place] or None
        return self._places[place]

    def _follower(self, resource: Resource[Any]) -> Follower[Any]:
        if resource.polled:
            poller = Poller(
                resource,
                self._client,
                self._queries,
                settings=self._settings,
                wall_clock=self._wall_clock,
                random=self._random,
                on_change=lambda deltas, received: self.changed(resource.plural, deltas, received),
                on_state=lambda: self.state_changed(resource.plural),
            )
            self._pollers.append(poller)
            return poller

        if resource.located is not None:
            located: Located[Any] = Located(
                resource,
                self._client,
                where=partial(self._where, resource.located),
                settings=self._settings,
                wall_clock=self._wall_clock,
                random=self._random,
                on_change=lambda deltas, received: self.changed(resource.plural, deltas, received),
                on_state=lambda: self.state_changed(resource.plural),
            )
            self._located.append(located)
            return located

        def on_change(deltas: list[Delta], received: float | None) -> None:
            self.changed(resource.plural, deltas, received)
            for poller in self._pollers:
                _tell(poller, resource, deltas)

        def on_state() -> None:
            self.state_changed(resource.plural)
            for poller in self._pollers:
                poller.look()

        return Reflector(
            resource,
            self._client,
            namespace=self.scope.operator_namespace or None,
            settings=self._settings,
            wall_clock=self._wall_clock,
            random=self._random,
            on_change=on_change,
            on_state=on_state,
        )

    def _queries(self) -> list[Query] | None:
        """What to ask for of the polled resources; None until the Subscriptions, or their lack, are known."""
        subscriptions = next(each for each in self.followers if each.resource is SUBSCRIPTIONS)
        if subscriptions.status.answer is None:
            return None
        return catalog.queries(Cluster(_Records(self.followers), self.scope))


def _tell(poller: Poller[Any], resource: Resource[Any], deltas: list[Delta]) -> None:
    if resource is SUBSCRIPTIONS:
        poller.look()
    elif resource is CATALOG_SOURCES and any(_reconnected(delta) for delta in deltas):
        poller.wake()


def _reconnected(delta: Delta) -> bool:
    """A catalog came, went, or was connected to anew."""
    states = [getattr(each, "status", None) for each in (delta.old, delta.new)]
    return states[0] is None or states[1] is None or states[0] != states[1]


def _availability(follower: Follower[Any]) -> Availability:
    answer = follower.status.answer
    if answer is State.ABSENT:
        return Availability.ABSENT
    return Availability.KNOWN if answer is State.SYNCED else Availability.UNKNOWN
