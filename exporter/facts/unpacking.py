"""What holds up an update before it begins: by which jobs is its bundle unpacked, or could not be?

Before OLM makes a plan, a job in the catalog's namespace pulls the bundle's image and unpacks it. It is given
up after ten minutes, and by default not tried again: whoever mends the cause has to delete the job, and the
ConfigMap of the same name. Nothing in a job names the package it is for, so all that have been begun since
the update became available are shown, as long as the update waits for its bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import Package
from exporter.facts.pending import RESTS_ON, UNPACK_FAILED, UNPACKING, Pending
from exporter.facts.rollout import Rollout
from exporter.history.value import History
from exporter.records.base import unix
from exporter.records.jobs import JOBS, Job
from exporter.records.olm import PACKAGE_MANIFESTS, SUBSCRIPTIONS

SUBJECT: Final = Subject["Unpacking"]("unpacking")

RUNNING: Final = "running"
FAILED: Final = "failed"
STATES: Final = (RUNNING, FAILED)

EARLIER_SECONDS: Final = 120.0
"""A job may be there before the new head is: packages are polled, and served from a cache."""


@dataclass(frozen=True)
class Unpacking:
    """What this subject knows."""

    jobs: tuple[tuple[str, str], ...]
    """Name, with the namespace, and state of each job; none while no update waits for its bundle."""

    def of(self, state: str) -> list[str]:
        """Names of the jobs in a state."""
        return [name for name, each in self.jobs if each == state]


def derive(
    cluster: Cluster, history: History, *, package: Package, rollout: Rollout, pending: Pending
) -> Unpacking:
    """The jobs that an update waits for."""
    update, ours = pending.update, package.subscription
    if update is None or ours is None or update.cause not in {UNPACKING, UNPACK_FAILED}:
        return Unpacking(())
    jobs = [each for each in cluster[JOBS] if each.namespace == ours.source_namespace and not each.succeeded]
    found = [each for each in jobs if _made_since(each, update.since - EARLIER_SECONDS)]
    looked = history.first.get(rollout.memory)
    if not found and update.cause == UNPACK_FAILED and looked is not None and update.since <= looked + 1:
        # It was available when somebody looked for the first time: the job may be as old as the installation.
        installed = max((unix(each.metadata.creation_timestamp) or 0.0 for each in package.csvs), default=0.0)
        found = [each for each in jobs if each.failed and _made_since(each, installed)]
    return Unpacking(
        tuple((f"{each.namespace}/{each.name}", FAILED if each.failed else RUNNING) for each in found)
    )


def _made_since(job: Job, moment: float) -> bool:
    created = unix(job.metadata.creation_timestamp)
    return created is not None and created >= moment


@SUBJECT.gauge(
    "virt_upgrade_unpack_jobs",
    "Unpack jobs that the pending update waits for, or that have failed; 0 while it waits for none.",
    labels=("state",),
    source="Job: status.conditions",
    requires=(SUBSCRIPTIONS, JOBS),
    optional=RESTS_ON,
    helpful=(PACKAGE_MANIFESTS,),
    timed=True,
)
def _unpack_jobs(found: Unpacking) -> Samples:
    for state in STATES:
        yield (state,), len(found.of(state))
