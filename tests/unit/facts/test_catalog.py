"""What the catalog offers: objects and memory in, exposition text out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from exporter.facts.catalog import queries
from exporter.facts.cluster import Scope
from exporter.history.value import History, Latest
from exporter.kube.resource import Query
from exporter.records.olm import CATALOG_SOURCES, PACKAGE_MANIFESTS
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_pending import BORN, INSTALLED, NEW, NEWER, NOW, OLD, T, manifest, sub

FAMILIES = ["channel_head_info", "channel_missing_since_timestamp_seconds", "versions_behind"]
VIOLATION = 'virt_upgrade_support_violation{violation="no_longer_in_catalog"}'


def catalog(connected: float, state: str = "READY") -> dict[str, Any]:
    """A catalog that OLM connected to so many seconds before NOW."""
    at = T + timedelta(seconds=3600 - connected)
    return objects.catalog_source(created=BORN, polled=T, state=state, connected=at)


def head(version: str, behind: int, missing: float | None = None) -> str:
    since = "" if missing is None else f"virt_upgrade_channel_missing_since_timestamp_seconds {missing:.0f}\n"
    return (
        f'virt_upgrade_channel_head_info{{version="{version}",csv="{objects.csv_name(version)}"}} 1\n'
        f"{since}virt_upgrade_versions_behind {behind}\n"
    )


def lost(*given: dict[str, Any], **more: Any) -> str:
    page = page_of(*given, families=["support_violation"], **({"now": NOW} | more))
    return next((line.removeprefix(VIOLATION).strip() for line in page.splitlines() if VIOLATION in line), "")


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([OLD], head(OLD, 0)),
        ([NEW, OLD], head(NEW, 1)),
        ([NEWER, NEW, OLD, "4.18.7"], head(NEWER, 2)),
        (["4.18.7"], head("4.18.7", 0)),
        (["4.18.8+1.p", OLD], head("4.18.8+1.p", 1)),
        (["4.18.9-rc.1", OLD], head("4.18.9-rc.1", 1)),
    ],
)
def test_head_and_versions_behind(offered: list[str], expected: str) -> None:
    given = (*INSTALLED, catalog(5000), manifest(*offered), sub())
    assert page_of(*given, families=FAMILIES, now=NOW) == expected


@pytest.mark.parametrize("channel", ["", "stable"])
def test_without_a_channel_it_is_the_packages_default(channel: str) -> None:
    given = (*INSTALLED, catalog(5000), manifest(NEW, OLD), sub(channel=channel))
    assert page_of(*given, families=FAMILIES, now=NOW) == head(NEW, 1)


def test_the_same_package_of_another_catalog_is_not_ours() -> None:
    other = manifest(NEWER, OLD)
    other["metadata"]["labels"]["catalog"] = "community-operators"
    other["status"]["catalogSource"] = "community-operators"
    assert page_of(*INSTALLED, catalog(5000), other, sub(), families=FAMILIES, now=NOW) == ""


def remembered(*given: dict[str, Any], missing: float | None = None) -> History:
    """What is remembered of an offer, and of its absence for so many seconds before NOW."""
    seen = facts_of(*given, now=NOW - 7200).observe(History())
    if missing is not None:
        gone = [each for each in given if each["kind"] != "PackageManifest"]
        seen = facts_of(*gone, now=NOW - missing, history=seen).observe(seen)
    return seen


def test_a_package_that_comes_back_was_not_gone_however_soon_it_is_missing_again() -> None:
    given = (*INSTALLED, catalog(5000), manifest(NEW, OLD), sub())
    gone = [each for each in given if each["kind"] != "PackageManifest"]
    history = facts_of(*gone, now=NOW - 50).observe(History())
    history = facts_of(*given, now=NOW - 49, history=history).observe(history)
    history = facts_of(*gone, now=NOW, history=history).observe(history)
    assert page_of(*gone, families=FAMILIES, now=NOW, history=history) == head(NEW, 1, NOW)


@pytest.mark.parametrize(
    ("state", "connected", "missing", "gone"),
    [
        # It vanishes within a second of its catalog's death.
        ("TRANSIENT_FAILURE", 600, 600, False),
        ("CONNECTING", 600, 600, False),
        # It comes back a little after the catalog.
        ("READY", 2, 600, False),
        ("READY", 300, 600, False),
        ("READY", 301, 600, True),
        # A cache that has been lost for a moment says nothing.
        ("READY", 5000, 29, False),
        ("READY", 5000, 30, True),
    ],
)
def test_the_last_offer_counts_until_its_catalog_would_tell(
    state: str, connected: float, missing: float, gone: bool
) -> None:
    given = (*INSTALLED, catalog(connected, state), sub())
    history = remembered(*given, manifest(NEW, OLD), missing=missing)
    page = page_of(*given, families=FAMILIES, history=history, now=NOW)
    since = f"virt_upgrade_channel_missing_since_timestamp_seconds {NOW - missing:.0f}\n"
    assert page == (since if gone else head(NEW, 1, NOW - missing))
    assert lost(*given, history=history) == str(int(gone))


@pytest.mark.parametrize(
    ("offered", "connected", "gone"),
    [
        ([NEW, OLD], 5000, "0"),
        ([NEW], 5000, "0"),
        ([OLD], 5000, "0"),
        (["4.18.7"], 5000, "1"),
        (["4.18.7"], 299, "0"),
        (["4.17.20", "4.18.1"], 5000, "1"),
    ],
)
def test_a_channel_that_ends_before_the_installed_version(
    offered: list[str], connected: float, gone: str
) -> None:
    assert lost(*INSTALLED, catalog(connected), manifest(*offered), sub()) == gone


def test_nobody_tells_without_packages_or_catalogs() -> None:
    given = (*INSTALLED, catalog(5000), sub())
    assert lost(*given, absent=[PACKAGE_MANIFESTS]) == ""
    assert lost(*given, unknown=[PACKAGE_MANIFESTS]) == ""
    assert lost(*given, unknown=[CATALOG_SOURCES]) == ""
    assert lost(*INSTALLED, catalog(5000)) == ""


def test_a_memory_that_is_none_is_none() -> None:
    given = (*INSTALLED, catalog(600, "TRANSIENT_FAILURE"), sub())
    history = remembered(*given, manifest(NEW, OLD), missing=600)
    name = next(name for name in history.latest if name.startswith("offer/"))
    for text in ("", "{", "[]", "null", "[" * 5000):
        spoiled = History(history.first, history.episodes, {name: Latest(0.0, text)})
        assert "head_info" not in page_of(*given, families=FAMILIES, history=spoiled, now=NOW)


def test_what_is_asked_for_is_each_subscribed_package_in_its_catalog() -> None:
    again = sub(name="again", package="community-kubevirt-hyperconverged")
    again["spec"]["source"] = "community-operators"
    other = sub(name="other", package="gitops")
    nowhere = sub(name="nowhere")
    nowhere["spec"] |= {"source": "", "sourceNamespace": ""}
    cluster = facts_of(sub(), sub(name="twice"), again, other, nowhere).cluster
    place = "catalog-namespace=openshift-marketplace"
    assert queries(cluster) == [
        Query(
            "openshift-marketplace",
            "community-kubevirt-hyperconverged",
            f"catalog=community-operators,{place}",
        ),
        Query("openshift-marketplace", "kubevirt-hyperconverged", f"catalog=redhat-operators,{place}"),
    ]
    assert queries(facts_of(sub(), scope=Scope(packages=("gitops",))).cluster) == []


def test_what_was_said_before_the_catalog_was_ready_is_no_absence() -> None:
    """The catalog died, the answer was empty; it is back, but the aggregated API is not."""
    given = (*INSTALLED, catalog(1000), sub())
    history = remembered(*given, manifest(NEW, OLD), missing=1200)
    facts = facts_of(*given, history=history, now=NOW)
    heard = {PACKAGE_MANIFESTS.plural: NOW - 1100}
    assert facts.later(history, NOW, heard=heard).catalog.lost is False
    assert facts.later(history, NOW, heard={PACKAGE_MANIFESTS.plural: NOW - 650}).catalog.lost is True


def test_what_is_gone_does_not_come_back_with_the_next_outage() -> None:
    given = (*INSTALLED, catalog(5000), sub())
    history = remembered(*given, manifest(NEW, OLD), missing=600)
    history = facts_of(*given, history=history, now=NOW).observe(history)
    down = (*INSTALLED, catalog(5, "TRANSIENT_FAILURE"), sub())
    assert "head_info" not in page_of(*down, families=FAMILIES, history=history, now=NOW + 10)


def test_another_catalogs_offer_does_not_count_for_this_one() -> None:
    history = remembered(*INSTALLED, catalog(5000), sub(), manifest(NEW, OLD))
    moved = sub()
    moved["spec"]["source"] = "mirror"
    assert "head_info" not in page_of(*INSTALLED, moved, families=FAMILIES, history=history, now=NOW)


def test_of_two_replicas_the_one_that_asked_last_tells_the_offer() -> None:
    given = (*INSTALLED, catalog(5000), sub())
    newer = facts_of(*given, manifest(NEW, OLD), now=NOW)
    seen = newer.later(History(), NOW, heard={PACKAGE_MANIFESTS.plural: NOW - 10}).observe(History())
    older = facts_of(*given, manifest(OLD), now=NOW)
    again = older.later(seen, NOW, heard={PACKAGE_MANIFESTS.plural: NOW - 200}).observe(seen)
    assert again.text(next(iter(seen.latest))) == seen.text(next(iter(seen.latest)))


def test_a_channel_that_tells_no_version_says_nothing() -> None:
    offer = manifest(NEW)
    offer["status"]["channels"][0] |= {"entries": [], "currentCSVDesc": {}}
    assert lost(*INSTALLED, catalog(5000), offer, sub()) == "0"
