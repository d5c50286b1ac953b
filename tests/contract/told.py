"""A story told to an API server, and what an exporter that watches has to say at every instant of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from exporter.facts import SUBJECTS
from exporter.facts.family import Sample
from exporter.facts.operator_upgrade import LISTED
from exporter.facts.upgrade_workloads import SETTLES_SECONDS
from exporter.history.keeper import Keeper
from exporter.history.stores import Store
from exporter.kube.credentials import Credentials, StaticCredentials
from exporter.kube.status import ReflectorSettings, State
from exporter.metrics.exposition import render
from exporter.pipeline import LivePipeline, Pipeline
from exporter.simulator.kinds import BY_KIND
from exporter.simulator.objects import ApiObject
from exporter.simulator.script import Course, Deletion, Machines, OpenShift, Story, Truth, World
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


_DECLARED = {
    rule.family.name: rule.family
    for each in SUBJECTS
    for rule in each.subject.rules
    if rule.family.name in FAMILIES
}

Samples: TypeAlias = Mapping[str, list[Sample]]
"""What the exporter says, by the names of the families."""


def samples_of(pipeline: Pipeline, *, bulk: bool = False) -> Samples:
    """What it says now; of single VMs if `bulk`."""
    return {family.name: each for family, each in pipeline.samples(bulk=bulk).items()}


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
    samples = samples_of(pipeline, bulk=True)
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


def said_of_openshift(samples: Samples) -> str:
    """What the exporter says of OpenShift's own updates, and of its next minor."""
    lines = [
        f"{name} {' '.join(labels)} {value:.10g}"
        for name in (
            "openshift_upgrade_in_progress",
            "openshift_upgrade_started_timestamp_seconds",
            "openshift_upgrade_completed_timestamp_seconds",
            "openshift_update_wanted",
            "openshift_minor_blocked",
        )
        for labels, value in samples.get(f"virt_upgrade_{name}", [])
        if value or name == "openshift_upgrade_in_progress"
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def expected_of_openshift(truth: OpenShift) -> str:
    """The same, as the story tells it."""
    lines = [f"openshift_update_wanted {kind} 1" for kind in truth.wanted]
    lines += [f"openshift_minor_blocked {by} 1" for by in truth.blocked]
    for name, plane in (("control", truth.control), ("workers", truth.workers)):
        if plane is None:
            continue
        lines.append(f"openshift_upgrade_in_progress {name} {plane.running:d}")
        for what, at in (("started", plane.began), ("completed", plane.completed)):
            if at is not None:
                lines.append(f"openshift_upgrade_{what}_timestamp_seconds {name} {at.timestamp():.10g}")
    return "".join(f"{line}\n" for line in sorted(lines))


def said_of_waiting(samples: Samples) -> dict[str, float]:
    """The operator's pods that wait, by what for."""
    return {
        reason: value for (reason,), value in samples.get("virt_upgrade_operator_waiting_pods", []) if value
    }


FOLLOWED = (
    "virt_upgrade_in_progress",
    "virt_upgrade_stage",
    "virt_upgrade_current_duration_seconds",
    "virt_upgrade_current_stage_duration_seconds",
    "virt_upgrade_started_timestamp_seconds",
    "virt_upgrade_completed_timestamp_seconds",
    "virt_upgrade_last_duration_seconds",
    "virt_upgrade_last_stage_duration_seconds",
    "virt_upgrade_install_failures",
    "virt_upgrade_history_duration_seconds",
)
"""Families about updates of the operator whose zeros go without saying."""


def said_of_updates(samples: Samples) -> str:
    """What the exporter says of updates of the operator, under way and over."""
    lines = [
        f"{name.removeprefix('virt_upgrade_')} {' '.join(labels)} {value:.10g}"
        for name in FOLLOWED
        for labels, value in samples.get(name, [])
        if value
    ]
    lines += [
        f"duration_seconds {' '.join(labels)} {value:.10g}"
        for labels, value in samples.get("virt_upgrade_duration_seconds", [])
        if labels[-1] in {"sum", "+Inf"} and value
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def _stage_of(truth: Truth, course: Course | None) -> str:
    if truth.update is not None and truth.update.cause in {"plan_failed", "unpack_failed"}:
        return "failed"
    if course is None or _end_of(course) is not None:
        moves = course is not None and _moves(course)
        return "approval" if truth.update is not None else "workloads" if moves else "idle"
    if course.hopeless:
        return "failed"
    if course.held and course.opened is None:
        return "gate"
    return "rollout" if course.installed else "install"


def _end_of(course: Course) -> datetime | None:
    return course.completed or course.gone


def _moves(course: Course) -> bool:
    """VMs are still moved into new launchers."""
    return course.completed is not None and course.workloads is None


def _has_settled(course: Course, now: datetime) -> bool:
    """No VM has been left for long enough."""
    if course.completed is None:
        return True
    return course.workloads is not None and (now - course.workloads).total_seconds() >= SETTLES_SECONDS


def _stages_of(course: Course, now: datetime) -> dict[str, float]:
    """Seconds of each stage, those that are not over so far."""
    end = _end_of(course)
    opened = course.opened if course.held else course.started
    installed = course.installed or end
    moments = {
        "approval": (course.offered, course.started),
        "gate": (course.started, opened or end or now) if course.held else (now, now),
        "install": (opened or end or now, installed or now),
        "rollout": (installed or now, end or now),
        "workloads": (course.completed or now, course.workloads or now),
    }
    return {stage: (until - since).total_seconds() for stage, (since, until) in moments.items()}


def expected_of_updates(truth: Truth, now: datetime, *, listed: int = LISTED) -> str:
    """The same, as the story tells it, with so many of the updates that are over."""
    courses = truth.courses or ()
    under_way = [each for each in courses if _end_of(each) is None]
    over = [each for each in courses if _end_of(each) is not None]
    current = under_way[0] if under_way else None
    lines = [f"stage {_stage_of(truth, current or (over[-1] if over else None))} 1"]
    if current:
        stages = _stages_of(current, now)
        lines += ["in_progress  1", f"current_duration_seconds  {stages['install'] + stages['rollout']:.10g}"]
        lines += [f"current_stage_duration_seconds {stage} {took:.10g}" for stage, took in stages.items()]
    else:
        stages = _stages_of(over[-1], now) if over and _moves(over[-1]) else {}
        if truth.update is not None:
            stages["approval"] = (now - truth.update.since).total_seconds()
        lines += [f"current_stage_duration_seconds {stage} {took:.10g}" for stage, took in stages.items()]
    if latest := current or (over[-1] if over else None):
        versions = f"{latest.from_version} {latest.to_version}"
        lines += [
            f"started_timestamp_seconds {versions} {latest.started.timestamp():.10g}",
            f"install_failures {latest.to_version} {latest.failures}",
        ]
    ended: dict[str, list[float]] = {}
    for each in over:
        outcome = "completed" if each.completed else "superseded" if each.superseded else "failed"
        stages, end = _stages_of(each, now), _end_of(each) or now
        took = stages["install"] + stages["rollout"]
        ended.setdefault(outcome, []).append(took)
        versions = f"{each.from_version} {each.to_version}"
        started = each.started.strftime("%Y-%m-%dT%H:%M:%SZ")
        if each in over[-listed:]:
            lines.append(f"history_duration_seconds {versions} {outcome} {started} {took:.10g}")
        if each is over[-1]:
            lines += [
                f"completed_timestamp_seconds {versions} {outcome} {end.timestamp():.10g}",
                f"last_duration_seconds  {took:.10g}",
                *(
                    f"last_stage_duration_seconds {stage} {spent:.10g}"
                    for stage, spent in stages.items()
                    if stage != "workloads" or under_way or _has_settled(each, now)
                ),
            ]
    for outcome, durations in ended.items():
        lines += [
            f"duration_seconds {outcome} +Inf {len(durations)}",
            f"duration_seconds {outcome} sum {sum(durations):.10g}",
        ]
    return "".join(f"{line}\n" for line in sorted(lines) if not line.endswith(" 0"))


def said(samples: Samples) -> str:
    """What the exporter says of the pending update, the catalog and OpenShift."""
    lines = "".join(render(_DECLARED[name], samples[name]) for name in FAMILIES if name in samples)
    for labels, value in samples.get("virt_upgrade_support_violation", []):
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
    followed: bool = True,
) -> None:
    """Tell a story and compare what is said with the truth, after every step and before the next.

    `at_once` is awaited as soon as a step has been carried out, `between` once it was taken in, both with
    the step's number: exporters may be killed and started there. Updates are compared if `followed`: who was
    away in one of them may not know all of it.
    """
    world = World(clock=stage.clock)

    def all_of_them() -> Mapping[str, Pipeline]:
        return exporters() if callable(exporters) else exporters

    async def compare(when: str) -> None:
        for name, pipeline in all_of_them().items():
            await stage.settled(pipeline)
            if world.truth is not None:
                now = stage.clock.now
                samples = samples_of(pipeline)
                told, true = said(samples), expected(world.truth, now)
                if followed and world.truth.courses is not None:
                    told += said_of_updates(samples)
                    true += expected_of_updates(world.truth, now)
                if (openshift := world.truth.openshift) is not None:
                    told += said_of_openshift(samples)
                    true += expected_of_openshift(openshift)
                if (waiting := world.truth.waiting) is not None:
                    assert said_of_waiting(samples) == waiting, f"{story.name}, {name}, {when}"
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
