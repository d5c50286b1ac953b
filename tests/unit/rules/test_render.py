"""The rendered files: current, complete, and the same rules in each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rules import files
from rules.__main__ import FOLDER
from rules.alerts import ALERTS, Alert
from rules.render import HEADER, alert_rule, groups, rendered


def test_rendered_files_are_current() -> None:
    assert files.outdated(FOLDER, rendered()) == [], "run `python -m rules`"


def test_all_files_hold_the_same_rules() -> None:
    texts = rendered()
    assert all(text.startswith(HEADER) for text in texts.values())
    documents = {name: yaml.safe_load(text) for name, text in texts.items()}
    plain = documents.pop("plain.rules.yaml")["groups"]
    assert plain == groups()
    for document in documents.values():
        assert document["kind"] == "PrometheusRule"
        assert document["spec"]["groups"] == plain


@pytest.mark.parametrize(
    ("mode", "api_version", "evaluated_by"),
    [
        ("user-workload", "monitoring.coreos.com/v1", "leaf-prometheus"),
        ("platform", "monitoring.coreos.com/v1", None),
        ("coo", "monitoring.rhobs/v1", None),
    ],
)
def test_modes(mode: str, api_version: str, evaluated_by: str | None) -> None:
    document = yaml.safe_load(rendered()[f"{mode}.prometheusrule.yaml"])
    assert document["apiVersion"] == api_version
    labels = document["metadata"]["labels"]
    assert labels.get("openshift.io/prometheus-rule-evaluation-scope") == evaluated_by


def test_durations_and_thresholds_are_divided_together() -> None:
    alert = Alert(
        name="Example",
        severity="info",
        expression="time() - x > @VERSION_SKEW_ONE_BEHIND_SECONDS@ - @FOR@",
        for_=15 * 60,
        keep_firing_for=90,
        summary="",
        description="",
        threshold_reason="",
        statement_of_the_documentation="",
    )
    rule = alert_rule(alert)
    assert (rule["expr"], rule["for"], rule["keep_firing_for"]) == ("time() - x > 86400 - 900", "15m", "90s")
    rule = alert_rule(alert, divisor=60)
    assert (rule["expr"], rule["for"], rule["keep_firing_for"]) == ("time() - x > 1440 - 15", "15s", "1500ms")
    assert "keep_firing_for" not in alert_rule(ALERTS[0])


def test_writes_what_is_not_current_and_removes_what_is_nobodys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"one.yaml": "1\n", "sub/two.yaml": "2\n"}
    assert files.main("rules", tmp_path, made, []) == 0
    assert files.main("rules", tmp_path, made, ["--check"]) == 0

    (tmp_path / "one.yaml").write_text("changed by hand\n")
    (tmp_path / "sub" / "old.yaml").write_text("of an earlier version\n")
    assert files.main("rules", tmp_path, made, ["--check"]) == 1
    assert capsys.readouterr().err == "not current, run `python -m rules`: one.yaml, sub/old.yaml\n"
    assert (tmp_path / "one.yaml").read_text() == "changed by hand\n"

    assert files.main("rules", tmp_path, made, []) == 0
    assert files.outdated(tmp_path, made) == []
