"""The exporter about itself: what it watches, how fresh that is, and what went wrong.

The families are declared and rendered like all others; the histogram and the families about the process and
Python are prometheus_client's.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    exposition,
)
from prometheus_client.openmetrics import exposition as openmetrics

from exporter import __version__
from exporter.facts.family import Family, Samples, Subject, stateset
from exporter.history.keeper import Keeper
from exporter.kube.follower import Follower
from exporter.kube.status import State
from exporter.metrics.exposition import Format, header, render

SUBJECT: Final = Subject["Watching"]("exporter")

_OM_END: Final = "# EOF\n"

EVENT_LATENCY: Final = Family(
    "virt_upgrade_exporter_event_latency_seconds",
    "From the arrival of an event's bytes to its effect on the page.",
    type="histogram",
)
_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0)
"""Fine about what changes are gathered for, and what is promised."""


@dataclass(frozen=True)
class Watching:
    """What this subject's rules read, at one moment."""

    now: float
    source: str
    """cluster, simulator or replay."""
    revision: str
    """Commit the program was built from; empty when not recorded."""
    followers: Sequence[Follower[Any]]
    rule_errors: Mapping[str, int]
    memory: Keeper
    omitted: int
    """VMs whose series are left out."""


class SelfMonitoring:
    """The self-monitoring part of the page."""

    def __init__(self, look: Callable[[], Watching]) -> None:
        """With a function that looks at the followers now."""
        # A series of its own for the birth of each counter would tell nobody anything.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._look = look
        self._registry = CollectorRegistry()
        self.event_latency = Histogram(
            EVENT_LATENCY.name, EVENT_LATENCY.help, registry=self._registry, buckets=_LATENCY_BUCKETS
        )
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, format_: Format) -> str:
        """All self-monitoring families, without the end mark of OpenMetrics."""
        return self._declared(format_) + self._client_library(format_)

    def _declared(self, format_: Format) -> str:
        watching = self._look()
        found = [(rule.family, list(rule.samples(watching))) for rule in SUBJECT.rules]
        return "".join(
            header(family, format_) + render(family, samples) for family, samples in found if samples
        )

    def _client_library(self, format_: Format) -> str:
        # Our names hold no character that would need escaping, and saying so is ten times faster.
        if format_ is Format.TEXT:
            return exposition.generate_latest(self._registry, escaping="allow-utf-8").decode()
        page: bytes = openmetrics.generate_latest(  # type: ignore[no-untyped-call]
            self._registry, escaping="allow-utf-8"
        )
        return page.decode().removesuffix(_OM_END)


@SUBJECT.gauge(
    "virt_upgrade_exporter_build_info",
    "The running program.",
    labels=("version", "revision", "python_version"),
    source="the installed distribution",
)
def _build_info(watching: Watching) -> Samples:
    yield (__version__, watching.revision, platform.python_version()), 1


@SUBJECT.gauge(
    "virt_upgrade_exporter_source_info",
    "Where the facts come from; only cluster is live.",
    labels=("source",),
    source="the command that was started",
)
def _source_info(watching: Watching) -> Samples:
    yield (watching.source,), 1


@SUBJECT.gauge(
    "virt_upgrade_exporter_resource_state",
    "State of the watch on each API resource.",
    labels=("resource", "state"),
    source="follower",
)
def _resource_state(watching: Watching) -> Samples:
    for each in watching.followers:
        yield from stateset(tuple(State), each.status.state, each.resource.plural)


@SUBJECT.gauge(
    "virt_upgrade_exporter_resource_fresh",
    "1 when what is known of a resource, or that it is absent, was confirmed in time: within 5 minutes "
    "where it is watched, within three intervals where it is polled.",
    labels=("resource",),
    source="follower",
)
def _resource_fresh(watching: Watching) -> Samples:
    for each in watching.followers:
        yield (each.resource.plural,), float(each.fresh(watching.now))


@SUBJECT.gauge(
    "virt_upgrade_exporter_resource_objects",
    "Objects held of each resource.",
    labels=("resource",),
    source="follower",
)
def _resource_objects(watching: Watching) -> Samples:
    for each in watching.followers:
        yield (each.resource.plural,), len(each.store.records)


@SUBJECT.gauge(
    "virt_upgrade_exporter_resource_last_update_timestamp_seconds",
    "Last list, event or bookmark of each resource, or confirmation that it is absent.",
    labels=("resource",),
    source="follower",
)
def _resource_last_update(watching: Watching) -> Samples:
    for each in watching.followers:
        if each.status.last_update is not None:
            yield (each.resource.plural,), each.status.last_update


@SUBJECT.counter(
    "virt_upgrade_exporter_lists_total",
    "Complete lists of each resource, streamed or in pages, and failed ones.",
    labels=("resource", "result"),
    source="follower",
)
def _lists(watching: Watching) -> Samples:
    for each in watching.followers:
        for result in ("success", "error"):
            yield (each.resource.plural, result), each.status.lists[result]


@SUBJECT.counter(
    "virt_upgrade_exporter_watches_total",
    "Watches of each resource that ended in good order, and failed ones.",
    labels=("resource", "result"),
    source="follower",
)
def _watches(watching: Watching) -> Samples:
    for each in watching.followers:
        for result in ("success", "error"):
            yield (each.resource.plural, result), each.status.watches[result]


@SUBJECT.counter(
    "virt_upgrade_exporter_events_total",
    "Watch events of each resource.",
    labels=("resource", "type"),
    source="follower",
)
def _events(watching: Watching) -> Samples:
    for each in watching.followers:
        for type_ in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            yield (each.resource.plural, type_), each.status.events[type_]


@SUBJECT.counter(
    "virt_upgrade_exporter_object_errors_total",
    "Objects that could not be understood when they were delivered.",
    labels=("resource",),
    source="follower",
)
def _object_errors(watching: Watching) -> Samples:
    for each in watching.followers:
        yield (each.resource.plural,), each.status.object_errors


@SUBJECT.gauge(
    "virt_upgrade_exporter_objects_skipped",
    "Objects left out right now because they cannot be understood.",
    labels=("resource",),
    source="follower",
)
def _objects_skipped(watching: Watching) -> Samples:
    for each in watching.followers:
        yield (each.resource.plural,), each.store.skipped


@SUBJECT.gauge(
    "virt_upgrade_exporter_vm_series_omitted",
    "VMs whose series are left out because not all fit within --max-vm-series.",
    source="page",
)
def _vm_series_omitted(watching: Watching) -> Samples:
    yield (), watching.omitted


@SUBJECT.counter(
    "virt_upgrade_exporter_rule_errors_total",
    "Failures of the exporter's own rules; each costs the samples of one family.",
    labels=("family",),
    source="page",
)
def _rule_errors(watching: Watching) -> Samples:
    for family, errors in watching.rule_errors.items():
        yield (family,), errors


@SUBJECT.gauge(
    "virt_upgrade_exporter_memory_stored",
    "1 when everything that is remembered is in the store that outlives this process; absent without one.",
    source="keeper",
)
def _memory_stored(watching: Watching) -> Samples:
    if watching.memory.stores:
        yield (), float(watching.memory.saved)


@SUBJECT.gauge(
    "virt_upgrade_exporter_memory_set_aside",
    "Texts in the store that were found in the place of what is remembered and could not be understood.",
    source="keeper",
)
def _memory_set_aside(watching: Watching) -> Samples:
    if watching.memory.stores:
        yield (), watching.memory.set_aside


@SUBJECT.counter(
    "virt_upgrade_exporter_memory_reads_total",
    "Reads of the store of what is remembered.",
    labels=("result",),
    source="keeper",
)
def _memory_reads(watching: Watching) -> Samples:
    if watching.memory.stores:
        for result in ("success", "error"):
            yield (result,), watching.memory.reads[result]


@SUBJECT.counter(
    "virt_upgrade_exporter_memory_writes_total",
    "Writes to the store of what is remembered; a conflict with another replica is read and tried again.",
    labels=("result",),
    source="keeper",
)
def _memory_writes(watching: Watching) -> Samples:
    if watching.memory.stores:
        for result in ("success", "conflict", "error"):
            yield (result,), watching.memory.writes[result]
