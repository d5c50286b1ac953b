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

from dataclasses import dataclass
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import PLACE, Package
from exporter.records.base import Condition, condition
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
    OperatorCondition,
)
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS, KubeVirt

SUBJECT: Final = Subject["Operands"]("operands")

UPGRADEABLE: Final = "Upgradeable"
EFFECTIVE: Final = "effective"
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


def derive(cluster: Cluster, package: Package) -> Operands:
    """The facts about the operands."""
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
    )


def _of_operator(cluster: Cluster, package: Package) -> tuple[KubeVirt, ...]:
    ours = [each for each in cluster[KUBEVIRTS] if each.namespace == package.namespace]
    return tuple(ours[:1] if package.namespace else ())


def _operator_condition(cluster: Cluster, package: Package) -> tuple[Verdict, ...]:
    installed = next((csv for csv in package.csvs if csv.has_succeeded), None)
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
