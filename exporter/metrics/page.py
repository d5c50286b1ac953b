"""The page of facts: every family's lines as text, rendered again only when what they rest on changes.

A rule's samples are shown only while they can be true: its required resources are known, its optional
ones known or absent. A rule that fails is a defect of ours; it costs its own samples and is counted, and
the rest of the page stands.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.facts import Facts, Published
from exporter.facts.family import Family, Rule, Sample
from exporter.metrics.exposition import Format, header, render

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    published: Published
    rule: Rule[Any]

    def samples(self, facts: Facts) -> list[Sample]:
        cluster = facts.cluster
        shown = cluster.known(*self.rule.requires) and cluster.decided(*self.rule.optional)
        samples = list(self.rule.samples(self.published.facts(facts))) if shown else []
        wanted = len(self.rule.family.labels)
        if any(len(values) != wanted for values, _ in samples):
            raise ValueError(f"a sample has not {wanted} labels")
        return samples


class FactsPage:
    """The families of all subjects, in the order of their declaration."""

    def __init__(self, subjects: Iterable[Published]) -> None:
        self._parts: dict[Family, list[_Part]] = {}
        names: dict[str, Family] = {}
        for published in subjects:
            for rule in published.subject.rules:
                if names.setdefault(rule.family.name, rule.family) != rule.family:
                    raise ValueError(f"{rule.family.name} is declared twice")
                self._parts.setdefault(rule.family, []).append(_Part(published, rule))
        self.rule_errors: Counter[str] = Counter({family.name: 0 for family in self._parts})
        """Failures of rules, by family."""
        self._lines: dict[Family, str] = dict.fromkeys(self._parts, "")
        self._reported: set[tuple[str, str]] = set()

    @property
    def families(self) -> Mapping[Family, list[Rule[Any]]]:
        """Every family with the rules that fill it."""
        return {family: [part.rule for part in parts] for family, parts in self._parts.items()}

    def update(self, facts: Facts, changed: Iterable[str] | None = None) -> None:
        """Render again what rests on a changed resource, on time or on memory; all without `changed`."""
        names = None if changed is None else set(changed)
        for family, parts in self._parts.items():
            rests_on = {resource.plural for part in parts for resource in part.rule.reads}
            timed = any(part.rule.timed for part in parts)
            if names is None or timed or not names.isdisjoint(rests_on):
                self._lines[family] = self._render(family, parts, facts)

    def samples(self, facts: Facts) -> dict[Family, list[Sample]]:
        """The samples of all families that have any."""
        found: dict[Family, list[Sample]] = {}
        for family, parts in self._parts.items():
            for part in parts:
                if samples := self._safely(family, part, facts):
                    found.setdefault(family, []).extend(samples)
        return found

    def render(self, format_: Format) -> str:
        """All families that have samples."""
        return "".join(header(family, format_) + lines for family, lines in self._lines.items() if lines)

    def _render(self, family: Family, parts: list[_Part], facts: Facts) -> str:
        return "".join(render(family, self._safely(family, part, facts)) for part in parts)

    def _safely(self, family: Family, part: _Part, facts: Facts) -> list[Sample]:
        try:
            return part.samples(facts)
        except Exception as error:
            self.rule_errors[family.name] += 1
            report = (family.name, repr(error))
            if report not in self._reported:
                self._reported.add(report)
                log.exception("%s cannot be worked out and is left out", family.name)
            return []
