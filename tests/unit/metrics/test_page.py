"""The page of facts and the reference made from the same declarations."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from exporter.facts import SUBJECTS, Facts, Published
from exporter.facts.cluster import Availability, Cluster
from exporter.facts.family import Family, Samples, Subject
from exporter.metrics.exposition import Format
from exporter.metrics.page import FactsPage
from exporter.metrics.reference import reference
from exporter.records.olm import CATALOG_SOURCES, SUBSCRIPTIONS

KNOWN, ABSENT, UNKNOWN = Availability.KNOWN, Availability.ABSENT, Availability.UNKNOWN


def facts_with(availability: dict[str, Availability]) -> Facts:
    return Facts(Cluster(availability=availability))


def one(subject: Subject[int], value: int = 7) -> FactsPage:
    return FactsPage([Published(subject, lambda _facts: value)])


@pytest.mark.parametrize(
    ("required", "optional", "shown"),
    [
        (KNOWN, KNOWN, True),
        (KNOWN, ABSENT, True),
        (KNOWN, UNKNOWN, False),
        (ABSENT, KNOWN, False),
        (UNKNOWN, KNOWN, False),
    ],
)
def test_a_family_is_there_while_it_can_be_true(
    required: Availability, optional: Availability, shown: bool
) -> None:
    subject = Subject[int]("test")

    @subject.gauge("virt_upgrade_x", "X.", source="", requires=(SUBSCRIPTIONS,), optional=(CATALOG_SOURCES,))
    def _x(value: int) -> Samples:
        yield (), value

    page = one(subject)
    page.update(facts_with({"subscriptions": required, "catalogsources": optional}))
    expected = "# HELP virt_upgrade_x X.\n# TYPE virt_upgrade_x gauge\nvirt_upgrade_x 7\n"
    assert page.render(Format.TEXT) == (expected if shown else "")


def test_only_what_rests_on_a_change_is_rendered_again() -> None:
    subject = Subject[int]("test")
    rendered = []

    @subject.gauge("virt_upgrade_x", "", source="", requires=(SUBSCRIPTIONS,))
    def _x(_value: int) -> Samples:
        rendered.append("x")
        yield (), 1

    @subject.gauge("virt_upgrade_y", "", source="", optional=(CATALOG_SOURCES,))
    def _y(_value: int) -> Samples:
        rendered.append("y")
        yield (), 1

    page = one(subject)
    available = {"subscriptions": KNOWN, "catalogsources": ABSENT}
    page.update(facts_with(available))
    page.update(facts_with(available), ["catalogsources"])
    page.update(facts_with(available), ["nodes"])
    assert rendered == ["x", "y", "y"]


def test_a_rule_that_fails_costs_its_own_samples_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    subject = Subject[int]("test")
    shared = Family("virt_upgrade_shared", "", labels=("part",))

    @subject.adds_to(shared, source="")
    def _bad(value: int) -> Samples:
        yield ("bad",), value / 0

    @subject.adds_to(shared, source="")
    def _one_label_too_many(value: int) -> Samples:
        yield ("bad", "worse"), value

    @subject.adds_to(shared, source="")
    def _good(value: int) -> Samples:
        yield ("good",), value

    page = one(subject)
    page.update(facts_with({}))
    page.update(facts_with({}))
    assert page.render(Format.TEXT).endswith('virt_upgrade_shared{part="good"} 7\n')
    assert page.rule_errors["virt_upgrade_shared"] == 4
    assert [record.message for record in caplog.records] == [
        "virt_upgrade_shared cannot be worked out and is left out"
    ] * 2


def test_a_name_cannot_be_declared_twice() -> None:
    subject = Subject[int]("test")
    for help_text in ("one", "another"):
        subject.gauge("virt_upgrade_x", help_text, source="")(lambda _value: iter(()))
    with pytest.raises(ValueError, match="virt_upgrade_x is declared twice"):
        one(subject)


def test_every_rule_names_its_source_and_resources() -> None:
    for published in SUBJECTS:
        for rule in published.subject.rules:
            assert rule.source, rule.family.name
            assert rule.reads, rule.family.name
            assert rule.family.help.endswith("."), rule.family.name


def test_the_reference_is_current() -> None:
    document = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert document.read_text() == reference(), "run: make docs"
