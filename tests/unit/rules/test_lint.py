"""What every rule has to keep to, whatever it is about."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from exporter.facts import SUBJECTS
from exporter.metrics import selfmonitoring
from rules.alerts import ALERTS
from rules.recordings import RECORDINGS
from rules.render import COMMON_LABELS, RUNBOOK_URL_TEMPLATE, groups, rendered
from rules.thresholds import HOUR, THRESHOLDS

RULES: Final[list[dict[str, Any]]] = [rule for group in groups() for rule in group["rules"]]
ALERT_RULES: Final = [rule for rule in RULES if "alert" in rule]

FAMILIES: Final = {rule.family.name for published in SUBJECTS for rule in published.subject.rules}
SELF_MONITORING: Final = {rule.family.name for rule in selfmonitoring.SUBJECT.rules}

METRIC: Final = re.compile(r"(?<![:\w])virt_upgrade_\w+")
RECORDED: Final = re.compile(r"cluster:virt_upgrade_\w+:max")
MATCHERS: Final = re.compile(r"\{[^}]*\}")
# An expression of `rules.known`, once its label matchers are gone.
KNOWN: Final = re.compile(
    r"max by \(cluster(?:, \w+)*\) \((?P<metric>virt_upgrade_\w+) and on \(cluster, instance\) "
    r"\(min by \(cluster, instance\) \(virt_upgrade_exporter_resource_fresh\) == 1\)\)"
)


def name_of(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule.get("record"))


def texts_of(rule: dict[str, Any]) -> str:
    return " ".join(rule["annotations"].values())


def test_promtool_accepts_the_plain_file(promtool: Path, tmp_path: Path) -> None:
    rules = tmp_path / "plain.rules.yaml"
    rules.write_text(rendered()["plain.rules.yaml"])
    command = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", str(rules)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_reads_declared_families_only_and_only_what_is_known(rule: dict[str, Any]) -> None:
    expression = MATCHERS.sub("", rule["expr"])
    used = set(METRIC.findall(expression))
    assert used
    assert used <= FAMILIES | SELF_MONITORING
    assert set(METRIC.findall(KNOWN.sub("", expression))) <= SELF_MONITORING
    assert set(re.findall(r"\bby \((\w+)", expression)) == {"cluster"}
    assert not re.search(r"\b(without|topk|bottomk|sum|ignoring)\b", expression)


@pytest.mark.parametrize("rule", ALERT_RULES, ids=name_of)
def test_alert_has_what_an_administrator_needs(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"VirtUpgrade(?:[A-Z][a-z0-9]*)+", rule["alert"])
    assert len(rule["alert"]) <= 50
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["labels"].items() >= COMMON_LABELS.items()
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())
    assert rule["annotations"]["runbook_url"] == RUNBOOK_URL_TEMPLATE % rule["alert"]
    assert "{{" not in rule["annotations"]["summary"]
    assert "\n" not in texts_of(rule)
    # A label that changes makes a new alert, which waits anew.
    assert "{{" not in "".join(rule["labels"].values())
    assert "for" in rule


@pytest.mark.parametrize("rule", ALERT_RULES, ids=name_of)
def test_alert_compares(rule: dict[str, Any]) -> None:
    rest = KNOWN.sub("x", MATCHERS.sub("", rule["expr"]))
    # Each alternative fires by itself, so each has to compare.
    assert all(re.search(r"==|!=|[<>]=?", each) for each in re.split(r"\bor\b", rest))


@pytest.mark.parametrize("rule", ALERT_RULES, ids=name_of)
def test_texts_look_up_recorded_series_only(rule: dict[str, Any]) -> None:
    assert set(RECORDED.findall(texts_of(rule))) <= {each.name for each in RECORDINGS}
    assert not METRIC.findall(RECORDED.sub("", texts_of(rule)))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_alert_says_why_it_exists(alert: Any) -> None:
    assert 0 < alert.for_ <= HOUR
    assert alert.threshold_reason.endswith(".")
    assert alert.statement_of_the_documentation.endswith(".")


def test_steps_of_one_ladder_differ_in_severity() -> None:
    steps = [(alert.name, alert.severity) for alert in ALERTS]
    assert len(steps) == len(set(steps))


def test_recordings_say_what_they_are() -> None:
    assert len({each.name for each in RECORDINGS}) == len(RECORDINGS)
    for each in RECORDINGS:
        assert re.fullmatch(r"cluster:virt_upgrade_[a-z_]+:max", each.name)


def test_every_threshold_is_used_and_every_token_has_a_default() -> None:
    tokens = {token for alert in ALERTS for token in re.findall(r"@(\w+)@", alert.expression)}
    assert tokens - {"FOR"} == {each.name for each in THRESHOLDS}
    assert all(each.name.endswith("_SECONDS") and each.meaning.endswith(".") for each in THRESHOLDS)
    assert "@" not in "".join(rendered().values())


def test_runbook_address_has_one_place_for_the_name() -> None:
    assert RUNBOOK_URL_TEMPLATE.count("%") == RUNBOOK_URL_TEMPLATE.count("%s") == 1


def test_rendering_is_deterministic() -> None:
    assert rendered() == rendered()
    assert "&id" not in "".join(rendered().values()), "anchors are for machines"
    assert all(yaml.safe_load(text) for text in rendered().values())
