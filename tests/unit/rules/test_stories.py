"""Alerts on series over time: silent, pending, firing with their exact text, and resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.alerts import ALERTS
from tests.unit.rules.stories import STORIES
from tests.unit.rules.story import Story, judge


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.alert}: {story.name}")
def test_story(story: Story, promtool: Path, tmp_path: Path) -> None:
    assert judge(promtool, story, tmp_path) == ""


@pytest.mark.parametrize("name", sorted({alert.name for alert in ALERTS}))
def test_every_alert_fires_in_a_story_and_is_silent_in_another(name: str) -> None:
    about = [story for story in STORIES if story.alert == name]
    severities = {firing.severity for story in about for moment in story.moments for firing in moment.firing}
    assert severities == {alert.severity for alert in ALERTS if alert.name == name}
    assert any(not any(moment.firing for moment in story.moments) for story in about)


def test_promtool_notices_a_story_that_is_not_true(promtool: Path, tmp_path: Path) -> None:
    story = next(story for story in STORIES if story.moments[-1].firing)
    wrong = Story(story.name, story.alert, {}, story.moments)
    assert "FAILED" in judge(promtool, wrong, tmp_path)
