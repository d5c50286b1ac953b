"""Every alert has a runbook, and every runbook an alert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from rules.alerts import ALERTS, Alert
from rules.render import PREFIX
from rules.thresholds import HOUR, MINUTE, THRESHOLDS

RUNBOOKS: Final = Path(__file__).parents[3] / "docs" / "runbooks"
SECTIONS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def in_words(seconds: int) -> str:
    unit, length = ("hour", HOUR) if seconds >= HOUR and seconds % HOUR == 0 else ("minute", MINUTE)
    count = seconds // length
    return f"{count} {unit}" + ("s" if count > 1 else "")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.iterdir()} == {PREFIX + alert.name for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_runbook(alert: Alert) -> None:
    text = (RUNBOOKS / f"{PREFIX}{alert.name}.md").read_text()
    title, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert title == f"# {PREFIX}{alert.name}\n\n"
    bodies = dict(section.split("\n", 1) for section in sections)
    assert list(bodies) == SECTIONS
    assert all(body.strip() for body in bodies.values())

    waits = [alert.for_] + [each.seconds for each in THRESHOLDS if f"@{each.name}@" in alert.expression]
    for seconds in waits:
        assert in_words(seconds) in bodies["Meaning"]


@pytest.mark.parametrize("path", sorted(RUNBOOKS.iterdir()), ids=lambda path: path.stem)
def test_runbook_shows_commands_with_a_prompt(path: Path) -> None:
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    assert lines
    assert all(line.startswith("$ oc ") for line in lines)
