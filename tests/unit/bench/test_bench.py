"""The benchmark's arithmetic and objects; what it measures is no matter for a test."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import islice

import msgspec
import pytest

from bench import report
from bench.objects import Objects, Population
from bench.report import Budget, Goal
from bench.sides import BLIND, samples, series
from bench.statistics import exponent, histogram_percentile, percentile
from exporter.simulator.storage import Storage

ALL_BAD = Objects(1000, Population.ALL_BAD)
MIXED = Objects(1000, Population.HEALTHY_MIXED)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_percentiles(share: float, value: float) -> None:
    assert percentile(range(100, 0, -1), share) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law(power: float) -> None:
    sizes = [1000, 5000, 20000, 50000]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_one_point_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two points"):
        exponent([1], [1])


def test_percentile_of_a_histogram() -> None:
    buckets = {0.01: 50.0, 0.02: 100.0, math.inf: 100.0}
    assert histogram_percentile(buckets, 0.5) == pytest.approx(0.01)
    assert histogram_percentile(buckets, 0.75) == pytest.approx(0.015)
    assert histogram_percentile({0.01: 1.0, math.inf: 100.0}, 0.99) == 0.01
    with pytest.raises(ValueError, match="nothing observed"):
        histogram_percentile({0.01: 0.0, math.inf: 0.0}, 0.99)


# Objects


@pytest.mark.parametrize("objects", [ALL_BAD, MIXED])
def test_a_machine_is_as_large_as_real_ones(objects: Objects) -> None:
    sizes = [len(msgspec.json.encode(obj)) for obj in objects.vmis()]
    assert min(sizes) > 7000
    assert max(sizes) < 8000


def test_the_same_machines_every_time() -> None:
    again = Objects(1000, Population.ALL_BAD)
    assert list(islice(again.vmis(), 50)) == list(islice(ALL_BAD.vmis(), 50))
    assert list(again.others()) == list(ALL_BAD.others())


def test_every_object_is_one_of_its_own() -> None:
    everything = [*ALL_BAD.vmis(), *ALL_BAD.others()]
    assert len({obj["metadata"]["uid"] for obj in everything}) == len(everything)


def test_the_populations() -> None:
    assert all(ALL_BAD.stuck(number) for number in range(1000))
    assert 25 <= sum(MIXED.stuck(number) for number in range(1000)) <= 35
    assert sum(MIXED.outdated(number) for number in range(1000)) == 100


def _migratable(vmi: dict[str, object]) -> str:
    text = json.dumps(vmi["status"])
    conditions = json.loads(text)["conditions"]
    return next(str(each["status"]) for each in conditions if each["type"] == "LiveMigratable")


def test_an_event_changes_what_is_published() -> None:
    assert _migratable(ALL_BAD.vmi(5)) == "False"
    assert _migratable(ALL_BAD.vmi(5, flipped=True)) == "True"
    assert _migratable(MIXED.vmi(5, flipped=True)) == "False"


def test_a_loaded_cluster_is_served_as_any_other() -> None:
    loaded, applied = (Storage(clock=lambda: datetime.now(UTC)) for _ in range(2))
    small = Objects(3, Population.ALL_BAD)
    loaded.load([*small.others(), *small.vmis()])
    for obj in [*small.others(), *small.vmis()]:
        applied.apply(obj)
    for kind in applied.kinds:
        names = [(each.namespace, each.name, dict(each.labels)) for each in applied.objects(kind.plural)]
        assert [
            (each.namespace, each.name, dict(each.labels)) for each in loaded.objects(kind.plural)
        ] == names
    assert loaded.revision == applied.revision
    body = msgspec.json.decode(loaded.get("virtualmachineinstances", "tenant-002", "rhel9-vm-00002").body)
    assert body["metadata"]["resourceVersion"] == str(loaded.revision)
    assert [event.type for event in loaded.events("virtualmachineinstances", 1)] == ["ADDED"] * 3


# The page


PAGE = b"""# HELP a_total Something.
a_total{x="1",y="a \\"b\\""} 2
a_total{x="2",y=""} 3.5
a_total_more{x="1"} 7
b 4
"""


def test_samples_of_a_page() -> None:
    assert samples(PAGE, "a_total") == [({"x": "1", "y": 'a \\"b\\"'}, 2.0), ({"x": "2", "y": ""}, 3.5)]
    assert samples(PAGE, "b") == [({}, 4.0)]
    assert (series(PAGE, "a_total"), series(PAGE, "b"), series(PAGE, "c")) == (2, 1, 0)


# The report

BUDGETS = [
    Budget("CPU until synced", "s", 1.5, 12.0, Goal(0.15, of_peer=True)),
    Budget("peak memory", "MiB", 200.0, 900.0, Goal(0.15, of_peer=True)),
    Budget("event to page", "ms", 20.0, goal=Goal(50)),
    Budget("idle", "% of a core", None, goal=Goal(0.2), note="no such family"),
    Budget("stall", "ms", 10.0, goal=Goal(50), note="half a page"),
]
GOALS = ["<= 0.15x", "<= 0.15x", "<= 50 ms", "<= 0.2 % of a core", "<= 50 ms"]


def test_a_goal_is_met_or_missed_or_not_decided() -> None:
    assert [each.met for each in BUDGETS] == [True, False, True, None, None]


def test_the_table() -> None:
    rows = report.table(BUDGETS).splitlines()
    assert [" ".join(row.split()) for row in rows] == [
        "virt-upgrade-exporter kube-state-metrics ratio goal met",
        "CPU until synced 1.5 s 12.0 s 0.12x <= 0.15x yes",
        "peak memory 200 MiB 900 MiB 0.22x <= 0.15x NO",
        "event to page 20.0 ms <= 50 ms yes",
        "idle <= 0.2 % of a core not measured: no such family",
        "stall 10.0 ms <= 50 ms preliminary: half a page",
    ]
    # One column below the other.
    assert len({row.index("<=") + len(goal) for row, goal in zip(rows[1:], GOALS, strict=True)}) == 1


def test_the_markdown_table_holds_the_same() -> None:
    lines = report.markdown(BUDGETS).splitlines()
    assert len(lines) == len(BUDGETS) + 2
    assert lines[2] == "| CPU until synced | 1.5 s | 12.0 s | 0.12x | <= 0.15x | yes |"
    assert {line.count("|") for line in lines} == {7}


def test_the_document() -> None:
    found = json.loads(report.document(BUDGETS, {"vms": 10}))
    assert set(found) == {"machine", "run", "budgets"}
    assert found["budgets"][0] == {
        "name": "CPU until synced",
        "ours": 1.5,
        "peer": 12.0,
        "unit": "s",
        "ratio": 0.125,
        "goal": "<= 0.15x",
        "met": True,
    }
    assert found["budgets"][3]["ours"] is None
    assert found["budgets"][3]["note"] == "no such family"


def test_an_exporter_that_reads_no_machines_costs_nothing_worth_telling() -> None:
    assert Budget("CPU until synced", "s", 0.9, 12.0, Goal(0.15, of_peer=True), BLIND).ours is None


def test_the_readme_keeps_what_is_around_the_table() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.between_marks(text, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="there is no"):
        report.between_marks("nothing", "new")
