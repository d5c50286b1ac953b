"""What holds up an update of the operator: which of its pods wait, and for what?

While a version is installed and rolled out its pods are replaced. One that has not been ready for a minute is
counted by what it waits for: the pull of its image, a node to run on, the end of its crashes (also while it
is tried once more), or the creation of its containers. A container whose image is being pulled for the first
time says nothing but ContainerCreating; but once the pod's sandbox and network are there (condition
PodReadyToStartContainers, Kubernetes 1.29) nothing else is left to wait for. A pod that has ended or is being
deleted waits for nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.rollout import RESTS_ON as ROLLOUT
from exporter.records.base import condition, unix
from exporter.records.olm import CLUSTER_SERVICE_VERSIONS
from exporter.records.pods import PODS, Pod

SUBJECT: Final = Subject["WaitingPods"]("waiting pods")

IMAGE_PULL: Final = "image_pull"
UNSCHEDULABLE: Final = "unschedulable"
CRASH_LOOP: Final = "crash_loop"
CONTAINER_CREATING: Final = "container_creating"
OTHER: Final = "other"
REASONS: Final = (IMAGE_PULL, UNSCHEDULABLE, CRASH_LOOP, CONTAINER_CREATING, OTHER)

WAITING_SECONDS: Final = 60.0
"""A pod that starts takes less."""

_FIRST_WORD_SECONDS: Final = 2.0
"""The kubelet says that a pod is not ready when it takes it up."""

_PULLING: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "ImageInspectError",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
"""kubernetes/kubernetes pkg/kubelet/images/types.go."""

_UNSCHEDULED: Final = {"Unschedulable", "SchedulerError"}

_CREATING: Final = {"ContainerCreating", "PodInitializing"}
"""The second of a pod with containers that run before the others."""


@dataclass(frozen=True)
class WaitingPods:
    """What this subject knows."""

    pods: tuple[tuple[str, str], ...]
    """Name and reason of each pod that waits; none while no update is under way."""

    @property
    def counts(self) -> Counter[str]:
        """Pods by reason."""
        return Counter(reason for _, reason in self.pods)


def derive(cluster: Cluster, now: float, namespace: str, *, in_progress: bool) -> WaitingPods:
    """The pods of the operator's namespace that have waited for long."""
    if not in_progress:
        return WaitingPods(())
    pods = (each for each in cluster[PODS] if each.namespace == namespace)
    return WaitingPods(tuple((each.name, reason(each)) for each in pods if _waits(each, now)))


def _waits(pod: Pod, now: float) -> bool:
    status = pod.status
    if (
        status is None
        or status.phase in {"Succeeded", "Failed"}
        or pod.metadata.deletion_timestamp is not None
    ):
        return False
    ready = condition(status.conditions, "Ready")
    if ready is not None and ready.is_true:
        return False
    created, taken_up = unix(pod.metadata.creation_timestamp), unix(status.start_time)
    since = unix(ready.last_transition_time) if ready is not None else None
    if since is None or (taken_up is not None and since <= taken_up + _FIRST_WORD_SECONDS):
        # It has never been ready: before the kubelet had it, it waited for a node.
        since = created
    return since is not None and now - since > WAITING_SECONDS


def reason(pod: Pod) -> str:
    """What a pod that is not ready waits for."""
    conditions = pod.status.conditions if pod.status else None
    scheduled = condition(conditions, "PodScheduled")
    if scheduled is not None and scheduled.is_false:
        return UNSCHEDULABLE if scheduled.reason in _UNSCHEDULED else OTHER
    waits = pod.waits_for
    if any(each in _PULLING for each in waits):
        return IMAGE_PULL
    if "CrashLoopBackOff" in waits or any(each.has_crashed for each in pod.containers):
        return CRASH_LOOP
    if not pod.is_initializing and _CREATING.intersection(waits):
        started = condition(conditions, "PodReadyToStartContainers")
        return IMAGE_PULL if started is not None and started.is_true else CONTAINER_CREATING
    return OTHER


@SUBJECT.gauge(
    "virt_upgrade_operator_waiting_pods",
    "Pods of the operator's namespace that have not been ready for over a minute, by what they wait for, "
    "while an update of the operator is under way; 0 otherwise.",
    labels=("reason",),
    source="Pod: status.conditions[Ready, PodScheduled, PodReadyToStartContainers], "
    "status.containerStatuses[].state.waiting.reason",
    requires=(CLUSTER_SERVICE_VERSIONS, PODS),
    optional=ROLLOUT,
    timed=True,
)
def _waiting_pods(found: WaitingPods) -> Samples:
    for each in REASONS:
        yield (each,), found.counts[each]
