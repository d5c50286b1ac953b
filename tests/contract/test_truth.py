"""Every story, and what is said at every instant of it: on both servers, through kills and restarts."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from random import Random

import pytest

from exporter.history.stores import MemoryStore, Store
from exporter.metrics.exposition import Format
from exporter.pipeline import Pipeline
from exporter.simulator.script import Story
from exporter.simulator.stories import openshift, pending, upgrades, virtual_machines
from tests.contract.backend import Backend
from tests.contract.told import Stage, follow, watching
from tests.contract.wandering import wandering

pytestmark = pytest.mark.long

TOLD = (*pending.STORIES, *upgrades.STORIES, *openshift.STORIES, *virtual_machines.STORIES)
EVERY_STORY = pytest.mark.parametrize("story", TOLD, ids=lambda story: story.name)
# Of VMs little is remembered: these stories hold all of that, and no more of them are told twice.
REMEMBERED = (
    *pending.STORIES,
    *upgrades.STORIES,
    *openshift.STORIES,
    *(each for each in virtual_machines.STORIES if each.name in {"vms-workload-update", "vms-collected"}),
)
EVERY_MEMORY = pytest.mark.parametrize("story", REMEMBERED, ids=lambda story: story.name)


class Replicas:
    """Exporters on one store, killed and started."""

    def __init__(self, stage: Stage, store: Store, count: int = 1) -> None:
        self._stage = stage
        self._store = store
        self._stacks: dict[str, AsyncExitStack] = {}
        self.running: dict[str, Pipeline] = {}
        self.names = [f"replica {number}" for number in range(count)]

    async def start(self, name: str) -> None:
        stack = AsyncExitStack()
        self.running[name] = await stack.enter_async_context(watching(self._stage.pipeline(self._store)))
        self._stacks[name] = stack

    async def kill(self, name: str) -> None:
        del self.running[name]
        await self._stacks.pop(name).aclose()

    async def __aenter__(self) -> Replicas:
        for name in self.names:
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.running):
            await self.kill(name)


@EVERY_STORY
async def test_what_is_said_is_true_at_every_instant(story: Story, backend: Backend) -> None:
    stage = Stage(backend)
    async with watching(stage.pipeline(MemoryStore())) as pipeline:
        await follow(story, stage, {"watching": pipeline})
        assert not sum(pipeline.watching().rule_errors.values())


@EVERY_MEMORY
async def test_killed_after_every_step_it_says_the_same_when_it_is_back(
    story: Story, backend: Backend
) -> None:
    stage = Stage(backend)
    async with Replicas(stage, MemoryStore()) as replicas:

        async def restart(_step: int) -> None:
            await replicas.kill("replica 0")
            await replicas.start("replica 0")

        await follow(story, stage, lambda: replicas.running, between=restart)


@EVERY_MEMORY
async def test_killed_before_it_has_taken_a_step_in_it_says_the_same_when_it_is_back(
    story: Story, backend: Backend
) -> None:
    stage = Stage(backend)
    async with Replicas(stage, MemoryStore()) as replicas:

        async def restart(_step: int) -> None:
            await replicas.kill("replica 0")
            await replicas.start("replica 0")

        # Nothing tells when a version, or a plan that had failed, was deleted that nobody saw go.
        followed = story.name not in {"upgrade-given-up", "plan-failed"}
        await follow(story, stage, lambda: replicas.running, at_once=restart, followed=followed)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_two_replicas_say_the_same_and_the_truth(seed: int, backend: Backend) -> None:
    await some_days(seed, 3.0, Stage(backend))


async def some_days(seed: int, days: float, stage: Stage) -> int:
    """Two replicas on one store, killed at random, for some days; the steps that were compared."""
    random = Random(seed)
    steps = 0
    # That VMs were left when the next update began is known to nobody but who was there before and after.
    vms = bool(seed % 2)
    async with Replicas(stage, MemoryStore(), 2) as replicas:

        async def meddle(step: int) -> None:
            nonlocal steps
            steps = step
            witnesses = {*replicas.running}
            for name in replicas.names:
                if name not in replicas.running:
                    if random.random() < 0.7:
                        await replicas.start(name)
                elif random.random() < 0.25 and len(replicas.running) > 1 and (not vms or len(witnesses) > 1):
                    witnesses.discard(name)
                    await replicas.kill(name)

        story = wandering(seed, days, vms=vms)
        await follow(story, stage, lambda: replicas.running, between=meddle, at_once=meddle)
        for name in replicas.names:
            if name not in replicas.running:
                await replicas.start(name)
        for pipeline in replicas.running.values():
            await stage.settled(pipeline)
        # A finding that has only just gone is shown for a minute longer by whoever saw it.
        stage.clock.advance(61)
        ours, theirs = (facts(pipeline) for pipeline in replicas.running.values())
        assert ours == theirs
    return steps


def facts(pipeline: Pipeline) -> str:
    """The page without the exporter's own part, and without the verdict: it is withheld until something
    has been heard at this time."""
    page = pipeline.scrape(Format.TEXT).decode().split("# HELP virt_upgrade_exporter_")[0]
    return re.sub(r"^.*virt_upgrade_ready.*\n", "", page, flags=re.MULTILINE)
