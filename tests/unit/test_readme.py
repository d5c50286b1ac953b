"""The README's excerpt of the page is what its first command shows."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

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


def excerpt() -> list[str]:
    block = re.search(r"```\n(virt_upgrade_.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    return block[1].splitlines()


async def test_the_excerpt_is_the_page_of_the_demo() -> None:
    storage = Storage(clock=lambda: datetime.now(UTC))
    async with ApiServer(storage) as api:
        pipeline = LivePipeline(StaticCredentials(Connection(api.url)), settings=QUICK, source="simulator")
        async with running(pipeline, ("127.0.0.1", 0)):
            telling = asyncio.create_task(tell(STORIES[DEFAULT_STORY], SimulatedCluster(storage)))
            patterns = [
                # Times are those of the day it was written; `...` leaves labels out.
                re.escape(_TIME.sub("TIME", line)).replace(r"\.\.\.", ".*").replace("TIME", r"1[78]\d{8}")
                for line in excerpt()
            ]

            def missing() -> list[str]:
                page = pipeline.scrape(Format.TEXT).decode()
                return [each for each in patterns if not re.search(f"^{each}$", page, re.MULTILINE)]

            await until(lambda: not missing(), "every line of the excerpt is on the page")
            telling.cancel()
            assert len(patterns) > 5
