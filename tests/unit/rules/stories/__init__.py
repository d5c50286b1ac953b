"""The stories of all alerts; a module holds those of one alert."""

from __future__ import annotations

from typing import Final

from tests.unit.rules.stories import version_skew
from tests.unit.rules.story import Story

STORIES: Final[tuple[Story, ...]] = (*version_skew.STORIES,)
