"""The README's excerpts of the page are what its commands show."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.kube.credentials import Connection, StaticCredentials
from exporter.metrics.exposition import Format
from exporter.pipeline import LivePipeline
from exporter.service import running
from exporter.simulator.audience import SimulatedCluster
from exporter.simulator.demo import DEFAULT_STORY
from exporter.simulator.script import tell
from exporter.simulator.server import ApiServer
from exporter.simulator.storage import Storage
from exporter.simulator.stories import STORIES
from tests.contract.watched import QUICK, until

README = Path(__file__).parents[2] / "README.md"
_TIME = re.compile(r"\b1[78]\d{8}\b")
_SECONDS = re.compile(r"\b\d+\.\d+$")
_EXCERPT = re.compile(r"(?:STORY=([\w-]+)`\)[^`]*)?```\n(virt_upgrade_\w+.*?)```", re.DOTALL)
EXCERPTS = {
    story or DEFAULT_STORY: lines.splitlines() for story, lines in _EXCERPT.findall(README.read_text())
}


def pattern(line: str) -> str:
    """Times are those of the day it was written, durations those of a moment; `...` leaves labels out."""
    line = re.escape(_SECONDS.sub("SECONDS", _TIME.sub("TIME", line)))
    return line.replace(r"\.\.\.", ".*").replace("TIME", r"1[78]\d{8}").replace("SECONDS", r"\d+\.\d+")


def test_two_pages_are_shown() -> None:
    assert [*EXCERPTS] == [DEFAULT_STORY, "upgrade-degraded"]


@pytest.mark.parametrize("story", EXCERPTS)
async def test_the_excerpt_is_the_page_of_the_demo(story: str) -> None:
    storage = Storage(clock=lambda: datetime.now(UTC))
    async with ApiServer(storage) as api:
        pipeline = LivePipeline(StaticCredentials(Connection(api.url)), settings=QUICK, source="simulator")
        async with running(pipeline, ("127.0.0.1", 0)):
            telling = asyncio.create_task(tell(STORIES[story], SimulatedCluster(storage)))
            patterns = [pattern(line) for line in EXCERPTS[story]]

            def missing() -> list[str]:
                page = pipeline.scrape(Format.TEXT).decode()
                return [each for each in patterns if not re.search(f"^{each}$", page, re.MULTILINE)]

            await until(lambda: not missing(), "every line of the excerpt is on the page")
            telling.cancel()
            assert len(patterns) > 5
