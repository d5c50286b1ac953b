"""How far has HyperConverged rolled its operands out, and does it allow the next update?

HyperConverged's conditions speak of all operands together. A condition that is Unknown says nothing and
is left out, since 0 would read as False. KubeVirt's own status tells which version it runs and which it
is going to.

Whether OLM may replace the installed version is the word of its OperatorCondition, evaluated as OLM does
(operator-lifecycle-manager `pkg/controller/operators/olm/operatorconditions.go`): an override by the
administrator wins, and forbids unless it is True; a condition that OLM has not yet taken over in its
present generation counts as not upgradeable; False blocks; absent, True and Unknown do not.
HyperConverged's own condition Upgradeable says why in other words, but OLM does not read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import PLACE, Package, identity
from exporter.facts.shared import CONDITION_SINCE
from exporter.history.value import History, Observations
from exporter.records.base import Condition, condition, unix
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
    ClusterServiceVersion,
    OperatorCondition,
)
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS, KubeVirt

SUBJECT: Final = Subject["Operands"]("operands")

UPGRADEABLE: Final = "Upgradeable"
EFFECTIVE: Final = "effective"
PASSING: Final = frozenset({"Initializing", "AlreadyPerformingUpgrade", "HCOUpgrading"})
"""Reasons that a restart of the operator, or its update, has and loses by itself."""
_HELD: Final = "operator-not-upgradeable"
_PLACE: Final = (*PLACE, SUBSCRIPTIONS)


@dataclass(frozen=True)
class Verdict:
    """One source's word on whether the operator may be updated."""

    source: str
    upgradeable: bool
    reason: str
    """Why not, in the source's own term; empty when it may."""


@dataclass(frozen=True)
class Operand:
    """One component that HyperConverged rolls out."""

    name: str
    observed: str
    target: str


@dataclass(frozen=True)
class Operands:
    """What this subject knows."""

    conditions: tuple[Condition, ...]
    """HyperConverged's conditions that are True or False."""
    by_operator_condition: tuple[Verdict, ...]
    by_hyperconverged: tuple[Verdict, ...]
    components: tuple[Operand, ...]
    held_since: float | None
    """Since when the operator may not be updated, for a reason that does not pass by itself."""
    told_since: float | None
    """The same as the objects tell: then or earlier, for a reason may follow another one."""

    @property
    def holds(self) -> bool:
        """The operator may not be updated, for a reason that does not pass by itself."""
        return any(
            each.source == EFFECTIVE and not each.upgradeable and each.reason not in PASSING
            for each in self.by_operator_condition
        )


def derive(cluster: Cluster, history: History, now: float, package: Package) -> Operands:
    """The facts about the operands."""
    episode = history.episode(_HELD)
    facts = _derive(cluster, history, package)
    lasts = episode.since is not None and episode.lasts(now) and facts.holds
    return replace(facts, held_since=episode.since) if lasts else facts


def observe(operands: Operands, seen: Observations, *, watched: bool) -> None:
    """Remember since when the operator may not be updated: who was there has seen it begin."""
    seen.holds(_HELD, operands.holds, None if watched else operands.told_since)


def _derive(cluster: Cluster, history: History, package: Package) -> Operands:
    hyperconverged = package.hyperconverged
    conditions = hyperconverged.conditions if hyperconverged else []
    upgradeable = condition(conditions, UPGRADEABLE)
    return Operands(
        conditions=tuple(each for each in conditions if each.type and (each.is_true or each.is_false)),
        by_operator_condition=_operator_condition(cluster, package),
        by_hyperconverged=(_verdict("hyperconverged", upgradeable),)
        if upgradeable and (upgradeable.is_true or upgradeable.is_false)
        else (),
        components=tuple(
            Operand("kubevirt", kubevirt.observed_version, kubevirt.target_version)
            for kubevirt in _of_operator(cluster, package)
        ),
        held_since=None,
        told_since=_told_since(cluster, history, package),
    )


def _told_since(cluster: Cluster, history: History, package: Package) -> float | None:
    """Since when Upgradeable is what it is, if not from before the installed version was rolled out."""
    installed = _installed(package)
    found = cluster.find(OPERATOR_CONDITIONS, installed.name, installed.namespace) if installed else None
    if installed is None or found is None:
        return None
    override = condition(found.overrides, UPGRADEABLE)
    if override is not None:
        return unix(override.last_transition_time)
    own = condition(found.conditions, UPGRADEABLE)
    since = unix(own.last_transition_time) if own is not None else None
    record = history.upgrades.find(identity(installed))
    ends = (record.completed if record else None, unix(installed.first_succeeded))
    return None if since is None else max(since, next((each for each in ends if each is not None), since))


def _of_operator(cluster: Cluster, package: Package) -> tuple[KubeVirt, ...]:
    ours = [each for each in cluster[KUBEVIRTS] if each.namespace == package.namespace]
    return tuple(ours[:1] if package.namespace else ())


def _installed(package: Package) -> ClusterServiceVersion | None:
    return next((csv for csv in package.csvs if csv.has_succeeded), None)


def _operator_condition(cluster: Cluster, package: Package) -> tuple[Verdict, ...]:
    installed = _installed(package)
    if installed is None:
        return ()
    found = cluster.find(OPERATOR_CONDITIONS, installed.name, installed.namespace)
    if found is None:
        # OLM asks a CSV without an OperatorCondition nothing.
        return (Verdict(EFFECTIVE, True, ""),)
    own = condition(found.conditions, UPGRADEABLE)
    said = (_verdict("operator_condition", own),) if own and (own.is_true or own.is_false) else ()
    return (*said, effective(found))


def effective(found: OperatorCondition) -> Verdict:
    """Whether OLM would replace the operator now."""
    override = condition(found.overrides, UPGRADEABLE)
    if override is not None:
        return Verdict(EFFECTIVE, override.is_true, "" if override.is_true else override.reason or "")
    own = condition(found.conditions, UPGRADEABLE)
    if own is None:
        return Verdict(EFFECTIVE, True, "")
    if (own.observed_generation or 0) != (found.metadata.generation or 0):
        return Verdict(EFFECTIVE, False, "Outdated")
    return _verdict(EFFECTIVE, own)


def _verdict(source: str, said: Condition) -> Verdict:
    return Verdict(source, not said.is_false, (said.reason or "") if said.is_false else "")


@SUBJECT.gauge(
    "virt_upgrade_operator_upgradeable",
    "1 when the operator may be updated: by its OperatorCondition, by HyperConverged, and effectively, "
    "as OLM decides with overrides.",
    labels=("source",),
    source="OperatorCondition: spec.overrides, status.conditions; HyperConverged: status.conditions",
    requires=(CLUSTER_SERVICE_VERSIONS,),
    optional=(OPERATOR_CONDITIONS, HYPERCONVERGEDS, SUBSCRIPTIONS),
)
def _operator_upgradeable(operands: Operands) -> Samples:
    for verdict in operands.by_operator_condition + operands.by_hyperconverged:
        yield (verdict.source,), float(verdict.upgradeable)


@SUBJECT.gauge(
    "virt_upgrade_operator_not_upgradeable_info",
    "Why the operator may not be updated now; absent while it may.",
    labels=("source", "reason"),
    source="OperatorCondition: spec.overrides, status.conditions; HyperConverged: status.conditions",
    requires=(CLUSTER_SERVICE_VERSIONS,),
    optional=(OPERATOR_CONDITIONS, HYPERCONVERGEDS, SUBSCRIPTIONS),
)
def _operator_not_upgradeable_info(operands: Operands) -> Samples:
    for verdict in operands.by_operator_condition + operands.by_hyperconverged:
        if not verdict.upgradeable:
            yield (verdict.source, verdict.reason), 1


@SUBJECT.gauge(
    "virt_upgrade_hco_condition",
    "Conditions of HyperConverged, 1 when True and 0 when False; absent while Unknown.",
    labels=("type",),
    source="HyperConverged: status.conditions",
    requires=(HYPERCONVERGEDS,),
)
def _hco_condition(operands: Operands) -> Samples:
    for each in operands.conditions:
        yield (each.type or "",), float(each.is_true)


@SUBJECT.gauge(
    "virt_upgrade_hco_condition_info",
    "Reasons of HyperConverged's conditions.",
    labels=("type", "reason"),
    source="HyperConverged: status.conditions",
    requires=(HYPERCONVERGEDS,),
)
def _hco_condition_info(operands: Operands) -> Samples:
    for each in operands.conditions:
        yield (each.type or "", each.reason or ""), 1


@SUBJECT.gauge(
    "virt_upgrade_operand_info",
    "Version an operand runs and version it is going to.",
    labels=("operand", "observed_version", "target_version"),
    source="KubeVirt: status.observedKubeVirtVersion, status.targetKubeVirtVersion",
    requires=(KUBEVIRTS,),
    optional=_PLACE,
)
def _operand_info(operands: Operands) -> Samples:
    for each in operands.components:
        yield (each.name, each.observed, each.target), 1


@SUBJECT.gauge(
    "virt_upgrade_operand_up_to_date",
    "1 when an operand runs the version it is to have.",
    labels=("operand",),
    source="KubeVirt: status.observedKubeVirtVersion, status.targetKubeVirtVersion",
    requires=(KUBEVIRTS,),
    optional=_PLACE,
)
def _operand_up_to_date(operands: Operands) -> Samples:
    for each in operands.components:
        yield (each.name,), float(bool(each.target) and each.observed == each.target)


@SUBJECT.adds_to(
    CONDITION_SINCE,
    source="OperatorCondition: spec.overrides, status.conditions; first seen",
    requires=(CLUSTER_SERVICE_VERSIONS,),
    optional=(OPERATOR_CONDITIONS, HYPERCONVERGEDS, SUBSCRIPTIONS),
    timed=True,
)
def _held_since(operands: Operands) -> Samples:
    if operands.held_since is not None:
        yield ("operator_not_upgradeable",), operands.held_since
