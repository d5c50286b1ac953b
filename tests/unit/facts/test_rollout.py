"""Which version is installed and has it arrived: with memory and without, and what follows from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from exporter.facts import Facts
from exporter.facts.finding import OPENSHIFT, OPERATOR
from exporter.history.value import History
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_pending import BORN, NEW, NEWER, NOW, OLD, T, at, catalog, csv, manifest, plan, sub

Object = dict[str, Any]
HALF: objects.Phase = ("Installing", "InstallWaiting", at(30))


def hco(version: str, progressing: str = "False", since: datetime = BORN, created: datetime = BORN) -> Object:
    obj = objects.hyperconverged(version, created=created, since=since)
    obj["metadata"]["uid"] = f"hco-{created.timestamp():.0f}"
    next(each for each in obj["status"]["conditions"] if each["type"] == "Progressing")["status"] = (
        progressing
    )
    return obj


def said(version: str, reason: str = "Upgradeable", since: datetime = BORN, status: bool = True) -> Object:
    return objects.operator_condition(version, since=since, upgradeable=status, reason=reason)


UPGRADING = said(NEW, "Initializing", at(20), False)
RESTARTED = said(NEW, "Initializing", at(900), False)
DENIES = said(NEW, "SSPNotUpgradeable", at(800), False)


def silent(version: str) -> Object:
    obj = objects.operator_condition(version, since=T)
    return obj | {"status": {}}


def succeeded(version: str, created: datetime, done: datetime, replaces: str = "") -> Object:
    return csv(version, ("Pending", "", created), HALF, ("Succeeded", "", done), replaces=replaces or OLD)


def state(facts: Facts) -> str:
    rollout = facts.rollout
    return "complete" if rollout.complete else "first" if rollout.first else "running"


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        pytest.param("complete", [csv(OLD)], id="there is no HyperConverged"),
        pytest.param("complete", [csv(OLD), hco(OLD), said(OLD)], id="all is well"),
        pytest.param(
            "complete",
            [csv(OLD), hco(OLD), said(OLD, "Initializing", at(0), False)],
            id="the operator was restarted long after the end",
        ),
        pytest.param(
            "complete",
            [csv(OLD), hco(OLD, "True", at(0)), said(OLD, since=BORN + timedelta(minutes=9))],
            id="an operand progresses long after the end",
        ),
        pytest.param(
            "complete",
            [csv(OLD), hco(OLD, "Unknown", at(0)), said(OLD, since=BORN + timedelta(minutes=9))],
            id="a reconcile has failed long after the end",
        ),
        pytest.param(
            "first",
            [csv(OLD), hco(OLD, "True", BORN + timedelta(seconds=100)), said(OLD, since=BORN)],
            id="the first installation progresses again, the operator spoke before it began",
        ),
        pytest.param(
            "first",
            [csv(OLD), hco(OLD, "Unknown", BORN + timedelta(seconds=50)), said(OLD, since=BORN)],
            id="the first installation has failed to reconcile",
        ),
        pytest.param("first", [csv(OLD, ("Installing", "", T))], id="the first CSV is being installed"),
        pytest.param(
            "running",
            [succeeded(NEW, at(0), at(60)), hco(OLD), UPGRADING],
            id="HyperConverged still has the old version, whose CSV is gone",
        ),
        pytest.param(
            "running",
            [
                succeeded(NEW, at(0), at(60)),
                hco(NEW, "True", at(10)),
                UPGRADING,
            ],
            id="the new version with operands that progress is no end",
        ),
        pytest.param(
            "running",
            [succeeded(NEW, at(0), at(60)), hco(NEW, "False", at(90)), UPGRADING],
            id="Progressing=False since, but the operator says that it is at it: it alone may be replaced",
        ),
        pytest.param(
            "complete",
            [succeeded(NEW, at(0), at(60)), hco(NEW, "False", at(90)), RESTARTED],
            id="Progressing=False since, and the operator has restarted after the end",
        ),
        pytest.param(
            "complete",
            [succeeded(NEW, at(0), at(60)), hco(NEW, "True", at(900)), RESTARTED],
            id="an operand progresses, and the operator has restarted after the end",
        ),
        pytest.param(
            "complete",
            [succeeded(NEW, at(0), at(60)), hco(NEW, "True", at(900)), DENIES],
            id="an operand progresses and is not upgradeable, long after the end",
        ),
        pytest.param(
            "running",
            [succeeded(NEW, at(0), at(60)), hco(NEW), UPGRADING],
            id="HyperConverged had that version already, and the operator has not said",
        ),
        pytest.param(
            "running",
            [succeeded(NEW, at(0), at(60)), hco(NEW), silent(NEW)],
            id="HyperConverged had that version already, and an empty word is no end",
        ),
        pytest.param(
            "complete",
            [succeeded(NEW, at(0), at(60)), hco(NEW), said(NEW, since=at(70))],
            id="HyperConverged had that version already, and the operator has said",
        ),
    ],
)
def test_without_memory(expected: str, given: list[Object]) -> None:
    assert state(facts_of(*given, sub(), now=NOW)) == expected


def test_the_end_is_remembered() -> None:
    done = (succeeded(NEW, at(0), at(60)), hco(NEW, "False", at(90)), said(NEW), sub())
    seen = facts_of(*done, now=NOW).observe(History())
    later = (
        succeeded(NEW, at(0), at(60)),
        hco(NEW, "True", at(900)),
        said(NEW, "Initializing", at(950), False),
    )
    assert state(facts_of(*later, sub(), history=seen, now=NOW)) == "complete"


def test_a_hyperconverged_that_is_made_again_is_no_first_installation() -> None:
    seen = facts_of(csv(OLD), hco(OLD), said(OLD), sub(), now=NOW - 60).observe(History())
    again = hco("", "True", at(3500), created=at(3500))
    assert state(facts_of(csv(OLD), again, said(OLD), sub(), history=seen, now=NOW)) == "running"


def test_one_that_is_made_after_its_csv_is_part_of_the_first_installation() -> None:
    seen = facts_of(csv(OLD), sub(), now=NOW - 60).observe(History())
    first = hco(OLD, "True", at(3500), created=at(3500))
    facts = facts_of(csv(OLD), first, said(OLD), sub(), history=seen, now=NOW)
    assert state(facts) == "first"
    assert facts.versions.operator is None


def test_an_update_runs_from_the_creation_of_its_csv_on() -> None:
    held = csv(NEW, ("Pending", "OperatorConditionNotUpgradeable", at(0)), replaces=OLD)
    given = (csv(OLD), held, hco(OLD), said(OLD), catalog(), manifest(NEW, OLD), sub())
    facts = facts_of(*given, now=NOW)
    assert facts.rollout.running
    assert facts.findings.objects["operator_update_running"] == (objects.csv_name(NEW),)
    assert (facts.findings.ready(OPERATOR), facts.findings.ready(OPENSHIFT)) == (False, None)


def test_while_one_update_is_rolled_out_the_next_is_not_pending() -> None:
    given = (
        succeeded(NEW, at(0), at(60)),
        csv(NEWER, ("Pending", "OperatorConditionNotUpgradeable", at(70)), replaces=NEW),
        hco(OLD),
        said(NEW, "AlreadyPerformingUpgrade", at(20), False),
        plan(NEWER, approved=True),
        sub("install-a"),
    )
    families = ["pending_update_info", "pending_update_age_seconds", "operator_info"]
    assert page_of(*given, families=families, now=NOW) == (
        'virt_upgrade_operator_info{operator_namespace="openshift-cnv",package="kubevirt-hyperconverged",'
        f'csv="{objects.csv_name(OLD)}",version="{OLD}",minor="4.18"}} 1\n'
        "virt_upgrade_pending_update_age_seconds 0\n"
    )
    finished = (*given[:2], hco(NEW, "False", at(90)), said(NEW, since=at(90)), *given[4:])
    assert 'cause="upgrade_gate"' in page_of(*finished, families=families, now=NOW)


def test_a_rebuild_keeps_hyperconvergeds_version_and_is_not_behind_itself() -> None:
    rebuilt = csv(OLD)
    name, version = f"{objects.csv_name(OLD)}-0.1747215995.p", f"{OLD}+0.1747215995.p"
    rebuilt["metadata"]["name"] = name
    rebuilt["spec"]["version"] = version
    container = {"name": "operator", "env": [{"name": "HCO_KV_IO_VERSION", "value": OLD}]}
    template = {"spec": {"template": {"spec": {"containers": [container]}}}}
    rebuilt["spec"]["install"]["spec"]["deployments"] = [template]
    offer = manifest(version, OLD)
    offer["status"]["channels"][0] |= {"currentCSV": name}
    page = page_of(
        rebuilt,
        hco(OLD),
        catalog(),
        offer,
        sub(installed=name),
        families=["operator_info", "versions_behind", "pending_update_age_seconds"],
        now=NOW,
    )
    assert page == (
        'virt_upgrade_operator_info{operator_namespace="openshift-cnv",package="kubevirt-hyperconverged",'
        f'csv="{name}",version="{OLD}",minor="4.18"}} 1\n'
        "virt_upgrade_versions_behind 0\n"
        "virt_upgrade_pending_update_age_seconds 0\n"
    )
