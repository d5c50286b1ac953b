"""Recordings of real upgrades, and the facts as they were at each moment of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exporter.facts import RESOURCES, Facts
from exporter.facts.cluster import Cluster
from exporter.kube.decoding import ObjectDecoder, object_key
from exporter.records.base import Record

RECORDINGS = Path(__file__).parents[2] / "recordings"

FactT = TypeVar("FactT")


def moments(name: str) -> Iterator[tuple[datetime, Facts]]:
    """Time and facts after every line of a recording that concerns what the exporter reads."""
    decoders = {each.plural: ObjectDecoder(each.record) for each in RESOURCES}
    records: dict[str, dict[str, Record]] = {plural: {} for plural in decoders}
    with gzip.open(RECORDINGS / f"{name}.jsonl.gz") as lines:
        for line in lines:
            entry: dict[str, Any] = msgspec.json.decode(line)
            plural = entry.get("resource")
            if plural not in decoders:
                continue
            record = decoders[plural].decode(msgspec.json.encode(entry["object"]))
            key = object_key(record.metadata.namespace, record.metadata.name)
            if entry["type"] == "DELETED":
                records[plural].pop(key, None)
            else:
                records[plural][key] = record
            yield datetime.fromisoformat(entry["t"]), Facts(Cluster(records))


def timeline(name: str, fact: Callable[[Facts], FactT]) -> list[tuple[str, FactT]]:
    """The values that a fact takes, each with the time at which it took it."""
    changes: list[tuple[str, FactT]] = []
    for moment, facts in moments(name):
        value = fact(facts)
        if not changes or changes[-1][1] != value:
            changes.append((moment.strftime("%H:%M:%S.%f")[:-3], value))
    return changes
