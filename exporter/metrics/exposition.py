"""Samples to bytes, in the two text formats that Prometheus reads.

The formats are described in github.com/prometheus/docs `content/docs/instrumenting/exposition_formats.md`
and in the OpenMetrics 1.0 specification. prometheus_client's writers are the oracle of the tests; they
are not used for the facts because they sort and escape every sample on every scrape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum

from exporter.facts.family import SUM, Family, Sample


class Format(Enum):
    """A text format and the content type that announces it."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def header(family: Family, format_: Format) -> str:
    """The comment lines before a family's samples."""
    help_text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    name = family.name
    if format_ is Format.OPENMETRICS:
        help_text = help_text.replace('"', '\\"')
        if family.type == "counter":
            name = name.removesuffix("_total")
    lines = [f"# HELP {name} {help_text}\n", f"# TYPE {name} {family.type}\n"]
    if format_ is Format.OPENMETRICS and family.unit:
        lines.append(f"# UNIT {name} {family.unit}\n")
    return "".join(lines)


def render(family: Family, samples: Iterable[Sample]) -> str:
    """Sample lines, sorted by their labels; the same in both formats.

    A label set that comes twice is given once, and a value that is no number is left out: either would
    make Prometheus refuse the whole page.
    """
    found = list(samples)
    if family.type == "histogram":
        return _histogram(family, found)
    if len(found) > 1:
        found = sorted(dict(found).items())
    line = family.line
    return "".join(
        [line % (*_escaped(values), number(value)) for values, value in found if math.isfinite(value)]
    )


def _histogram(family: Family, samples: Iterable[Sample]) -> str:
    """Its three kinds of lines; the last label of each sample is a bucket's upper bound, or SUM."""
    of: dict[tuple[str, ...], dict[str, float]] = {}
    for labelled, value in samples:
        of.setdefault(labelled[:-1], {})[labelled[-1]] = value
    lines = []
    for values, counts in sorted(of.items()):
        total = counts.pop(SUM)
        labels = "".join(
            f'{name}="{value}",' for name, value in zip(family.labels, _escaped(values), strict=True)
        )
        lines += [
            f'{family.name}_bucket{{{labels}le="{bound}"}} {number(count)}\n'
            for bound, count in sorted(counts.items(), key=lambda each: float(each[0]))
        ]
        of_all = f"{{{labels.removesuffix(',')}}}" if labels else ""
        lines += [
            f"{family.name}_count{of_all} {number(counts['+Inf'])}\n",
            f"{family.name}_sum{of_all} {number(total)}\n",
        ]
    return "".join(lines)


def number(value: float) -> str:
    """A value without an exponent or fraction where none is needed."""
    if value == 1:
        return "1"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _escaped(values: tuple[str, ...]) -> Iterable[str]:
    together = "".join(values)
    # Hardly any value holds one of these, and looking once is cheaper than replacing three times in each.
    if "\\" in together or '"' in together or "\n" in together:
        return map(_escape, values)
    return values


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
