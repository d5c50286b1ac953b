"""How API objects become facts about upgrades: one module a subject, pure functions throughout.

`Facts` is the map: which facts there are and which rest on which. `SUBJECTS` are the subjects whose facts
are published, each with the families it declares beside its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from exporter.facts import (
    catalog,
    drain,
    failed_plans,
    finding,
    findings,
    machines,
    openshift_next,
    openshift_upgrade,
    operands,
    operator_upgrade,
    package,
    pending,
    pools,
    rollout,
    subscription,
    unpacking,
    upgrade_records,
    versions,
    vm_readiness,
    waiting_pods,
    workload_update,
)
from exporter.facts.cluster import Cluster
from exporter.facts.family import Subject
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import MACHINE_CONFIG_POOLS, NODES
from exporter.records.olm import (
    CATALOG_SOURCES,
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    SUBSCRIPTIONS,
)
from exporter.records.openshift import CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS

_NOTHING: Final = History()


class Seen(NamedTuple):
    """What somebody saw who looked; None where it was not to be seen."""

    updates: frozenset[str] | None
    """Uids of our ClusterServiceVersions, and of plans that failed to make one."""
    late_pools: frozenset[str] | None
    """Names of the pools that do not have an update of OpenShift yet."""
    counted: bool
    """It was known how many VMs there are."""


class Facts:
    """The facts of one state of the cluster at one moment, each worked out when it is first asked for."""

    def __init__(
        self,
        cluster: Cluster,
        history: History = _NOTHING,
        now: float = 0.0,
        *,
        recent: Mapping[str, finding.Names] | None = None,
        machines: machines.Summary | None = None,
        before: frozenset[str] | None = None,
        late: frozenset[str] | None = None,
        counted: bool = True,
    ) -> None:
        """Facts of a cluster.

        Args:
            cluster: the records, and what can be known of them.
            history: what is remembered.
            now: Unix time.
            recent: objects of the findings a moment ago.
            machines: what the VMs amount to, where that has been kept; else it is worked out.
            before: uids of updates that were to be seen a moment ago; None when nobody looked.
            late: names of the pools that did not have an update a moment ago; None when nobody looked.
            counted: VMs were counted a moment ago, and nothing has happened to them unseen since.
        """
        self.cluster = cluster
        self.history = history
        self.now = now
        self._recent = recent or {}
        self._before = before
        self._late = late
        self._counted = counted
        if machines is not None:
            self.__dict__["machines"] = machines

    def later(
        self,
        history: History,
        now: float,
        stale: frozenset[str] = frozenset(),
        heard: Mapping[str, float] | None = None,
        machines: machines.Summary | None = None,
        *,
        counted: bool = True,
    ) -> Facts:
        """The facts at a later moment, with nothing but VMs and nodes having changed.

        What rests on the other records alone is kept.
        """
        facts = Facts(
            replace(self.cluster, stale=stale, heard=heard or {}),
            history,
            now,
            recent=self.findings.names,
            machines=machines or self.__dict__.get("machines"),
            before=self.seen.updates,
            late=self.seen.late_pools,
            counted=counted and self.seen.counted,
        )
        for name in _TIMELESS:
            if name in self.__dict__:
                facts.__dict__[name] = self.__dict__[name]
        return facts

    def observe(self, history: History) -> History:
        """What is remembered once these facts have been seen: `history` itself when nothing is new."""
        seen = Observations(history, self.now)
        cluster = self.cluster
        if cluster.decided(SUBSCRIPTIONS, *rollout.RESTS_ON):
            subscription.observe(self.package, seen)
            rollout.observe(self.rollout, seen)
            operands.observe(self.operands, seen, watched=self._before is not None)
            if cluster.decided(CATALOG_SOURCES):
                catalog.observe(cluster, self.catalog, seen)
            if cluster.decided(INSTALL_PLANS):
                pending.observe(
                    cluster,
                    history,
                    seen,
                    package=self.package,
                    rollout=self.rollout,
                    catalog=self.catalog,
                )
        upgrade_records.observe(
            cluster,
            history,
            seen,
            package=self.package,
            rollout=self.rollout,
            pending=self.pending,
            before=self._before,
            methods=self._methods,
            outdated=self._outdated,
            counted=self._counted,
        )
        if cluster.decided(NODES):
            drain.observe(self.drain, self.machines, seen)
        if cluster.decided(MIGRATIONS):
            workload_update.observe_migrations(self.machines, seen)
        if cluster.decided(KUBEVIRTS):
            workload_update.observe_rollouts(cluster, seen)
        if cluster.decided(MACHINE_CONFIG_POOLS):
            pools.observe(self.pools, seen)
        if cluster.decided(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS):
            openshift_upgrade.observe(self.openshift_upgrade, seen)
        findings.observe(self.findings, seen)
        return seen.history()

    @cached_property
    def package(self) -> package.Package:
        """Which Subscription and ClusterServiceVersions are ours."""
        return package.derive(self.cluster)

    @cached_property
    def versions(self) -> versions.Versions:
        """Are the two versions a supported pair?"""
        return versions.derive(self.cluster, self.package, self.rollout)

    @cached_property
    def operands(self) -> operands.Operands:
        """How far are the operands rolled out, and do they allow the next update?"""
        return operands.derive(self.cluster, self.history, self.now, self.package)

    @cached_property
    def rollout(self) -> rollout.Rollout:
        """Which version is installed, which one is arriving, has the installed one arrived?"""
        return rollout.derive(self.cluster, self.history, self.package, self._before)

    @cached_property
    def subscription(self) -> subscription.SubscriptionFacts:
        """Will updates come, from where, and who has to say yes?"""
        return subscription.derive(self.cluster, self.history, self.package)

    @cached_property
    def catalog(self) -> catalog.Catalog:
        """What does the catalog offer?"""
        return catalog.derive(
            self.cluster, self.history, self.now, self.subscription, self.rollout, self.versions
        )

    @cached_property
    def pending(self) -> pending.Pending:
        """What update is pending, since when, and what does it wait for?"""
        return pending.derive(
            self.cluster,
            self.history,
            self.now,
            subscription=self.subscription,
            rollout=self.rollout,
            catalog=self.catalog,
            versions=self.versions,
        )

    @cached_property
    def operator_upgrade(self) -> operator_upgrade.OperatorUpgrade:
        """How long does an update take, where does it stand, and how did the ones before end?"""
        return operator_upgrade.derive(
            self.cluster,
            self.history,
            self.now,
            package=self.package,
            rollout=self.rollout,
            pending=self.pending,
            machines=self.machines,
            methods=self._methods,
            before=self._before,
        )

    @cached_property
    def waiting_pods(self) -> waiting_pods.WaitingPods:
        """Which of the operator's pods hold up its update?"""
        under_way = self.operator_upgrade.current is not None
        return waiting_pods.derive(self.cluster, self.now, self.package.namespace, in_progress=under_way)

    @cached_property
    def unpacking(self) -> unpacking.Unpacking:
        """By which jobs is the pending update's bundle unpacked, or could not be?"""
        return unpacking.derive(
            self.cluster, self.history, package=self.package, rollout=self.rollout, pending=self.pending
        )

    @cached_property
    def seen(self) -> Seen:
        """What tells, a moment later, what has happened since."""
        updates = late = None
        if upgrade_records.can_look(self.cluster) and self.cluster.known(CLUSTER_SERVICE_VERSIONS):
            failed = failed_plans.failed_plans(self.package)
            updates = frozenset({package.identity(each) for each in self.package.csvs} | failed.keys())
        if self.cluster.known(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS):
            late = self.openshift_upgrade.workers.late
        return Seen(updates, late, counted=self._outdated is not None)

    @property
    def _methods(self) -> frozenset[str] | None:
        """By which VMs are moved into new launchers; where there is no KubeVirt by none."""
        if self.cluster.decided(KUBEVIRTS, HYPERCONVERGEDS):
            return self.workload_update.methods or frozenset()
        return self.workload_update.methods

    @property
    def _outdated(self) -> int | None:
        """VMs that are still to be moved into a new launcher; None where nothing tells."""
        known = self.cluster.known(VIRTUAL_MACHINE_INSTANCES)
        return self.machines.by("outdated").get("true", 0) if known else None

    @cached_property
    def machines(self) -> machines.Summary:
        """What do the running VMs amount to?"""
        return machines.derive(self.cluster, self.history, self.now)

    @cached_property
    def drain(self) -> drain.Drain:
        """Which nodes are cordoned or drained, and which VMs hold them?"""
        return drain.derive(self.cluster, self.history, self.now, self.machines)

    @cached_property
    def workload_update(self) -> workload_update.WorkloadUpdate:
        """How far are running VMs moved into the present virt-launcher?"""
        return workload_update.derive(self.cluster, self.history, self.machines)

    @cached_property
    def pools(self) -> pools.Pools:
        """How far are the pools updated, and does a paused one wait?"""
        return pools.derive(self.cluster, self.history, self.now)

    @cached_property
    def openshift_upgrade(self) -> openshift_upgrade.OpenShiftUpgrade:
        """How far is OpenShift's own update?"""
        return openshift_upgrade.derive(self.cluster, self.history, self.now, self._late)

    @cached_property
    def openshift_next(self) -> openshift_next.OpenShiftNext:
        """Which update of OpenShift comes next, and what is in the way of its next minor?"""
        return openshift_next.derive(self.cluster, self.package, self.versions.openshift)

    @cached_property
    def findings(self) -> finding.Findings:
        """What should be known before an update?"""
        return findings.derive(self, self._recent)


_TIMELESS: Final = ("package",)
"""Facts that rest on the records alone."""


@dataclass(frozen=True)
class Published:
    """A subject, and how its facts are got."""

    subject: Subject[Any]
    facts: Callable[[Facts], Any]


SUBJECTS: Final = (
    Published(findings.SUBJECT, lambda facts: facts.findings),
    Published(versions.SUBJECT, lambda facts: facts.versions),
    Published(subscription.SUBJECT, lambda facts: facts.subscription),
    Published(catalog.SUBJECT, lambda facts: facts.catalog),
    Published(pending.SUBJECT, lambda facts: facts.pending),
    Published(unpacking.SUBJECT, lambda facts: facts.unpacking),
    Published(operator_upgrade.SUBJECT, lambda facts: facts.operator_upgrade),
    Published(waiting_pods.SUBJECT, lambda facts: facts.waiting_pods),
    Published(openshift_upgrade.SUBJECT, lambda facts: facts.openshift_upgrade),
    Published(openshift_next.SUBJECT, lambda facts: facts.openshift_next),
    Published(operands.SUBJECT, lambda facts: facts.operands),
    Published(vm_readiness.SUBJECT, lambda facts: facts.machines),
    Published(drain.SUBJECT, lambda facts: facts.drain),
    Published(workload_update.SUBJECT, lambda facts: facts.workload_update),
    Published(pools.SUBJECT, lambda facts: facts.pools),
)

RESOURCES: Final[tuple[Resource[Any], ...]] = tuple(
    {
        resource.plural: resource
        for published in SUBJECTS
        for rule in published.subject.rules
        for resource in rule.reads
    }.values()
)
"""Everything that has to be read: what some published fact rests on."""
