"""The facts over recordings of real upgrades: the right value from the right moment on, and no other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from exporter.facts import Facts
from tests.unit.facts.recorded import followed, timeline


@followed
def approval(facts: Facts) -> str:
    return facts.subscription.effective_approval


@followed
def catalog_is_ready(facts: Facts) -> bool:
    return facts.subscription.catalog is not None and facts.subscription.catalog.ready


@followed
def head(facts: Facts) -> tuple[str, int | None, bool | None]:
    channel = facts.catalog.channel
    return channel.head_version if channel else "", facts.catalog.behind, facts.catalog.lost


@followed
def plan_pending_since(facts: Facts) -> str:
    found = dict(facts.subscription.abnormal_since).get("InstallPlanPending")
    return datetime.fromtimestamp(found, UTC).strftime("%H:%M:%S") if found else ""


@followed
def hyperconverged_versions(facts: Facts) -> list[str]:
    return sorted(csv.variable("HCO_KV_IO_VERSION") for csv in facts.package.csvs)


@followed
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
    seen = timeline(recording, approval)
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
    seen = timeline(recording, catalog_is_ready)
    assert seen[1:] == expected


@followed
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


@followed
def waiting(facts: Facts) -> str:
    """The pending update: target, cause and since; empty when none is pending."""
    update = facts.pending.update
    if update is None:
        return ""
    since = datetime.fromtimestamp(update.since, UTC).strftime("%H:%M:%S")
    return f"{update.to_version} {update.cause} {since}"


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (
            "01-automatic",
            [
                ("00:30:37.233", "4.17.4 not_started 00:30:37"),
                ("00:30:37.259", "4.17.4 requirements_not_met 00:30:37"),
                ("00:30:38.128", ""),
            ],
        ),
        (
            "02-manual",
            [
                # 4.18.0 in the catalog changes nothing: without PackageManifests nobody knows of it.
                ("00:44:13.155", "4.17.4 awaiting_approval 00:44:13"),
                ("00:45:33.299", "4.17.4 not_started 00:44:13"),
                ("00:45:33.462", "4.17.4 requirements_not_met 00:44:13"),
                ("00:45:34.405", ""),
                ("00:46:46.443", "4.18.0 awaiting_approval 00:46:46"),
                ("00:47:06.432", "4.18.0 not_started 00:46:46"),
                ("00:47:06.594", "4.18.0 requirements_not_met 00:46:46"),
                ("00:47:06.919", ""),
            ],
        ),
        (
            "03-plan-deleted",
            [
                # Deleted and made again at 00:36:38: the age goes on.
                ("00:36:18.110", "4.17.4 awaiting_approval 00:36:18"),
                ("00:36:53.757", "4.17.4 not_started 00:36:18"),
                ("00:36:53.975", "4.17.4 requirements_not_met 00:36:18"),
                ("00:36:54.560", ""),
            ],
        ),
        (
            "05-csv-fails-deadline",
            [
                # What fails afterwards is an update that is being installed, not one that waits.
                ("00:30:26.167", "4.17.4 not_started 00:30:26"),
                ("00:30:26.177", "4.17.4 requirements_not_met 00:30:26"),
                ("00:30:26.866", ""),
            ],
        ),
        (
            "06-not-upgradeable",
            [
                ("00:30:35.264", "4.17.4 not_started 00:30:35"),
                ("00:30:35.343", "4.17.4 requirements_not_met 00:30:35"),
                ("00:30:35.835", "4.17.4 upgrade_gate 00:30:35"),
                ("00:31:51.696", ""),
            ],
        ),
        (
            "07-resolution-failures",
            # Neither an unmet dependency, nor a package that is gone, nor a bad neighbour makes an update.
            [
                ("00:39:59.842", "4.17.4 not_started 00:39:59"),
                ("00:39:59.902", "4.17.4 requirements_not_met 00:39:59"),
                ("00:40:00.860", ""),
            ],
        ),
        (
            "07b-catalog-down",
            [
                ("00:47:40.296", "4.17.4 catalog_unhealthy 00:47:40"),
                ("00:47:48.463", "4.17.4 not_started 00:47:40"),
                ("00:47:48.595", "4.17.4 unpacking 00:47:40"),
                ("00:47:53.811", "4.17.4 not_started 00:47:40"),
                ("00:47:53.821", "4.17.4 requirements_not_met 00:47:40"),
                ("00:47:55.016", ""),
            ],
        ),
        (
            "09-unpack-fails",
            [
                ("00:42:58.260", "4.17.4 not_started 00:42:58"),
                ("00:42:58.267", "4.17.4 requirements_not_met 00:42:58"),
                ("00:42:59.179", ""),
            ],
        ),
        (
            "10-catalogsources",
            [
                ("00:44:56.148", "4.17.4 not_started 00:44:56"),
                ("00:44:56.217", "4.17.4 requirements_not_met 00:44:56"),
                ("00:44:56.977", ""),
                ("00:45:09.993", "4.18.0 not_started 00:45:09"),
                ("00:45:10.042", "4.18.0 requirements_not_met 00:45:09"),
                ("00:45:10.874", ""),
            ],
        ),
        (
            "hco-00-install",
            # The first installation is no update; the next version is, once that has completed.
            [("01:34:13.815", "1.16.4 awaiting_approval 01:33:49")],
        ),
        (
            "hco-01-plain",
            # Nothing is pending from the moment the CSV leaves Pending until its operands are rolled out.
            [
                ("01:36:29.102", "1.16.0 awaiting_approval 01:36:07"),
                ("01:36:31.102", "1.16.0 not_started 01:36:07"),
                ("01:36:31.318", "1.16.0 requirements_not_met 01:36:07"),
                ("01:36:34.872", ""),
            ],
        ),
        (
            "hco-03-operand-not-upgradeable",
            [
                ("01:37:45.405", "1.16.3 awaiting_approval 01:37:45"),
                ("01:37:45.657", "1.16.3 not_started 01:37:45"),
                ("01:37:46.971", "1.16.3 requirements_not_met 01:37:45"),
                ("01:37:48.514", ""),
                # Its plan waited since 01:37:59, but the update before it was being rolled out.
                ("01:39:38.275", "1.16.4 awaiting_approval 01:37:59"),
            ],
        ),
        ("hco-04-operator-restart", [("01:34:22.090", "1.16.4 awaiting_approval 01:33:49")]),
        (
            "hco-08-after-the-end",
            [
                ("01:41:49.068", "1.16.4 awaiting_approval 01:37:59"),
                ("01:41:51.066", "1.16.4 not_started 01:37:59"),
                ("01:41:51.514", "1.16.4 requirements_not_met 01:37:59"),
                ("01:41:52.522", ""),
                ("01:42:32.066", "1.16.5 awaiting_approval 01:42:07"),
            ],
        ),
    ],
)
def test_what_is_pending_since_when_and_why(recording: str, expected: list[tuple[str, str]]) -> None:
    seen = timeline(recording, waiting)
    assert seen[1:] == expected


def test_a_failed_plan_is_pending_until_it_is_deleted() -> None:
    seen = timeline("12-plan-fails", waiting)
    assert seen[1:4] == [
        ("00:48:17.640", "4.17.4 not_started 00:48:17"),
        ("00:48:17.695", "4.17.4 requirements_not_met 00:48:17"),
        ("00:49:19.227", "4.17.4 plan_failed 00:48:17"),
    ]
    assert [value for _, value in seen[4:]][-1] == ""


def test_the_head_of_the_channel_stays_while_its_catalog_is_down() -> None:
    assert timeline("07b-catalog-down", head)[-4:] == [
        ("00:45:29.324", ("4.17.3", None, False)),
        ("00:45:44.699", ("4.17.3", 0, False)),
        ("00:47:40.296", ("4.17.4", 1, False)),
        ("00:48:00.972", ("4.17.4", 0, False)),
    ]
    assert {value for _, value in timeline("01-automatic", head)} == {("", None, None)}


def test_a_condition_that_flaps_has_held_since_it_began() -> None:
    # It vanishes and comes back with other times and with old ones.
    assert {value for _, value in timeline("06-not-upgradeable", plan_pending_since)} == {"", "00:30:05"}


def test_hyperconverged_is_told_its_version_by_the_csv() -> None:
    assert ["1.15.2", "1.16.0"] in [value for _, value in timeline("hco-01-plain", hyperconverged_versions)]
