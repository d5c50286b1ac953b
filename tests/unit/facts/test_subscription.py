"""Subscription, approval, channel and catalog, from API objects to exposition text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.facts.cluster import Scope
from exporter.records.olm import CATALOG_SOURCES, INSTALL_PLANS, PACKAGE_MANIFESTS, SUBSCRIPTIONS
from exporter.simulator import objects
from tests.unit.facts.given import page_of

BORN = datetime(2026, 1, 1, tzinfo=UTC)
T = datetime(2026, 8, 20, 10, 0, 0, tzinfo=UTC)
OLD, NEW = objects.csv_name("4.18.3"), objects.csv_name("4.18.8")


def ours(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"created": BORN, "installed": OLD} | changes
    return objects.subscription(**given)


def neighbour(approval: str, namespace: str = objects.NAMESPACE) -> dict[str, Any]:
    other = ours(name="other", package="some-operator", approval=approval)
    other["metadata"]["namespace"] = namespace
    return other


def approval(configured: str, effective: str) -> str:
    return "".join(
        f'virt_upgrade_approval_strategy{{scope="{scope}",strategy="{strategy}"}} {int(strategy == actual)}\n'
        for scope, actual in (("configured", configured), ("effective", effective))
        for strategy in ("Automatic", "Manual")
    )


def plan(approval_: str, *, approved: bool, name: str = "install-aaaaa") -> dict[str, Any]:
    return objects.install_plan(name, created=T, csv=NEW, approval=approval_, approved=approved)


WAITING = {"current": NEW, "plan": "install-aaaaa"}


@pytest.mark.parametrize(
    ("given", "configured", "effective"),
    [
        pytest.param([ours()], "Automatic", "Automatic", id="Automatic alone"),
        pytest.param([ours(approval="")], "Automatic", "Automatic", id="empty is Automatic"),
        pytest.param([ours(approval="Manual")], "Manual", "Manual", id="Manual alone"),
        pytest.param(
            [ours(), neighbour("Manual")], "Automatic", "Manual", id="a Manual neighbour makes all Manual"
        ),
        pytest.param([ours(), neighbour("")], "Automatic", "Automatic", id="an empty neighbour does not"),
        pytest.param(
            [ours(), neighbour("Manual", "elsewhere")],
            "Automatic",
            "Automatic",
            id="a Manual Subscription of another namespace does not",
        ),
        pytest.param(
            [ours(**WAITING), plan("Manual", approved=False)],
            "Automatic",
            "Manual",
            id="a plan made while Manual keeps waiting after the switch to Automatic",
        ),
        pytest.param(
            [ours(**WAITING), plan("Manual", approved=True)],
            "Automatic",
            "Automatic",
            id="an approved plan waits no more",
        ),
        pytest.param(
            [ours(**WAITING, approval="Manual"), plan("Automatic", approved=False)],
            "Manual",
            "Automatic",
            id="the strategy of the waiting plan counts, not what was set later",
        ),
        pytest.param(
            [ours(**WAITING), plan("Manual", approved=False, name="install-bbbbb")],
            "Automatic",
            "Automatic",
            id="an orphaned plan is nobody's",
        ),
    ],
)
def test_effective_approval(given: list[dict[str, Any]], configured: str, effective: str) -> None:
    assert page_of(*given, families=["approval_strategy"]) == approval(configured, effective)


def test_the_plan_is_found_by_uid_where_the_reference_has_one() -> None:
    subscription = ours(**WAITING)
    subscription["status"]["installPlanRef"]["uid"] = "new"
    same_name = plan("Manual", approved=False)
    same_name["metadata"]["uid"] = "old"
    page = page_of(subscription, same_name, families=["approval_strategy"])
    assert page == approval("Automatic", "Automatic")
    same_name["metadata"]["uid"] = "new"
    page = page_of(subscription, same_name, families=["approval_strategy"])
    assert page == approval("Automatic", "Manual")


def test_a_plan_of_the_same_name_elsewhere_is_not_ours() -> None:
    elsewhere = plan("Manual", approved=False)
    elsewhere["metadata"]["namespace"] = "elsewhere"
    page = page_of(ours(**WAITING), elsewhere, families=["approval_strategy"])
    assert page == approval("Automatic", "Automatic")


def in_namespace(obj: dict[str, Any], namespace: str, *, created: datetime = BORN) -> dict[str, Any]:
    obj["metadata"] |= {"namespace": namespace, "creationTimestamp": objects.time(created)}
    return obj


@pytest.mark.parametrize(
    ("given", "scope", "found"),
    [
        pytest.param(
            [
                in_namespace(ours(), "older"),
                in_namespace(ours(), "hco", created=T),
                in_namespace(objects.hyperconverged("4.18.3", created=T, since=T), "hco"),
            ],
            Scope(operator_namespace="older"),
            "hco",
            id="the HyperConverged's namespace first",
        ),
        pytest.param(
            [in_namespace(ours(), "older"), in_namespace(ours(), "configured", created=T)],
            Scope(operator_namespace="configured"),
            "configured",
            id="then the configured namespace",
        ),
        pytest.param(
            [
                in_namespace(ours(), "older"),
                in_namespace(ours(), "csv", created=T),
                in_namespace(objects.cluster_service_version("4.18.3", created=T, succeeded=T), "csv"),
            ],
            Scope(),
            "csv",
            id="then the namespace of the package's CSV",
        ),
        pytest.param(
            [in_namespace(ours(), "younger", created=T), in_namespace(ours(), "older")],
            Scope(),
            "older",
            id="then the oldest anywhere",
        ),
        pytest.param(
            [
                in_namespace(ours(), "other-package"),
                in_namespace(ours(package="community-kubevirt-hyperconverged"), "community", created=T),
            ],
            Scope(packages=("community-kubevirt-hyperconverged",)),
            "community",
            id="only configured packages",
        ),
    ],
)
def test_which_subscription_is_ours(given: list[dict[str, Any]], scope: Scope, found: str) -> None:
    page = page_of(*given, families=["subscription_info"], scope=scope)
    assert page.startswith(f'virt_upgrade_subscription_info{{operator_namespace="{found}",')
    assert page.count("\n") == 1


def test_among_several_in_one_namespace_the_oldest_then_the_first_by_name() -> None:
    a, b, c = ours(name="a"), ours(name="b"), ours(name="c")
    a["metadata"]["creationTimestamp"] = objects.time(T)
    page = page_of(a, c, b, families=["subscription_info", "subscriptions"])
    assert "virt_upgrade_subscriptions 3\n" in page
    assert 'subscription="b"' in page
    del b["metadata"]["creationTimestamp"]
    assert 'subscription="c"' in page_of(a, c, b, families=["subscription_info"])


def test_without_a_subscription_only_their_number_is_there() -> None:
    families = (
        "subscriptions",
        "subscription_info",
        "subscription_state",
        "approval_strategy",
        "channel_recommended",
        "support_violation",
        "deprecated",
        "catalog_source_ready",
        "catalog_source_last_poll_timestamp_seconds",
    )
    alone = objects.catalog_source(created=BORN, polled=T)
    assert page_of(neighbour("Manual"), alone, families=families) == "virt_upgrade_subscriptions 0\n"


def test_a_subscription_as_written_before_olm_has_seen_it() -> None:
    fresh = ours()
    del fresh["status"]
    page = page_of(fresh, families=["subscription_state", "approval_strategy", "deprecated"])
    assert 'state="None"} 1\n' in page
    assert page.count(" 1\n") == 3
    bare = {**fresh, "spec": {"name": objects.PACKAGE}}
    assert 'channel="",source="",source_namespace=""' in page_of(bare, families=["subscription_info"])


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("AtLatestKnown", "AtLatestKnown"),
        ("UpgradePending", "UpgradePending"),
        ("UpgradeFailed", "UpgradeFailed"),
        ("UpgradeAvailable", "UpgradeAvailable"),
        ("", "None"),
        (None, "None"),
        ("SomethingNew", "None"),
    ],
)
def test_exactly_one_state_is_1(state: str | None, shown: str) -> None:
    subscription = ours()
    subscription["status"]["state"] = state
    assert page_of(subscription, families=["subscription_state"]) == "".join(
        f'virt_upgrade_subscription_state{{state="{each}"}} {int(each == shown)}\n'
        for each in ("AtLatestKnown", "None", "UpgradeAvailable", "UpgradeFailed", "UpgradePending")
    )


@pytest.mark.parametrize(
    ("channel", "recommended"), [("stable", 1), ("", 1), ("candidate", 0), ("dev-preview", 0), ("Stable", 0)]
)
def test_the_recommended_channel(channel: str, recommended: int) -> None:
    families = ["channel_recommended", "support_violation"]
    page = page_of(ours(channel=channel), families=families, absent=[PACKAGE_MANIFESTS])
    assert page == (
        f'virt_upgrade_support_violation{{violation="channel"}} {1 - recommended}\n'
        f"virt_upgrade_channel_recommended {recommended}\n"
    )


def test_abnormal_conditions_are_shown_once_and_only_while_true() -> None:
    conditions = [
        objects.condition("ResolutionFailed", "True", T, "ConstraintsNotSatisfiable"),
        objects.condition("ResolutionFailed", "True", T, "ConstraintsNotSatisfiable"),
        objects.condition("CatalogSourcesUnhealthy", "False", T, "AllCatalogSourcesHealthy"),
        objects.condition("BundleUnpacking", "Unknown", T),
        {"type": "InstallPlanMissing", "status": "True"},
        {"status": "True", "reason": "a condition without a type"},
        objects.condition("ChannelDeprecated", "True", T),
        objects.condition("BundleDeprecated", "False", T),
    ]
    page = page_of(ours(conditions=conditions), families=["subscription_condition", "deprecated"])
    assert page == (
        'virt_upgrade_subscription_condition{type="ChannelDeprecated",reason=""} 1\n'
        'virt_upgrade_subscription_condition{type="InstallPlanMissing",reason=""} 1\n'
        'virt_upgrade_subscription_condition{type="ResolutionFailed",reason="ConstraintsNotSatisfiable"} 1\n'
        'virt_upgrade_deprecated{scope="bundle"} 0\n'
        'virt_upgrade_deprecated{scope="channel"} 1\n'
        'virt_upgrade_deprecated{scope="package"} 0\n'
    )


CATALOG = 'catalog="redhat-operators",catalog_namespace="openshift-marketplace"'


@pytest.mark.parametrize("state", ["READY", "TRANSIENT_FAILURE", "CONNECTING", "IDLE", "SHUTDOWN", ""])
def test_our_catalog_is_ready_or_not(state: str) -> None:
    catalog = objects.catalog_source(created=BORN, polled=T, state=state)
    page = page_of(
        ours(),
        catalog,
        families=["catalog_source_ready", "catalog_source_last_poll_timestamp_seconds"],
    )
    assert page == (
        f"virt_upgrade_catalog_source_ready{{{CATALOG}}} {int(state == 'READY')}\n"
        f"virt_upgrade_catalog_source_last_poll_timestamp_seconds{{{CATALOG}}} {int(T.timestamp())}\n"
    )


def test_a_missing_catalog_is_not_ready() -> None:
    elsewhere = objects.catalog_source(created=BORN, polled=T)
    elsewhere["metadata"]["namespace"] = "elsewhere"
    page = page_of(
        ours(), elsewhere, families=["catalog_source_ready", "catalog_source_last_poll_timestamp_seconds"]
    )
    assert page == f"virt_upgrade_catalog_source_ready{{{CATALOG}}} 0\n"


def test_a_catalog_that_is_not_polled_has_no_poll_time() -> None:
    catalog = objects.catalog_source(created=BORN, polled=T)
    del catalog["status"]["latestImageRegistryPoll"], catalog["status"]["connectionState"]
    page = page_of(
        ours(), catalog, families=["catalog_source_ready", "catalog_source_last_poll_timestamp_seconds"]
    )
    assert page == f"virt_upgrade_catalog_source_ready{{{CATALOG}}} 0\n"


@pytest.mark.parametrize(
    ("resource", "gone"),
    [
        (SUBSCRIPTIONS, {"subscription_info", "approval_strategy", "catalog_source_ready"}),
        (INSTALL_PLANS, {"approval_strategy"}),
        (CATALOG_SOURCES, {"catalog_source_ready"}),
    ],
)
def test_what_is_forbidden_takes_only_its_own_families_away(resource: Any, gone: set[str]) -> None:
    families = ("subscription_info", "approval_strategy", "catalog_source_ready")
    page = page_of(
        ours(), objects.catalog_source(created=BORN, polled=T), families=families, unknown=[resource]
    )
    there = {family for family in families if f"virt_upgrade_{family}{{" in page}
    assert there == set(families) - gone


def test_times_are_the_same_in_every_zone() -> None:
    catalog = objects.catalog_source(created=BORN, polled=T)
    catalog["status"]["latestImageRegistryPoll"] = (T + timedelta(hours=2)).strftime(
        "%Y-%m-%dT%H:%M:%S+02:00"
    )
    page = page_of(ours(), catalog, families=["catalog_source_last_poll_timestamp_seconds"])
    assert page.endswith(f" {int((T).timestamp())}\n")
