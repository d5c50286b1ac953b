"""What the operator's pods wait for while it is updated, from API objects to exposition text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.facts.waiting_pods import REASONS, reason
from exporter.kube.decoding import BadObject, ObjectDecoder
from exporter.records.pods import PODS, Pod
from exporter.simulator import objects
from tests.unit.facts.given import page_of
from tests.unit.facts.test_pending import INSTALLED, NEW, NOW, OLD, at, csv, sub

Object = dict[str, Any]
UPDATING = (*INSTALLED, csv(NEW, ("Installing", "InstallWaiting", at(-90)), replaces=OLD), sub())


def ago(seconds: float) -> str:
    return objects.time(datetime.fromtimestamp(NOW - seconds, UTC))


def condition(type_: str, status: str, since: float, reason: str = "") -> Object:
    return {"type": type_, "status": status, "lastTransitionTime": ago(since), "reason": reason}


def waiting(reason: str) -> Object:
    return {"name": "c", "state": {"waiting": {"reason": reason}}}


RUNNING: Object = {"name": "c", "state": {"running": {"startedAt": "2026-08-20T10:00:00Z"}}}
OVER: Object = {"name": "c", "state": {"terminated": {"exitCode": 0}}}


def pod(
    *containers: Object,
    init: tuple[Object, ...] = (),
    ago: float | None = 61,
    ready: str = "False",
    conditions: tuple[Object, ...] = (),
    phase: str = "Pending",
    namespace: str = objects.NAMESPACE,
    **metadata: Any,
) -> Object:
    """A pod that has not been ready for so long."""
    created = objects.time(datetime.fromtimestamp(NOW - 90, UTC))
    said = [condition("Ready", ready, ago)] if ago is not None else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "virt-api-0", "namespace": namespace, "creationTimestamp": created, **metadata},
        "status": {
            "phase": phase,
            "conditions": [*said, *conditions],
            "initContainerStatuses": list(init),
            "containerStatuses": list(containers),
        },
    }


SANDBOX = condition("PodReadyToStartContainers", "True", 80)
NO_SANDBOX = condition("PodReadyToStartContainers", "False", 80)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(pod(waiting("ErrImagePull")), "image_pull", id="pull fails"),
        pytest.param(pod(waiting("ImagePullBackOff")), "image_pull", id="pull is tried again"),
        pytest.param(pod(waiting("InvalidImageName")), "image_pull", id="no such name"),
        pytest.param(
            pod(waiting("ContainerCreating"), conditions=(SANDBOX,)),
            "image_pull",
            id="only the pull is left",
        ),
        pytest.param(
            pod(waiting("ContainerCreating"), conditions=(NO_SANDBOX,)),
            "container_creating",
            id="no sandbox yet",
        ),
        pytest.param(pod(waiting("ContainerCreating")), "container_creating", id="older kubelets"),
        pytest.param(
            pod(waiting("PodInitializing"), init=(waiting("PodInitializing"),), conditions=(SANDBOX,)),
            "image_pull",
            id="the image of what runs first",
        ),
        pytest.param(
            pod(waiting("PodInitializing"), init=(RUNNING,), conditions=(SANDBOX,)),
            "other",
            id="what runs first takes its time",
        ),
        pytest.param(
            pod(waiting("PodInitializing"), init=(OVER,), conditions=(SANDBOX,)),
            "image_pull",
            id="then the next",
        ),
        pytest.param(pod(init=(waiting("CrashLoopBackOff"),)), "crash_loop", id="what runs first crashes"),
        pytest.param(pod(RUNNING, waiting("CrashLoopBackOff"), phase="Running"), "crash_loop", id="crashes"),
        pytest.param(
            pod({**RUNNING, "lastState": {"terminated": {"exitCode": 1}}}, phase="Running"),
            "crash_loop",
            id="is tried once more",
        ),
        pytest.param(
            pod({"name": "c", "state": {"terminated": {"exitCode": 137}}}, phase="Running"),
            "crash_loop",
            id="has just crashed",
        ),
        pytest.param(
            pod(
                waiting("PodInitializing"),
                init=({**RUNNING, "ready": True},),
                conditions=(SANDBOX,),
            ),
            "image_pull",
            id="what runs first stays beside it",
        ),
        pytest.param(
            {
                **(late := pod(waiting("ContainerCreating"), ago=30)),
                "status": {**late["status"], "startTime": ago(30)},
            },
            "container_creating",
            id="it has had a node for half a minute only, but has waited for longer",
        ),
        pytest.param(pod(waiting("CreateContainerConfigError")), "other", id="another reason"),
        pytest.param(pod(RUNNING, phase="Running"), "other", id="runs, but its probe fails"),
        pytest.param(
            pod(ago=None, conditions=(condition("PodScheduled", "False", 80, "Unschedulable"),)),
            "unschedulable",
            id="no node, and no word of being ready",
        ),
        pytest.param(
            pod(ago=None, conditions=(condition("PodScheduled", "False", 80, "SchedulerError"),)),
            "unschedulable",
            id="no node, for the scheduler fails",
        ),
        pytest.param(
            pod(ago=None, conditions=(condition("PodScheduled", "False", 80, "SchedulingGated"),)),
            "other",
            id="held back on purpose",
        ),
        pytest.param(pod(ready="Unknown", phase="Running"), "other", id="its node is gone"),
        pytest.param(pod(waiting("ErrImagePull"), ago=60), "", id="for a minute only"),
        pytest.param(pod(RUNNING, ready="True", phase="Running"), "", id="ready"),
        pytest.param(pod(OVER, phase="Succeeded"), "", id="done"),
        pytest.param(pod(OVER, phase="Failed"), "", id="evicted"),
        pytest.param(pod(RUNNING, deletionTimestamp="2026-08-20T10:00:00Z"), "", id="goes"),
        pytest.param(pod(waiting("ErrImagePull"), namespace="elsewhere"), "", id="another namespace"),
    ],
)
def test_pods_are_counted_by_what_they_wait_for(there: Object, expected: str) -> None:
    page = page_of(*UPDATING, there, families=["operator_waiting_pods"], now=NOW)
    reasons = ("image_pull", "unschedulable", "crash_loop", "container_creating", "other")
    assert set(page.splitlines()) == {
        f'virt_upgrade_operator_waiting_pods{{reason="{each}"}} {int(each == expected)}' for each in reasons
    }


def test_while_nothing_is_updated_no_pod_counts() -> None:
    page = page_of(
        *INSTALLED, sub(), pod(waiting("ErrImagePull")), families=["operator_waiting_pods"], now=NOW
    )
    assert {line.rsplit(" ", 1)[1] for line in page.splitlines()} == {"0"}


def test_nothing_is_said_of_pods_that_may_not_be_read() -> None:
    assert page_of(*UPDATING, families=["operator_waiting_pods"], now=NOW, unknown=[PODS]) == ""


ANY = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["", "waiting", "Ready", "False", "ErrImagePull"]),
    lambda each: (
        st.lists(each, max_size=2)
        | st.dictionaries(st.sampled_from(["state", "waiting", "reason", "type", "status"]), each, max_size=3)
    ),
)
DECODER = ObjectDecoder(Pod)


@settings(max_examples=300)
@given(ANY, ANY, ANY, st.sampled_from(["Pending", "Running", "", None]))
def test_whatever_can_be_read_of_a_pod_gives_a_reason(
    containers: Any, init: Any, said: Any, phase: Any
) -> None:
    nonsense = pod()
    nonsense["status"] = {
        "phase": phase,
        "conditions": said,
        "containerStatuses": containers,
        "initContainerStatuses": init,
    }
    try:
        record = DECODER.decode(msgspec.json.encode(nonsense))
    except BadObject:
        return
    assert reason(record) in REASONS
