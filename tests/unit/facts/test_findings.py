"""The list of findings: what each needs to hold, what it blocks, and when nothing may be said."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from exporter.facts import RESOURCES, Facts
from exporter.facts.finding import OPENSHIFT, OPERATOR, Effect, Names, Severity, text
from exporter.facts.findings import FINDINGS
from exporter.history.value import History
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import MACHINE_CONFIG_POOLS
from exporter.records.olm import CATALOG_SOURCES, PACKAGE_MANIFESTS, SUBSCRIPTIONS
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_pending import (
    BORN,
    INSTALLED,
    NEW,
    NEWER,
    NOW,
    OLD,
    T,
    at,
    catalog,
    csv,
    flag,
    manifest,
    plan,
    sub,
)
from tests.unit.facts.vms import kubevirt, migration, node, pool, vm, vmi

Object = dict[str, Any]
OPENSHIFT_DONE = objects.release("4.18.14", BORN, BORN)


def openshift(*newest: Object, **given: Any) -> Object:
    defaults: dict[str, Any] = {"channel": "stable-4.18", "created": BORN}
    return objects.cluster_version([*newest, OPENSHIFT_DONE], **(defaults | given))


def not_upgradeable(version: Object, reason: str) -> Object:
    version["status"]["conditions"] = [objects.condition("Upgradeable", "False", T, reason)]
    return version


WELL = (*INSTALLED, catalog(), manifest(OLD), openshift())


def rolling(pool: Object, since: datetime) -> Object:
    pool["status"]["conditions"] += [
        objects.condition("Updated", "False", since, ""),
        objects.condition("Updating", "True", since, ""),
    ]
    return pool


def seen(*given: Object, times: int = 3) -> Facts:
    """The facts once everything that is first seen has been stored."""
    history = History()
    for second in range(times):
        facts = facts_of(*given, now=NOW - times + second, history=history)
        history = facts.observe(history)
    return facts_of(*given, now=NOW, history=history)


CASES: list[tuple[str, list[Object], str]] = [
    ("no_subscription", [*WELL], "openshift-cnv"),
    (
        "several_subscriptions",
        [*WELL, sub(), sub(name="again")],
        "openshift-cnv/again, openshift-cnv/hco-operatorhub",
    ),
    ("not_installed", [catalog(), openshift(), sub(installed="")], "OpenShift Virtualization"),
    (
        "not_installed",
        [csv(OLD, ("Installing", "", T)), catalog(), openshift(), sub()],
        objects.csv_name(OLD),
    ),
    (
        "olm_unavailable",
        [*WELL, sub(), objects.cluster_operator("marketplace", since=T, available=False)],
        "marketplace",
    ),
    (
        "catalog_unhealthy",
        [*INSTALLED, openshift(), sub(), catalog("TRANSIENT_FAILURE")],
        "openshift-marketplace/redhat-operators",
    ),
    ("catalog_unhealthy", [*INSTALLED, openshift(), sub()], "openshift-marketplace/redhat-operators"),
    (
        "no_longer_in_catalog",
        [*INSTALLED, catalog(), openshift(), sub(), manifest("4.18.7")],
        "openshift-cnv/hco-operatorhub",
    ),
    (
        "version_skew",
        [*WELL, sub(), openshift(objects.release("4.19.3", T, T))],
        "OpenShift Virtualization 4.18 on OpenShift 4.19",
    ),
    ("channel_not_recommended", [*WELL, sub(channel="candidate")], "openshift-cnv/hco-operatorhub"),
    ("deprecated", [*WELL, sub("", "", flag("BundleDeprecated"))], "bundle"),
    ("manual_approval", [*WELL, sub(approval="Manual")], "openshift-cnv/hco-operatorhub"),
    ("awaiting_approval", [*WELL, sub("install-a", NEW), plan()], "openshift-cnv/install-a"),
    (
        "plan_failed",
        [*WELL, sub("install-a", NEW), plan(approved=True, phase="Failed")],
        "openshift-cnv/install-a",
    ),
    (
        "unpack_failed",
        [*WELL, manifest(NEW, OLD), sub("", "", flag("BundleUnpackFailed"))],
        objects.csv_name(NEW),
    ),
    (
        "resolution_failed",
        [*WELL, manifest(NEW, OLD), sub("", "", flag("ResolutionFailed"))],
        objects.csv_name(NEW),
    ),
    ("not_started", [*WELL, manifest(NEW, OLD), sub()], objects.csv_name(NEW)),
    (
        "upgrade_gate",
        [*WELL, sub(), csv(NEW, ("Pending", "OperatorConditionNotUpgradeable", T), replaces=OLD)],
        objects.csv_name(NEW),
    ),
    (
        "requirements_not_met",
        [*WELL, sub(), csv(NEW, ("Pending", "RequirementsNotMet", T), replaces=OLD)],
        objects.csv_name(NEW),
    ),
    ("stale_plan", [*WELL, manifest(NEWER, OLD), sub("install-a", NEW), plan()], objects.csv_name(NEW)),
    (
        "operator_waits_for_openshift",
        [*WELL, sub(), openshift(available=["4.19.1"])],
        "OpenShift Virtualization 4.18.8",
    ),
    (
        "operator_not_upgradeable",
        [*WELL, sub(), objects.operator_condition(OLD, since=T, upgradeable=False, reason="No")],
        objects.csv_name(OLD),
    ),
    (
        "operator_update_running",
        [*WELL, sub(), csv(NEW, ("Pending", "", T), ("Succeeded", "", at(60)), replaces=OLD)],
        objects.csv_name(NEW),
    ),
    (
        "operator_update_failed",
        [
            *WELL,
            sub(),
            csv(NEW, ("Pending", "", T), ("Failed", "InstallComponentFailed", at(60)), replaces=OLD),
        ],
        objects.csv_name(NEW),
    ),
    (
        "openshift_update_running",
        [*WELL, sub(), openshift(objects.release("4.18.15", T, None))],
        "OpenShift 4.18.15",
    ),
    (
        "openshift_minor_blocked",
        [*WELL, sub(), not_upgradeable(openshift(channel="stable-4.19"), "AdminAckRequired")],
        "AdminAckRequired",
    ),
    ("drain_would_block", [*WELL, sub(), vmi(live="New"), vm()], "prod/db"),
    ("vm_stays_down", [*WELL, sub(), vmi(strategy="None"), vm(run="Manual")], "prod/db"),
    (
        "workaround_restart_required",
        [*WELL, sub(), vmi(live="New"), vm(strategy="LiveMigrateIfPossible")],
        "prod/db",
    ),
    ("node_drain_blocked", [*WELL, sub(), vmi(live="New"), vm(), node(cordoned=True)], "w1"),
    ("migratability_stale", [*WELL, sub(), vmi(), vm(), node(schedulable="false")], "w1"),
    ("outdated_vms", [*WELL, sub(), vmi(outdated=True), vm()], "prod/db"),
    ("workload_update_disabled", [*WELL, sub(), vmi(outdated=True), vm(), kubevirt(methods=[])], "prod/db"),
    (
        "migrations_failing",
        [*WELL, sub(), vmi(), vm(), *(migration(each, "Failed") for each in "abc")],
        "prod/db",
    ),
    ("pool_degraded", [*WELL, sub(), pool(degraded="True")], "worker"),
    ("pool_paused", [*WELL, sub(), pool(paused=True, configurations=("b", "a"))], "worker"),
]


@pytest.mark.parametrize(("name", "given", "named"), CASES, ids=[name for name, _, _ in CASES])
def test_a_finding_names_what_it_concerns(name: str, given: list[Object], named: str) -> None:
    # Of two objects of one name the later one counts, as in a cluster.
    assert text(seen(*given).findings.names[name]) == named


def test_every_finding_has_a_case_and_says_what_to_do() -> None:
    assert {each.name for each in FINDINGS} == {name for name, _, _ in CASES}
    assert len({each.name for each in FINDINGS}) == len(FINDINGS)
    for each in FINDINGS:
        assert each.statement.endswith("."), each.name
        assert each.action.endswith("."), each.name
        assert each.resources, each.name


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    facts = seen(*WELL, sub())
    assert facts.findings.objects == {}
    assert (facts.findings.ready(OPERATOR), facts.findings.ready(OPENSHIFT)) == (True, True)


@pytest.mark.parametrize(("name", "given", "named"), CASES, ids=[name for name, _, _ in CASES])
def test_ready_is_1_exactly_when_nothing_that_holds_blocks(
    name: str, given: list[Object], named: str
) -> None:
    findings = seen(*given).findings
    for update in (OPERATOR, OPENSHIFT):
        blocks = [
            each.finding.name
            for each in findings.found
            if each.objects and each.finding.effect(update) is Effect.BLOCKS
        ]
        assert findings.ready(update) is not bool(blocks)
    finding = next(each for each in FINDINGS if each.name == name)
    if finding.operator is Effect.BLOCKS:
        assert findings.ready(OPERATOR) is False


def test_the_page_holds_every_finding_and_the_names_of_those_that_hold() -> None:
    page = page_of(*WELL, sub(channel="candidate"), families=["findings", "finding_objects_info"], now=NOW)
    lines = page.splitlines()
    assert len([line for line in lines if line.startswith("virt_upgrade_findings{")]) == len(FINDINGS)
    assert [line for line in lines if not line.endswith("} 0")] == [
        'virt_upgrade_findings{finding="channel_not_recommended",severity="warning"} 1',
        'virt_upgrade_finding_objects_info{finding="channel_not_recommended",node="",'
        'objects="openshift-cnv/hco-operatorhub"} 1',
    ]


@pytest.mark.parametrize(
    ("absent", "unknown", "lines"),
    [
        ([], [], ['{update="openshift"} 1', '{update="operator"} 1']),
        ([SUBSCRIPTIONS], [], ['{update="openshift"} 1']),
        ([CLUSTER_VERSIONS], [], ['{update="operator"} 1']),
        ([], [CATALOG_SOURCES], ['{update="openshift"} 1']),
        ([], [SUBSCRIPTIONS], []),
        ([PACKAGE_MANIFESTS], [], ['{update="openshift"} 1', '{update="operator"} 1']),
        # A failed resolution or unpacking shows only to who knows the head of the channel.
        ([], [PACKAGE_MANIFESTS], []),
        # Without virtual machines nothing blocks a drain; with what nobody may read it is not known.
        ([VIRTUAL_MACHINE_INSTANCES], [], ['{update="openshift"} 1', '{update="operator"} 1']),
        ([], [VIRTUAL_MACHINE_INSTANCES], ['{update="operator"} 1']),
        # What the nodes do is part of an update of OpenShift.
        ([], [MACHINE_CONFIG_POOLS], []),
    ],
)
def test_there_is_no_verdict_without_what_it_rests_on(
    absent: list[Any], unknown: list[Any], lines: list[str]
) -> None:
    page = page_of(*WELL, sub(), families=["ready"], absent=absent, unknown=unknown, now=NOW)
    assert sorted(line.removeprefix("virt_upgrade_ready") for line in page.splitlines()) == lines


def test_there_is_no_verdict_on_what_is_stale() -> None:
    facts = facts_of(*WELL, sub(), now=NOW)
    stale = facts.later(History(), NOW, frozenset({"catalogsources"}))
    assert (stale.findings.ready(OPERATOR), stale.findings.ready(OPENSHIFT)) == (None, True)
    stale = facts.later(History(), NOW, frozenset({"infrastructures"}))
    assert (stale.findings.ready(OPERATOR), stale.findings.ready(OPENSHIFT)) == (True, None)


def test_what_has_only_just_gone_has_not_gone_and_keeps_its_since() -> None:
    wrong, right = (*WELL, sub(channel="candidate")), (*WELL, sub())
    history = History()
    found = None
    recent: dict[str, Names] = {}
    said = []
    for seconds, given in ((0, wrong), (100, right), (159, right), (159, wrong), (300, right), (361, right)):
        facts = facts_of(*given, now=NOW + seconds, history=history)
        facts = Facts(facts.cluster, history, NOW + seconds, recent=recent)
        history = facts.observe(history)
        facts = Facts(facts.cluster, history, NOW + seconds, recent=recent)
        recent = facts.findings.names
        found = next(each for each in facts.findings.found if each.finding.name == "channel_not_recommended")
        said.append((bool(found.objects), found.now, found.since and found.since - NOW))
    assert said == [
        (True, True, 0.0),
        (True, False, 0.0),
        (True, False, 0.0),
        (True, True, 0.0),
        (True, False, 0.0),
        (False, False, None),
    ]


def test_since_when_is_the_earlier_of_what_we_saw_and_what_the_api_says() -> None:
    skewed = (*WELL, sub(), openshift(objects.release("4.19.3", T, T - timedelta(days=3))))
    found = next(each for each in seen(*skewed).findings.found if each.finding.name == "version_skew")
    assert found.since == (T - timedelta(days=3)).timestamp()


def test_a_finding_that_cannot_be_worked_out_is_not_known_and_there_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_facts: Facts) -> list[str]:
        raise KeyError("a defect")

    spoiled = [replace(each, objects=broken) if each.name == "no_subscription" else each for each in FINDINGS]
    monkeypatch.setattr("exporter.facts.findings.FINDINGS", spoiled)
    facts = facts_of(*WELL, sub(), now=NOW)
    assert facts.findings.ready(OPERATOR) is None
    assert facts.findings.ready(OPENSHIFT) is True


@pytest.mark.parametrize(
    ("count", "length", "expected"),
    [
        (0, 5, ""),
        (1, 5, "00000"),
        (5, 3, "000, 111, 222, 333, 444"),
        (8, 3, "000, 111, 222, 333, 444 and 3 more"),
    ],
)
def test_an_alert_names_five(count: int, length: int, expected: str) -> None:
    assert text(Names.of(str(number) * length for number in range(count))) == expected


@pytest.mark.parametrize("letter", ["a", "é", "🙂", "\ud800"])
@pytest.mark.parametrize("length", [10, 100, 253, 1000])
def test_the_names_are_never_longer_than_400_bytes(letter: str, length: int) -> None:
    said = text(Names.of(f"{number}{letter * length}" for number in range(9)))
    assert len(said.encode()) <= 400
    assert said.endswith(" more")


def test_what_blocks_the_next_minor_is_in_the_way_only_of_who_wants_it() -> None:
    blocked = not_upgradeable(openshift(), "AdminAckRequired")
    assert facts_of(*WELL, sub(), blocked, now=NOW).findings.ready(OPENSHIFT)
    wanted = not_upgradeable(openshift(channel="stable-4.19"), "AdminAckRequired")
    assert facts_of(*WELL, sub(), wanted, now=NOW).findings.ready(OPENSHIFT) is False


def test_an_update_of_openshift_runs_until_its_nodes_have_it() -> None:
    done = openshift(objects.release("4.18.15", at(-7200), at(-3600)))
    given = rolling(pool(configurations=("rendered-b", "rendered-a")), at(-5400))
    facts = facts_of(*WELL, sub(), done, given, now=NOW)
    assert facts.findings.ready(OPERATOR) is facts.findings.ready(OPENSHIFT) is False
    found = next(each for each in facts.findings.found if each.finding.name == "openshift_update_running")
    assert found.objects == ("pool worker",)


def test_severities_and_effects_are_what_the_documentation_says() -> None:
    blocking = {each.name for each in FINDINGS if each.operator is Effect.BLOCKS}
    assert blocking == {
        "no_subscription",
        "not_installed",
        "olm_unavailable",
        "catalog_unhealthy",
        "plan_failed",
        "unpack_failed",
        "resolution_failed",
        "operator_not_upgradeable",
        "operator_update_running",
        "operator_update_failed",
        "openshift_update_running",
    }
    assert {each.name for each in FINDINGS if each.openshift is Effect.BLOCKS} == {
        "operator_update_running",
        "operator_update_failed",
        "openshift_update_running",
        "openshift_minor_blocked",
        "plan_failed",
        "unpack_failed",
        "drain_would_block",
        "pool_degraded",
        "pool_paused",
    }
    assert {each.severity for each in FINDINGS} <= set(Severity)
    assert all(resource in RESOURCES for each in FINDINGS for resource in each.resources)
