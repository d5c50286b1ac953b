"""The stories that the demo and the tests tell."""

from __future__ import annotations

from typing import Final

from exporter.simulator.script import Story
from exporter.simulator.stories import openshift, pending, support, upgrades, virtual_machines

STORIES: Final[dict[str, Story]] = {
    story.name: story
    for story in (
        *pending.STORIES,
        *upgrades.STORIES,
        *openshift.STORIES,
        *support.STORIES,
        *virtual_machines.STORIES,
        *virtual_machines.LARGE,
    )
}
