"""Stories that rules are tried on: series over time in, alerts and records out, judged by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rules.render import COMMON_LABELS, PREFIX, RUNBOOK_URL_TEMPLATE, rendered


@dataclass(frozen=True)
class Firing:
    """An alert as it is to arrive, without what all alerts have in common."""

    severity: str
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """What the alert of the story does at one time: exactly these fire."""

    at: str
    firing: tuple[Firing, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """What a recording rule has made at one time: exactly these samples, by their labels in braces."""

    at: str
    name: str
    samples: Mapping[str, float]


@dataclass(frozen=True)
class Story:
    """One test of one alert."""

    name: str
    alert: str
    """Without the prefix."""
    series: Mapping[str, str]
    moments: tuple[Moment, ...]
    recorded: tuple[Recorded, ...] = ()
    interval: str = "1m"
    divisor: int = 1


def judge(promtool: Path, story: Story, folder: Path) -> str:
    """What promtool finds wrong; empty when the rules do as the story says."""
    rules, test = folder / "plain.rules.yaml", folder / "story.yaml"
    rules.write_text(rendered(story.divisor)["plain.rules.yaml"])
    test.write_text(yaml.safe_dump(_promtool_test(story, rules)))
    finished = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
    return finished.stdout + finished.stderr if finished.returncode else ""


def series(name: str, values: str, *labels: Mapping[str, str], **more: str) -> dict[str, str]:
    """One input series, labels from any number of places."""
    merged = {key: value for each in (*labels, more) for key, value in each.items()}
    matchers = ",".join(f'{key}="{value}"' for key, value in merged.items())
    return {f"{name}{{{matchers}}}": values}


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """All series of several sources."""
    return {name: values for part in parts for name, values in part.items()}


def _promtool_test(story: Story, rules: Path) -> dict[str, object]:
    name = PREFIX + story.alert
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": story.interval,
        "tests": [
            {
                "name": story.name,
                "interval": story.interval,
                "input_series": [
                    {"series": series, "values": values} for series, values in story.series.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": moment.at,
                        "alertname": name,
                        "exp_alerts": [_expected(name, firing) for firing in moment.firing],
                    }
                    for moment in story.moments
                ],
                "promql_expr_test": [
                    {
                        "expr": recorded.name,
                        "eval_time": recorded.at,
                        "exp_samples": [
                            {"labels": recorded.name + labels, "value": value}
                            for labels, value in recorded.samples.items()
                        ],
                    }
                    for recorded in story.recorded
                ],
            }
        ],
    }


def _expected(name: str, firing: Firing) -> dict[str, object]:
    return {
        "exp_labels": {"severity": firing.severity, **COMMON_LABELS, **firing.labels},
        "exp_annotations": {
            "summary": firing.summary,
            "description": firing.description,
            "runbook_url": RUNBOOK_URL_TEMPLATE % name,
        },
    }
