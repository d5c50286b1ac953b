"""`/api/v1/status`: facts and findings for a machine.

Facts carry the names, labels and values of the metrics, which are the contract, but for series of single VMs;
findings carry what an alert cannot: their objects (of thousands the first hundred, and their number), since
when, what the documentation says and what to do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from exporter import __version__
from exporter.facts.family import PREFIX
from exporter.facts.finding import OPENSHIFT, OPERATOR, Effect, Findings, Found
from exporter.metrics.selfmonitoring import Watching
from exporter.pipeline import Pipeline

SCHEMA: Final = 1
"""Grows when something is renamed or removed; additions are no change."""

LIVE: Final = "cluster"


def status_json(pipeline: Pipeline) -> bytes:
    """The whole document."""
    watching = pipeline.watching()
    facts = pipeline.facts
    document = {
        "schema": SCHEMA,
        "exporter": __version__,
        "time": _time(watching.now),
        "source": watching.source,
        "live": watching.source == LIVE,
        "complete": not pipeline.missing(),
        "ready": {update: facts.findings.ready(update) for update in (OPERATOR, OPENSHIFT)},
        "findings": _findings(facts.findings),
        "facts": _facts(pipeline),
        "resources": _resources(watching),
        "memory": {
            "store": watching.memory.place,
            "stored": watching.memory.saved,
            "set_aside": watching.memory.set_aside,
        },
    }
    return msgspec.json.encode(document)


def _findings(findings: Findings) -> list[dict[str, Any]]:
    return [_finding(each) for each in findings.found]


def _finding(found: Found) -> dict[str, Any]:
    finding = found.finding
    return {
        "name": finding.name,
        "severity": finding.severity,
        "effect": {update: finding.effect(update) for update in (OPERATOR, OPENSHIFT)},
        "holds": bool(found.objects),
        "known": found.known,
        "stale": found.stale,
        "objects": list(found.objects),
        "count": found.names.total,
        "since": _time(found.since),
        "blocks": [
            update
            for update in (OPERATOR, OPENSHIFT)
            if found.objects and finding.effect(update) is Effect.BLOCKS
        ],
        "statement": finding.statement,
        "action": finding.action,
    }


def _facts(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    return {
        family.name.removeprefix(PREFIX): [
            {"labels": dict(zip(family.labels, values, strict=True)), "value": value}
            for values, value in samples
        ]
        for family, samples in pipeline.samples(bulk=False).items()
        if family.name not in _SAID_ALREADY
    }


_SAID_ALREADY: Final = {f"{PREFIX}ready", f"{PREFIX}findings", f"{PREFIX}finding_objects_info"}


def _resources(watching: Watching) -> list[dict[str, Any]]:
    return [
        {
            "resource": each.resource.plural,
            "state": each.status.state,
            "fresh": each.fresh(watching.now),
            "objects": len(each.store.records),
            "skipped": each.store.skipped,
            "last_update": _time(each.status.last_update),
            "problem": each.status.problem,
        }
        for each in watching.followers
    ]


def _time(unix: float | None) -> str | None:
    if unix is None:
        return None
    try:
        return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None
