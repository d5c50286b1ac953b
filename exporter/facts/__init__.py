"""How API objects become facts about upgrades: one module a subject, pure functions throughout.

`Facts` is the map: which facts there are and which rest on which. `SUBJECTS` are the subjects whose facts
are published, each with the families it declares beside its rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from exporter.facts import operands, package, subscription, versions
from exporter.facts.cluster import Cluster
from exporter.facts.family import Subject
from exporter.kube.resource import Resource


class Facts:
    """The facts of one state of the cluster, each worked out when it is first asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @cached_property
    def package(self) -> package.Package:
        """Which Subscription and ClusterServiceVersions are ours."""
        return package.derive(self.cluster)

    @cached_property
    def versions(self) -> versions.Versions:
        """Are the two versions a supported pair?"""
        return versions.derive(self.cluster, self.package)

    @cached_property
    def subscription(self) -> subscription.SubscriptionFacts:
        """Will updates come, from where, and who has to say yes?"""
        return subscription.derive(self.cluster, self.package)

    @cached_property
    def operands(self) -> operands.Operands:
        """How far are the operands rolled out, and do they allow the next update?"""
        return operands.derive(self.cluster, self.package)


@dataclass(frozen=True)
class Published:
    """A subject, and how its facts are got."""

    subject: Subject[Any]
    facts: Callable[[Facts], Any]


SUBJECTS: Final = (
    Published(versions.SUBJECT, lambda facts: facts.versions),
    Published(subscription.SUBJECT, lambda facts: facts.subscription),
    Published(operands.SUBJECT, lambda facts: facts.operands),
)

RESOURCES: Final[tuple[Resource[Any], ...]] = tuple(
    {
        resource.plural: resource
        for published in SUBJECTS
        for rule in published.subject.rules
        for resource in rule.resources
    }.values()
)
"""Everything that has to be watched: what some published fact rests on."""
