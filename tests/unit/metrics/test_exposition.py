"""Samples to bytes; the writers and parsers of prometheus_client are the oracle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.facts.family import Family, Sample
from exporter.metrics.exposition import Format, header, number, render

PLAIN = Family("virt_upgrade_thing", "A thing.", labels=("one", "two"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (-2, "-2"),
        (0.25, "0.25"),
        (1795296194, "1795296194"),
        (1795296194.5, "1795296194.5"),
        (1e300, "1e+300"),
        (True, "1"),
    ],
)
def test_numbers_are_as_short_as_they_can_be(value: float, text: str) -> None:
    assert number(value) == text
    assert float(text) == value


def test_samples_are_sorted_and_unique_and_finite() -> None:
    samples: list[Sample] = [
        (("b", "x"), 1),
        (("a", "y"), 2),
        (("a", "x"), math.nan),
        (("a", "z"), math.inf),
        (("b", "x"), 3),
    ]
    assert render(PLAIN, samples) == (
        'virt_upgrade_thing{one="a",two="y"} 2\nvirt_upgrade_thing{one="b",two="x"} 3\n'
    )


def test_a_family_without_labels_has_no_braces() -> None:
    assert render(Family("virt_upgrade_x", ""), [((), 5)]) == "virt_upgrade_x 5\n"


@pytest.mark.parametrize(
    ("family", "format_", "expected"),
    [
        (PLAIN, Format.TEXT, "# HELP virt_upgrade_thing A thing.\n# TYPE virt_upgrade_thing gauge\n"),
        (
            Family("virt_upgrade_age_seconds", 'An "age"\\\nold.'),
            Format.OPENMETRICS,
            '# HELP virt_upgrade_age_seconds An \\"age\\"\\\\\\nold.\n'
            "# TYPE virt_upgrade_age_seconds gauge\n# UNIT virt_upgrade_age_seconds seconds\n",
        ),
        (
            Family("virt_upgrade_age_seconds", 'An "age"\\\nold.'),
            Format.TEXT,
            '# HELP virt_upgrade_age_seconds An "age"\\\\\\nold.\n# TYPE virt_upgrade_age_seconds gauge\n',
        ),
        (
            Family("virt_upgrade_done_total", "Done.", type="counter"),
            Format.OPENMETRICS,
            "# HELP virt_upgrade_done Done.\n# TYPE virt_upgrade_done counter\n",
        ),
        (
            Family("virt_upgrade_done_total", "Done.", type="counter"),
            Format.TEXT,
            "# HELP virt_upgrade_done_total Done.\n# TYPE virt_upgrade_done_total counter\n",
        ),
    ],
)
def test_headers(family: Family, format_: Format, expected: str) -> None:
    assert header(family, format_) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PAIRS = st.lists(st.tuples(st.tuples(TEXTS, TEXTS), st.floats(allow_nan=False, allow_infinity=False)))


@given(PAIRS, TEXTS)
def test_any_label_survives_both_parsers(
    samples: list[tuple[tuple[str, str], float]], help_text: str
) -> None:
    family = Family(PLAIN.name, help_text.replace("\r", " "), labels=PLAIN.labels)
    expected = dict(samples)
    for format_, parse, end in (
        (Format.TEXT, parse_text, ""),
        (Format.OPENMETRICS, parse_openmetrics, "# EOF\n"),
    ):
        page = header(family, format_) + render(family, samples) + end
        if "\r" in page or any(separator in page for separator in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
            continue  # prometheus_client's parsers split lines there, the format does not
        parsed = {
            (sample.labels["one"], sample.labels["two"]): sample.value
            for metric in parse(page)
            for sample in metric.samples
        }
        assert parsed == expected


@given(PAIRS)
def test_lines_are_those_of_prometheus_client(samples: list[tuple[tuple[str, str], float]]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge(PLAIN.name, PLAIN.help, PLAIN.labels, registry=registry)
    for labels, value in samples:
        gauge.labels(*labels).set(value)
    theirs = generate_latest(registry).decode()
    ours = header(PLAIN, Format.TEXT) + render(PLAIN, samples)
    assert sorted(_labels(ours)) == sorted(_labels(theirs))


def _labels(page: str) -> list[str]:
    """Everything but the values, which may be written in more than one way."""
    return [
        line.rpartition(" ")[0] if not line.startswith("#") else line for line in page.split("\n") if line
    ]


@pytest.mark.parametrize("label", ["namespace", "cluster", "pod", "instance", "job"])
def test_labels_of_the_scraper_cannot_be_declared(label: str) -> None:
    with pytest.raises(ValueError, match=label):
        Family("virt_upgrade_x", "", labels=(label,))


def test_names_of_others_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="kubevirt_info"):
        Family("kubevirt_info", "")
