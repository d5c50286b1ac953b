"""By which jobs the bundle of a pending update is unpacked, from API objects to exposition text."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.history.value import History
from exporter.records.jobs import JOBS
from exporter.simulator import objects
from tests.unit.facts.given import facts_of, page_of
from tests.unit.facts.test_pending import INSTALLED, NEW, NOW, OLD, at, catalog, flag, manifest, sub

Object = dict[str, Any]
FAMILY = ["unpack_jobs"]
OFFERED = (catalog(), manifest(NEW, OLD))


def looked(*steps: tuple[int, tuple[Object, ...]]) -> History:
    """What is remembered by who looked at these times."""
    history = History()
    for seconds, offered in steps:
        facts = facts_of(*INSTALLED, sub(), *offered, now=at(seconds).timestamp(), history=history)
        history = facts.observe(history)
    return history


HISTORY = looked((2000, (catalog(), manifest(OLD))), (3000, OFFERED))


def job(begun: float, failed: float | None = None, **metadata: Any) -> Object:
    obj = objects.unpack_job("ab12", created=at(begun), failed=None if failed is None else at(failed))
    return {**obj, "metadata": {**obj["metadata"], **metadata}}


def succeeded(obj: Object) -> Object:
    return {**obj, "status": {"conditions": [objects.condition("Complete", "True", at(3030))]}}


UNPACKING = sub(conditions=[flag("BundleUnpacking")])
GIVEN_UP = sub(conditions=[flag("BundleUnpacking"), flag("BundleUnpackFailed")])


@pytest.mark.parametrize(
    ("subscription", "there", "running", "failed"),
    [
        pytest.param(UNPACKING, job(3010), 1, 0, id="under way"),
        pytest.param(UNPACKING, job(2950), 1, 0, id="begun before the head was seen"),
        pytest.param(GIVEN_UP, job(3010, 3500), 0, 1, id="given up"),
        pytest.param(UNPACKING, succeeded(job(3010)), 0, 0, id="done"),
        pytest.param(GIVEN_UP, job(1000, 1600), 0, 0, id="of an earlier update"),
        pytest.param(GIVEN_UP, job(3010, namespace="elsewhere"), 0, 0, id="of another catalog"),
        pytest.param(GIVEN_UP, job(3010, creationTimestamp=None), 0, 0, id="nobody knows since when"),
        pytest.param(sub(), job(3010, 3500), 0, 0, id="the update waits for something else"),
    ],
)
def test_jobs_are_counted_that_the_update_waits_for(
    subscription: Object, there: Object, running: int, failed: int
) -> None:
    page = page_of(*INSTALLED, *OFFERED, subscription, there, families=FAMILY, history=HISTORY, now=NOW)
    assert set(page.splitlines()) == {
        f'virt_upgrade_unpack_jobs{{state="running"}} {running}',
        f'virt_upgrade_unpack_jobs{{state="failed"}} {failed}',
    }


def test_who_comes_late_is_told_of_the_job_that_has_failed_since_the_installation() -> None:
    came_late = looked((3000, OFFERED))
    given = (*INSTALLED, *OFFERED, GIVEN_UP)
    for begun, failed in ((1000, 1), (-300 * 86400, 0)):
        page = page_of(*given, job(begun, begun + 600), families=FAMILY, history=came_late, now=NOW)
        assert f'virt_upgrade_unpack_jobs{{state="failed"}} {failed}' in page.splitlines()


def test_nothing_is_said_of_jobs_that_may_not_be_read() -> None:
    given = (*INSTALLED, *OFFERED, GIVEN_UP)
    assert page_of(*given, families=FAMILY, history=HISTORY, now=NOW, unknown=[JOBS]) == ""


def test_a_failed_unpacking_names_the_job_to_delete() -> None:
    facts = facts_of(*INSTALLED, *OFFERED, GIVEN_UP, job(3010, 3500), history=HISTORY, now=NOW)
    found = next(each for each in facts.findings.found if each.finding.name == "unpack_failed")
    assert found.objects == ("job openshift-marketplace/ab12", objects.csv_name(NEW))
