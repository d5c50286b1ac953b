"""The way of a byte from the watch stream to the scrape, put together.

Reflectors fill stores; what changed is gathered for a few milliseconds, then the facts that rest on it
are derived anew and their families rendered. A scrape never waits for that: whatever has been received
is on the page it gets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability, Cluster, Scope
from exporter.kube.client import Client
from exporter.kube.credentials import Credentials
from exporter.kube.reflector import Reflector
from exporter.kube.resource import Resource
from exporter.kube.status import ReflectorSettings, State
from exporter.kube.store import Delta
from exporter.metrics.exposition import Format
from exporter.metrics.page import FactsPage
from exporter.metrics.selfmonitoring import SelfMonitoring, Watching

GATHER_SECONDS: Final = 0.01
"""Changes gathered before the facts are derived anew: a burst of events costs one derivation."""


class Pipeline:
    """Reflectors, facts and page of one cluster."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        scope: Scope | None = None,
        settings: ReflectorSettings | None = None,
        source: str = "cluster",
        revision: str = "",
        wall_clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        """A pipeline that has not started.

        Args:
            credentials: how to reach the API server.
            scope: what to look for, and where.
            settings: times and sizes of the watch protocol.
            source: cluster, simulator or replay.
            revision: commit the program was built from.
            wall_clock: Unix time.
            random: source of jitter.
        """
        self.scope = scope or Scope()
        self._client = Client(credentials)
        self._wall_clock = wall_clock
        self._source = source
        self._revision = revision
        self.reflectors: tuple[Reflector[Any], ...] = tuple(
            self._reflector(resource, settings, random) for resource in RESOURCES
        )
        self._page = FactsPage(SUBJECTS)
        self._self_monitoring = SelfMonitoring(self.watching)
        self._facts = Facts(Cluster(scope=self.scope))
        self._changed: set[str] = set()
        self._received: list[float] = []
        self._flush_handle: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _reflector(
        self, resource: Resource[Any], settings: ReflectorSettings | None, random: Random | None
    ) -> Reflector[Any]:
        def on_change(_deltas: list[Delta], received: float | None) -> None:
            if received is not None:
                self._received.append(received)
            self._mark(resource.plural)

        return Reflector(
            resource,
            self._client,
            namespace=self.scope.operator_namespace or None,
            settings=settings,
            wall_clock=self._wall_clock,
            random=random,
            on_change=on_change,
            on_state=lambda: self._mark(resource.plural),
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [
                    group.create_task(each.run(), name=f"watch {each.resource.plural}")
                    for each in self.reflectors
                ]
        finally:
            if self._flush_handle is not None:
                self._flush_handle.cancel()
            await self._client.close()

    @property
    def alive(self) -> bool:
        """Every reflector is at work; an API server that does not answer changes nothing about that."""
        return not any(task.done() for task in self._tasks)

    @property
    def facts(self) -> Facts:
        """The facts of everything received so far."""
        self._flush()
        return self._facts

    def watching(self) -> Watching:
        """The reflectors, as the self-monitoring shows them now."""
        return Watching(
            now=self._wall_clock(),
            source=self._source,
            revision=self._revision,
            reflectors=self.reflectors,
            rule_errors=self._page.rule_errors,
        )

    def missing(self) -> list[str]:
        """Resources that are permitted and present, as far as we know, and were never synced."""
        return [each.resource.plural for each in self.reflectors if each.status.answer is None]

    def availability(self) -> Mapping[str, Availability]:
        """What can be known of each resource."""
        return {each.resource.plural: _availability(each) for each in self.reflectors}

    def scrape(self, format_: Format) -> bytes:
        """The whole page, with everything that has been received."""
        self._flush()
        end = "# EOF\n" if format_ is Format.OPENMETRICS else ""
        page = self._page.render(format_) + self._self_monitoring.render(format_) + end
        # JSON may hold half of a surrogate pair, which is no text: it must not cost the page.
        return page.encode(errors="replace")

    def _mark(self, plural: str) -> None:
        self._changed.add(plural)
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if not self._changed:
            return
        changed, self._changed = self._changed, set()
        received, self._received = self._received, []
        records = {each.resource.plural: each.store.records for each in self.reflectors}
        self._facts = Facts(Cluster(records, self.scope))
        self._page.update(self._facts, self.availability(), changed)
        now = asyncio.get_running_loop().time()
        for each in received:
            self._self_monitoring.event_latency.observe(max(0.0, now - each))


def _availability(reflector: Reflector[Any]) -> Availability:
    answer = reflector.status.answer
    if answer is State.ABSENT:
        return Availability.ABSENT
    return Availability.KNOWN if answer is State.SYNCED else Availability.UNKNOWN
