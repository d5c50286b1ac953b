"""From API objects to the exposition text of chosen families, without any server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability, Cluster, Scope
from exporter.history.value import History
from exporter.kube.decoding import ObjectDecoder, object_key
from exporter.kube.resource import Resource
from exporter.metrics.exposition import Format
from exporter.metrics.page import FactsPage
from exporter.records.base import Record
from exporter.simulator.kinds import KINDS

PLURALS = {kind.kind: kind.plural for kind in KINDS}


def facts_of(
    *objects: dict[str, Any],
    scope: Scope | None = None,
    availability: Mapping[str, Availability] | None = None,
    history: History | None = None,
    now: float = 0.0,
) -> Facts:
    """Facts of a cluster that holds exactly these objects."""
    records: dict[str, dict[str, Record]] = {resource.plural: {} for resource in RESOURCES}
    decoders = {resource.plural: ObjectDecoder(resource.record) for resource in RESOURCES}
    for obj in objects:
        plural = PLURALS[obj["kind"]]
        # As any server gives it to a new object.
        obj = {**obj, "metadata": {"generation": 1, **obj["metadata"]}}
        record = decoders[plural].decode(msgspec.json.encode(obj))
        records[plural][object_key(record.metadata.namespace, record.metadata.name)] = record
    known = {resource.plural: Availability.KNOWN for resource in RESOURCES}
    cluster = Cluster(records, scope or Scope(), availability or known)
    return Facts(cluster, history or History(), now)


def page_of(
    *objects: dict[str, Any],
    families: Iterable[str] = (),
    absent: Iterable[Resource[Any]] = (),
    unknown: Iterable[Resource[Any]] = (),
    scope: Scope | None = None,
    history: History | None = None,
    now: float = 0.0,
) -> str:
    """The sample lines of the named families (prefix virt_upgrade_ left out), in the page's order."""
    availability = {resource.plural: Availability.KNOWN for resource in RESOURCES}
    availability |= {resource.plural: Availability.ABSENT for resource in absent}
    availability |= {resource.plural: Availability.UNKNOWN for resource in unknown}
    page = FactsPage(SUBJECTS)
    facts = facts_of(*objects, scope=scope, availability=availability, history=history, now=now)
    page.update(facts)
    page.update_machines(facts.machines.facts, facts.machines.facts)
    assert not page.rule_errors.total()
    wanted = tuple(f"virt_upgrade_{name}" for name in families)
    lines = [line for line in page.render(Format.TEXT).splitlines(keepends=True) if not line.startswith("#")]
    return "".join(line for line in lines if not wanted or line.split("{")[0].split(" ")[0] in wanted)
