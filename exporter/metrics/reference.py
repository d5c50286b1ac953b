"""The metrics reference, made from the declarations.

`python -m exporter.metrics.reference > docs/metrics.md`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from exporter.facts import SUBJECTS
from exporter.facts.family import Family, Rule
from exporter.metrics import selfmonitoring
from exporter.metrics.page import FactsPage

_INTRODUCTION: Final = """\
# Metrics

<!-- Made by `make docs` from the declarations in exporter/facts and exporter/metrics. -->

All timestamps are Unix seconds. A gauge that can be 0 is there as soon as the resources it rests on are
synced; it is absent while a required one of them is absent, forbidden or not yet synced, or an optional
one forbidden or not yet synced. What only some of its series require costs only those. Of a state set every
state is there and exactly one is 1.
The labels `cluster`, `namespace`, `pod`, `container`, `service`, `endpoint`, `job` and `instance` are left
to the scraper.
"""


def reference() -> str:
    """The whole document."""
    facts = FactsPage(SUBJECTS).families
    own: dict[Family, list[Rule[Any]]] = {}
    for rule in selfmonitoring.SUBJECT.rules:
        own.setdefault(rule.family, []).append(rule)
    lines = [_INTRODUCTION, "## Facts\n"]
    for family, rules in facts.items():
        lines += _section(family, rules)
    lines.append("## The exporter itself\n")
    for family, rules in own.items():
        lines += _section(family, rules)
    lines += _section(selfmonitoring.EVENT_LATENCY, [])
    lines.append("Besides these: the families `process_*` and `python_*` of prometheus_client.\n")
    return "\n".join(lines)


def _section(family: Family, rules: list[Rule[Any]]) -> Iterator[str]:
    yield f"### {family.name}\n"
    yield f"{family.help}\n"
    yield f"- Type: {family.type}"
    if family.unit:
        yield f"- Unit: {family.unit}"
    if family.labels:
        yield f"- Labels: {', '.join(f'`{label}`' for label in family.labels)}"
    sources = dict.fromkeys(rule.source for rule in rules)
    if sources:
        yield f"- Source: {'; '.join(sources)}"
    said: set[str] = set()
    required = [{each.plural for each in rule.requires} for rule in rules]
    for name, resources in (
        ("Requires", set.intersection(*required) if required else set()),
        ("Some of it requires", set.union(*required) if required else set()),
        ("Optional", {each.plural for rule in rules for each in rule.optional}),
        ("Says more with", {each.plural for rule in rules for each in rule.helpful}),
    ):
        if new := sorted(resources - said):
            yield f"- {name}: {', '.join(new)}"
        said |= resources
    yield ""


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - this is the command line
