"""Stories told to a real API server give the same page as told to the simulated one.

The exporter is the installed command with a kubeconfig, as an administrator would start it.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.kube.backoff import BackoffSettings
from exporter.kube.credentials import StaticCredentials
from exporter.kube.status import ReflectorSettings
from exporter.metrics.exposition import Format
from exporter.pipeline import LivePipeline, Pipeline
from exporter.simulator.script import Story, tell
from exporter.simulator.stories import STORIES, virtual_machines
from tests.contract.backend import Backend
from tests.contract.real import real_backend
from tests.contract.simulated import simulated_backend
from tests.contract.watched import until
from tests.end_to_end.installed import Installed, installed
from tests.servers.kube_apiserver import KubeApiServer
from tests.servers.waiting import eventually

pytestmark = pytest.mark.long

NOW = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
IN_TIME = ReflectorSettings(backoff=BackoffSettings(cap=4.0))
"""As in production, but that a server which was away for long is not left alone for a minute."""
BOOKMARKED = 90.0
"""Of a quiet watch that was cut off only a bookmark, which comes once a minute, proves that it is well."""
VOLATILE = re.compile(
    r"^((?:process|python)_\S+"
    r"|virt_upgrade_exporter_(?:events_total|lists_total|watches_total|event_latency_seconds"
    r"|resource_last_update_timestamp_seconds)\S*"
    r"|virt_upgrade_exporter_build_info\S+|virt_upgrade_pending_update_age_seconds"
    r"|virt_upgrade_channel_missing_since_timestamp_seconds"
    r"|virt_upgrade_current_(?:stage_)?duration_seconds\S*|virt_upgrade_condition_since\S+"
    r"|virt_upgrade_pending_update_since\S+|virt_upgrade_subscription_condition_since\S+) .*$",
    re.MULTILINE,
)
"""Lines whose values differ from run to run; that they are there, and their labels, is compared."""

# Ten thousand VMs take a real API server minutes.
TOLD = [each for each in STORIES.values() if each not in virtual_machines.LARGE]
EVERY_STORY = pytest.mark.parametrize("story", TOLD, ids=lambda story: story.name)


def settled(page: str) -> str:
    """The page without what differs from run to run."""
    return VOLATILE.sub(r"\1", page)


def shows(story: Story, page: str) -> bool:
    """Everything the story is about is on the page."""
    lines = page.splitlines()
    return all(any(line.startswith(wanted) for line in lines) for wanted in story.look_at)


async def page_of(story: Story, backend: Backend, directory: Path) -> str:
    """The page of an exporter that is started once a story has been told.

    Findings outlive what has only just gone, and a real server takes its time to be told.
    """
    kubeconfig = backend.kubeconfig(directory / f"{backend.name}.kubeconfig")
    told = story.lead if story.at_lead else story.length
    await tell(story, backend, skip=told, only=told, present=lambda: NOW)
    async with installed("serve", "--kubeconfig", str(kubeconfig)) as running:
        return await final_page(running, story)


async def final_page(running: Installed, story: Story) -> str:
    """The page once it shows what the story is about and everything has been read."""

    async def told() -> bool:
        return await running.ready() and shows(story, await running.metrics())

    await eventually(told, f"the page shows {story.look_at}")
    return await running.metrics()


@EVERY_STORY
async def test_a_story_shows_what_it_is_about_and_prometheus_accepts_the_page(
    story: Story, tmp_path: Path, promtool: Path
) -> None:
    async with simulated_backend() as backend:
        page = await page_of(story, backend, tmp_path)
    checking = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await checking.communicate(page.encode()) == (b"", b"")
    assert checking.returncode == 0


@EVERY_STORY
async def test_a_real_api_server_gives_the_same_page(
    story: Story, tmp_path: Path, kube_apiserver: KubeApiServer
) -> None:
    async with simulated_backend() as simulated:
        expected = settled(await page_of(story, simulated, tmp_path))
    async with real_backend(kube_apiserver) as real:
        page = settled(await page_of(story, real, tmp_path))
    assert page == expected


async def test_a_restarted_server_costs_and_invents_no_fact(kube_apiserver: KubeApiServer) -> None:
    async with real_backend(kube_apiserver) as real:
        story = STORIES["operator-two-minors-behind"]
        await tell(story, real, skip=story.length, present=lambda: NOW)
        pipeline = LivePipeline(StaticCredentials(real.connection), settings=IN_TIME)
        watching = asyncio.create_task(pipeline.run())
        pages: set[str] = set()
        looking = asyncio.create_task(look(pipeline, pages))
        try:
            await until(lambda: not pipeline.missing())
            expected = facts(pipeline)
            assert "virt_upgrade_version_skew -2\n" in expected
            pages.clear()
            # Its watch cache is lost, then all older versions as well.
            await real.stop()
            await until(lambda: states(pipeline) == {"failing"})
            await real.start()
            await until(lambda: states(pipeline) == {"synced"}, lambda: problems(pipeline), BOOKMARKED)
            await real.expire_versions()
            await until(lambda: states(pipeline) == {"synced"}, lambda: problems(pipeline), BOOKMARKED)
            assert pages == {expected}
        finally:
            watching.cancel()
            looking.cancel()
            await asyncio.gather(watching, looking, return_exceptions=True)


async def look(pipeline: Pipeline, pages: set[str]) -> None:
    """Note every page there is."""
    while True:
        pages.add(facts(pipeline))
        await asyncio.sleep(0.01)


def facts(pipeline: Pipeline) -> str:
    """The page without the exporter's own part, and without the verdict, which is withheld when in doubt."""
    page = pipeline.scrape(Format.TEXT).decode().split("# HELP virt_upgrade_exporter_")[0]
    return re.sub(r"^.*virt_upgrade_ready.*\n", "", page, flags=re.MULTILINE)


def states(pipeline: Pipeline) -> set[str]:
    """The states of all resources."""
    return {str(reflector.status.state) for reflector in pipeline.followers}


def problems(pipeline: Pipeline) -> str:
    """What is not well."""
    ill = {each.resource.plural: each.status for each in pipeline.followers if each.status.problem}
    return ", ".join(f"{name} is {status.state}: {status.problem}" for name, status in ill.items())
