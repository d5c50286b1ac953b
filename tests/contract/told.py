"""A story told to an API server, and what an exporter that watches has to say at every instant of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from exporter.history.keeper import Keeper
from exporter.history.stores import Store
from exporter.kube.credentials import Credentials, StaticCredentials
from exporter.kube.status import ReflectorSettings, State
from exporter.metrics.exposition import render
from exporter.pipeline import LivePipeline, Pipeline
from exporter.simulator.kinds import BY_KIND
from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Deletion, Machines, Story, Truth, World
from tests.contract.backend import Backend
from tests.contract.watched import QUICK, until

START = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
"""When stories begin."""

SETTINGS = replace(QUICK, poll_interval=0.05, poll_missing=0.05)

FAMILIES = (
    "virt_upgrade_pending_update_info",
    "virt_upgrade_pending_update_age_seconds",
    "virt_upgrade_pending_update_since_timestamp_seconds",
    "virt_upgrade_pending_update_stale",
    "virt_upgrade_operator_waits_for_openshift",
    "virt_upgrade_channel_head_info",
    "virt_upgrade_versions_behind",
)


@dataclass
class Clock:
    """The story's time."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def unix(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Stage:
    """A backend, what it holds as far as we told it, and exporters that watch it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.clock = Clock()
        self.held: dict[tuple[str, str], str] = {}
        """Plural and key, with the resourceVersion."""
        self.objects: dict[tuple[str, str], ApiObject] = {}
        """What was stored, by plural and key."""

    async def apply(self, obj: ApiObject) -> object:
        stored: Any = await self.backend.apply(obj)
        metadata = stored["metadata"]
        place = _place(obj["kind"], metadata["name"], metadata.get("namespace", ""))
        self.held[place] = metadata["resourceVersion"]
        self.objects[place] = stored
        return stored

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        self.held.pop(_place(kind, name, namespace), None)
        self.objects.pop(_place(kind, name, namespace), None)
        return await self.backend.delete(kind, name, namespace)

    def pipeline(
        self,
        store: Store,
        credentials: Credentials | None = None,
        settings: ReflectorSettings = SETTINGS,
    ) -> LivePipeline:
        return LivePipeline(
            credentials or StaticCredentials(self.backend.connection),
            settings=settings,
            memory=lambda _: Keeper(store, pause=0.0),
            source="simulator",
            wall_clock=self.clock.unix,
        )

    def knows(self, pipeline: Pipeline) -> bool:
        """The exporter has received everything there is, and stored what it remembers of it."""
        seen = {
            (each.resource.plural, key.partition(" ")[0]): record.metadata.resource_version
            for each in pipeline.followers
            for key, record in each.store.records.items()
        }
        watched = {each.resource.plural for each in pipeline.followers}
        held = {place: version for place, version in self.held.items() if place[0] in watched}
        well = all(
            each.status.state is State.SYNCED
            # What is polled was asked for at this very time.
            and (not each.resource.polled or each.heard(self.clock.unix()) == self.clock.unix())
            for each in pipeline.followers
        )
        if seen != held or pipeline.missing() or not well:
            return False
        pipeline.refresh()
        memory = pipeline.memory
        return memory.memory == memory.stored

    async def settled(self, pipeline: Pipeline) -> None:
        await until(lambda: self.knows(pipeline), "everything is received and stored")
        # What is stored now can be shown, and so may lead to something that is first seen.
        await until(lambda: self.knows(pipeline) and self.knows(pipeline), "and nothing follows from it")


def _place(kind: str, name: str, namespace: str) -> tuple[str, str]:
    return BY_KIND[kind].plural, f"{namespace}/{name}" if namespace else name


async def act(world: World, stage: Stage) -> None:
    """Carry out what a script asks for."""
    changes, world.changes = world.changes, []
    for change in changes:
        if isinstance(change, Deletion):
            await stage.delete(change.kind, change.name, change.namespace)
        else:
            await stage.apply(change)


@asynccontextmanager
async def watching(pipeline: LivePipeline) -> AsyncIterator[LivePipeline]:
    """A pipeline at work; killed, not ended, when left."""
    task = asyncio.create_task(pipeline.run())
    try:
        yield pipeline
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


COUNTED = (
    "virt_upgrade_running_vms",
    "virt_upgrade_non_migratable_vms",
    "virt_upgrade_non_migratable_vms_by_cause",
    "virt_upgrade_vm_drain_outcomes",
    "virt_upgrade_workaround_vms",
    "virt_upgrade_outdated_vms",
    "virt_upgrade_workload_update_vms",
    "virt_upgrade_drain_blocking_vm_info",
    "virt_upgrade_node_cordoned_since_timestamp_seconds",
    "virt_upgrade_node_draining",
    "virt_upgrade_migrations",
    "virt_upgrade_migrations_finished_total",
    "virt_upgrade_migration_failing_vms",
)
"""Families about VMs whose zeros go without saying."""


def said_of_machines(pipeline: Pipeline, *, findings: bool) -> str:
    """What the exporter says of the VMs, with the findings about them."""
    samples = {family.name: each for family, each in pipeline.samples().items()}
    lines = [
        f"{name.removeprefix('virt_upgrade_')} {' '.join(labels)} {value:.10g}"
        for name in COUNTED
        for labels, value in samples.get(name, [])
        if value
    ]
    lines += [
        f"node_drain_blocking_vms {node} {value:g}"
        for (node,), value in samples.get("virt_upgrade_node_drain_blocking_vms", [])
    ]
    if findings:
        lines += [
            f"finding {name}"
            for (name, _), value in samples.get("virt_upgrade_findings", [])
            if value and name in ABOUT_MACHINES
        ]
    return "".join(f"{line}\n" for line in sorted(lines))


ABOUT_MACHINES = {
    "drain_would_block",
    "vm_stays_down",
    "workaround_restart_required",
    "outdated_vms",
    "workload_update_disabled",
    "migrations_failing",
    "node_drain_blocked",
    "migratability_stale",
    "pool_paused",
    "pool_degraded",
}


def expected_of_machines(truth: Machines) -> str:
    """The same, as the story tells it."""
    counted: dict[str, Mapping[Any, int]] = {
        "non_migratable_vms": truth.reasons,
        "non_migratable_vms_by_cause": truth.causes,
        "vm_drain_outcomes": truth.outcomes,
        "workaround_vms": truth.workaround,
        "outdated_vms": truth.outdated,
        "workload_update_vms": truth.workload,
        "migrations": truth.migrations,
        "migrations_finished_total": truth.finished,
        "migration_failing_vms": truth.failing,
    }
    lines = [f"running_vms  {truth.running}"] if truth.running else []
    for name, counts in counted.items():
        for labels, count in counts.items():
            lines += [f"{name} {' '.join(labels) if isinstance(labels, tuple) else labels} {count}"] * bool(
                count
            )
    lines += [f"drain_blocking_vm_info {' '.join(each)} 1" for each in truth.blocking]
    lines += [f"node_drain_blocking_vms {node} {count}" for node, count in truth.nodes.items()]
    lines += [
        f"node_cordoned_since_timestamp_seconds {node} {since.timestamp():.0f}"
        for node, since in truth.cordoned.items()
        if since is not None
    ]
    lines += [f"node_draining {node} 1" for node in truth.draining]
    lines += [f"finding {name}" for name in truth.findings or ()]
    return "".join(f"{line}\n" for line in sorted(lines))


def said(pipeline: Pipeline) -> str:
    """What the exporter says of the pending update, the catalog and OpenShift."""
    samples = {family.name: (family, each) for family, each in pipeline.samples(bulk=False).items()}
    lines = "".join(render(*samples[name]) for name in FAMILIES if name in samples)
    violations = samples.get("virt_upgrade_support_violation")
    for labels, value in violations[1] if violations else ():
        if labels == ("no_longer_in_catalog",):
            lines += f"lost {value:g}\n"
    return lines


def expected(truth: Truth, now: datetime) -> str:
    """The same, as the story tells it."""
    lines = []
    update = truth.update
    if update:
        labels = (
            f'from_version="{update.from_version}",to_version="{update.to_version}",kind="{update.kind}",'
            f'cause="{update.cause}"'
        )
        lines.append(f"virt_upgrade_pending_update_info{{{labels}}} 1")
    age = (now - update.since).total_seconds() if update else 0
    lines.append(f"virt_upgrade_pending_update_age_seconds {age:.10g}")
    if update:
        lines.append(f"virt_upgrade_pending_update_since_timestamp_seconds {update.since.timestamp():.0f}")
    lines.append(f"virt_upgrade_pending_update_stale {truth.stale:d}")
    if truth.waits_for_openshift is not None:
        lines.append(f"virt_upgrade_operator_waits_for_openshift {truth.waits_for_openshift:d}")
    if truth.head:
        csv = f"kubevirt-hyperconverged-operator.v{truth.head}"
        lines.append(f'virt_upgrade_channel_head_info{{version="{truth.head}",csv="{csv}"}} 1')
    if truth.behind is not None:
        lines.append(f"virt_upgrade_versions_behind {truth.behind}")
    if truth.lost is not None:
        lines.append(f"lost {truth.lost:d}")
    return "\n".join(lines) + "\n"


async def follow(
    story: Story,
    stage: Stage,
    exporters: Mapping[str, Pipeline] | Callable[[], Mapping[str, Pipeline]],
    *,
    at_once: Callable[[int], Any] | None = None,
    between: Callable[[int], Any] | None = None,
) -> None:
    """Tell a story and compare what is said with the truth, after every step and before the next.

    `at_once` is awaited as soon as a step has been carried out, `between` once it was taken in, both with
    the step's number: exporters may be killed and started there.
    """
    world = World(clock=stage.clock)

    def all_of_them() -> Mapping[str, Pipeline]:
        return exporters() if callable(exporters) else exporters

    async def compare(when: str) -> None:
        for name, pipeline in all_of_them().items():
            await stage.settled(pipeline)
            if world.truth is not None:
                now = stage.clock.now
                told, true = said(pipeline), expected(world.truth, now)
                if (vms := world.truth.machines) is not None:
                    told += said_of_machines(pipeline, findings=vms.findings is not None)
                    true += expected_of_machines(vms)
                after = (now - START).total_seconds()
                assert told == true, (
                    f"{story.name}, {name}, {when}, {after:g} s after the start\n{told}---\n{true}"
                )

    for number, pause in enumerate(story.script(world)):
        await act(world, stage)
        if at_once is not None:
            await at_once(number)
        await compare(f"after step {number}")
        if between is not None:
            await between(number)
            await compare(f"after what happened after step {number}")
        stage.clock.advance(max(0.0, pause - 0.5))
        await compare(f"before step {number + 1}")
        stage.clock.advance(min(pause, 0.5))
    await act(world, stage)
    await compare("at the end")
