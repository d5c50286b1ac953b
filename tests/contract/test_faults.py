"""Every fault against every fact, at random moments of every story.

While something goes wrong the facts stay or are withheld, and nothing is invented; freshness tells; and when
it has gone everything is true again without a restart. What can be done to a real server is done to one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from exporter.history.stores import MemoryStore
from exporter.kube.credentials import FileCredentials
from exporter.kube.status import State
from exporter.pipeline import LivePipeline
from exporter.simulator.faults import Action, Reset, Spoiled, Verb, html, refusal
from exporter.simulator.script import Story, Truth, World
from exporter.simulator.stories import openshift, pending, upgrades, virtual_machines
from tests.contract.backend import Backend
from tests.contract.told import (
    SETTINGS,
    Stage,
    act,
    expected,
    expected_of_machines,
    expected_of_openshift,
    expected_of_updates,
    said,
    said_of_machines,
    said_of_openshift,
    said_of_updates,
    samples_of,
    watching,
)
from tests.contract.watched import until

pytestmark = pytest.mark.long

STREAMS = (Verb.WATCH, Verb.WATCH_LIST)
IMPATIENT = replace(
    # Watches are asked for anew every second, so that whatever is wrong is met soon.
    SETTINGS,
    watch_timeout=(1.0, 1.0),
    inactivity_limit=1.5,
    watch_list_patience=1.5,
)
KINDS = (
    "subscriptions",
    "installplans",
    "clusterserviceversions",
    "catalogsources",
    "packagemanifests",
    "hyperconvergeds",
    "operatorconditions",
    "clusterversions",
)
"""What pending updates, and those under way, rest on."""
KINDS_OF_MACHINES = (
    "virtualmachineinstances",
    "virtualmachines",
    "virtualmachineinstancemigrations",
    "kubevirts",
    "machineconfigpools",
)


@dataclass
class Scene:
    """Where something goes wrong."""

    stage: Stage
    pipeline: LivePipeline
    token: Path
    random: Random
    kinds: tuple[str, ...] = KINDS
    """Of which one may be forbidden or go."""

    @property
    def backend(self) -> Backend:
        return self.stage.backend

    def states(self) -> set[State]:
        return {each.status.state for each in self.pipeline.followers}

    async def troubled(self) -> None:
        """The exporter says of some resource that it is not well."""
        await until(lambda: self.states() != {State.SYNCED}, "freshness tells")


Heal = Callable[[], Awaitable[None]]
Trouble = Callable[[Scene], Awaitable[Heal]]


def answered(action: Action, *, verbs: tuple[Verb, ...] = (), resource: str | None = None) -> Trouble:
    """The server answers like this; what cannot be told from a quiet stream is waited for only."""

    async def begin(scene: Scene) -> Heal:
        fault = scene.backend.faults.add(action, verbs=verbs, resource=resource)
        if verbs:
            await until(lambda: fault.hits >= 8, "it is met")
        else:
            await scene.troubled()

        async def heal() -> None:
            scene.backend.faults.remove(fault)

        return heal

    return begin


async def expired_twice(scene: Scene) -> Heal:
    await scene.backend.expire_versions()
    await scene.backend.expire_versions()
    return nothing


async def restarted(scene: Scene) -> Heal:
    """Its watch cache is empty when it is back."""
    await scene.backend.stop()
    await scene.troubled()
    await scene.backend.start()
    return nothing


async def token_rotated(scene: Scene) -> Heal:
    token = await scene.backend.rotate_token()
    await scene.troubled()

    async def heal() -> None:
        scene.token.write_text(token)

    return heal


async def forbidden(scene: Scene) -> Heal:
    plural = scene.random.choice(scene.kinds)
    await scene.backend.forbid(plural)
    follower = next(each for each in scene.pipeline.followers if each.resource.plural == plural)
    await until(lambda: follower.status.state is State.FORBIDDEN, f"{plural} are forbidden")

    async def heal() -> None:
        await scene.backend.permit(plural)

    return heal


async def definition_deleted(scene: Scene) -> Heal:
    plural = scene.random.choice(scene.kinds)
    lost = [obj for place, obj in scene.stage.objects.items() if place[0] == plural]
    await scene.backend.remove_kind(plural)
    follower = next(each for each in scene.pipeline.followers if each.resource.plural == plural)
    await until(lambda: follower.status.state is State.ABSENT, f"{plural} are absent")
    await scene.backend.add_kind(plural)
    for obj in lost:
        await scene.stage.apply(obj)
    return nothing


async def nothing() -> None:
    """It has healed by itself."""


TROUBLES: dict[str, Trouble] = {
    "410-twice": expired_twice,
    "429": answered(refusal(429, "TooManyRequests", retry_after=0.05)),
    "500": answered(refusal(500, "InternalError", "oops")),
    "html": answered(html(502)),
    "half-a-line": answered(Spoiled(then="cut"), verbs=STREAMS),
    "reset": answered(Reset()),
    "reset-in-the-stream": answered(Spoiled(then="reset"), verbs=STREAMS),
    "half-open": answered(Spoiled(then="silence"), verbs=STREAMS),
    "slow-body": answered(Spoiled(delay=0.05), verbs=STREAMS),
    "401-rotated": token_rotated,
    "403-and-back": forbidden,
    "definition-gone-and-back": definition_deleted,
    "restarted": restarted,
    "aggregated-api-down": answered(refusal(503, "ServiceUnavailable"), resource="packagemanifests"),
    "aggregated-api-html": answered(html(503), resource="packagemanifests"),
}


STORIES = {
    "pending": pending.STORIES,
    "vms": virtual_machines.STORIES,
    "updates": (*upgrades.STORIES, *openshift.STORIES),
}


NEVER_MISSED = ("in_progress ", "started_timestamp_seconds ", "duration_seconds completed +Inf ")
"""What is said of updates no matter what could not be read for a while."""


def lines(text: str) -> set[str]:
    return set(text.splitlines())


async def through(story: Story, trouble: Trouble, backend: Backend, directory: Path, seed: int) -> int:
    """Tell a story with trouble at two random moments of it; how often there was any."""
    random = Random(f"{story.name} {seed}")
    stage = Stage(backend)
    world = World(clock=stage.clock)
    steps = sum(1 for _ in story.script(World(clock=stage.clock)))
    moments = set(random.sample(range(steps), min(2, steps)))
    token = directory / "token"
    kubeconfig = backend.kubeconfig(directory / "kubeconfig", token_file=token)
    token.write_text(stage.backend.connection.authorization.removeprefix("Bearer "))  # type: ignore[union-attr]
    # Its token is read again when it is rejected, and then every second.
    credentials = FileCredentials(kubeconfig)
    pipeline = stage.pipeline(MemoryStore(), credentials, IMPATIENT)
    kinds = KINDS_OF_MACHINES if story in virtual_machines.STORIES else KINDS
    scene = Scene(stage, pipeline, token, random, kinds)
    async with watching(pipeline):
        heal: Heal = nothing
        before: Truth | None = None
        for number, pause in enumerate(story.script(world)):
            await act(world, stage)
            if heal is not nothing:
                look(pipeline, stage, before, world.truth)
                await heal()
                heal = nothing
            await stage.settled(pipeline)
            compare(pipeline, stage, world.truth, f"{story.name} after step {number}")
            if number in moments:
                heal = await trouble(scene)
                before = world.truth
                if heal is not nothing:
                    look(pipeline, stage, before)
                else:
                    await stage.settled(pipeline)
                    compare(pipeline, stage, world.truth, f"{story.name} when the trouble was over")
            stage.clock.advance(pause)
        await heal()
        assert not sum(pipeline.watching().rule_errors.values())
    return len(moments)


def compare(pipeline: LivePipeline, stage: Stage, truth: Truth | None, when: str) -> None:
    if truth is not None:
        now, samples = stage.clock.now, samples_of(pipeline)
        assert said(samples) == expected(truth, now), when
        if truth.courses is not None:
            # None is invented or missed; how one ended that is gone by the time is not known.
            heard, went = (
                lines(each) for each in (said_of_updates(samples), expected_of_updates(truth, now))
            )
            assert heard <= went, when
            if all(each.gone is None for each in truth.courses):
                assert not {each for each in went - heard if each.startswith(NEVER_MISSED)}, when
        if truth.openshift is not None:
            assert said_of_openshift(samples) == expected_of_openshift(truth.openshift), when
        if (vms := truth.machines) is not None:
            told, true = said_of_machines(pipeline, findings=False), expected_of_machines(vms)
            # Trouble makes findings come and go, which are shown for a minute longer.
            assert lines(told) == {each for each in lines(true) if not each.startswith("finding ")}, when


def look(pipeline: LivePipeline, stage: Stage, *truths: Truth | None) -> None:
    """What is said during trouble was true before it, or is true by now."""
    if any(truth is None for truth in truths):
        return
    true = {line for truth in truths if truth for line in lines(expected(truth, stage.clock.now))}
    # How far something has come in between two steps is nobody's invention.
    told = {
        line
        for line in lines(said(samples_of(pipeline)))
        if "_info{" in line or "_since_" in line or "lost" in line
    }
    assert told <= true or len(truths) > 1, told - true


@pytest.mark.parametrize("stories", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_the_facts_come_through(
    trouble: Trouble, stories: tuple[Story, ...], backend: Backend, tmp_path: Path
) -> None:
    name = next(name for name, each in TROUBLES.items() if each is trouble)
    story = Random(f"{name} {backend.name}").choice(stories)
    assert await through(story, trouble, backend, tmp_path, 0)
