"""The facts over recordings of real upgrades: the right value from the right moment on, and no other."""

from __future__ import annotations

import pytest

from exporter.facts import Facts
from tests.unit.facts.recorded import timeline


def operator(facts: Facts) -> str:
    """The completed version and its CSV."""
    found = facts.versions.operator
    return f"{found.version} {found.csv.rpartition('.v')[2]}".strip() if found else ""


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        # Without HyperConverged: when the CSV first succeeds, not when it appears or AtLatestKnown says so.
        ("01-automatic", [("00:30:22.871", "4.17.3 4.17.3"), ("00:30:44.361", "4.17.4 4.17.4")]),
        (
            "02-manual",
            [
                ("00:43:58.584", "4.17.3 4.17.3"),
                ("00:45:41.151", "4.17.4 4.17.4"),
                ("00:47:12.007", "4.18.0 4.18.0"),
            ],
        ),
        ("05-csv-fails-deadline", [("00:30:11.744", "4.17.3 4.17.3"), ("00:32:47.702", "4.17.4 4.17.4")]),
        ("06-not-upgradeable", [("00:30:12.724", "4.17.3 4.17.3"), ("00:31:57.456", "4.17.4 4.17.4")]),
        ("12-plan-fails", [("00:48:00.925", "4.17.3 4.17.3")]),
        # With HyperConverged: when it says so, however long its operands take.
        (
            "hco-00-install",
            # For an instant the CSV has succeeded and there is no HyperConverged yet.
            [("01:33:47.932", "1.16.3 1.16.3"), ("01:33:47.997", ""), ("01:34:13.815", "1.16.3 1.16.3")],
        ),
        (
            "hco-01-plain",
            [
                ("01:36:29.074", "1.15.2 1.15.2"),
                ("01:37:34.637", "1.16.0 1.16.0"),
            ],
        ),
        ("hco-02-operand-hangs", [("01:35:11.422", "1.16.1 1.16.1"), ("01:37:27.998", "1.16.2 1.16.2")]),
        (
            "hco-03-operand-not-upgradeable",
            [("01:37:38.238", "1.16.2 1.16.2"), ("01:39:38.275", "1.16.3 1.16.3")],
        ),
        ("hco-04-operator-restart", [("01:34:22.090", "1.16.3 1.16.3")]),
        (
            "hco-06-operator-only",
            [
                ("01:39:35.583", "1.16.5 1.16.5"),
                ("01:40:13.768", "1.16.6 1.16.6"),
            ],
        ),
        (
            "hco-08-after-the-end",
            [
                ("01:41:49.068", "1.16.3 1.16.3"),
                ("01:42:32.066", "1.16.4 1.16.4"),
            ],
        ),
    ],
)
def test_completed_version(recording: str, expected: list[tuple[str, str]]) -> None:
    seen = timeline(recording, operator)
    # Recordings list one kind after the other; what they begin with is only part of the cluster.
    begin = next(number for number, (_, value) in enumerate(seen) if " " in value)
    assert seen[begin:] == expected


@pytest.mark.parametrize(
    ("recording", "strategy"),
    [
        ("01-automatic", "Automatic"),
        ("02-manual", "Manual"),
        ("03-plan-deleted", "Manual"),
        ("06-not-upgradeable", "Automatic"),
        ("07-resolution-failures", "Automatic"),
        ("hco-01-plain", "Manual"),
    ],
)
def test_effective_approval_never_wavers(recording: str, strategy: str) -> None:
    seen = timeline(recording, lambda facts: facts.subscription.effective_approval)
    assert [value for _, value in seen if value] == [strategy]


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (
            "07b-catalog-down",
            [("00:45:28.990", True), ("00:45:52.839", False), ("00:47:48.463", True)],
        ),
        (
            "10-catalogsources",
            # Its pod is replaced, then ours is deleted and made again.
            [
                ("00:41:36.138", True),
                ("00:42:22.478", False),
                ("00:42:23.890", True),
                ("00:44:19.665", False),
                ("00:44:50.844", True),
            ],
        ),
    ],
)
def test_our_catalog(recording: str, expected: list[tuple[str, bool]]) -> None:
    seen = timeline(
        recording, lambda facts: facts.subscription.catalog is not None and facts.subscription.catalog.ready
    )
    assert seen[1:] == expected


def upgradeable(facts: Facts) -> str:
    """Why OLM would not replace the operator; `yes` when it would."""
    verdicts = [each for each in facts.operands.by_operator_condition if each.source == "effective"]
    return next(("yes" if each.upgradeable else each.reason for each in verdicts), "")


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        # Until OLM has taken a change over, the condition counts as not upgradeable.
        ("06-not-upgradeable", ["yes", "MigrationInProgress", "Outdated", "yes"]),
        (
            "hco-02-operand-hangs",
            ["yes", "Initializing", "Outdated", "AlreadyPerformingUpgrade", "Outdated", "yes"],
        ),
        ("01-automatic", ["yes"]),
    ],
)
def test_whether_olm_would_replace_the_operator(recording: str, expected: list[str]) -> None:
    assert [value for _, value in timeline(recording, upgradeable) if value] == expected
