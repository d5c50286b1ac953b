"""From a cluster to the pager: a story, the exporter, Prometheus, Alertmanager, and what arrives."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dashboards.grafana import rendered as dashboards
from exporter.simulator import objects
from exporter.simulator.script import World, tell
from exporter.simulator.stories import STORIES
from rules.render import RUNBOOK_URL_TEMPLATE, rendered
from tests.conftest import StartAlertmanager, StartPrometheus
from tests.contract.real import real_backend
from tests.end_to_end.installed import installed
from tests.servers.kube_apiserver import KubeApiServer
from tests.servers.webhook import Webhook

pytestmark = pytest.mark.long

FASTER = 60
"""Waits and thresholds are divided by this; clocks run as they always do."""


async def test_version_skew_reaches_the_pager_once_and_is_resolved(
    tmp_path: Path,
    kube_apiserver: KubeApiServer,
    prometheus: StartPrometheus,
    alertmanager: StartAlertmanager,
    webhook: Webhook,
) -> None:
    pager = await alertmanager(
        {
            "route": {
                "receiver": "pager",
                "group_by": ["alertname", "severity"],
                "group_wait": "1s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [webhook.receiver("pager")],
        }
    )
    async with real_backend(kube_apiserver) as cluster:
        kubeconfig = cluster.kubeconfig(tmp_path / "config")
        async with installed("serve", "--kubeconfig", str(kubeconfig)) as exporter:
            server = await prometheus(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "scrape_configs": [
                        {
                            "job_name": "virt-upgrade-exporter",
                            "static_configs": [{"targets": [exporter.base.removeprefix("http://")]}],
                        }
                    ],
                },
                [rendered(FASTER)["plain.rules.yaml"]],
                alertmanager=pager,
            )
            await tell(STORIES["operator-two-minors-behind"], cluster, skip=60)
            await server.wait_for("virt_upgrade_version_skew == -2")
            fired = await webhook.wait_for(lambda _notification: True, timeout=90)
            assert fired["receiver"] == "pager"
            assert [status_and_labels(each) for each in webhook.alerts] == [("firing", LABELS)]
            annotations = webhook.alerts[0]["annotations"]
            assert annotations["runbook_url"] == RUNBOOK_URL_TEMPLATE % "VirtUpgradeVersionSkew"
            assert "OpenShift Virtualization 4.18.8 runs on OpenShift 4.20.1." in annotations["description"]
            assert "a skew of -2" in annotations["description"]
            for expression in panel_expressions():
                assert [each["value"][1] for each in await server.query(expression)] == ["-2"]

            now = World(clock=lambda: datetime.now(UTC)).now
            await cluster.apply(objects.hyperconverged("4.20.3", created=now, since=now))
            await webhook.wait_for(lambda notification: notification["status"] == "resolved", timeout=60)
            assert [status_and_labels(each) for each in webhook.alerts] == [
                ("firing", LABELS),
                ("resolved", LABELS),
            ]


LABELS = {
    "alertname": "VirtUpgradeVersionSkew",
    "severity": "warning",
    "kubernetes_operator_part_of": "virt-upgrade",
    "operator_health_impact": "none",
}


def status_and_labels(alert: dict[str, Any]) -> tuple[str, dict[str, str]]:
    return alert["status"], alert["labels"]


def panel_expressions() -> list[str]:
    """Expressions of all panels, for the one cluster there is."""
    documents = [json.loads(text) for text in dashboards().values()]
    expressions = [
        target["expr"]
        for document in documents
        for panel in document["panels"]
        for target in panel["targets"]
    ]
    assert expressions
    return [re.sub(r"\$\{?cluster\}?(:\w+)?", ".*", expression) for expression in expressions]
