"""Versions, skew and support, from API objects to exposition text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.records.olm import CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS
from exporter.simulator import objects
from tests.unit.facts.given import page_of

BORN = datetime(2026, 1, 1, tzinfo=UTC)
T = datetime(2026, 8, 20, 10, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SKEW = ("operator_info", "version_skew", "support_violation", "condition_since_timestamp_seconds")


def openshift(*history: dict[str, Any], channel: str = "stable-4.18") -> dict[str, Any]:
    return objects.cluster_version(list(history), channel=channel, created=BORN)


def completed(version: str, at: datetime = T) -> dict[str, Any]:
    return objects.release(version, at - HOUR, at)


def hco(version: str, *, progressing: str = "False", since: datetime = T, **fields: Any) -> dict[str, Any]:
    obj = objects.hyperconverged(version, created=BORN, since=since)
    next(each for each in obj["status"]["conditions"] if each["type"] == "Progressing")["status"] = (
        progressing
    )
    return obj | fields


def csv(version: str, *, replaces: str = "", phase: str = "Succeeded", at: datetime = T) -> dict[str, Any]:
    obj = objects.cluster_service_version(version, created=at, succeeded=at)
    obj["spec"] |= {"replaces": replaces} if replaces else {}
    obj["status"]["phase"] = phase
    if phase not in {"Succeeded", "Replacing", "Deleting"}:
        obj["status"]["conditions"] = obj["status"]["conditions"][:2]
    return obj


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param(
            [completed("4.18.3")],
            'virt_upgrade_openshift_info{version="4.18.3",minor="4.18",channel="stable-4.18"} 1\n',
            id="newest completed",
        ),
        pytest.param(
            [objects.release("4.19.0", T, None), completed("4.18.3")],
            'virt_upgrade_openshift_info{version="4.18.3",minor="4.18",channel="stable-4.18"} 1\n',
            id="an update under way has not arrived",
        ),
        pytest.param(
            [
                objects.release("4.19.1", T, None),
                objects.release("4.19.0", T, T, given_up=True),
                completed("4.18.3"),
            ],
            'virt_upgrade_openshift_info{version="4.18.3",minor="4.18",channel="stable-4.18"} 1\n',
            id="a given up update in a retarget chain has not arrived",
        ),
        pytest.param([objects.release("4.18.3", T, None)], "", id="the first installation runs nothing yet"),
    ],
)
def test_openshift_info_is_the_newest_completed_version(history: list[dict[str, Any]], expected: str) -> None:
    assert page_of(openshift(*history), families=["openshift_info"]) == expected


def test_openshift_info_without_a_channel_or_history() -> None:
    bare = openshift(completed("4.18.3"))
    del bare["spec"]["channel"]
    assert 'channel=""' in page_of(bare, families=["openshift_info"])
    del bare["status"]["history"]
    assert page_of(bare, families=["openshift_info"]) == ""
    other = openshift(completed("4.18.3"))
    other["metadata"]["name"] = "somebody-else"
    assert page_of(other, families=["openshift_info"]) == ""


@pytest.mark.parametrize(
    ("ours", "theirs", "skew", "violation"),
    [
        ("4.18.8", "4.18.3", 0, 0),
        ("4.17.11", "4.18.3", -1, 1),
        ("4.16.2", "4.18.3", -2, 1),
        ("4.19.0", "4.18.3", 1, 1),
        ("4.23.1", "5.0.2", 0, 0),
        ("5.0.1", "4.23.7", 0, 0),
        ("4.22.1", "5.0.2", -1, 1),
        ("5.1.0", "4.23.9", 1, 1),
        ("1.14.0", "4.18.0-okd-scos.4", 0, 0),
    ],
)
def test_skew_counts_minors_on_one_line(ours: str, theirs: str, skew: int, violation: int) -> None:
    page = page_of(
        openshift(completed(theirs)), hco(ours), csv(ours), families=("version_skew", "support_violation")
    )
    assert f"virt_upgrade_version_skew {skew}\n" in page
    assert f'virt_upgrade_support_violation{{violation="version_skew"}} {violation}\n' in page


def test_skew_is_unknown_when_either_version_is_none() -> None:
    assert page_of(openshift(completed("4.18.3")), families=SKEW) == ""
    assert page_of(hco("not a version"), openshift(completed("4.18.3")), families=["version_skew"]) == ""
    assert page_of(hco("4.18.3"), openshift(completed("latest")), families=["version_skew"]) == ""


def test_skew_since_is_the_first_completion_of_the_present_minor() -> None:
    page = page_of(
        openshift(
            objects.release("4.19.5", T + 3 * HOUR, None),
            completed("4.19.4", T + 2 * HOUR),
            objects.release("4.19.2", T, T, given_up=True),
            completed("4.19.1", T),
            completed("4.18.9", T - 900 * HOUR),
            completed("4.19.0", T - 1000 * HOUR),
        ),
        hco("4.18.8"),
        families=["condition_since_timestamp_seconds"],
    )
    assert page == (
        f'virt_upgrade_condition_since_timestamp_seconds{{condition="version_skew"}} {int(T.timestamp())}\n'
    )


def test_skew_since_is_absent_while_the_pair_is_supported() -> None:
    page = page_of(
        openshift(completed("4.18.3")), hco("4.18.8"), families=["condition_since_timestamp_seconds"]
    )
    assert page == ""


def info(version: str, csv_: str) -> str:
    minor = ".".join(version.split(".")[:2])
    return (
        'virt_upgrade_operator_info{operator_namespace="openshift-cnv",package="kubevirt-hyperconverged",'
        f'csv="{csv_}",version="{version}",minor="{minor}"}} 1\n'
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            [hco("4.18.3"), csv("4.18.3")],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="idle",
        ),
        pytest.param(
            [
                hco("4.18.3"),
                csv("4.18.3", phase="Replacing"),
                csv("4.18.8", replaces=objects.csv_name("4.18.3"), phase="Installing", at=T + HOUR),
            ],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="during the installation the old one is completed",
        ),
        pytest.param(
            [
                hco("4.18.3", progressing="True", since=T),
                csv("4.18.8", replaces=objects.csv_name("4.18.3"), at=T + HOUR),
            ],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="during the rollout the old one is completed though its CSV is gone",
        ),
        pytest.param(
            [hco("4.18.3", progressing="True", since=T), csv("4.18.3")],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="an operand that progresses later takes nothing back",
        ),
        pytest.param(
            [hco("4.18.3", progressing="Unknown", since=BORN), csv("4.18.3")],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="a failed reconcile takes nothing back",
        ),
        pytest.param(
            [
                hco("4.18.3", progressing="True", since=BORN + timedelta(seconds=2)),
                csv("4.18.3", at=BORN - timedelta(minutes=5)),
            ],
            "",
            id="the first installation has completed nothing",
        ),
        pytest.param(
            [hco("4.18.3", status={}), csv("4.18.3")],
            "",
            id="HyperConverged without a status has completed nothing",
        ),
        pytest.param(
            [csv("4.18.3", phase="Replacing"), csv("4.18.8", phase="Installing", at=T + HOUR)],
            info("4.18.3", objects.csv_name("4.18.3")),
            id="without HyperConverged the newest that ever succeeded",
        ),
        pytest.param([csv("4.18.3", phase="Pending")], "", id="nothing ever succeeded"),
        pytest.param([], "", id="nothing there"),
    ],
)
def test_operator_info_is_the_completed_version(given: list[dict[str, Any]], expected: str) -> None:
    assert page_of(*given, families=["operator_info"]) == expected


def test_a_flapping_csv_has_still_succeeded() -> None:
    flapping = csv("4.18.3")
    flapping["status"]["phase"] = "Installing"
    assert page_of(flapping, families=["operator_info"]) == info("4.18.3", objects.csv_name("4.18.3"))


def test_a_csv_of_another_package_is_not_ours() -> None:
    other = csv("4.18.3")
    other["metadata"]["annotations"]["operatorframework.io/properties"] = (
        '{"properties":[{"type":"olm.package","value":{"packageName":"odf-operator","version":"4.18.3"}}]}'
    )
    assert page_of(other, families=["operator_info"]) == ""


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"properties":[{"type":"olm.package","value":7}]}'])
def test_a_csv_with_broken_properties_is_found_by_its_label(broken: str) -> None:
    ours = csv("4.18.3")
    ours["metadata"]["annotations"]["operatorframework.io/properties"] = broken
    assert page_of(ours, families=["operator_info"]) == info("4.18.3", objects.csv_name("4.18.3"))


def test_a_csv_without_marks_is_found_by_the_subscription() -> None:
    bare = csv("4.18.3")
    del bare["metadata"]["annotations"], bare["metadata"]["labels"]
    ours = objects.subscription(created=BORN, installed=objects.csv_name("4.18.3"))
    assert page_of(bare, ours, families=["operator_info"]) == info("4.18.3", objects.csv_name("4.18.3"))


@pytest.mark.parametrize(
    ("absent", "unknown", "families"),
    [
        ([CLUSTER_VERSIONS], [], ["operator_info"]),
        ([], [CLUSTER_VERSIONS], ["operator_info"]),
        ([], [HYPERCONVERGEDS], ["openshift_info"]),
        ([], [CLUSTER_SERVICE_VERSIONS], ["openshift_info"]),
        ([SUBSCRIPTIONS, CLUSTER_SERVICE_VERSIONS], [], ["openshift_info", "operator_info", "version_skew"]),
    ],
)
def test_families_are_absent_while_what_they_rest_on_is_not_known(
    absent: list[Any], unknown: list[Any], families: list[str]
) -> None:
    page = page_of(
        openshift(completed("4.18.3")),
        hco("4.18.8"),
        families=("openshift_info", "operator_info", "version_skew"),
        absent=absent,
        unknown=unknown,
    )
    assert [line.split("{")[0].split(" ")[0].removeprefix("virt_upgrade_") for line in page.splitlines()] == (
        families
    )


def test_topology() -> None:
    page = page_of(
        objects.infrastructure(created=BORN, control_plane="External", workers="SingleReplica"),
        families=["openshift_topology_info"],
    )
    assert page == (
        'virt_upgrade_openshift_topology_info{control_plane="External",infrastructure="SingleReplica"} 1\n'
    )


def test_openshift_operators_that_updates_rest_on() -> None:
    unknown = objects.cluster_operator("machine-config", since=T)
    unknown["status"]["conditions"][0]["status"] = "Unknown"
    silent = objects.cluster_operator("operator-lifecycle-manager", since=T)
    del silent["status"]
    page = page_of(
        objects.cluster_operator("marketplace", since=T),
        objects.cluster_operator("operator-lifecycle-manager-catalog", since=T, available=False),
        objects.cluster_operator("console", since=T, available=False),
        unknown,
        silent,
        families=["openshift_operator_available"],
    )
    assert page == (
        'virt_upgrade_openshift_operator_available{name="machine-config"} 0\n'
        'virt_upgrade_openshift_operator_available{name="marketplace"} 1\n'
        'virt_upgrade_openshift_operator_available{name="operator-lifecycle-manager"} 0\n'
        'virt_upgrade_openshift_operator_available{name="operator-lifecycle-manager-catalog"} 0\n'
    )
