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
from exporter.facts.family import PREFIX, Family
from exporter.facts.finding import OPENSHIFT, OPERATOR, Effect, Findings, Found
from exporter.facts.openshift_next import OpenShiftNext
from exporter.facts.openshift_upgrade import OpenShiftUpgrade
from exporter.facts.operator_upgrade import OperatorUpgrade, stretches
from exporter.facts.pools import Pools
from exporter.facts.worker_rollout import Plane
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
        "upgrades": _upgrades(facts.operator_upgrade),
        "waiting": [{"pod": pod, "reason": reason} for pod, reason in facts.waiting_pods.pods],
        "openshift": _openshift(facts.openshift_upgrade, facts.openshift_next, facts.pools),
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


def _upgrades(upgrades: OperatorUpgrade) -> list[dict[str, Any]]:
    """Every update that is remembered one by one, the latest last; null is what nothing tells."""
    return [
        {
            "from": each.from_version,
            "to": each.to_version,
            "csv": each.csv,
            "approved_by": each.approver or None,
            "available": _time(each.offered),
            "started": _time(each.started),
            "gate_opened": _time(each.opened) if each.gated else None,
            "installed": _time(each.installed),
            "ended": _time(each.end),
            # Nobody saw the end: it was then or earlier.
            "ended_at_the_latest": each.at_most,
            "workloads_updated": _time(each.workloads),
            "outcome": each.outcome or ("unknown" if each.lost else None),
            "seconds": each.duration,
            "stages": {stage: stretch.seconds for stage, stretch in stretches(each)},
            "failures": [_time(at) for at in each.failures],
            "failures_are_all": each.whole and not each.missed,
        }
        for each in upgrades.upgrades.records
    ]


def _openshift(upgrade: OpenShiftUpgrade, coming: OpenShiftNext, pools: Pools) -> dict[str, Any]:
    """Both planes of OpenShift's update, and who keeps it from its next minor; null is what there is not."""
    late = {each.name: each for each in (*upgrade.workers.rolling, *upgrade.workers.waiting)}
    return {
        "target": upgrade.target or None,
        "control": _plane(upgrade.control),
        "workers": _plane(upgrade.workers.plane),
        # Those that do not have an update yet, or wait for another configuration.
        "pools": [
            {
                "name": each.name,
                "machines": each.machines,
                "updated": dict(each.states)["updated"],
                "rolling_out": each.name in late and not late[each.name].paused,
                "paused_since": _time(each.paused_since),
                "degraded": each.degraded,
            }
            for each in pools.pools
            if each.name in late or each.paused
        ],
        "minor_blocked_by": [
            {"by": each.by, "object": each.object, "supports": each.supports or None}
            for each in coming.blockers
        ],
    }


def _plane(plane: Plane | None) -> dict[str, Any] | None:
    if plane is None:
        return None
    return {
        "running": plane.running,
        "started": _time(plane.began),
        "completed": _time(plane.completed),
        # Nobody watched the end: it was then or earlier.
        "completed_at_the_latest": plane.at_most,
    }


def _facts(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    return {
        family.name.removeprefix(PREFIX): [
            {"labels": dict(zip(_names(family), values, strict=True)), "value": value}
            for values, value in samples
        ]
        for family, samples in pipeline.samples(bulk=False).items()
        if family.name not in _SAID_ALREADY
    }


def _names(family: Family) -> tuple[str, ...]:
    """Of a histogram's labels the last is a bucket's bound, or says that it is the sum."""
    return (*family.labels, "le") if family.type == "histogram" else family.labels


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
