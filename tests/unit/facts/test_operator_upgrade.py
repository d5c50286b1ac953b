"""An update of the operator, watched from its beginning to its end: stages, durations, outcomes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability
from exporter.history.upgrades import Upgrade, Upgrades
from exporter.history.value import History
from exporter.metrics.exposition import Format
from exporter.metrics.page import FactsPage
from exporter.simulator import objects
from tests.unit.facts.given import facts_of
from tests.unit.facts.test_pending import BORN, NEW, NEWER, OLD, T, at, plan, sub
from tests.unit.facts.test_rollout import hco, said
from tests.unit.facts.vms import kubevirt, vmi

Object = dict[str, Any]
S = T.timestamp()

FAMILIES = (
    "in_progress",
    "stage",
    "current_duration_seconds",
    "current_stage_duration_seconds",
    "started_timestamp_seconds",
    "completed_timestamp_seconds",
    "last_duration_seconds",
    "last_stage_duration_seconds",
    "install_failures",
    "history_duration_seconds",
)


def csv(version: str, *phases: tuple[str, str, float], replaces: str = OLD, phase: str = "") -> Object:
    """A ClusterServiceVersion with this history of phases, in seconds after T."""
    obj = objects.cluster_service_version(
        version,
        created=at(phases[0][2] if phases else -10_000),
        phases=[(name, reason, at(second)) for name, reason, second in phases],
        replaces=objects.csv_name(replaces) if replaces else "",
    )
    obj["metadata"]["uid"] = f"uid-{version}"
    if phase:
        obj["status"]["phase"] = phase
    return obj


def installed(version: str = OLD, phase: str = "") -> Object:
    """The first installation, long ago."""
    return csv(version, ("Pending", "", -90_000), ("Succeeded", "", -89_000), replaces="", phase=phase)


START = ("Pending", "RequirementsUnknown", 0.0)
INSTALLING = ("Installing", "InstallWaiting", 20.0)
DONE = ("Succeeded", "InstallSucceeded", 50.0)
GATE = "OperatorConditionNotUpgradeable"
UPGRADING = said(NEW, "AlreadyPerformingUpgrade", at(40), False)


class Watch:
    """An exporter that looks now and then."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self.before: frozenset[str] | None = None

    def look(self, second: float, *given: Object, counted: bool = True) -> Facts:
        """What is seen at so many seconds after T."""
        now = S + second
        cluster = facts_of(sub(), *given).cluster
        facts = Facts(cluster, self.history, now, before=self.before, counted=counted)
        self.history = facts.observe(self.history)
        # What was seen has been stored when the page is asked for.
        shown = Facts(cluster, self.history, now, before=self.before)
        self.before = shown.seen.updates
        return shown

    def page(self, second: float, *given: Object) -> str:
        return page(self.look(second, *given))


def page(facts: Facts, *families: str) -> str:
    """The lines that are not 0, without the prefix."""
    all_of = FactsPage(SUBJECTS)
    all_of.update(facts)
    assert not all_of.rule_errors.total()
    wanted = tuple(f"virt_upgrade_{each}" for each in families or FAMILIES)
    lines = [
        line.removeprefix("virt_upgrade_")
        for line in all_of.render(Format.TEXT).splitlines()
        if line.startswith(wanted)
        and not line.endswith(" 0")
        and line[len(max((each for each in wanted if line.startswith(each)), key=len))] in " {"
    ]
    return "".join(f"{line}\n" for line in lines)


def versions(before: str = OLD, after: str = NEW) -> str:
    return f'from_version="{before}",to_version="{after}"'


def test_an_update_is_followed_through_its_stages() -> None:
    watch = Watch()
    old = installed()
    waiting = plan(created=at(-600))
    vms = (kubevirt(), vmi("a"), vmi("b"))
    assert watch.page(-700, old, hco(OLD), said(OLD), *vms) == 'stage{stage="idle"} 1\n'
    watch.look(-600, old, hco(OLD), said(OLD), waiting, *vms)
    ready = sub("install-a", NEW)
    assert watch.page(-500, old, hco(OLD), said(OLD), waiting, ready, *vms) == (
        'stage{stage="approval"} 1\ncurrent_stage_duration_seconds{stage="approval"} 100\n'
    )
    approved = plan(created=at(-600), approved=True)
    old = installed(phase="Replacing")
    begun = f"started_timestamp_seconds{{{versions()}}} {S:.0f}\n"
    given = [old, approved, ready, hco(OLD), said(OLD), *vms]
    assert watch.page(10, *given, csv(NEW, START)) == (
        "in_progress 1\n"
        'stage{stage="install"} 1\n'
        "current_duration_seconds 10\n"
        'current_stage_duration_seconds{stage="approval"} 600\n'
        'current_stage_duration_seconds{stage="install"} 10\n' + begun
    )
    # The plan is Complete and AtLatestKnown says the same: nothing has ended.
    given = [hco(OLD), UPGRADING, approved, sub("install-a", NEW), *vms]
    assert watch.page(80, *given, csv(NEW, START, INSTALLING, DONE)) == (
        "in_progress 1\n"
        'stage{stage="rollout"} 1\n'
        "current_duration_seconds 80\n"
        'current_stage_duration_seconds{stage="approval"} 600\n'
        'current_stage_duration_seconds{stage="install"} 50\n'
        'current_stage_duration_seconds{stage="rollout"} 30\n' + begun
    )
    there = csv(NEW, START, INSTALLING, DONE)
    vms = (kubevirt(), vmi("a", outdated=True), vmi("b", outdated=True, live="SEVNotLiveMigratable"))
    given = [there, hco(NEW, since=at(300)), said(NEW, since=at(300)), approved, sub("install-a", NEW)]
    ended = (
        f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 300:.0f}\n'
        "last_duration_seconds 300\n"
    )
    last = (
        'last_stage_duration_seconds{stage="approval"} 600\n'
        'last_stage_duration_seconds{stage="install"} 50\n'
        'last_stage_duration_seconds{stage="rollout"} 250\n'
    )
    labels = f'{versions()},outcome="completed",started="2026-08-20T10:00:00Z"'
    table = f"history_duration_seconds{{{labels}}} 300\n"
    assert watch.page(400, *given, *vms) == (
        'stage{stage="workloads"} 1\n'
        'current_stage_duration_seconds{stage="approval"} 600\n'
        'current_stage_duration_seconds{stage="install"} 50\n'
        'current_stage_duration_seconds{stage="rollout"} 250\n'
        'current_stage_duration_seconds{stage="workloads"} 100\n' + begun + ended + last + table
    )
    # The one that cannot be migrated does not count.
    vms = (kubevirt(), vmi("a"), vmi("b", outdated=True, live="SEVNotLiveMigratable"))
    idle = 'stage{stage="idle"} 1\n'
    assert watch.page(500, *given, *vms) == idle + begun + ended + last + table
    # For a minute it may still be that not all of them have been marked.
    assert watch.page(560, *given, *vms) == (
        idle + begun + ended + last + 'last_stage_duration_seconds{stage="workloads"} 200\n' + table
    )
    # Whatever happens to the operator later is no update, and moves no end.
    flaps = csv(NEW, START, INSTALLING, DONE, ("Failed", "ComponentUnhealthy", 90_000), phase="Failed")
    given = [flaps, hco(NEW, "True", at(90_100)), said(NEW, "Initializing", at(90_050), False), sub()]
    assert watch.page(90_200, *given, *vms).startswith('stage{stage="idle"} 1\n' + begun + ended)


def histogram(facts: Facts, outcome: str) -> str:
    lines = page(facts, "duration_seconds_bucket", "duration_seconds_sum", "duration_seconds_count")
    return "".join(f"{line}\n" for line in lines.splitlines() if f'outcome="{outcome}"' in line)


def test_durations_are_a_histogram_of_every_outcome() -> None:
    watch = Watch()
    watch.look(0, installed(), hco(OLD), said(OLD))
    facts = watch.look(
        400, csv(NEW, START, INSTALLING, DONE), hco(NEW, since=at(300)), said(NEW, since=at(300))
    )
    assert (
        histogram(facts, "completed")
        == "".join(
            f'duration_seconds_bucket{{outcome="completed",le="{bound}"}} 1\n'
            for bound in (
                *("300.0", "600.0", "900.0", "1800.0", "3600.0"),
                *("7200.0", "14400.0", "28800.0", "86400.0", "+Inf"),
            )
        )
        + 'duration_seconds_count{outcome="completed"} 1\nduration_seconds_sum{outcome="completed"} 300\n'
    )
    assert histogram(facts, "failed") == ""


GATED = ("Pending", "OperatorConditionNotUpgradeable", 2.0)


def test_what_the_gate_holds_does_not_count_for_the_duration() -> None:
    watch = Watch()
    old, no = installed(phase="Replacing"), said(OLD, "SSPNotUpgradeable", at(-60), False)
    watch.look(-10, installed(), hco(OLD), no)
    assert watch.page(3600, old, hco(OLD), no, csv(NEW, START, GATED)).startswith(
        'in_progress 1\nstage{stage="gate"} 1\ncurrent_stage_duration_seconds{stage="gate"} 3600\n'
    )
    opened = (START, GATED, ("InstallReady", "AllRequirementsMet", 7200.0))
    facts = watch.look(7230, old, hco(OLD), no, csv(NEW, *opened))
    assert page(facts, "stage", "current_duration_seconds", "current_stage_duration_seconds") == (
        'stage{stage="install"} 1\n'
        "current_duration_seconds 30\n"
        'current_stage_duration_seconds{stage="gate"} 7200\n'
        'current_stage_duration_seconds{stage="install"} 30\n'
    )
    done = csv(NEW, *opened, ("Succeeded", "", 7260.0))
    facts = watch.look(8000, done, hco(NEW, since=at(7900)), said(NEW, since=at(7900)))
    assert page(facts, "last_duration_seconds", "last_stage_duration_seconds") == (
        "last_duration_seconds 700\n"
        'last_stage_duration_seconds{stage="gate"} 7200\n'
        'last_stage_duration_seconds{stage="install"} 60\n'
        'last_stage_duration_seconds{stage="rollout"} 640\n'
    )


def test_the_gate_is_open_when_its_version_waits_for_nothing_any_more() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    # Another thing that it waits for is found first: the gate is not asked then.
    waits = (START, GATED, ("Pending", "RequirementsNotMet", 3600.0), ("InstallReady", "", 7200.0))
    for count, opened in ((3, None), (4, S + 7200)):
        facts = watch.look(7300, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, *waits[:count]))
        assert [each.opened for each in facts.operator_upgrade.upgrades.records] == [opened]


def approved_by(who: str, created: float, *, approved: bool = True) -> Object:
    """A plan with what the API server notes of who wrote its approval."""
    obj = plan(created=at(created), approved=approved)
    field: Object = {"f:spec": {"f:approved": {}}}
    obj["metadata"] |= {
        "name": f"install-{who}",
        "uid": who,
        "managedFields": [{"manager": who, "fieldsV1": field}],
    }
    return obj


@pytest.mark.parametrize(
    ("plans", "who"),
    [
        pytest.param([approved_by("alice", -600)], "alice", id="the only plan"),
        pytest.param(
            [approved_by("alice", -600), approved_by("bob", -60)], "bob", id="it was made anew: the last one"
        ),
        pytest.param(
            [approved_by("bob", -60), approved_by("alice", -600)], "bob", id="in whatever order they come"
        ),
        pytest.param(
            [approved_by("alice", -600), approved_by("bob", -60, approved=False)],
            "alice",
            id="one that nobody has approved",
        ),
        pytest.param(
            [approved_by("alice", -600), approved_by("bob", 60)],
            "alice",
            id="one that was made when the version was there",
        ),
        pytest.param([approved_by("catalog", -600)], "", id="OLM itself: the strategy is Automatic"),
    ],
)
def test_who_approved_is_told_by_the_plan_that_brought_it(plans: list[Object], who: str) -> None:
    facts = Watch().look(30, installed(phase="Replacing"), hco(OLD), csv(NEW, START, INSTALLING), *plans)
    assert [each.approver for each in facts.operator_upgrade.upgrades.records] == [who]


def timeouts(count: int) -> list[tuple[str, str, float]]:
    """An install that runs into its timeout of five minutes again and again."""
    found: list[tuple[str, str, float]] = [START]
    for number in range(count):
        end = 300.0 * (number + 1)
        found += [
            ("Installing", "InstallWaiting", end - 290),
            ("Failed", "InstallCheckFailed", end),
            ("Pending", "NeedsReinstall", end),
        ]
    return found


@pytest.mark.parametrize(
    ("second", "phases", "stage"),
    [
        (310, timeouts(1), "install"),
        # The second timeout of one version is no accident.
        (610, timeouts(2), "failed"),
        (310, [START, INSTALLING, ("Failed", "InstallComponentFailed", 300.0)], "install"),
        (360, [START, INSTALLING, ("Failed", "InstallComponentFailed", 300.0)], "install"),
        (361, [START, INSTALLING, ("Failed", "InstallComponentFailed", 300.0)], "failed"),
        # It has succeeded once: what comes afterwards is no failed update.
        (2000, [*timeouts(2), ("Succeeded", "", 700.0)], "rollout"),
        (2000, [START, DONE, ("Failed", "ComponentUnhealthy", 1000.0)], "rollout"),
    ],
)
def test_an_update_has_failed_when_it_will_not_get_better_by_itself(
    second: float, phases: list[tuple[str, str, float]], stage: str
) -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    facts = watch.look(second, installed(phase="Replacing"), hco(OLD), UPGRADING, csv(NEW, *phases))
    assert page(facts, "stage") == f'stage{{stage="{stage}"}} 1\n'


def test_failed_attempts_stay_counted_when_the_api_has_dropped_them() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    old = installed(phase="Replacing")
    for count in range(1, 10):
        phases = timeouts(count)[-20:]
        new = dated(csv(NEW, *phases))
        facts = watch.look(300 * count + 5, old, hco(OLD), UPGRADING, new)
        assert page(facts, "install_failures") == f'install_failures{{to_version="{NEW}"}} {count}\n'


def dated(obj: Object) -> Object:
    """It was created when the update began, whatever is left of its history of phases."""
    obj["metadata"]["creationTimestamp"] = objects.time(T)
    return obj


def test_what_a_trimmed_history_does_not_tell_is_left_out() -> None:
    # Whether it was held, how often it failed and when it first succeeded is lost.
    trimmed = dated(csv(NEW, *[*timeouts(9), ("Succeeded", "", 3000.0)][-20:]))
    facts = Watch().look(4000, trimmed, hco(NEW, since=at(3900)), said(NEW, since=at(3900)))
    assert page(facts, *FAMILIES) == (
        'stage{stage="idle"} 1\n'
        f"started_timestamp_seconds{{{versions()}}} {S:.0f}\n"
        f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 3900:.0f}\n'
    )
    # Who was there knows it all the same.
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    for count in range(1, 10):
        new = dated(csv(NEW, *timeouts(count)[-20:]))
        watch.look(300 * count + 5, installed(phase="Replacing"), hco(OLD), UPGRADING, new)
    watch.look(3000, hco(OLD), UPGRADING, trimmed)
    facts = watch.look(4000, trimmed, hco(NEW, since=at(3900)), said(NEW, since=at(3900)))
    assert page(facts, "install_failures", "last_duration_seconds", "last_stage_duration_seconds") == (
        "last_duration_seconds 3900\n"
        'last_stage_duration_seconds{stage="install"} 3000\n'
        'last_stage_duration_seconds{stage="rollout"} 900\n'
        f'install_failures{{to_version="{NEW}"}} 9\n'
    )


def test_an_update_whose_csv_is_deleted_has_failed_then() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(30, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, START, INSTALLING))
    facts = watch.look(90, installed(), hco(OLD), said(OLD))
    assert page(facts, "in_progress", "stage", "completed_timestamp_seconds", "last_duration_seconds") == (
        'stage{stage="idle"} 1\n'
        f'completed_timestamp_seconds{{{versions()},outcome="failed"}} {S + 90:.0f}\n'
        "last_duration_seconds 90\n"
    )


def forced() -> Object:
    """An administrator lets OLM go on, whatever the operator says."""
    override = objects.condition("Upgradeable", "True", at(990), "AcceptRisk")
    return {**UPGRADING, "spec": {**UPGRADING["spec"], "overrides": [override]}}


REPLACED = csv(NEW, START, INSTALLING, DONE, phase="Replacing")
FAILED = ("Failed", "InstallCheckFailed", 320.0)


def succeeds(second: float, *before: tuple[str, str, float], succeeded: bool = True) -> Object:
    """The next version, made at that second and installed at once, unless told otherwise."""
    phases = [("Pending", "", second), *before, ("Installing", "", second + 30)]
    phases += [("Succeeded", "", second + 60)] if succeeded else []
    return csv(NEWER, *phases, replaces=NEW)


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        pytest.param([forced(), REPLACED, succeeds(1000, succeeded=False)], 1000, id="it was forced"),
        pytest.param(
            [forced(), REPLACED, succeeds(700, ("Pending", GATE, 701.0), succeeded=False)],
            730,
            id="it was forced after a while: that is when it was replaced",
        ),
        pytest.param(
            [csv(NEW, START, INSTALLING, FAILED, phase="Replacing"), succeeds(1000, succeeded=False)],
            1000,
            id="it had never come up",
        ),
        pytest.param([UPGRADING, REPLACED, succeeds(1000)], 1000, id="what replaces it has come up"),
    ],
)
def test_an_update_that_a_newer_one_replaces_is_superseded_when_that_begins(
    there: list[Object], gone: int
) -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(600, hco(OLD), UPGRADING, csv(NEW, START, INSTALLING, DONE))
    facts = watch.look(1070, hco(OLD), *there)
    assert page(facts, "completed_timestamp_seconds", "last_duration_seconds") == (
        f'completed_timestamp_seconds{{{versions()},outcome="superseded"}} {S + gone:.0f}\n'
        f"last_duration_seconds {gone}\n"
    )


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(
            [UPGRADING, csv(NEWER, ("Pending", GATE, 700.0), replaces=NEW)],
            id="the next one waits",
        ),
        pytest.param(
            [said(NEW, since=at(699)), succeeds(700, ("Pending", GATE, 701.0), succeeded=False)],
            id="the operator has let it go, and HyperConverged is about to say why",
        ),
        pytest.param(
            [UPGRADING, succeeds(700, ("Pending", GATE, 701.0), succeeded=False)],
            id="what the operator has said is not known yet",
        ),
    ],
)
def test_an_update_that_the_next_one_follows_ends_as_any_other(there: list[Object]) -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(600, hco(OLD), UPGRADING, csv(NEW, START, INSTALLING, DONE))
    facts = watch.look(1000, hco(OLD), REPLACED, *there)
    assert page(facts, "stage", "completed_timestamp_seconds", "started_timestamp_seconds") == (
        f'stage{{stage="rollout"}} 1\nstarted_timestamp_seconds{{{versions()}}} {S:.0f}\n'
    )
    facts = watch.look(1001, hco(NEW, since=at(699)), said(NEW, since=at(699)), REPLACED, succeeds(700))
    assert page(facts, "completed_timestamp_seconds", "last_duration_seconds") == (
        f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 699:.0f}\n'
        "last_duration_seconds 699\n"
    )


def test_what_is_over_stays_as_it_was_whatever_becomes_of_its_objects() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(310, *BACKFILL)
    families = ("completed_timestamp_seconds", "last_duration_seconds", "install_failures", "in_progress")
    ended = (
        f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 300:.0f}\n'
        "last_duration_seconds 300\n"
    )
    flaps = [
        (phase, "", 5000.0 + 10 * number)
        for number in range(5)
        for phase in ("Failed", "Pending", "Installing", "Succeeded")
    ]
    trimmed = [csv(NEW, START, *flaps, DONE)["status"]["conditions"][-20:]]
    flapped = csv(NEW, START, *flaps)
    flapped["status"]["conditions"] = trimmed[0]
    anew = hco(NEW, "True", since=at(2100), created=at(2100))
    later = [
        # HyperConverged is deleted, and made again.
        (2000, [csv(NEW, START, INSTALLING, DONE), said(NEW, since=at(300))]),
        (2100, [csv(NEW, START, INSTALLING, DONE), said(NEW, since=at(300)), anew]),
        # The operator restarts for days, and OLM forgets how it began.
        (9000, [flapped, hco(NEW, since=at(8000)), said(NEW, since=at(8000))]),
        # An operand progresses while the next version waits behind the gate.
        (9100, [REPLACED, hco(NEW, "True", since=at(9010)), said(NEW, "SSPNotUpgradeable", at(9020), False)]),
    ]
    for second, given in later:
        assert page(watch.look(second, *given), *families) == ended, second
        assert page(Watch(watch.history).look(second, *given), *families) == ended, second


def ships(version: str, obj: Object) -> Object:
    """A ClusterServiceVersion whose operator makes HyperConverged have another version than its own."""
    env = [{"name": "HCO_KV_IO_VERSION", "value": version}]
    template = {"spec": {"containers": [{"name": "hco-operator", "env": env}]}}
    obj["spec"]["install"] = {
        "strategy": "deployment",
        "spec": {"deployments": [{"name": "hco-operator", "spec": {"template": template}}]},
    }
    return obj


def test_the_end_of_an_update_of_the_operator_alone_is_the_operators_word() -> None:
    # HyperConverged has the version already: what its operands do meanwhile ends nothing.
    watch = Watch()
    kept = "1.16.5"
    watch.look(-10, ships(kept, installed()), hco(kept), said(OLD))
    new = ships(kept, csv(NEW, START, INSTALLING))
    watch.look(30, ships(kept, installed(phase="Replacing")), hco(kept), said(OLD), new)
    there = ships(kept, csv(NEW, START, INSTALLING, DONE))
    facts = watch.look(60, hco(kept, "False", at(55)), said(NEW, "Initializing", at(45), False), there)
    assert page(facts, "stage") == 'stage{stage="rollout"} 1\n'
    for second in (80, 81):
        # What is over is told once it is stored.
        facts = watch.look(second, hco(kept, "False", at(55)), said(NEW, since=at(70)), there)
    assert page(facts, "stage", "last_duration_seconds") == (
        'stage{stage="idle"} 1\nlast_duration_seconds 70\n'
    )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([installed(), hco(OLD), said(OLD)], id="long after the first installation"),
        pytest.param(
            [csv(OLD, START, DONE, replaces="4.17.3"), hco(OLD, created=at(5), since=at(90)), said(OLD)],
            id="a bundle that names a predecessor nobody had",
        ),
        pytest.param([csv(OLD, START, INSTALLING, replaces="4.17.3")], id="during the first installation"),
        pytest.param(
            [csv(OLD, START, ("Failed", "InstallCheckFailed", 300.0), replaces="4.17.3")],
            id="a first installation that fails",
        ),
    ],
)
def test_a_first_installation_is_no_update(given: list[Object]) -> None:
    watch = Watch()
    for second in (400, 500):
        assert watch.page(second, *given) == 'stage{stage="idle"} 1\n'


TOLD = ("started_timestamp_seconds", "completed_timestamp_seconds", "last_duration_seconds")
BACKFILL = [csv(NEW, START, INSTALLING, DONE), hco(NEW, since=at(300)), said(NEW, since=at(300))]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            BACKFILL,
            f"started_timestamp_seconds{{{versions()}}} {S:.0f}\n"
            f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 300:.0f}\n'
            "last_duration_seconds 300\n",
            id="HyperConverged is older than the version",
        ),
        pytest.param(
            [
                csv(NEW, START, INSTALLING, DONE),
                plan(OLD, created=BORN, approved=True) | {"status": {"startTime": objects.time(BORN)}},
            ],
            f"started_timestamp_seconds{{{versions()}}} {S:.0f}\n"
            f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 50:.0f}\n'
            "last_duration_seconds 50\n",
            id="the predecessor's plan is left, and there is no HyperConverged",
        ),
        pytest.param(
            [csv(NEW, START, INSTALLING, DONE)],
            "",
            id="nothing proves that there was a predecessor",
        ),
        pytest.param(
            [csv(NEW, START, INSTALLING, DONE), hco(NEW, "True", at(9000)), said(NEW, since=at(8000))],
            f"started_timestamp_seconds{{{versions()}}} {S:.0f}\n"
            f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 8000:.0f}\n'
            "last_duration_seconds 8000\n",
            id="only later ones are left: an upper bound",
        ),
    ],
)
def test_an_exporter_that_starts_after_the_end_finds_what_the_objects_prove(
    given: list[Object], expected: str
) -> None:
    facts = Watch().look(10_000, *given)
    assert page(facts, "in_progress", *TOLD) == expected


def test_an_end_that_was_seen_stays_when_its_signs_move_on() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(400, *BACKFILL)
    later = [csv(NEW, START, INSTALLING, DONE), hco(NEW, since=at(9000)), said(NEW, since=at(9000))]
    for watching in (watch, Watch(watch.history)):
        facts = watching.look(10_000, *later)
        latest = facts.operator_upgrade.latest
        assert latest is not None
        assert (latest.completed, latest.at_most) == (S + 300, False)
    latest = Watch().look(10_000, *later).operator_upgrade.latest
    assert latest is not None
    assert latest.completed == S + 9000


@pytest.mark.parametrize(
    "replaced",
    [
        pytest.param([REPLACED, succeeds(1000)], id="what replaced it is seen to have come up"),
        pytest.param([REPLACED], id="only that it is replaced"),
        pytest.param([csv(NEW, START, INSTALLING, DONE)], id="it is seen as if it were the last"),
    ],
)
def test_whether_a_version_came_up_before_the_next_one_is_not_guessed(replaced: list[Object]) -> None:
    late = Watch()
    there = [hco(NEWER, since=at(1500)), said(NEWER, since=at(1500))]
    late.look(2000, installed(phase="Replacing"), *there, *replaced)
    facts = late.look(2100, *there, succeeds(1000))
    records = facts.operator_upgrade.upgrades.records
    assert [(each.to_version, each.outcome, each.lost) for each in records] == [
        (NEW, "", True),
        (NEWER, "completed", False),
    ]


def test_an_update_that_ended_while_nobody_looked_is_left_open() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(30, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, START, INSTALLING))
    back = Watch(watch.history)
    facts = back.look(5000, installed(), hco(OLD), said(OLD))
    assert page(facts, "in_progress", "stage", "completed_timestamp_seconds", "last_duration_seconds") == (
        'stage{stage="idle"} 1\n'
    )
    assert [each.lost for each in facts.operator_upgrade.upgrades.records] == [True]


def test_without_a_method_vms_are_not_waited_for() -> None:
    watch = Watch()
    vms = (kubevirt(methods=()), vmi("a", outdated=True))
    watch.look(-10, installed(), hco(OLD), said(OLD), *vms)
    facts = watch.look(400, *BACKFILL, *vms)
    assert page(facts, "stage") == 'stage{stage="idle"} 1\n'
    assert facts.operator_upgrade.latest is not None
    assert facts.operator_upgrade.latest.workloads == S + 300


def test_workloads_end_with_the_next_update_at_the_latest() -> None:
    watch = Watch()
    vms = (kubevirt(), vmi("a", outdated=True))
    watch.look(-10, installed(), hco(OLD), said(OLD), *vms)
    watch.look(400, *BACKFILL, *vms)
    newer = csv(NEWER, ("Pending", "", 5000.0), ("Installing", "", 5010.0), replaces=NEW)
    given = [csv(NEW, START, INSTALLING, DONE, phase="Replacing"), hco(NEW, since=at(300)), newer]
    facts = watch.look(5020, *given, said(NEW, since=at(300)), *vms)
    assert page(facts, "last_stage_duration_seconds") == (
        'last_stage_duration_seconds{stage="install"} 50\n'
        'last_stage_duration_seconds{stage="rollout"} 250\n'
        'last_stage_duration_seconds{stage="workloads"} 4700\n'
    )


def test_two_replicas_that_tell_each_other_say_the_same() -> None:
    one, other = Watch(), Watch()
    for watch in (one, other):
        watch.look(-10, installed(), hco(OLD), said(OLD))
    old = installed(phase="Replacing")
    one.look(305, old, hco(OLD), UPGRADING, csv(NEW, *timeouts(1)))
    other.look(605, old, hco(OLD), UPGRADING, csv(NEW, *timeouts(2)))
    merged = one.history.merge(other.history)
    assert merged == other.history.merge(one.history)
    facts = Watch(merged).look(700, old, hco(OLD), UPGRADING, csv(NEW, *timeouts(2)))
    assert page(facts, "install_failures") == f'install_failures{{to_version="{NEW}"}} 2\n'


def test_vms_that_are_left_when_another_update_begins_may_have_been_left_at_an_earlier_one() -> None:
    watch = Watch()
    vms = (kubevirt(), vmi("a", outdated=True))
    watch.look(-10, installed(), hco(OLD), said(OLD), *vms)
    watch.look(400, *BACKFILL, *vms)
    # Killed meanwhile, and back when the next one has begun.
    newer = csv(NEWER, ("Pending", "", 5000.0), ("Installing", "", 5010.0), replaces=NEW)
    given = [csv(NEW, START, INSTALLING, DONE, phase="Replacing"), hco(NEW, since=at(300)), newer]
    facts = Watch(watch.history).look(5020, *given, said(NEW, since=at(300)), *vms)
    first, _ = facts.operator_upgrade.upgrades.records
    assert (first.settled, first.workloads) == (True, None)


NONE_LEFT = (kubevirt(), vmi("a"))
ONE_LEFT = (kubevirt(), vmi("a", outdated=True))


@pytest.mark.parametrize(
    ("steps", "workloads"),
    [
        pytest.param([(301, NONE_LEFT), (361, NONE_LEFT)], 301, id="none were left at the end"),
        pytest.param(
            [(301, NONE_LEFT), (306, ONE_LEFT), (900, NONE_LEFT), (960, NONE_LEFT)],
            900,
            id="they were marked a little later",
        ),
        pytest.param([(301, ONE_LEFT), (900, NONE_LEFT), (959, NONE_LEFT)], None, id="not for long enough"),
        pytest.param(
            [(301, ONE_LEFT), (900, NONE_LEFT), "killed", (960, NONE_LEFT)], 900, id="killed meanwhile"
        ),
        pytest.param(
            [(301, ONE_LEFT), (900, NONE_LEFT), "killed", (990, NONE_LEFT), (1100, NONE_LEFT)],
            None,
            id="away for longer: they may have been left again",
        ),
        pytest.param(
            [(301, ONE_LEFT), "killed", (900, NONE_LEFT), (960, NONE_LEFT)], None, id="away as they were done"
        ),
        pytest.param(
            [(301, ONE_LEFT), (900, NONE_LEFT, "uncounted"), (960, NONE_LEFT)],
            None,
            id="VMs were listed anew as they were done",
        ),
    ],
)
def test_when_no_vm_is_left_is_told_by_who_looks_on(steps: list[Any], workloads: int | None) -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(200, hco(OLD), UPGRADING, csv(NEW, START, INSTALLING, DONE))
    for step in steps:
        if step == "killed":
            watch = Watch(watch.history)
        else:
            facts = watch.look(
                step[0], *BACKFILL, *step[1], counted=len(step) == 2 and watch.before is not None
            )
    (record,) = facts.operator_upgrade.upgrades.records
    assert record.workloads == (None if workloads is None else S + workloads)
    assert record.settled is (steps[-1][0] != 959)


MOVED_ON = [csv(NEW, START, INSTALLING, DONE), hco(NEW, since=at(9000)), said(NEW, since=at(9004))]
"""Ended at 300, but what tells has moved since."""


@pytest.mark.parametrize(
    ("event", "completed", "at_most"),
    [
        pytest.param(objects.upgraded(NEW, at(300)), 300, False, id="said"),
        pytest.param(objects.upgraded(OLD, at(300)), 9000, True, id="said of another version"),
        pytest.param(objects.upgraded(NEW, at(-300)), 9000, True, id="said of an earlier installation"),
        pytest.param(objects.upgraded(NEW, at(300)) | {"firstTimestamp": None}, 9000, True, id="no time"),
        pytest.param(objects.upgraded(NEW, at(300)) | {"message": None}, 9000, True, id="no words"),
    ],
)
def test_who_comes_later_is_told_the_end_by_an_event(event: Object, completed: float, at_most: bool) -> None:
    newcomer = Watch()
    for _ in range(2):
        latest = newcomer.look(10_000, *MOVED_ON, event).operator_upgrade.latest
        assert latest is not None
        assert (latest.completed, latest.at_most) == (S + completed, at_most)
    # When the event has expired, what it told stays.
    latest = newcomer.look(20_000, *MOVED_ON).operator_upgrade.latest
    assert latest is not None
    assert (latest.completed, latest.at_most) == (S + completed, at_most)


def test_what_an_update_waited_for_while_nobody_looked_is_not_known() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(1, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, START))
    # It was held by the gate, went through, and the next one is there.
    back = Watch(watch.history)
    there = [hco(NEW, since=at(3400)), objects.upgraded(NEW, at(3400)), succeeds(4000, succeeded=False)]
    for second in (4100, 4101):
        facts = back.look(second, *there)
    assert page(
        facts, "completed_timestamp_seconds", "history_duration_seconds", "last_duration_seconds"
    ) == (f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 3400:.0f}\n')


def test_an_event_that_comes_after_the_first_look_corrects_it() -> None:
    newcomer = Watch()
    newcomer.look(10_000, *MOVED_ON)
    latest = newcomer.look(10_000, *MOVED_ON, objects.upgraded(NEW, at(300))).operator_upgrade.latest
    assert latest is not None
    assert (latest.completed, latest.at_most) == (S + 300, False)


def test_an_event_moves_no_end_that_was_seen() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(310, *BACKFILL)
    event = objects.upgraded(NEW, at(299))
    for watching in (watch, Watch(watch.history)):
        latest = watching.look(320, *BACKFILL, event).operator_upgrade.latest
        assert latest is not None
        assert (latest.completed, latest.at_most) == (S + 300, False)


def test_an_event_tells_that_what_progresses_again_had_ended() -> None:
    again = hco(NEW, "True", since=at(9000))
    restarted = said(NEW, "Initializing", at(9000), False)
    given = [csv(NEW, START, INSTALLING, DONE), again, restarted]
    # That the operator denies it anew proves that it had allowed it; when that was nothing tells.
    assert page(Watch().look(9010, *given), "in_progress", "completed_timestamp_seconds") == ""
    facts = Watch().look(9010, *given, objects.upgraded(NEW, at(300)))
    assert page(facts, "in_progress", "completed_timestamp_seconds") == (
        f'completed_timestamp_seconds{{{versions()},outcome="completed"}} {S + 300:.0f}\n'
    )


def test_of_a_version_that_is_gone_an_event_tells_how_its_update_ended() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(30, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, START, INSTALLING))
    newer = csv(NEWER, ("Pending", "", 5000.0), ("Succeeded", "", 5010.0), replaces=NEW)
    given = [newer, hco(NEWER, since=at(5100)), said(NEWER, since=at(5100))]
    for event, end in ((objects.upgraded(NEW, at(300)), S + 300), (objects.upgraded(OLD, at(300)), None)):
        back = Watch(watch.history).look(6000, *given, event)
        first, _ = back.operator_upgrade.upgrades.records
        assert (first.completed, first.lost) == (end, end is None)


def trimmed(*phases: tuple[str, str, float]) -> Object:
    """A ClusterServiceVersion of whose phases OLM keeps the last twenty."""
    obj = csv(NEW, START, *phases)
    obj["status"]["conditions"] = obj["status"]["conditions"][-20:]
    return obj


def loop(*seconds: float) -> list[tuple[str, str, float]]:
    """Attempts that run into the install timeout at these seconds, and are tried again."""
    return [
        (phase, reason, second)
        for second in seconds
        for phase, reason in (
            ("Failed", "InstallCheckFailed"),
            ("Pending", "NeedsReinstall"),
            ("InstallReady", "AllRequirementsMet"),
            ("Installing", "InstallSucceeded"),
            ("Installing", "InstallWaiting"),
        )
    ]


SIX: tuple[float, ...] = (320, 620, 920, 1220, 1520, 1820)


@pytest.mark.parametrize(
    ("seen", "failures", "installed_at"),
    [
        pytest.param([*range(320, 2000, 100)], "6", 2000, id="watched"),
        pytest.param([320, 920, 1820], "6", 2000, id="away, but what is left goes back to what is known"),
        pytest.param([320], "", None, id="away for longer: attempts may have failed, or succeeded, unseen"),
        pytest.param([], "", None, id="never seen before"),
    ],
)
def test_what_olm_forgets_of_an_installation_is_remembered_or_left_out(
    seen: list[int], failures: str, installed_at: int | None
) -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    for second in seen:
        until = [each for each in SIX if each <= second]
        # Nothing but the first looks follow each other.
        watch = watch if len(seen) > 5 else Watch(watch.history)
        watch.look(second, installed(phase="Replacing"), hco(OLD), UPGRADING, trimmed(*loop(*until)))
    there = [trimmed(*loop(*SIX), ("Succeeded", "", 2000)), hco(OLD), UPGRADING]
    watch = watch if len(seen) > 5 else Watch(watch.history)
    for second in (2010, 2020):
        facts = watch.look(second, *there)
        assert page(facts, "install_failures") == (
            f'install_failures{{to_version="{NEW}"}} {failures}\n' if failures else ""
        )
        (record,) = facts.operator_upgrade.upgrades.records
        assert record.installed == (None if installed_at is None else S + installed_at)


def test_two_attempts_that_fail_within_one_second_are_two() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    twice = csv(NEW, START, *loop(320, 620), ("Failed", "InstallCheckFailed", 620.0))
    facts = watch.look(700, installed(phase="Replacing"), hco(OLD), UPGRADING, twice)
    assert page(facts, "install_failures") == f'install_failures{{to_version="{NEW}"}} 3\n'


def test_a_watched_end_is_hyperconvergeds_own_time_whatever_the_operator_says() -> None:
    ended, allowed = hco(NEW, since=at(300)), said(NEW, since=at(299))
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(200, hco(OLD), UPGRADING, csv(NEW, START, INSTALLING, DONE))
    for given in ([ended, UPGRADING], [ended, allowed]):
        latest = watch.look(301, *given, csv(NEW, START, INSTALLING, DONE)).operator_upgrade.latest
        assert latest is not None
        assert (latest.completed, latest.at_most) == (S + 300, False)
    # Who has not watched takes both for the same: they are written together.
    latest = Watch().look(301, ended, allowed, csv(NEW, START, INSTALLING, DONE)).operator_upgrade.latest
    assert latest is not None
    assert (latest.completed, latest.at_most) == (S + 300, False)


FLAP = [("Failed", "ComponentUnhealthy", 900.0), ("Succeeded", "", 905.0)]


def test_signs_that_a_restart_has_moved_together_prove_nothing() -> None:
    given = [csv(NEW, START, INSTALLING, DONE, *FLAP), hco(NEW, since=at(920)), said(NEW, since=at(920))]
    latest = Watch().look(1000, *given).operator_upgrade.latest
    assert latest is not None
    assert (latest.completed, latest.at_most) == (S + 920, True)


def test_operands_may_be_through_before_all_operators_are_up() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    given = [installed(phase="Replacing"), csv(NEW, START, INSTALLING), said(NEW, since=at(300))]
    watch.look(200, hco(OLD), *given)
    late = [*given[2:], csv(NEW, START, INSTALLING, *loop(320), ("Succeeded", "", 900.0))]
    for second, there in ((301, given), (1000, late)):
        facts = watch.look(second, hco(NEW, since=at(300)), *there)
        assert page(facts, "in_progress", "last_stage_duration_seconds", "install_failures") == (
            'last_stage_duration_seconds{stage="install"} 300\n'
        )


def test_an_operator_that_is_replaced_alone_is_no_end_before_it_says_so() -> None:
    kept = ships("1.16.1", csv(NEW, START, INSTALLING, DONE))
    before = ships("1.16.1", installed(phase="Replacing"))
    # HyperConverged progresses for an instant, before the new operator is up.
    blip = hco("1.16.1", since=at(5))
    watch = Watch()
    assert page(watch.look(45, before, kept, blip, UPGRADING), "in_progress") == "in_progress 1\n"
    for there, known in (([before, kept], watch), ([kept], Watch(watch.history)), ([kept], Watch())):
        facts = known.look(70, *there, hco("1.16.1", since=at(5)), said(NEW, since=at(66)))
        assert facts.operator_upgrade.latest is not None
        assert facts.operator_upgrade.latest.completed == S + 66


def test_a_version_that_is_installed_anew_is_no_update() -> None:
    # Its bundle says what it once replaced; HyperConverged has had the version all along.
    anew = [csv(NEW, START, INSTALLING, DONE), hco(NEW, since=at(-5000)), said(NEW, since=at(60))]
    facts = Watch().look(100, *anew)
    assert facts.operator_upgrade.upgrades.records == ()
    assert page(facts, "in_progress", "stage") == 'stage{stage="idle"} 1\n'


def test_a_first_installation_that_only_the_next_version_completes_is_no_update() -> None:
    watch = Watch()
    failed = csv(OLD, ("Pending", "", -300.0), ("Failed", "InstallCheckFailed", -10.0), replaces="")
    watch.look(-5, failed)
    failed["status"]["phase"] = "Replacing"
    for second in (10, 100):
        facts = watch.look(second, failed, csv(NEW, START, INSTALLING, DONE))
        assert (facts.operator_upgrade.upgrades.records, facts.operator_upgrade.current) == ((), None)


def test_where_hyperconverged_may_not_be_read_an_update_stays_in_its_rollout() -> None:
    unknown = {each.plural: Availability.KNOWN for each in RESOURCES}
    unknown["hyperconvergeds"] = Availability.UNKNOWN
    history, before = History(), None
    begun = [installed(phase="Replacing"), csv(NEW, START, INSTALLING)]
    ended = [csv(NEW, START, INSTALLING, DONE), said(NEW, since=at(300))]
    for second, given in ((-10, [installed(), said(OLD)]), (30, begun), (5000, ended)):
        facts = facts_of(sub(), *given, availability=unknown)
        facts = Facts(facts.cluster, history, S + second, before=before)
        history, before = facts.observe(history), facts.seen.updates
    shown = Facts(facts.cluster, history, S + 5000, before=before)
    assert page(shown, "in_progress", "stage", "current_duration_seconds", "completed_timestamp_seconds") == (
        'in_progress 1\nstage{stage="rollout"} 1\ncurrent_duration_seconds 5000\n'
    )
    # As long as it has not answered at all, nothing is said.
    waiting = dataclasses.replace(facts.cluster, awaited=frozenset({"hyperconvergeds"}))
    assert page(Facts(waiting, history, S + 5000), "in_progress", "stage", "history_duration_seconds") == ""
    assert Facts(waiting, History(), S + 5000).observe(History()).upgrades.records == ()


# Plans that fail before there is anything to install


def failed_plan(second: float = 61) -> Object:
    return plan(approved=True, begun=at(1), failed=at(second))


WELL = (installed(), hco(OLD), said(OLD))


def another_plan(version: str) -> Object:
    return objects.install_plan("install-b", csv=objects.csv_name(version), created=at(400), approved=True)


def tried() -> Watch:
    """Who has seen a plan begin, and fail after a minute."""
    watch = Watch()
    watch.look(-10, *WELL)
    begun = plan(approved=True, phase="Installing", begun=at(1))
    assert watch.page(30, *WELL, sub("install-a", NEW), begun) == (
        'stage{stage="approval"} 1\ncurrent_stage_duration_seconds{stage="approval"} 30\n'
    )
    return watch


def test_what_a_failed_plan_has_begun_stays_failed_until_there_is_another() -> None:
    watch = Watch()
    begun = csv(NEW, START)
    made = [installed(phase="Replacing"), hco(OLD), said(OLD), begun]
    watch.look(-10, *WELL)
    watch.look(30, *made, plan(approved=True, phase="Installing", begun=at(1), created=at(-1)))
    failed = plan(approved=True, begun=at(1), failed=at(61), created=at(-1))
    said_ = "stage", "install_failures"

    def is_(stage: str) -> str:
        return f'stage{{stage="{stage}"}} 1\ninstall_failures{{to_version="{NEW}"}} 1\n'

    assert page(watch.look(100, *made, failed), *said_) == is_("failed")
    # Somebody deletes the plan, but not what it made.
    assert page(watch.look(200, *made), *said_) == is_("failed")
    assert page(Watch(watch.history).look(210, *made), *said_) == is_("failed")
    assert page(watch.look(500, *made, another_plan(NEW)), *said_) == is_("install")


def numbered(number: int, obj: Object) -> Object:
    return {**obj, "spec": {**obj["spec"], "generation": number}}


def test_the_outcome_of_a_failed_plan_is_that_of_the_next_one() -> None:
    watch = tried()
    first = numbered(7, failed_plan())
    watch.look(100, *WELL, first)
    second = numbered(8, another_plan(NEW))
    third = numbered(9, {**another_plan(NEWER), "metadata": {**second["metadata"], "name": "c", "uid": "c"}})
    third["metadata"]["creationTimestamp"] = objects.time(at(600))
    stayed = Watch(watch.history)
    for second_, there in ((450, [first, second]), (700, [first, third])):
        facts = stayed.look(second_, *WELL, *there)
        (record,) = facts.operator_upgrade.upgrades.records
        assert (record.outcome, record.gone) == ("failed", S + 400)
    # Who was away knows by the numbers that there has been another one in between.
    (record,) = Watch(watch.history).look(700, *WELL, first, third).operator_upgrade.upgrades.records
    assert (record.outcome, record.lost) == ("", True)


def test_an_update_whose_plan_fails_at_once_began_with_the_plan() -> None:
    assert tried().page(101, *WELL, sub("install-a", NEW), failed_plan()) == (
        "in_progress 1\n"
        'stage{stage="failed"} 1\n'
        "current_duration_seconds 100\n"
        'current_stage_duration_seconds{stage="approval"} 1\n'
        'current_stage_duration_seconds{stage="install"} 100\n'
        f"started_timestamp_seconds{{{versions()}}} {S + 1:.0f}\n"
        f'install_failures{{to_version="{NEW}"}} 1\n'
    )


@pytest.mark.parametrize(
    ("then", "outcome", "gone"),
    [
        pytest.param([], "failed", 500, id="deleted"),
        pytest.param([failed_plan(), another_plan(NEW)], "failed", 400, id="again"),
        pytest.param(
            [failed_plan(), another_plan(NEWER)],
            "superseded",
            400,
            id="a newer one",
        ),
        pytest.param(
            [csv(NEWER, ("Pending", "", 450.0)), failed_plan()], "superseded", 450, id="another way"
        ),
    ],
)
def test_it_ends_with_the_plan_or_with_what_is_tried_next(
    then: list[Object], outcome: str, gone: float
) -> None:
    watch = tried()
    watch.look(101, *WELL, sub("install-a", NEW), failed_plan())
    for second in (500, 600):
        first = watch.look(second, *WELL, *then).operator_upgrade.upgrades.records[0]
        assert (first.outcome, first.gone, first.duration) == (outcome, S + gone, gone - 1)


def test_a_plan_that_has_failed_is_found_by_who_comes_later() -> None:
    facts = Watch().look(5000, *WELL, failed_plan())
    (record,) = facts.operator_upgrade.upgrades.records
    assert (record.started, record.from_version, record.failures) == (S + 1, OLD, (S + 61,))
    # Seen no more, it has ended at a time that nobody knows.
    (record,) = Watch(facts.observe(facts.history)).look(9000, *WELL).operator_upgrade.upgrades.records
    assert (record.outcome, record.lost) == ("", True)


def test_a_plan_that_has_failed_is_found_when_another_one_has_made_its_version() -> None:
    newer = csv(NEW, ("Pending", "", 401.0), ("Installing", "", 402.0))
    facts = Watch().look(410, installed(phase="Replacing"), hco(OLD), said(OLD), failed_plan(), newer)
    first, second = facts.operator_upgrade.upgrades.records
    assert (first.started, first.gone, first.outcome) == (S + 1, S + 401, "failed")
    assert (second.started, second.csv) == (S + 401, first.csv)


def test_a_plan_that_had_failed_before_has_not_brought_it() -> None:
    newer = csv(NEW, ("Pending", "", 401.0), ("Installing", "", 402.0))
    facts = tried().look(410, installed(phase="Replacing"), hco(OLD), said(OLD), failed_plan(), newer)
    record = facts.operator_upgrade.upgrades.records[-1]
    assert (record.csv, record.plan_failed, record.failures) == (objects.csv_name(NEW), None, ())


def test_what_a_failed_plan_began_with_is_not_told_by_old_versions() -> None:
    cluster = facts_of(sub(), *WELL, failed_plan()).cluster
    cut = dataclasses.replace(cluster, failing=frozenset({"clusterserviceversions"}))
    found = [Facts(each, History(), S + 101).observe(History()).upgrades.records for each in (cluster, cut)]
    assert [len(each) for each in found] == [1, 0]


def test_a_plan_that_may_be_gone_already_is_not_ended_by_what_came_after_it() -> None:
    watch = tried()
    watch.look(101, *WELL, sub("install-a", NEW), failed_plan())
    cluster = facts_of(sub(), *WELL, csv(NEW, ("Pending", "", 450.0)), failed_plan()).cluster
    for failing, gone in ((frozenset({"installplans"}), None), (frozenset[str](), S + 450)):
        facts = Facts(
            dataclasses.replace(cluster, failing=failing), watch.history, S + 460, before=watch.before
        )
        assert facts.observe(watch.history).upgrades.records[0].gone == gone


def made(obj: Object) -> Object:
    (step,) = obj["status"]["plan"]
    return {**obj, "status": {**obj["status"], "plan": [{**step, "status": "Created"}]}}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([*WELL, made(failed_plan())], id="its version was made, and is gone"),
        pytest.param([csv(OLD, ("Succeeded", "", 50.0), replaces=""), failed_plan()], id="of the first"),
        pytest.param([*WELL, failed_plan() | {"status": {"phase": "Installing"}}], id="not failed yet"),
    ],
)
def test_not_every_failed_plan_is_an_update(given: list[Object]) -> None:
    assert Watch().look(5000, *given).operator_upgrade.upgrades.records == ()


def test_an_update_has_failed_when_its_version_was_the_only_one_left_and_is_deleted() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    begun = csv(NEW, START, INSTALLING)
    watch.look(30, installed(phase="Replacing"), hco(OLD), said(OLD), begun)
    watch.look(60, hco(OLD), said(OLD), begun)
    watch.look(90, hco(OLD), said(OLD))
    facts = watch.look(91, hco(OLD), said(OLD))
    assert page(facts, "in_progress", "completed_timestamp_seconds") == (
        f'completed_timestamp_seconds{{{versions()},outcome="failed"}} {S + 90:.0f}\n'
    )


def test_an_operator_that_was_to_be_replaced_alone_has_not_arrived_because_hyperconverged_has() -> None:
    kept = "1.16.5"
    watch = Watch()
    watch.look(-10, ships(kept, installed()), hco(kept), said(OLD))
    new = ships(kept, csv(NEW, START, INSTALLING))
    watch.look(30, ships(kept, installed(phase="Replacing")), hco(kept), said(OLD), new)
    for second in (90, 91):
        facts = watch.look(second, ships(kept, installed()), hco(kept), said(OLD))
    assert [each.outcome for each in facts.operator_upgrade.upgrades.records] == ["failed"]
    back = Watch(facts.history).look(500, ships(kept, installed()), hco(kept), said(OLD))
    assert [each.outcome for each in back.operator_upgrade.upgrades.records] == ["failed"]


ANEW = csv(NEW, ("Pending", "", 1000.0), ("Installing", "", 1020.0), ("Succeeded", "", 1050.0))


AGAIN = {**ANEW, "metadata": {**ANEW["metadata"], "uid": "uid-again"}}


def test_a_version_that_is_deleted_and_comes_back_is_no_second_update() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(30, installed(phase="Replacing"), hco(OLD), said(OLD), csv(NEW, START, INSTALLING))
    watch.look(310, *BACKFILL)
    for there in ([hco(NEW, since=at(300))], []):
        other = Watch(watch.history)
        other.look(320, *BACKFILL)
        other.look(900, *there)
        for second in (1001, 1100):
            facts = other.look(second, *there, AGAIN, said(NEW, since=at(1060)))
            assert [each.started for each in facts.operator_upgrade.upgrades.records] == [S]
            assert facts.operator_upgrade.current is None
        # So do those who come back later, and find another one in its place.
        back = Watch(other.history).look(1200, *there, AGAIN, said(NEW, since=at(1060)))
        assert [each.started for each in back.operator_upgrade.upgrades.records] == [S]
    back = Watch(watch.history).look(1200, hco(NEW, since=at(1090)), AGAIN, said(NEW, since=at(1060)))
    assert [each.started for each in back.operator_upgrade.upgrades.records] == [S]


def test_while_a_version_is_installed_anew_no_update_is_said_to_run() -> None:
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    watch.look(10, hco(OLD))
    begun = csv(OLD, ("Pending", "", 20.0), ("Installing", "", 25.0), replaces="4.18.7")
    begun["metadata"]["uid"] = "uid-again"
    facts = watch.look(30, hco(OLD), begun)
    assert (facts.rollout.running, facts.operator_upgrade.current) == (False, None)
    # HyperConverged that is to be brought to another version is updated, whatever was there in between.
    facts = watch.look(40, hco(OLD))
    facts = watch.look(50, hco(OLD), csv(NEW, ("Pending", "", 45.0), ("Installing", "", 48.0)))
    assert facts.operator_upgrade.current is not None
    assert facts.operator_upgrade.current.from_version == OLD


def test_who_comes_later_takes_the_first_version_of_a_new_subscription_for_an_installation() -> None:
    def first(subscribed: float, *given: Object) -> list[str]:
        ours = sub(created=at(subscribed))
        cluster = facts_of(ours, *BACKFILL, *given).cluster
        history = Facts(cluster, History(), S + 500).observe(History())
        history = Facts(cluster, history, S + 501, before=frozenset({f"uid-{NEW}"})).observe(history)
        return [each.from_version for each in history.upgrades.records]

    assert first(-50) == []
    # An older one has seen versions come and go, and so has one that has had another plan.
    assert first(-400_000_000) == [OLD]
    assert first(-50, plan("4.18.9", created=at(-40), approved=True)) == [OLD]
    assert first(50) == [OLD]


def test_the_version_before_is_hyperconvergeds_where_its_bundle_names_one_that_never_was_here() -> None:
    skipping = csv(NEW, START, INSTALLING, replaces="4.18.10")
    ours = sub(created=at(-50))
    cluster = facts_of(ours, skipping, hco(OLD), said(OLD)).cluster
    history = History()
    for second in (30, 31):
        history = Facts(cluster, history, S + second).observe(history)
    assert [each.from_version for each in history.upgrades.records] == [OLD]
    # What was said once stays, whatever there is to be seen later.
    arrived = facts_of(ours, csv(NEW, START, INSTALLING, DONE, replaces="4.18.10"), *BACKFILL[1:]).cluster
    history = Facts(arrived, history, S + 400).observe(history)
    assert [(each.from_version, each.outcome) for each in history.upgrades.records] == [(OLD, "completed")]


def test_times_that_cannot_be_are_not_known() -> None:
    far = 400_000_000.0
    watch = Watch()
    watch.look(-10, installed(), hco(OLD), said(OLD))
    given = [installed(phase="Replacing"), hco(OLD), said(OLD)]
    facts = watch.look(10, *given, csv(NEW, ("Pending", "", far)))
    assert facts.operator_upgrade.upgrades.records == ()
    facts = watch.look(60, *given, csv(NEW, START, ("Failed", "", far), ("Succeeded", "", far)))
    (record,) = facts.operator_upgrade.upgrades.records
    assert (record.started, record.installed, record.failures, record.missed) == (S, None, (), True)


def test_a_plan_that_began_before_it_was_made_began_when_it_was() -> None:
    nonsense = failed_plan()
    nonsense["status"]["startTime"] = "1906-01-01T00:00:00Z"
    (record,) = Watch().look(101, *WELL, nonsense).operator_upgrade.upgrades.records
    assert record.started == S
    # A time that nobody can write is said as it is.
    stored = History(
        upgrades=Upgrades(
            (Upgrade("u", 1e15, arrived=True, installed=1e15 + 5, completed=1e15 + 5, whole=True),)
        )
    )
    assert 'started="1000000000000000"' in page(Watch(stored).look(5000, *WELL), "history_duration_seconds")
