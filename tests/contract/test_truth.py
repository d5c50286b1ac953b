"""Every story, and what is said at every instant of it: on both servers, through kills and restarts."""

from __future__ import annotations

import pytest

from exporter.history.stores import MemoryStore
from exporter.simulator.script import Story
from exporter.simulator.stories import pending
from tests.contract.backend import Backend
from tests.contract.told import Stage, follow, watching

EVERY_STORY = pytest.mark.parametrize("story", pending.STORIES, ids=lambda story: story.name)


@EVERY_STORY
async def test_what_is_said_is_true_at_every_instant(story: Story, backend: Backend) -> None:
    stage = Stage(backend)
    async with watching(stage.pipeline(MemoryStore())) as pipeline:
        await follow(story, stage, {"watching": pipeline})
        assert not sum(pipeline.watching().rule_errors.values())
