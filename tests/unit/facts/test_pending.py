"""The pending update: objects and memory in, exposition text out. Histories are in tests/contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.facts.cluster import Availability
from exporter.history.value import History
from exporter.records.olm import CATALOG_SOURCES, INSTALL_PLANS, PACKAGE_MANIFESTS, SUBSCRIPTIONS
from exporter.records.virtualization import HYPERCONVERGEDS
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of

BORN = datetime(2026, 1, 1, tzinfo=UTC)
T = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
NOW = T.timestamp() + 3600
OLD, NEW, NEWER = "4.18.8", "4.18.11", "4.18.12"
PENDING = ["pending_update_info", "pending_update_since_timestamp_seconds", "pending_update_age_seconds"]

Object = dict[str, Any]


def merged(given: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return defaults | given


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def csv(version: str = OLD, *phases: objects.Phase, replaces: str = "") -> Object:
    if phases:
        return objects.cluster_service_version(
            version, created=phases[0][2], phases=phases, replaces=objects.csv_name(replaces)
        )
    return objects.cluster_service_version(version, created=BORN, succeeded=BORN)


def hco(version: str = OLD, **given: Any) -> Object:
    return objects.hyperconverged(version, **merged(given, created=BORN, since=BORN))


def sub(plan: str = "", current: str = "", *conditions: Object, **given: Any) -> Object:
    return objects.subscription(
        **merged(
            given,
            created=BORN,
            installed=objects.csv_name(OLD),
            current=objects.csv_name(current) if current else "",
            plan=plan,
            conditions=conditions,
        )
    )


def plan(version: str = NEW, **given: Any) -> Object:
    return objects.install_plan("install-a", **merged(given, created=T, csv=objects.csv_name(version)))


def catalog(state: str = "READY") -> Object:
    return objects.catalog_source(created=BORN, polled=T, state=state)


def manifest(*versions: str) -> Object:
    return objects.package_manifest(*versions, created=BORN)


def flag(type_: str) -> Object:
    return objects.condition(type_, "True", None, "Why")


INSTALLED = (csv(), hco(), objects.operator_condition(OLD, since=BORN))


def page(*given: Object, families: list[str] = PENDING, **more: Any) -> str:
    return page_of(*given, families=families, **merged(more, now=NOW))


def info(cause: str, to_version: str = NEW, kind: str = "patch", since: float = 0.0) -> str:
    labels = f'from_version="{OLD}",to_version="{to_version}",kind="{kind}",cause="{cause}"'
    return (
        f"virt_upgrade_pending_update_info{{{labels}}} 1\n"
        f"virt_upgrade_pending_update_age_seconds {3600 - since:.10g}\n"
        f"virt_upgrade_pending_update_since_timestamp_seconds {T.timestamp() + since:.0f}\n"
    )


NONE = "virt_upgrade_pending_update_age_seconds 0\n"


@pytest.mark.parametrize(
    ("cause", "given"),
    [
        ("awaiting_approval", [plan()]),
        ("awaiting_approval", [plan(approval="Automatic")]),
        ("plan_failed", [plan(approved=True, phase="Failed")]),
        ("plan_failed", [plan(phase="Failed")]),
        ("not_started", [plan(approved=True, phase="Installing")]),
        ("not_started", [plan(approved=True, phase="Complete")]),
        ("unpacking", [plan(approved=True, phase="Installing") | {"lookup": "BundleLookupPending"}]),
        ("unpack_failed", [plan(approved=True, phase="Installing") | {"lookup": "BundleLookupFailed"}]),
        (
            "requirements_not_met",
            [plan(approved=True), csv(NEW, ("Pending", "RequirementsNotMet", at(5)), replaces=OLD)],
        ),
        ("requirements_not_met", [plan(), csv(NEW, ("", "", at(5)), replaces=OLD)]),
        (
            "upgrade_gate",
            [plan(), csv(NEW, ("Pending", "OperatorConditionNotUpgradeable", at(5)), replaces=OLD)],
        ),
        (
            "plan_failed",
            [
                plan(approved=True, phase="Failed"),
                csv(NEW, ("Pending", "OperatorConditionNotUpgradeable", at(5)), replaces=OLD),
            ],
        ),
    ],
)
def test_the_cause_is_where_the_plan_or_the_csv_stands(cause: str, given: list[Object]) -> None:
    for obj in given:
        if lookup := obj.pop("lookup", None):
            obj["status"]["bundleLookups"] = [{"conditions": [flag(lookup)]}]
    # Conditions of the Subscription outlive what they say: beside a plan they mean nothing.
    left = [flag("ResolutionFailed"), flag("BundleUnpacking"), flag("BundleUnpackFailed")]
    assert page(*INSTALLED, sub("install-a", NEW, *left), *given) == info(cause)


@pytest.mark.parametrize(
    ("cause", "since", "state", "conditions"),
    [
        ("not_started", 0, "READY", []),
        ("resolution_failed", 0, "READY", ["ResolutionFailed", "BundleUnpacking"]),
        ("catalog_unhealthy", 0, "TRANSIENT_FAILURE", ["ResolutionFailed"]),
        ("catalog_unhealthy", 0, "CONNECTING", []),
        ("catalog_unhealthy", 0, "READY", ["CatalogSourcesUnhealthy", "ResolutionFailed"]),
        ("unpack_failed", 0, "TRANSIENT_FAILURE", ["BundleUnpackFailed", "ResolutionFailed"]),
        ("unpacking", 2701, "READY", ["BundleUnpacking"]),
        ("not_started", 2699, "READY", ["BundleUnpacking"]),
    ],
)
def test_the_cause_without_plan_and_csv(cause: str, since: float, state: str, conditions: list[str]) -> None:
    given = (
        *INSTALLED,
        catalog(state),
        manifest(NEW, OLD),
        sub("", "", *(flag(each) for each in conditions)),
    )
    history = facts_of(*given, now=T.timestamp() + since).observe(History())
    assert page(*given, history=history) == info(cause, since=since)


def test_what_only_we_have_seen_is_shown_once_it_is_stored() -> None:
    given = (*INSTALLED, catalog(), manifest(NEW, OLD), sub())
    assert page(*given) == NONE
    history = facts_of(*given, now=NOW - 60).observe(History())
    assert page(*given, history=history) == info("not_started", since=3540)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([*INSTALLED, catalog(), manifest(OLD), sub()], id="at the head"),
        pytest.param([*INSTALLED, catalog(), manifest("4.18.7"), sub()], id="ahead of the head"),
        pytest.param([*INSTALLED, sub("", "", flag("ResolutionFailed"))], id="a condition makes none"),
        pytest.param([*INSTALLED, plan(), sub()], id="an orphaned plan"),
        pytest.param([*INSTALLED, plan("4.18.7"), sub("install-a")], id="a plan for an older version"),
        pytest.param([*INSTALLED, plan(OLD, approved=True), sub("install-a")], id="the plan that is done"),
        pytest.param([plan(), sub("install-a", NEW)], id="nothing is installed"),
        pytest.param(
            [csv(OLD, ("Pending", "RequirementsNotMet", T)), plan(OLD), sub("install-a")],
            id="the first installation waits",
        ),
        pytest.param(
            [
                csv(OLD, ("Installing", "InstallWaiting", T)),
                plan(OLD, approved=True),
                manifest(NEW, OLD),
                sub("install-a"),
            ],
            id="the first installation runs",
        ),
        pytest.param(
            [
                *INSTALLED,
                csv(NEW, ("Pending", "", T), ("InstallReady", "", T), replaces=OLD),
                manifest(NEWER, NEW, OLD),
                sub(),
            ],
            id="another update is being installed",
        ),
        pytest.param(
            [
                csv(NEW, ("Pending", "", T), ("Succeeded", "", T), replaces=OLD),
                hco(),
                manifest(NEWER, NEW, OLD),
                sub(),
            ],
            id="another update is being rolled out",
        ),
    ],
)
def test_nothing_is_pending(given: list[Object]) -> None:
    history = facts_of(*given, now=NOW - 60).observe(History())
    assert page(*given, history=history) == NONE


def test_without_a_subscription_nothing_is_said() -> None:
    assert page(*INSTALLED, plan(), manifest(NEW, OLD), families=[]).count("pending_update") == 0


def test_a_plan_tells_without_permission_to_see_the_catalog() -> None:
    given = (*INSTALLED, plan(), sub("install-a", NEW))
    assert page(*given, unknown=[PACKAGE_MANIFESTS, CATALOG_SOURCES]) == info("awaiting_approval")
    assert page(*given, absent=[PACKAGE_MANIFESTS]) == info("awaiting_approval")


@pytest.mark.parametrize("resource", [SUBSCRIPTIONS, INSTALL_PLANS, HYPERCONVERGEDS])
def test_nothing_is_said_while_what_it_rests_on_is_unknown(resource: Any) -> None:
    assert page(*INSTALLED, plan(), sub("install-a", NEW), unknown=[resource]) == ""


def test_a_minor_is_another_kind() -> None:
    assert page(*INSTALLED, plan("4.19.1"), sub("install-a", "4.19.1")) == info(
        "awaiting_approval", "4.19.1", "minor"
    )


def test_a_plan_of_several_packages_is_read_for_ours() -> None:
    obj = plan()
    obj["spec"]["clusterServiceVersionNames"] = ["other.v9.9.9", objects.csv_name(NEW)]
    assert page(*INSTALLED, obj, sub("install-a")) == info("awaiting_approval")
    obj["spec"]["clusterServiceVersionNames"] = ["other.v9.9.9"]
    assert page(*INSTALLED, obj, sub("install-a")) == NONE


def test_a_clock_that_lags_behind_makes_no_negative_age() -> None:
    assert "age_seconds 0\n" in page(*INSTALLED, plan(), sub("install-a", NEW), now=T.timestamp() - 5)


@pytest.mark.parametrize(("head", "stale"), [(NEW, 0), (NEWER, 1), (OLD, 0)])
def test_a_plan_that_waits_while_the_catalog_goes_on_is_stale(head: str, stale: int) -> None:
    given = (*INSTALLED, plan(), catalog(), manifest(head, OLD), sub("install-a", NEW))
    assert page(*given, families=["pending_update_stale"]) == f"virt_upgrade_pending_update_stale {stale}\n"


def test_an_approved_plan_ends_what_later_targets_inherit() -> None:
    """Its update failed; the next version is available only since it was seen."""
    seen = History()
    first = (*INSTALLED, catalog(), manifest(NEW, OLD))
    steps = [
        (0, (*first, sub())),
        (100, (*first, sub("install-a", NEW), plan(approved=True, created=at(100)))),
        (200, (*first, sub("install-a", NEW), plan(approved=True, phase="Failed", created=at(100)))),
        (2000, (*INSTALLED, catalog(), manifest(NEWER, NEW, OLD), sub())),
    ]
    for seconds, given in steps:
        seen = facts_of(*given, now=T.timestamp() + seconds, history=seen).observe(seen)
    # For a moment the plan may be on its way back.
    assert page(*steps[-1][1], history=seen, now=T.timestamp() + 2005).startswith(
        info("plan_failed").partition("\n")[0]
    )
    assert page(*steps[-1][1], history=seen) == info("not_started", NEWER, since=2000)


def test_what_nobody_needs_is_forgotten() -> None:
    seen = facts_of(*INSTALLED, catalog(), manifest(NEW, OLD), sub(), now=NOW).observe(History())
    assert any(name.startswith("head/") for name in seen.names())
    updated = (
        csv(NEW, ("Installing", "", at(10)), ("Succeeded", "", at(20)), replaces=OLD),
        hco(NEW),
        objects.operator_condition(NEW, since=at(20)),
        catalog(),
        manifest(NEW, OLD),
        sub(installed=objects.csv_name(NEW)),
    )
    for _ in range(3):
        seen = facts_of(*updated, now=NOW + 60, history=seen).observe(seen)
    assert not any(name.startswith("head/") for name in seen.names())
    # What led to the installed version is kept until the next one is.
    assert any(objects.csv_name(OLD) in name for name in seen.names())


def test_nothing_is_remembered_of_what_is_not_known() -> None:
    given = (*INSTALLED, catalog(), manifest(NEW, OLD), sub())
    assert (
        facts_of(*given, availability={"nodes": Availability.KNOWN}, now=NOW).observe(History()) == History()
    )


@pytest.mark.parametrize(
    ("openshift", "waits"),
    [
        ({}, 0),
        ({"available": ["4.18.20"]}, 0),
        ({"available": ["4.18.20", "4.19.3"]}, 1),
        ({"channel": "eus-4.20"}, 1),
        ({"channel": ""}, 0),
    ],
)
def test_whether_the_operator_waits_for_openshift(openshift: dict[str, Any], waits: int) -> None:
    version = objects.cluster_version(
        [objects.release("4.18.14", BORN, BORN)],
        **merged(openshift, channel="stable-4.18", created=BORN),
    )
    families = ["operator_waits_for_openshift"]
    given = (*INSTALLED, version, catalog(), manifest(OLD), sub())
    assert page(*given, families=families) == f"virt_upgrade_operator_waits_for_openshift {waits}\n"
    behind = (*INSTALLED, version, catalog(), manifest(NEW, OLD), sub())
    assert page(*behind, families=families) == "virt_upgrade_operator_waits_for_openshift 0\n"
    assert page(*given, families=families, absent=[PACKAGE_MANIFESTS]) == ""
