"""The dashboards as Grafana 10 and later imports them."""

from __future__ import annotations

import json
from string import ascii_uppercase
from typing import Any, Final

from dashboards.panels import DASHBOARDS, Dashboard, Panel

SCHEMA_VERSION: Final = 39
"""Grafana 10 reads it as it is; later ones bring it up to date when they import it."""

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

_COLUMNS: Final = 24
_PANEL_HEIGHT: Final = 9

_DATASOURCE_VARIABLE: Final = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
    "includeAll": False,
    "multi": False,
    "hide": 0,
}

_CLUSTER_VARIABLE: Final = {
    "name": "cluster",
    "label": "Cluster",
    "type": "query",
    "datasource": DATASOURCE,
    "definition": "label_values(virt_upgrade_exporter_build_info, cluster)",
    "query": "label_values(virt_upgrade_exporter_build_info, cluster)",
    "refresh": 2,
    "sort": 1,
    "includeAll": True,
    # Also matches series without the label: one cluster that is not part of a fleet has none.
    "allValue": ".*",
    "multi": True,
    "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    "hide": 0,
}


def rendered() -> dict[str, str]:
    """All files by name."""
    return {f"grafana/{each.name}.json": json.dumps(_dashboard(each), indent=2) + "\n" for each in DASHBOARDS}


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": f"virt-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["virt-upgrade"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-7d", "to": "now"},
        "timezone": "browser",
        "refresh": "1m",
        "annotations": {"list": []},
        "templating": {"list": [_DATASOURCE_VARIABLE, _CLUSTER_VARIABLE]},
        "panels": [_panel(panel, number) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    low, high = panel.axis
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": f"{panel.question} {panel.reading}",
        "datasource": DATASOURCE,
        "gridPos": {"x": 0, "y": number * _PANEL_HEIGHT, "w": _COLUMNS, "h": _PANEL_HEIGHT},
        "interval": "1m",
        "targets": [
            {
                "refId": ref_id,
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": True,
            }
            for ref_id, query in zip(ascii_uppercase, panel.queries, strict=False)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                # Without it the axis has ticks between the whole numbers.
                "decimals": 0,
                "color": {"mode": "thresholds"},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"value": band.start, "color": band.colour} for band in panel.bands],
                },
                "custom": {
                    "drawStyle": "line",
                    "lineInterpolation": "stepAfter",
                    "lineWidth": 2,
                    "fillOpacity": 0,
                    # The line itself takes the colour of the value it shows.
                    "gradientMode": "scheme",
                    "showPoints": "never",
                    # What was not known is a gap.
                    "spanNulls": False,
                    "axisSoftMin": low,
                    "axisSoftMax": high,
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull"],
            },
            "tooltip": {"mode": "multi", "sort": "asc"},
        },
    }
