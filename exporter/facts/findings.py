"""What an administrator should know before pressing "update", as one list.

Each entry is a declaration and a pure function that names the objects concerned (`exporter/facts/finding.py`
says what belongs to one). An update is ready exactly when no finding that blocks it has objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from exporter.facts import machines, operator_upgrade, pending, semver, unpacking
from exporter.facts.family import Samples, Subject
from exporter.facts.finding import (
    MEMORY,
    OPENSHIFT,
    OPERATOR,
    Effect,
    Finding,
    Findings,
    Names,
    Objects,
    Severity,
    look,
    text,
)
from exporter.facts.operands import EFFECTIVE
from exporter.facts.rollout import RESTS_ON as ROLLOUT
from exporter.facts.shared import CONDITION_SINCE
from exporter.facts.subscription import MANUAL
from exporter.facts.vm_readiness import DRAIN
from exporter.history.value import Observations
from exporter.kube.resource import Resource
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import MACHINE_CONFIG_POOLS, NODES
from exporter.records.olm import (
    CATALOG_SOURCES,
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    PACKAGE_MANIFESTS,
    SUBSCRIPTIONS,
)
from exporter.records.openshift import CLUSTER_OPERATORS, CLUSTER_VERSIONS
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS

if TYPE_CHECKING:
    from exporter.facts import Facts

SUBJECT: Final = Subject["Findings"]("findings")

FINDINGS: Final[list[Finding]] = []


def _finding(
    name: str,
    severity: Severity,
    *,
    operator: Effect,
    openshift: Effect = Effect.NOTHING,
    statement: str,
    action: str,
    resources: tuple[Resource[Any], ...],
    since: Callable[[Facts], float | None] = lambda _: None,
    by_node: Callable[[Facts], Mapping[str, Names]] | None = None,
) -> Callable[[Callable[[Facts], Objects]], Callable[[Facts], Objects]]:
    """Declare a finding; the decorated function names its objects."""

    def declare(objects: Callable[[Facts], Objects]) -> Callable[[Facts], Objects]:
        found = Finding(
            name, severity, operator, openshift, statement, action, resources, objects, since, by_node
        )
        FINDINGS.append(found)
        return objects

    return declare


def derive(facts: Facts, recent: Mapping[str, Names]) -> Findings:
    """The whole list; `recent` are the objects of a moment ago."""
    cluster = facts.cluster
    return Findings(
        tuple(look(facts, each, recent) for each in FINDINGS),
        has_subscriptions=cluster.known(SUBSCRIPTIONS),
        has_openshift=bool(cluster[CLUSTER_VERSIONS]),
    )


def observe(findings: Findings, seen: Observations) -> None:
    """Remember since when findings have held."""
    for each in findings.found:
        if each.known:
            seen.holds(f"{MEMORY}/{each.finding.name}", holds=each.now)
    names = {each.finding.name for each in findings.found}
    seen.forget(name for name, rest in seen.known(MEMORY).items() if rest not in names)


# Is there an operator to update, and somewhere to get it from?


@_finding(
    "no_subscription",
    Severity.WARNING,
    operator=Effect.BLOCKS,
    statement="Updates of OpenShift Virtualization come through its Subscription.",
    action="Create the Subscription of kubevirt-hyperconverged in openshift-cnv on the channel stable.",
    resources=(SUBSCRIPTIONS, *ROLLOUT),
)
def _no_subscription(facts: Facts) -> Iterator[str]:
    if facts.cluster.known(SUBSCRIPTIONS) and facts.package.subscription is None:
        yield facts.package.namespace or "openshift-cnv"


@_finding(
    "several_subscriptions",
    Severity.WARNING,
    operator=Effect.WARNS,
    statement="A package is subscribed to once in a cluster.",
    action="Delete the Subscriptions that are not in the operator's namespace.",
    resources=(SUBSCRIPTIONS, *ROLLOUT),
)
def _several_subscriptions(facts: Facts) -> Iterator[str]:
    if facts.package.subscriptions > 1:
        for each in facts.cluster[SUBSCRIPTIONS]:
            if each.package in facts.cluster.scope.packages:
                yield f"{each.namespace}/{each.name}"


@_finding(
    "not_installed",
    Severity.INFO,
    operator=Effect.BLOCKS,
    statement="The first installation is not an update, and has to complete before one.",
    action="Install OpenShift Virtualization and create its HyperConverged, or wait for that to complete.",
    resources=ROLLOUT,
)
def _not_installed(facts: Facts) -> Iterator[str]:
    if facts.rollout.first:
        installed = facts.rollout.installed
        yield installed.name if installed else "OpenShift Virtualization"


@_finding(
    "olm_unavailable",
    Severity.WARNING,
    operator=Effect.BLOCKS,
    statement="Updates are resolved and installed by the Operator Lifecycle Manager and its catalogs.",
    action="oc get clusteroperator: bring back those that are not Available.",
    resources=(CLUSTER_OPERATORS,),
)
def _olm_unavailable(facts: Facts) -> Iterator[str]:
    for name, available in facts.versions.operators_available:
        if not available and name != "machine-config":
            yield name


@_finding(
    "catalog_unhealthy",
    Severity.WARNING,
    operator=Effect.BLOCKS,
    statement="Updates come from the catalog that the Subscription names.",
    action="oc get catalogsource,pods in the catalog's namespace: it is missing, or not READY.",
    resources=(SUBSCRIPTIONS, CATALOG_SOURCES, *ROLLOUT),
)
def _catalog_unhealthy(facts: Facts) -> Iterator[str]:
    ours = facts.package.subscription
    if ours is not None and not facts.subscription.catalog_ready:
        yield f"{ours.source_namespace}/{ours.source}"


@_finding(
    "no_longer_in_catalog",
    Severity.WARNING,
    operator=Effect.WARNS,
    statement="Only versions of the subscribed channel are updated and supported.",
    action="Subscribe to a catalog and channel that hold the installed version or a newer one.",
    resources=(SUBSCRIPTIONS, CATALOG_SOURCES, PACKAGE_MANIFESTS, *ROLLOUT),
)
def _no_longer_in_catalog(facts: Facts) -> Iterator[str]:
    if facts.catalog.lost:
        yield from _subscribed(facts)


# Is the pair supported, and is the Subscription as recommended?


@_finding(
    "version_skew",
    Severity.WARNING,
    operator=Effect.WARNS,
    openshift=Effect.WARNS,
    statement="A minor of OpenShift Virtualization is supported only on the same minor of OpenShift.",
    action="Behind: update OpenShift Virtualization. Ahead: let OpenShift follow.",
    resources=(CLUSTER_VERSIONS, *ROLLOUT),
    since=lambda facts: facts.versions.openshift.minor_since if facts.versions.openshift else None,
)
def _version_skew(facts: Facts) -> Iterator[str]:
    operator, openshift = facts.versions.operator, facts.versions.openshift
    if facts.versions.skew and operator and openshift:
        ours, theirs = semver.minor(operator.version), semver.minor(openshift.version)
        yield f"OpenShift Virtualization {ours} on OpenShift {theirs}"


@_finding(
    "channel_not_recommended",
    Severity.WARNING,
    operator=Effect.WARNS,
    statement="The channel stable is the one that is supported.",
    action="Set spec.channel of the Subscription to stable.",
    resources=(SUBSCRIPTIONS, *ROLLOUT),
)
def _channel_not_recommended(facts: Facts) -> Iterator[str]:
    if facts.package.subscription is not None and not facts.subscription.channel_recommended:
        yield from _subscribed(facts)


@_finding(
    "deprecated",
    Severity.WARNING,
    operator=Effect.WARNS,
    statement="What its catalog marks as deprecated gets no more updates.",
    action="Read the message of the Subscription's condition Deprecated; it names the successor.",
    resources=(SUBSCRIPTIONS, *ROLLOUT),
)
def _deprecated(facts: Facts) -> Iterator[str]:
    yield from facts.subscription.deprecated


@_finding(
    "manual_approval",
    Severity.INFO,
    operator=Effect.WARNS,
    statement="Automatic is the recommended strategy; with Manual every update waits for a person.",
    action="Set installPlanApproval of every Subscription of the namespace to Automatic, or watch for plans.",
    resources=(SUBSCRIPTIONS, INSTALL_PLANS, *ROLLOUT),
)
def _manual_approval(facts: Facts) -> Iterator[str]:
    if facts.subscription.effective_approval == MANUAL:
        yield from _subscribed(facts)


# What does a pending update wait for?


def _pending_since(facts: Facts) -> float | None:
    return facts.pending.update.since if facts.pending.update else None


_PENDING: Final[tuple[Resource[Any], ...]] = (SUBSCRIPTIONS, INSTALL_PLANS, *ROLLOUT)
_FAILED: Final = {pending.PLAN_FAILED, pending.UNPACK_FAILED}
"""The update has failed, which blocks OpenShift's as well."""
_BY_HEAD: Final = {pending.UNPACK_FAILED, pending.RESOLUTION_FAILED}
"""Only who knows the head of the channel knows of these."""

_WAITS: Final[tuple[tuple[str, Severity, Effect, str, str], ...]] = (
    (
        pending.AWAITING_APPROVAL,
        Severity.WARNING,
        Effect.WARNS,
        "With Manual approval an update waits until a person approves its InstallPlan.",
        'Approve the plan: oc patch installplan NAME --type merge -p \'{"spec":{"approved":true}}\'.',
    ),
    (
        pending.PLAN_FAILED,
        Severity.WARNING,
        Effect.BLOCKS,
        "A failed InstallPlan is not tried again.",
        "Read the plan's conditions, mend the cause, then delete the plan so that OLM makes a new one.",
    ),
    (
        pending.UNPACK_FAILED,
        Severity.WARNING,
        Effect.BLOCKS,
        "A bundle that cannot be unpacked is never installed.",
        "Mostly its image cannot be pulled: mend that, then delete the job and the ConfigMap of its name.",
    ),
    (
        pending.RESOLUTION_FAILED,
        Severity.WARNING,
        Effect.BLOCKS,
        "OLM installs nothing in a namespace whose Subscriptions it cannot resolve together.",
        "Read the Subscription's condition ResolutionFailed; another Subscription may be the cause.",
    ),
    (
        pending.NOT_STARTED,
        Severity.WARNING,
        Effect.WARNS,
        "With Automatic approval updates install themselves.",
        "There may be no way from the installed version to the head; see the catalog's upgrade graph.",
    ),
    (
        pending.UPGRADE_GATE,
        Severity.WARNING,
        Effect.WARNS,
        "The operator can hold its own update until its operands allow it.",
        "Read the OperatorCondition of the installed version; an administrator may override it.",
    ),
    (
        pending.REQUIREMENTS_NOT_MET,
        Severity.WARNING,
        Effect.WARNS,
        "A version is installed once all its requirements are present.",
        "Read status.requirementStatus of the new ClusterServiceVersion.",
    ),
)


def _waits(cause: str) -> Callable[[Facts], Objects]:
    def objects(facts: Facts) -> Iterator[str]:
        if (update := facts.pending.update) and update.cause == cause:
            by_plan = cause in {pending.AWAITING_APPROVAL, pending.PLAN_FAILED}
            yield (update.plan if by_plan else "") or update.csv
        if cause == pending.UNPACK_FAILED:
            yield from (f"job {name}" for name in facts.unpacking.of(unpacking.FAILED))

    return objects


for _cause, _severity, _effect, _statement, _action in _WAITS:
    _finding(
        _cause,
        _severity,
        operator=_effect,
        openshift=Effect.BLOCKS if _cause in _FAILED else Effect.NOTHING,
        statement=_statement,
        action=_action,
        resources=(*_PENDING, PACKAGE_MANIFESTS) if _cause in _BY_HEAD else _PENDING,
        since=_pending_since,
    )(_waits(_cause))


@_finding(
    "stale_plan",
    Severity.INFO,
    operator=Effect.WARNS,
    statement="A plan that waits keeps its version, whatever the catalog offers since.",
    action="Approve it and then the next one, or delete the plan to get one for the newest version.",
    resources=(*_PENDING, PACKAGE_MANIFESTS),
)
def _stale_plan(facts: Facts) -> Iterator[str]:
    if facts.pending.stale and facts.pending.update:
        yield facts.pending.update.csv


@_finding(
    "operator_waits_for_openshift",
    Severity.INFO,
    operator=Effect.NOTHING,
    statement="OpenShift is updated to a minor before OpenShift Virtualization is.",
    action="Update OpenShift; the next minor of the operator appears in the catalog afterwards.",
    resources=(CLUSTER_VERSIONS, PACKAGE_MANIFESTS, *_PENDING),
)
def _operator_waits_for_openshift(facts: Facts) -> Iterator[str]:
    if facts.pending.waits_for_openshift and facts.versions.operator:
        yield f"OpenShift Virtualization {facts.versions.operator.version}"


# Is something under way that has to end first?


@_finding(
    "operator_not_upgradeable",
    Severity.WARNING,
    operator=Effect.BLOCKS,
    statement="OLM replaces an operator only while its OperatorCondition Upgradeable allows it.",
    action="Read the OperatorCondition and HyperConverged's condition Upgradeable.",
    resources=ROLLOUT,
)
def _operator_not_upgradeable(facts: Facts) -> Iterator[str]:
    for verdict in facts.operands.by_operator_condition:
        if verdict.source == EFFECTIVE and not verdict.upgradeable:
            installed = facts.rollout.installed
            yield installed.name if installed else verdict.reason


@_finding(
    "operator_update_running",
    Severity.INFO,
    operator=Effect.BLOCKS,
    openshift=Effect.BLOCKS,
    statement="An update has to complete before the next one, of OpenShift too.",
    action="Wait for it: most complete within fifteen minutes.",
    resources=ROLLOUT,
)
def _operator_update_running(facts: Facts) -> Iterator[str]:
    csv = facts.rollout.arriving or facts.rollout.installed
    if facts.rollout.running and csv:
        yield csv.name
    elif (current := facts.operator_upgrade.current) is not None:
        # Its ClusterServiceVersion has not been made.
        yield current.csv


@_finding(
    "operator_update_failed",
    Severity.CRITICAL,
    operator=Effect.BLOCKS,
    openshift=Effect.BLOCKS,
    statement="An update that runs into its install timeout twice, or stays Failed, needs somebody.",
    action="Read the ClusterServiceVersion's conditions and its pods: oc describe csv, oc get pods.",
    resources=(*ROLLOUT, INSTALL_PLANS),
)
def _operator_update_failed(facts: Facts) -> Iterator[str]:
    upgrade = facts.operator_upgrade
    if upgrade.stage == operator_upgrade.FAILING and upgrade.current is not None:
        yield upgrade.current.csv


@_finding(
    "openshift_update_running",
    Severity.INFO,
    operator=Effect.BLOCKS,
    openshift=Effect.BLOCKS,
    statement="OpenShift Virtualization is updated after OpenShift, not during its update.",
    action="Wait for it: oc adm upgrade, oc get machineconfigpools.",
    resources=(CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS),
    since=lambda facts: facts.openshift_upgrade.since,
)
def _openshift_update_running(facts: Facts) -> Iterator[str]:
    if facts.openshift_upgrade.target:
        yield f"OpenShift {facts.openshift_upgrade.target}"
    for pool in facts.openshift_upgrade.workers.rolling:
        yield f"pool {pool.name}"


@_finding(
    "openshift_minor_blocked",
    Severity.WARNING,
    operator=Effect.NOTHING,
    openshift=Effect.BLOCKS,
    statement="OpenShift is not updated to its next minor while an installed operator does not support that, "
    "or a condition of its own forbids it.",
    action="Update the operators that are named; read oc adm upgrade.",
    resources=(CLUSTER_VERSIONS, CLUSTER_OPERATORS, CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS, HYPERCONVERGEDS),
)
def _openshift_minor_blocked(facts: Facts) -> Iterator[str]:
    # In the way of nobody while no minor is wanted.
    if facts.openshift_next.wants_minor:
        for each in facts.openshift_next.blockers:
            yield each.object


# What would keep nodes from being drained, or VMs from coming back?

_VMS: Final[tuple[Resource[Any], ...]] = (VIRTUAL_MACHINE_INSTANCES, *DRAIN)


@_finding(
    "drain_would_block",
    Severity.WARNING,
    operator=Effect.WARNS,
    openshift=Effect.BLOCKS,
    statement="A VM with the eviction strategy LiveMigrate that cannot be migrated blocks node drains.",
    action="Make it migratable, or set its evictionStrategy to None or LiveMigrateIfPossible and its "
    "runStrategy to Always, and restart it.",
    resources=_VMS,
)
def _drain_would_block(facts: Facts) -> Names:
    return facts.machines.names.get(machines.WOULD_BLOCK, Names())


@_finding(
    "vm_stays_down",
    Severity.INFO,
    operator=Effect.NOTHING,
    openshift=Effect.WARNS,
    statement="A VM that is shut down by a drain is started again only with the run strategy Always.",
    action="Set spec.runStrategy of the VirtualMachine to Always, or shut it down in good time yourself.",
    resources=_VMS,
)
def _vm_stays_down(facts: Facts) -> Names:
    if facts.machines.settings.single_node:
        return Names()
    return facts.machines.names.get(machines.STAYS_DOWN, Names())


@_finding(
    "workaround_restart_required",
    Severity.INFO,
    operator=Effect.NOTHING,
    openshift=Effect.WARNS,
    statement="A changed eviction strategy takes effect when the VM is started again.",
    action="virtctl restart VM, in a maintenance window.",
    resources=_VMS,
)
def _workaround_restart_required(facts: Facts) -> Names:
    return facts.machines.names.get(machines.RESTART_REQUIRED, Names())


@_finding(
    "node_drain_blocked",
    Severity.WARNING,
    operator=Effect.NOTHING,
    openshift=Effect.WARNS,
    statement="A node is updated once all its VMs have left it.",
    action="See which VMs hold the node and why; migrate, restart or shut them down.",
    resources=(NODES, *_VMS),
    by_node=lambda facts: facts.drain.held,
)
def _node_drain_blocked(facts: Facts) -> Iterator[str]:
    yield from facts.drain.held


@_finding(
    "migratability_stale",
    Severity.WARNING,
    operator=Effect.WARNS,
    openshift=Effect.WARNS,
    statement="Whether a VM can be migrated is the word of virt-handler on its node.",
    action="Bring back the node's virt-handler: oc get pods -n openshift-cnv -l kubevirt.io=virt-handler.",
    resources=(NODES, VIRTUAL_MACHINE_INSTANCES),
)
def _migratability_stale(facts: Facts) -> Iterator[str]:
    for node in facts.drain.nodes:
        if node.silent:
            yield node.name


# What did the last update leave behind?


@_finding(
    "outdated_vms",
    Severity.INFO,
    operator=Effect.WARNS,
    openshift=Effect.WARNS,
    statement="VMs are to run in the present virt-launcher before the next update of OpenShift.",
    action="Let the workload update migrate them; restart those that cannot be migrated.",
    resources=(VIRTUAL_MACHINE_INSTANCES,),
)
def _outdated_vms(facts: Facts) -> Names:
    return facts.machines.names.get(machines.OUTDATED, Names())


@_finding(
    "workload_update_disabled",
    Severity.INFO,
    operator=Effect.WARNS,
    openshift=Effect.WARNS,
    statement="Without a workload update method outdated VMs stay as they are.",
    action="Put workloadUpdateMethods of the HyperConverged back, to LiveMigrate at least.",
    resources=(VIRTUAL_MACHINE_INSTANCES, KUBEVIRTS, HYPERCONVERGEDS),
)
def _workload_update_disabled(facts: Facts) -> Names:
    outdated = facts.machines.names.get(machines.OUTDATED, Names())
    return outdated if facts.workload_update.disabled else Names()


@_finding(
    "migrations_failing",
    Severity.WARNING,
    operator=Effect.WARNS,
    openshift=Effect.WARNS,
    statement="A migration that fails is tried again for ever.",
    action="Read status.migrationState.failureReason of the VM's migrations: oc get vmim -n NAMESPACE.",
    resources=(VIRTUAL_MACHINE_INSTANCES, MIGRATIONS),
)
def _migrations_failing(facts: Facts) -> Names:
    return facts.machines.names.get(machines.FAILING, Names())


# Are the machines as they should be?


@_finding(
    "pool_degraded",
    Severity.WARNING,
    operator=Effect.NOTHING,
    openshift=Effect.BLOCKS,
    statement="A degraded pool does not complete an update.",
    action="oc describe machineconfigpool NAME: it names the machines and what is wrong with them.",
    resources=(MACHINE_CONFIG_POOLS,),
    since=lambda facts: min(
        (each.degraded_since for each in facts.pools.pools if each.degraded_since is not None), default=None
    ),
)
def _pool_degraded(facts: Facts) -> Iterator[str]:
    for pool in facts.pools.pools:
        if pool.degraded:
            yield pool.name


@_finding(
    "pool_paused",
    Severity.INFO,
    operator=Effect.NOTHING,
    openshift=Effect.BLOCKS,
    statement="A paused pool keeps its nodes at their old configuration.",
    action="Once nothing needs the pause any more: oc patch machineconfigpool NAME --type merge "
    '-p \'{"spec":{"paused":false}}\'.',
    resources=(MACHINE_CONFIG_POOLS,),
    since=lambda facts: min(
        (each.paused_since for each in facts.pools.pools if each.paused_since is not None), default=None
    ),
)
def _pool_paused(facts: Facts) -> Iterator[str]:
    for pool in facts.pools.pools:
        if pool.paused:
            yield pool.name


def _subscribed(facts: Facts) -> Iterator[str]:
    if ours := facts.package.subscription:
        yield f"{ours.namespace}/{ours.name}"


def _needed(update: str) -> tuple[Resource[Any], ...]:
    """What the verdict on an update rests on."""
    blocking = (each for each in FINDINGS if each.effect(update) is Effect.BLOCKS)
    return tuple(dict.fromkeys(resource for each in blocking for resource in each.resources))


_READY: Final = SUBJECT.gauge(
    "virt_upgrade_ready",
    "1 when nothing is in the way of updating the operator, or OpenShift; absent while that is not known.",
    labels=("update",),
    source="virt_upgrade_findings: those that block",
    requires=(SUBSCRIPTIONS,),
    optional=tuple(each for each in _needed(OPERATOR) if each is not SUBSCRIPTIONS),
    timed=True,
)


@_READY
def _ready_operator(findings: Findings) -> Samples:
    if (ready := findings.ready(OPERATOR)) is not None:
        yield (OPERATOR,), float(ready)


@SUBJECT.adds_to(
    SUBJECT.rules[0].family,
    source="virt_upgrade_findings: those that block",
    requires=(CLUSTER_VERSIONS,),
    optional=tuple(each for each in _needed(OPENSHIFT) if each is not CLUSTER_VERSIONS),
    timed=True,
)
def _ready_openshift(findings: Findings) -> Samples:
    if (ready := findings.ready(OPENSHIFT)) is not None:
        yield (OPENSHIFT,), float(ready)


@SUBJECT.gauge(
    "virt_upgrade_findings",
    "Objects concerned by each finding; every finding is always there, 0 when it does not hold.",
    labels=("finding", "severity"),
    source="the list of findings",
    helpful=tuple(dict.fromkeys(resource for each in FINDINGS for resource in each.resources)),
    timed=True,
)
def _findings(findings: Findings) -> Samples:
    for each in findings.found:
        yield (each.finding.name, each.finding.severity), each.names.total


@SUBJECT.gauge(
    "virt_upgrade_finding_objects_info",
    "Names of the first five objects of a finding and how many more there are, for the texts of alerts; "
    "for each node of findings about nodes those of its VMs.",
    labels=("finding", "node", "objects"),
    source="the list of findings",
    helpful=tuple(dict.fromkeys(resource for each in FINDINGS for resource in each.resources)),
    timed=True,
)
def _finding_objects_info(findings: Findings) -> Samples:
    for each in findings.found:
        if each.finding.by_node is not None:
            for node, names in each.by_node.items():
                yield (each.finding.name, node, text(names)), 1
        elif each.objects:
            yield (each.finding.name, "", text(each.names)), 1


CONDITIONS: Final = (
    "outdated_vms",
    "workload_update_disabled",
    "workaround_restart_required",
    "drain_would_block",
)
"""Findings whose beginning is a condition that alerts wait for."""


@SUBJECT.adds_to(
    CONDITION_SINCE,
    source="virt_upgrade_findings, first seen",
    helpful=tuple(
        dict.fromkeys(resource for each in FINDINGS if each.name in CONDITIONS for resource in each.resources)
    ),
    timed=True,
)
def _condition_since(findings: Findings) -> Samples:
    for each in findings.found:
        if each.finding.name in CONDITIONS and each.objects and each.since is not None:
            yield (each.finding.name,), each.since
