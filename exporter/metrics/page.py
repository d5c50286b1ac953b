"""The page of facts: every family's lines as text, rendered again only when what they rest on changes.

Families with series for single VMs are kept apart (`exporter/metrics/bulk.py`): what they rest on changes VM
by VM.

A rule's samples are shown only while they can be true: its required resources are known, its optional
ones known or absent. A rule that fails is a defect of ours; it costs its own samples and is counted, and
the rest of the page stands.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from exporter.facts import Facts, Published
from exporter.facts.family import Family, Rule, Sample
from exporter.facts.machine import Machine
from exporter.metrics.bulk import DEFAULT_LIMIT, BulkFamilies
from exporter.metrics.exposition import Format, header, render
from exporter.metrics.gzipping import Segment, compress, joined

log = logging.getLogger(__name__)


_REPORTS: Final = 100
"""Different failures that are logged."""


@dataclass(frozen=True)
class _Part:
    published: Published
    rule: Rule[Any]

    def shown(self, facts: Facts) -> bool:
        """What it rests on is known."""
        cluster, rule = facts.cluster, self.rule
        # What is helpful may be forbidden; but as long as it may still come there would be more to say.
        return (
            cluster.known(*rule.requires)
            and cluster.decided(*rule.optional)
            and cluster.answered(*rule.helpful)
        )

    def samples(self, facts: Facts) -> list[Sample]:
        """The samples now.

        Raises:
            ValueError: the rule gives a sample that does not fit its family.
        """
        samples = list(self.rule.samples(self.published.facts(facts))) if self.shown(facts) else []
        return _fitting(self.rule.family, samples)


def _fitting(family: Family, samples: list[Sample]) -> list[Sample]:
    wanted = len(family.labels) + (family.type == "histogram")
    if any(len(values) != wanted for values, _ in samples):
        raise ValueError(f"a sample has not {wanted} labels")
    return samples


class FactsPage:
    """The families of all subjects, in the order of their declaration."""

    def __init__(self, subjects: Iterable[Published], max_vm_series: int = DEFAULT_LIMIT) -> None:
        self._parts: dict[Family, list[_Part]] = {}
        names: dict[str, Family] = {}
        for published in subjects:
            for rule in published.subject.rules:
                if names.setdefault(rule.family.name, rule.family) != rule.family:
                    raise ValueError(f"{rule.family.name} is declared twice")
                self._parts.setdefault(rule.family, []).append(_Part(published, rule))
        self.rule_errors: Counter[str] = Counter({family.name: 0 for family in self._parts})
        """Failures of rules, by family."""
        self._bulk_parts: dict[Family, _Part] = {}
        each: dict[Family, Callable[[Machine], Iterable[Sample]]] = {}
        for family, parts in self._parts.items():
            for part in parts:
                if part.rule.each is not None:
                    self._bulk_parts[family] = part
                    each[family] = self._guarded(family, part.rule.each)
        self._bulk = BulkFamilies(each, max_vm_series)
        self._bulk_shown: list[Family] = []
        self._lines: dict[Family, str] = {
            family: "" for family in self._parts if family not in self._bulk_parts
        }
        self._reported: set[tuple[str, str]] = set()

    @property
    def families(self) -> Mapping[Family, list[Rule[Any]]]:
        """Every family with the rules that fill it."""
        return {family: [part.rule for part in parts] for family, parts in self._parts.items()}

    @property
    def omitted(self) -> int:
        """VMs that are left out because not all fit."""
        self._bulk.settle()
        return self._bulk.omitted

    def update_machines(self, machines: Mapping[str, Machine], changed: Iterable[str]) -> None:
        """Render again what there is of single VMs."""
        for key in changed:
            self._bulk.update(key, machines.get(key))

    def update(self, facts: Facts, changed: Iterable[str] | None = None) -> None:
        """Render again what rests on a changed resource, on time or on memory; all without `changed`.

        Series of single VMs follow `update_machines` alone.
        """
        self._bulk_shown = [family for family, part in self._bulk_parts.items() if part.shown(facts)]
        names = None if changed is None else set(changed)
        for family in self._lines:
            parts = self._parts[family]
            rests_on = {resource.plural for part in parts for resource in part.rule.reads}
            timed = any(part.rule.timed for part in parts)
            if names is None or timed or not names.isdisjoint(rests_on):
                self._lines[family] = self._render(family, parts, facts)

    def samples(self, facts: Facts, *, bulk: bool = True) -> dict[Family, list[Sample]]:
        """The samples of all families that have any, those of single VMs if `bulk`."""
        found: dict[Family, list[Sample]] = {}
        for family, parts in self._parts.items():
            if family in self._bulk_parts and not bulk:
                continue
            for part in parts:
                if samples := self._safely(family, part, facts):
                    found.setdefault(family, []).extend(samples)
        return found

    def render(self, format_: Format) -> str:
        """All families that have samples."""
        return self.render_bulk(format_).decode() + self.render_few(format_)

    def render_few(self, format_: Format) -> str:
        """All families but those with series of single VMs."""
        return "".join(header(family, format_) + lines for family, lines in self._lines.items() if lines)

    def render_bulk(self, format_: Format) -> bytes:
        """The families with series of single VMs."""
        self._bulk.settle()
        found = [(family, self._bulk.text(family)) for family in self._bulk_shown]
        return b"".join(header(family, format_).encode() + text for family, text in found if text)

    def segment(self, format_: Format) -> Segment:
        """The same, compressed."""
        self._bulk.settle()
        found = [(family, self._bulk.segment(family)) for family in self._bulk_shown]
        return joined(
            part
            for family, segment in found
            if segment.length
            for part in (compress(header(family, format_).encode()), segment)
        )

    def to_compress(self) -> list[Callable[[], None]]:
        """What has changed since the last time, in pieces of a millisecond or two."""
        return self._bulk.to_compress(self._bulk_shown)

    def _render(self, family: Family, parts: list[_Part], facts: Facts) -> str:
        return "".join(render(family, self._safely(family, part, facts)) for part in parts)

    def _guarded(
        self, family: Family, each: Callable[[Machine], Iterable[Sample]]
    ) -> Callable[[Machine], Iterable[Sample]]:
        def samples(machine: Machine) -> list[Sample]:
            try:
                return _fitting(family, list(each(machine)))
            except Exception as error:  # noqa: BLE001 - it is reported
                self._report(family, error)
                return []

        return samples

    def _safely(self, family: Family, part: _Part, facts: Facts) -> list[Sample]:
        try:
            return part.samples(facts)
        except Exception as error:  # noqa: BLE001 - it is reported
            self._report(family, error)
            return []

    def _report(self, family: Family, error: Exception) -> None:
        self.rule_errors[family.name] += 1
        report = (family.name, repr(error))
        if report not in self._reported and len(self._reported) < _REPORTS:
            self._reported.add(report)
            log.error("%s cannot be worked out and is left out", family.name, exc_info=error)
