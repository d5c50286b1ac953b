"""The Grafana dashboards: current, importable, and right about the colours."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dashboards.__main__ import FOLDER
from dashboards.grafana import rendered
from exporter.facts import SUBJECTS
from exporter.metrics import selfmonitoring
from rules import files

DASHBOARDS: Final[dict[str, dict[str, Any]]] = {name: json.loads(text) for name, text in rendered().items()}
PANELS: Final[list[dict[str, Any]]] = [panel for each in DASHBOARDS.values() for panel in each["panels"]]
OVERVIEW: Final = DASHBOARDS["grafana/upgrade-overview.json"]


def title_of(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def strings_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [each for part in value.values() for each in strings_in(part)]
    if isinstance(value, list):
        return [each for part in value for each in strings_in(part)]
    return [value] if isinstance(value, str) else []


def test_rendered_files_are_current() -> None:
    assert files.outdated(FOLDER, rendered()) == [], "run `python -m dashboards`"


def test_overview() -> None:
    assert OVERVIEW["title"] == "OpenShift Virtualization upgrades"
    assert OVERVIEW["uid"] == "virt-upgrade-overview"
    assert [panel["title"] for panel in OVERVIEW["panels"]] == ["Version skew"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_dashboard_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] == 39
    assert "id" not in dashboard
    assert dashboard["editable"] is False
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

    datasource, cluster = dashboard["templating"]["list"]
    assert (datasource["name"], datasource["type"]) == ("datasource", "datasource")
    assert (cluster["name"], cluster["refresh"], cluster["allValue"]) == ("cluster", 2, ".*")
    assert cluster["current"]["value"] == ["$__all"]
    assert cluster["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("panel", PANELS, ids=title_of)
def test_panel_is_complete(panel: dict[str, Any]) -> None:
    question, reading = panel["description"].split("? ", 1)
    assert question
    assert reading.endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        assert target["legendFormat"]
        # One line a cluster, not one a replica; the viewer's choice of clusters counts.
        assert target["expr"].startswith("max by (cluster")
        assert 'cluster=~"$cluster"' in target["expr"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_reads_declared_families_only(dashboard: dict[str, Any]) -> None:
    declared = {rule.family.name for published in SUBJECTS for rule in published.subject.rules}
    declared |= {rule.family.name for rule in selfmonitoring.SUBJECT.rules}
    used = {name for text in strings_in(dashboard) for name in re.findall(r"\bvirt_upgrade_\w+", text)}
    assert used
    assert used <= declared


@pytest.mark.parametrize(
    ("skew", "colour"), [(-3, "red"), (-2, "red"), (-1, "orange"), (0, "green"), (1, "red"), (2, "red")]
)
def test_colours_of_the_version_skew(skew: int, colour: str) -> None:
    steps = OVERVIEW["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert [step["color"] for step in steps if step["value"] is None or step["value"] <= skew][-1] == colour


def test_version_skew_is_drawn_in_whole_steps() -> None:
    defaults = OVERVIEW["panels"][0]["fieldConfig"]["defaults"]
    assert defaults["decimals"] == 0
    assert defaults["custom"]["lineInterpolation"] == "stepAfter"
    assert (defaults["custom"]["axisSoftMin"], defaults["custom"]["axisSoftMax"]) == (-3, 2)


@pytest.mark.parametrize("chosen", [".*", "paris", "(paris|tokyo)"])
@pytest.mark.parametrize("labels", ["", ',cluster="paris"'], ids=["one cluster", "fleet"])
def test_version_skew_of_two_replicas_is_one_line(
    promtool: Path, tmp_path: Path, labels: str, chosen: str
) -> None:
    expression = OVERVIEW["panels"][0]["targets"][0]["expr"].replace("$cluster", chosen)
    fresh = "virt_upgrade_exporter_resource_fresh"
    series = {
        f"{name}{labels}}}": value
        for instance in ("a", "b")
        for name, value in (
            (f'virt_upgrade_version_skew{{instance="{instance}"', "-1"),
            (f'{fresh}{{instance="{instance}",resource="clusterversions"', "1"),
        )
    }
    expected = [{"labels": f"{{{labels.strip(',')}}}", "value": -1}] if labels or chosen == ".*" else []
    test = {
        "tests": [
            {
                "input_series": [{"series": name, "values": value} for name, value in series.items()],
                "promql_expr_test": [{"expr": expression, "eval_time": "0m", "exp_samples": expected}],
            }
        ]
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [str(promtool), "test", "rules", str(tmp_path / "test.yaml")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
