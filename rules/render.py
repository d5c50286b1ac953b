"""From the tables to the files that a Prometheus or its operator reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from rules.alerts import ALERTS, Alert
from rules.recordings import RECORDINGS
from rules.thresholds import HOUR, MINUTE, THRESHOLDS

PREFIX: Final = "VirtUpgrade"

RUNBOOK_URL_TEMPLATE: Final = (
    "https://github.com/virt-upgrade-exporter/virt-upgrade-exporter/blob/main/docs/runbooks/%s.md"
)

COMMON_LABELS: Final[Mapping[str, str]] = {
    "kubernetes_operator_part_of": "virt-upgrade",
    # HyperConverged counts alerts with another value towards its own health.
    "operator_health_impact": "none",
}

HEADER: Final = "# Made by `python -m rules` from the tables in rules/. Changes here are lost.\n"

_TOKEN: Final = re.compile(r"@([A-Z_]+)@")
_WIDTH: Final = 110


@dataclass(frozen=True)
class Mode:
    """A kind of cluster monitoring, and what it wants of a PrometheusRule."""

    name: str
    api_version: str
    labels: Mapping[str, str]


MODES: Final = (
    Mode(
        "user-workload",
        "monitoring.coreos.com/v1",
        # Evaluated where our series are scraped: fewer parts that an upgrade can take away.
        {"openshift.io/prometheus-rule-evaluation-scope": "leaf-prometheus"},
    ),
    Mode("platform", "monitoring.coreos.com/v1", {}),
    Mode("coo", "monitoring.rhobs/v1", {}),
)


def rendered(divisor: int = 1) -> dict[str, str]:
    """All files by name; every duration and threshold is divided by `divisor`, to shorten a story."""
    return {
        "plain.rules.yaml": _yaml({"groups": groups(divisor)}),
        **{
            f"{mode.name}.prometheusrule.yaml": _yaml(_prometheus_rule(mode, groups(divisor)))
            for mode in MODES
        },
    }


def groups(divisor: int = 1) -> list[dict[str, Any]]:
    """The rule groups as Prometheus knows them."""
    return [
        {
            "name": "virt-upgrade-recordings",
            "rules": [{"record": each.name, "expr": each.expression} for each in RECORDINGS],
        },
        {"name": "virt-upgrade-alerts", "rules": [alert_rule(each, divisor) for each in ALERTS]},
    ]


def alert_rule(alert: Alert, divisor: int = 1) -> dict[str, Any]:
    """One alert as Prometheus knows it, with what all alerts have in common."""
    name = PREFIX + alert.name
    rule: dict[str, Any] = {
        "alert": name,
        "expr": _expression(alert, divisor),
        "for": _duration(alert.for_ / divisor),
    }
    if alert.keep_firing_for is not None:
        rule["keep_firing_for"] = _duration(alert.keep_firing_for / divisor)
    rule["labels"] = {"severity": alert.severity, **COMMON_LABELS}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": RUNBOOK_URL_TEMPLATE % name,
    }
    return rule


def _expression(alert: Alert, divisor: int) -> str:
    seconds = {"FOR": alert.for_, **{each.name: each.seconds for each in THRESHOLDS}}
    return _TOKEN.sub(lambda token: f"{seconds[token[1]] / divisor:.15g}", alert.expression)


def _duration(seconds: float) -> str:
    for unit, length in (("h", HOUR), ("m", MINUTE), ("s", 1)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def _prometheus_rule(mode: Mode, groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": mode.api_version,
        "kind": "PrometheusRule",
        "metadata": {
            "name": "virt-upgrade-exporter",
            "labels": {"app.kubernetes.io/name": "virt-upgrade-exporter", **mode.labels},
        },
        "spec": {"groups": groups},
    }


class _Dumper(yaml.SafeDumper):
    """YAML as a person would write it: an expression as it is, a long text broken into lines."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" not in text and (len(text) <= _WIDTH or " " not in text):
        style = None
    else:
        # Texts for people are templates, and PromQL has no double braces.
        style = ">" if "{{" in text else "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def _yaml(document: object) -> str:
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
