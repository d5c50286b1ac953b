"""`virt-upgrade-exporter demo`: a simulated cluster and the exporter in one process."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from exporter import config, logs
from exporter.config import ConfigError, address_text
from exporter.kube.credentials import Connection, StaticCredentials
from exporter.pipeline import LivePipeline
from exporter.service import running, stop_signals
from exporter.simulator.audience import SimulatedCluster
from exporter.simulator.script import Story, tell
from exporter.simulator.server import ApiServer
from exporter.simulator.storage import Storage
from exporter.simulator.stories import STORIES

DEFAULT_STORY: Final = "approval-waiting"


def describe() -> str:
    """All stories and what to look at, for a person."""
    lines = []
    for story in STORIES.values():
        lines += [story.name, f"    {story.title}", *(f"    look at  {line}" for line in story.look_at)]
    return "\n".join(lines)


def find(name: str | None) -> Story:
    """A story by name.

    Raises:
        ConfigError: there is no such story.
    """
    wanted = (name or DEFAULT_STORY).strip().lower().replace(" ", "-")
    if wanted not in STORIES:
        raise ConfigError(f"there is no story {name}; there are {', '.join(STORIES)}")
    return STORIES[wanted]


async def demo(name: str | None, speed: float, address: tuple[str, int]) -> int:
    """Tell a story and serve its metrics until SIGTERM or SIGINT; the exit status.

    Raises:
        ConfigError: there is no such story, or the speed is no positive number.
        ServiceError: the address cannot be listened on.
    """
    story = find(name)
    speed = config.speed(speed)
    logs.configure("warning", "text")
    stop = stop_signals()
    storage = Storage(clock=lambda: datetime.now(UTC))
    async with ApiServer(storage) as server:
        pipeline = LivePipeline(StaticCredentials(Connection(server.url)), source="simulator")
        async with running(pipeline, address) as (web, port):
            _say(story, f"http://{address_text(address[0] or 'localhost', port)}")
            telling = asyncio.create_task(tell(story, SimulatedCluster(storage), speed=speed))
            received = await stop
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            await web.stop(1.0 if received is signal.SIGTERM else 0.0)
    return 0


def _say(story: Story, base: str) -> None:
    lines = [
        f"{story.title}.",
        "",
        f"  {base}/          for a person",
        f"  {base}/metrics   for Prometheus",
        "",
        "Look at",
        *(f"  {line}" for line in story.look_at),
        "",
        "More stories: virt-upgrade-exporter demo --list. Ctrl-C ends.",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - this is the command line
