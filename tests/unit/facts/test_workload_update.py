"""Outdated launchers and migrations: objects in, exposition text out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from exporter.facts import RESOURCES
from exporter.facts.cluster import Availability
from exporter.facts.migrations import ENDS, ORIGINS
from exporter.history.value import History
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_versions import BORN
from tests.unit.facts.test_vm_readiness import nonzero
from tests.unit.facts.vms import Object, kubevirt, migration, pool, vm, vmi

NOON = datetime(2026, 8, 20, 12, 0, tzinfo=UTC)
NOW = (NOON + timedelta(hours=1)).timestamp()
N = "DisksNotLiveMigratable"


def at(minutes: float) -> str:
    return (NOON + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("instance", "migratable"),
    [
        (vmi(outdated=True), "true"),
        (vmi(outdated=True, live=N), "false"),
        (vmi(outdated=True, live=None), "unknown"),
        (vmi(), ""),
        (vmi(outdated=True, phase="Succeeded"), ""),
    ],
)
def test_the_label_of_the_instance_tells_that_its_launcher_is_outdated(
    instance: Object, migratable: str
) -> None:
    line = f'outdated_vms{{migratable="{migratable}"}} 1\n' if migratable else ""
    page = page_of(instance, families=["outdated_vms"])
    assert nonzero(page) == line
    assert len(page.splitlines()) == 3


HCO = objects.hyperconverged("4.18.3", created=BORN, since=BORN)
STRATEGY = {"workloadUpdateStrategy": {"workloadUpdateMethods": ["Evict"]}}


@pytest.mark.parametrize(
    ("given", "methods"),
    [
        ([kubevirt(methods=["LiveMigrate"])], "LiveMigrate"),
        ([kubevirt(methods=["LiveMigrate", "Evict"])], "LiveMigrate Evict"),
        ([kubevirt(methods=[])], ""),
        ([kubevirt(methods=None)], ""),
        # KubeVirt does what its own object says.
        ([kubevirt(methods=[]), {**HCO, "spec": STRATEGY}], ""),
        ([{**HCO, "spec": STRATEGY}], "Evict"),
        ([{**HCO, "spec": {"virtualization": STRATEGY}}], "Evict"),
        ([HCO], ""),
    ],
)
def test_methods_are_read_where_each_release_keeps_them(given: list[Object], methods: str) -> None:
    page = page_of(*given, families=["workload_update_enabled"])
    assert page == "".join(
        f'virt_upgrade_workload_update_enabled{{method="{each}"}} {each in methods.split():d}\n'
        for each in ("Evict", "LiveMigrate")
    )


def test_without_any_object_that_says_so_nothing_is_said_of_methods() -> None:
    assert page_of(families=["workload_update_enabled"]) == ""


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        (migration("m", "Running"), "other"),
        (migration("m", "Running", origin="evacuation"), "evacuation"),
        (migration("m", "Running", origin="workload_update"), "workload_update"),
        (migration("m", "Running", origin="workload_update", priority="system-critical"), "workload_update"),
        (migration("m", "Running", origin="workload_update", priority="user-triggered"), "other"),
        (
            migration(
                "m", "Running", origin="workload_update", labels={"kubevirt.io/volume-update-migration": "db"}
            ),
            "other",
        ),
    ],
)
def test_who_asked_for_a_migration_is_in_its_annotations(given: Object, origin: str) -> None:
    page = page_of(given, families=["migrations"])
    assert page == f'virt_upgrade_migrations{{origin="{origin}",phase="Running"}} 1\n'


def test_migrations_that_have_not_ended_are_counted_by_phase() -> None:
    phases = ["", "Pending", "Scheduling", "Scheduled", "Running", "Running", "Succeeded", "Failed"]
    given = [migration(f"m{number}", phase) for number, phase in enumerate(phases)]
    assert page_of(*given, families=["migrations"]) == "".join(
        f'virt_upgrade_migrations{{origin="other",phase="{phase}"}} {count}\n'
        for phase, count in [
            ("Pending", 1),
            ("Running", 2),
            ("Scheduled", 1),
            ("Scheduling", 1),
            ("Unset", 1),
        ]
    )


def test_a_migration_that_has_ended_is_counted_once_and_stays_counted() -> None:
    given = [
        migration("a", "Succeeded", origin="evacuation"),
        migration("b", "Failed", origin="evacuation"),
        migration("c", "Failed", origin="evacuation"),
        migration("d", "Running", origin="evacuation"),
    ]
    history = History()
    for seen in (given, given, [*given[:3], migration("d", "Succeeded", origin="evacuation")], []):
        history = facts_of(*seen, now=NOW, history=history).observe(history)
    page = page_of(families=["migrations_finished_total"], history=history)
    assert nonzero(page) == (
        'migrations_finished_total{origin="evacuation",outcome="failed"} 2\n'
        'migrations_finished_total{origin="evacuation",outcome="succeeded"} 2\n'
    )
    assert len(page.splitlines()) == len(ORIGINS) * len(ENDS)


def test_what_has_ended_is_counted_also_while_nobody_may_read_kubevirt() -> None:
    known = dict.fromkeys((each.plural for each in RESOURCES), Availability.KNOWN)
    facts = facts_of(
        migration("a", "Failed"), availability={**known, "kubevirts": Availability.UNKNOWN}, now=NOW
    )
    assert facts.observe(History()).total("migrations/other/failed") == 1


def ends(*phases: str, start: float = -60, origin: str = "workload_update") -> list[Object]:
    """Finished migrations a minute apart."""
    return [
        migration(
            f"{origin}{number}", phase, origin="" if origin == "other" else origin, at=at(start + number)
        )
        for number, phase in enumerate(phases)
    ]


F, S = "Failed", "Succeeded"
QUIET = kubevirt(progressing=("False", at(-600)))
FAILING_ROWS: list[tuple[list[Object], str]] = [
    (ends(F, F, F), "workload_update"),
    (ends(F, F), ""),
    (ends(F, F, F, F, F), "workload_update"),
    (ends(S, F, F, F), "workload_update"),
    (ends(F, F, F, S), ""),
    (ends(F, S, F, F), ""),
    (ends(F, F, F, "Running"), "workload_update"),
    (ends(F, F, F, origin="evacuation"), "evacuation"),
    (ends(F, F, F, origin="other"), "other"),
    # Three of one origin, whatever else fails; a success of any is a success.
    (ends(F, F, origin="evacuation") + ends(F, F, start=-50), ""),
    (ends(F, F, F, origin="evacuation") + ends(S, start=-50), ""),
    (ends(F, F, F, origin="evacuation") + ends(F, F, F, start=-50), "workload_update evacuation"),
]


@pytest.mark.parametrize(("migrations", "origins"), FAILING_ROWS)
def test_three_failures_since_the_last_success_make_a_vm_a_failing_one(
    migrations: list[Object], origins: str
) -> None:
    given = [vmi(outdated=True), vm(), QUIET, *migrations]
    page = page_of(*given, families=["migration_failing_vms", "workload_update_vms"], now=NOW)
    state = "failing" if origins else "remaining"
    lines = [f'migration_failing_vms{{origin="{each}"}} 1\n' for each in sorted(origins.split())]
    assert nonzero(page) == f'workload_update_vms{{state="{state}"}} 1\n' + "".join(lines)
    assert len(page.splitlines()) == 6


@pytest.mark.parametrize(
    ("first_failure", "given", "history", "failing"),
    [
        # The conditions tell when the last roll-out ended: ten minutes around it are excused.
        (-25, kubevirt(progressing=("False", at(-20))), History(), False),
        (-11, kubevirt(progressing=("False", at(-20))), History(), False),
        (-9, kubevirt(progressing=("False", at(-20))), History(), True),
        (-35, kubevirt(progressing=("False", at(-20))), History(), True),
        # It is under way.
        (-5, kubevirt(deployments=("a", "b"), progressing=("True", at(-6))), History(), False),
        (-15, kubevirt(deployments=("a", "b"), progressing=("True", at(-6))), History(), True),
        (-5, kubevirt(deployments=("a", "b")), History(), False),
        # One that hangs excuses nothing after an hour.
        (-115, kubevirt(deployments=("a", "b"), progressing=("True", at(-120))), History(), False),
        (-45, kubevirt(deployments=("a", "b"), progressing=("True", at(-120))), History(), True),
        (-5, kubevirt(), History(), True),
    ],
)
def test_failures_in_a_rollout_of_virt_handler_are_the_rollouts(
    first_failure: float, given: Object, history: History, failing: bool
) -> None:
    migrations = [migration(f"m{number}", F, at=at(first_failure + number / 4)) for number in range(3)]
    page = page_of(
        vmi(), vm(), given, *migrations, families=["migration_failing_vms"], now=NOW, history=history
    )
    assert nonzero(page) == ('migration_failing_vms{origin="other"} 1\n' if failing else "")


def test_a_rollout_is_remembered_from_its_beginning_to_its_end() -> None:
    history = History()
    rolling = kubevirt(deployments=("a", "b"), progressing=("True", at(-30)))
    for minute, given in [(-29, rolling), (-20, rolling), (-10, kubevirt(deployments=("b", "b")))]:
        now = (NOON + timedelta(minutes=minute)).timestamp()
        history = facts_of(given, now=now, history=history).observe(history)
    for first_failure, failing in [(-31, True), (-29, False), (-2, False), (1, True)]:
        migrations = [migration(f"m{number}", F, at=at(first_failure + number / 60)) for number in range(3)]
        given = kubevirt(deployments=("b", "b"), progressing=("False", at(-5)))
        page = page_of(
            vmi(), given, *migrations, families=["migration_failing_vms"], now=NOW, history=history
        )
        assert bool(nonzero(page)) is failing, first_failure


def test_a_remembered_rollout_that_hangs_excuses_nothing_after_an_hour() -> None:
    rolling = kubevirt(deployments=("a", "b"), progressing=("True", at(-120)))
    history = facts_of(rolling, now=NOW - 7200).observe(History())
    for first_failure, failing in [(-115, False), (-45, True)]:
        migrations = [migration(f"m{number}", F, at=at(first_failure + number / 60)) for number in range(3)]
        page = page_of(
            vmi(), rolling, *migrations, families=["migration_failing_vms"], now=NOW, history=history
        )
        assert bool(nonzero(page)) is failing, first_failure


def test_every_remembered_rollout_excuses_its_own_failures() -> None:
    history = History()
    for minute, deployments in [(-90, "ab"), (-80, "bb"), (-30, "bc"), (-20, "cc")]:
        now = (NOON + timedelta(minutes=minute)).timestamp()
        given = kubevirt(deployments=(deployments[0], deployments[1]))
        history = facts_of(given, now=now, history=history).observe(history)
    for first_failure, failing in [(-85, False), (-75, False), (-60, True), (-25, False), (-5, True)]:
        migrations = [migration(f"m{number}", F, at=at(first_failure + number / 60)) for number in range(3)]
        page = page_of(vmi(), *migrations, families=["migration_failing_vms"], now=NOW, history=history)
        assert bool(nonzero(page)) is failing, first_failure


def test_progress_is_counted_on_the_instances() -> None:
    given = [
        vmi("old", outdated=True),
        vmi("older", outdated=True, live=N),
        vmi("new"),
        vmi("newer"),
        # The count in KubeVirt's status is stale during an update.
        {**kubevirt(), "status": {"outdatedVirtualMachineInstanceWorkloads": 40}},
    ]
    assert page_of(*given, families=["workload_update_vms"]) == (
        'virt_upgrade_workload_update_vms{state="failing"} 0\n'
        'virt_upgrade_workload_update_vms{state="remaining"} 2\n'
        'virt_upgrade_workload_update_vms{state="updated"} 2\n'
    )


@pytest.mark.parametrize(
    ("given", "paused", "counts"),
    [
        (pool(), 0, (3, 3, 0, 0)),
        (pool(paused=True), 0, (3, 3, 0, 0)),
        (
            pool(paused=True, configurations=("rendered-b", "rendered-a"), counts=(3, 0, 0, 0)),
            1,
            (3, 0, 0, 0),
        ),
        (
            pool(paused=False, configurations=("rendered-b", "rendered-a"), counts=(3, 1, 1, 1)),
            0,
            (3, 1, 1, 1),
        ),
        (
            # Without machines it keeps nothing back.
            pool(paused=True, configurations=("rendered-b", "rendered-a"), counts=(0, 0, 0, 0)),
            0,
            (0, 0, 0, 0),
        ),
        ({**pool(), "status": None, "spec": None}, 0, (0, 0, 0, 0)),
    ],
)
def test_a_pool_counts_as_paused_while_something_waits(
    given: Object, paused: int, counts: tuple[int, int, int, int]
) -> None:
    families = ["pool_machines", "pool_machines_state", "pool_paused"]
    machines, updated, unavailable, degraded = counts
    assert page_of(given, families=families) == (
        f'virt_upgrade_pool_machines{{pool="worker"}} {machines}\n'
        f'virt_upgrade_pool_machines_state{{pool="worker",state="degraded"}} {degraded}\n'
        f'virt_upgrade_pool_machines_state{{pool="worker",state="unavailable"}} {unavailable}\n'
        f'virt_upgrade_pool_machines_state{{pool="worker",state="updated"}} {updated}\n'
        f'virt_upgrade_pool_paused{{pool="worker"}} {paused}\n'
    )


@pytest.mark.parametrize(
    ("updated", "updating", "expected"),
    [
        pytest.param(5000, 1000, 1000, id="given its configuration first, then paused"),
        pytest.param(1000, 90000, 1000, id="paused first"),
        pytest.param(None, 1000, 0, id="half of it is missing: first seen"),
    ],
)
def test_since_when_a_pool_has_been_paused_is_told_by_its_conditions(
    updated: int | None, updating: int, expected: int
) -> None:
    def said(type_: str, ago: int) -> Object:
        return objects.condition(type_, "False", datetime.fromtimestamp(NOW - ago, UTC))

    waiting = pool(paused=True, configurations=("rendered-b", "rendered-a"))
    waiting["status"]["conditions"] = [said("Updating", updating)]
    waiting["status"]["conditions"] += [said("Updated", updated)] if updated is not None else []
    history = facts_of(waiting, now=NOW).observe(History())
    facts = facts_of(waiting, history=history, now=NOW)
    page = page_of(waiting, families=["pool_paused_since_timestamp_seconds"], history=history, now=NOW)
    assert page == f'virt_upgrade_pool_paused_since_timestamp_seconds{{pool="worker"}} {NOW - expected:.0f}\n'
    found = next(each for each in facts.findings.found if each.finding.name == "pool_paused")
    assert found.since == NOW - expected


def test_machines_that_are_degraded_make_a_pool_so_that_does_not_say_it() -> None:
    ill = pool(counts=(3, 1, 1, 2))
    ill["status"]["conditions"] = []
    assert facts_of(ill, now=NOW).findings.objects["pool_degraded"] == ("worker",)


def test_since_when_a_pool_has_been_paused_is_remembered() -> None:
    waiting = pool(paused=True, configurations=("rendered-b", "rendered-a"))
    history = facts_of(waiting, now=NOW - 100).observe(History())
    families = ["pool_paused_since_timestamp_seconds"]
    page = page_of(waiting, families=families, history=history, now=NOW)
    assert nonzero(page) == f'pool_paused_since_timestamp_seconds{{pool="worker"}} {NOW - 100:.0f}\n'
    assert page_of(pool(), families=families, history=history, now=NOW) == ""
    assert "pool-paused/uid-worker" in history.names()
    assert "pool-paused/uid-worker" not in facts_of(now=NOW).observe(history).names()
