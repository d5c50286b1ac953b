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
from exporter.facts.cluster import Availability
from exporter.facts.family import Family, Rule, Sample
from exporter.metrics.exposition import Format, header, render

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    published: Published
    rule: Rule[Any]

    def samples(self, facts: Facts, availability: Mapping[str, Availability]) -> list[Sample]:
        known = all(availability.get(each.plural) is Availability.KNOWN for each in self.rule.requires)
        decided = all(
            availability.get(each.plural, Availability.UNKNOWN) is not Availability.UNKNOWN
            for each in self.rule.optional
        )
        return list(self.rule.samples(self.published.facts(facts))) if known and decided else []


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

    def update(
        self, facts: Facts, availability: Mapping[str, Availability], changed: Iterable[str] | None = None
    ) -> None:
        """Render the families that rest on a changed resource again; all of them without `changed`."""
        names = None if changed is None else set(changed)
        for family, parts in self._parts.items():
            rests_on = {resource.plural for part in parts for resource in part.rule.resources}
            if names is None or not names.isdisjoint(rests_on):
                self._lines[family] = self._render(family, parts, facts, availability)

    def render(self, format_: Format) -> str:
        """All families that have samples."""
        return "".join(header(family, format_) + lines for family, lines in self._lines.items() if lines)

    def _render(
        self,
        family: Family,
        parts: list[_Part],
        facts: Facts,
        availability: Mapping[str, Availability],
    ) -> str:
        lines = ""
        for part in parts:
            try:
                lines += render(family, part.samples(facts, availability))
            except Exception as error:
                self.rule_errors[family.name] += 1
                report = (family.name, repr(error))
                if report not in self._reported:
                    self._reported.add(report)
                    log.exception("%s cannot be worked out and is left out", family.name)
        return lines
