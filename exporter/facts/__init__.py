"""How API objects become facts about upgrades: one module a subject, pure functions throughout.

`Facts` is the map: which facts there are and which rest on which. `SUBJECTS` are the subjects whose facts
are published, each with the families it declares beside its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from exporter.facts import (
    catalog,
    drain,
    finding,
    findings,
    machines,
    operands,
    package,
    pending,
    pools,
    rollout,
    subscription,
    versions,
    vm_readiness,
    workload_update,
)
from exporter.facts.cluster import Cluster
from exporter.facts.family import Subject
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.machines import MIGRATIONS
from exporter.records.nodes import MACHINE_CONFIG_POOLS, NODES
from exporter.records.olm import CATALOG_SOURCES, INSTALL_PLANS, SUBSCRIPTIONS
from exporter.records.virtualization import KUBEVIRTS

_NOTHING: Final = History()


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
    ) -> None:
        """Facts of a cluster.

        Args:
            cluster: the records, and what can be known of them.
            history: what is remembered.
            now: Unix time.
            recent: objects of the findings a moment ago.
            machines: what the VMs amount to, where that has been kept; else it is worked out.
        """
        self.cluster = cluster
        self.history = history
        self.now = now
        self._recent = recent or {}
        if machines is not None:
            self.__dict__["machines"] = machines

    def later(
        self,
        history: History,
        now: float,
        stale: frozenset[str] = frozenset(),
        heard: Mapping[str, float] | None = None,
        machines: machines.Summary | None = None,
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
        if cluster.decided(NODES):
            drain.observe(self.drain, self.machines, seen)
        if cluster.decided(MIGRATIONS):
            workload_update.observe_migrations(self.machines, seen)
        if cluster.decided(KUBEVIRTS):
            workload_update.observe_rollouts(cluster, seen)
        if cluster.decided(MACHINE_CONFIG_POOLS):
            pools.observe(self.pools, seen)
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
        return operands.derive(self.cluster, self.package)

    @cached_property
    def rollout(self) -> rollout.Rollout:
        """Which version is installed, which one is arriving, has the installed one arrived?"""
        return rollout.derive(self.cluster, self.history, self.package)

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
    def findings(self) -> finding.Findings:
        """What should be known before an update?"""
        return findings.derive(self, self._recent)


_TIMELESS: Final = ("package", "operands")
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
