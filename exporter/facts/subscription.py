"""Will updates of the operator come, from where, and who has to say yes?

The documentation recommends the channel `stable` and the approval strategy Automatic: with Manual every
update waits for a person, and a cluster whose two versions drift apart becomes unsupported.

The strategy a Subscription names is not the one that acts. OLM makes one InstallPlan for all
Subscriptions of a namespace, and one Manual Subscription makes every plan of its namespace Manual. A
plan's own strategy is fixed when it is made: a plan that waits keeps waiting after somebody has set the
Subscription to Automatic. So effective is the strategy of the referenced plan while it waits unapproved,
otherwise Manual if any Subscription of the namespace is Manual (empty is Automatic), else Automatic.
(operator-lifecycle-manager `pkg/controller/operators/catalog/operator.go`)

A Subscription's conditions are all abnormal when True. They flap, and some of them outlive what they
say; what they mean for an update that is due is for another subject to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject, stateset
from exporter.facts.package import PLACE, Package, identity
from exporter.facts.shared import SUPPORT_VIOLATION
from exporter.history.value import History, Name, Observations
from exporter.records.base import Condition, condition, unix
from exporter.records.olm import (
    CATALOG_SOURCES,
    INSTALL_PLANS,
    SUBSCRIPTIONS,
    CatalogSource,
    InstallPlan,
    Subscription,
)

SUBJECT: Final = Subject["SubscriptionFacts"]("subscription")

RECOMMENDED_CHANNEL: Final = "stable"
AUTOMATIC: Final = "Automatic"
MANUAL: Final = "Manual"
STRATEGIES: Final = (AUTOMATIC, MANUAL)
NO_STATE: Final = "None"
STATES: Final = ("AtLatestKnown", "UpgradePending", "UpgradeAvailable", "UpgradeFailed", NO_STATE)
DEPRECATIONS: Final = (
    ("package", "PackageDeprecated"),
    ("channel", "ChannelDeprecated"),
    ("bundle", "BundleDeprecated"),
)

_CONDITION: Final = "condition"


@dataclass(frozen=True)
class SubscriptionFacts:
    """What this subject knows; without a Subscription only their number, 0."""

    found: int
    subscription: Subscription | None
    effective_approval: str
    catalog: CatalogSource | None
    abnormal_since: tuple[tuple[str, float], ...]
    """Types of the abnormal conditions, each with the Unix time since which it has held."""

    @property
    def state(self) -> str:
        """`status.state` where OLM knows one, else None."""
        status = self.subscription.status if self.subscription else None
        state = (status.state if status else None) or NO_STATE
        return state if state in STATES else NO_STATE

    @property
    def catalog_ready(self) -> bool:
        """OLM is connected to the catalog that the Subscription names."""
        return self.catalog is not None and self.catalog.ready

    @property
    def configured_approval(self) -> str:
        """The strategy the Subscription asks for."""
        return MANUAL if self.subscription and self.subscription.approval == MANUAL else AUTOMATIC

    @property
    def deprecated(self) -> list[str]:
        """What the catalog marks as deprecated: package, channel, bundle."""
        conditions = self.subscription.conditions if self.subscription else []
        return [
            scope
            for scope, type_ in DEPRECATIONS
            if (entry := condition(conditions, type_)) and entry.is_true
        ]

    @property
    def channel_recommended(self) -> bool:
        """The channel is `stable`, or unset: the package's default channel, which is `stable`."""
        return self.subscription is not None and self.subscription.channel in {"", RECOMMENDED_CHANNEL}


def derive(cluster: Cluster, history: History, package: Package) -> SubscriptionFacts:
    """The facts about our Subscription."""
    subscription = package.subscription
    if subscription is None:
        return SubscriptionFacts(package.subscriptions, None, "", None, ())
    catalog = cluster.find(CATALOG_SOURCES, subscription.source, subscription.source_namespace)
    return SubscriptionFacts(
        package.subscriptions,
        subscription,
        _effective_approval(cluster, subscription),
        catalog,
        tuple(
            (type_, since)
            for type_, entry in _abnormal(subscription).items()
            if (since := _since(history, subscription, entry)) is not None
        ),
    )


def observe(package: Package, seen: Observations) -> None:
    """Remember since when conditions have held: some have no lastTransitionTime, in others it moves."""
    ours = package.subscription
    if ours is None:
        return
    abnormal = _abnormal(ours)
    mine = f"{identity(ours)}/"
    for name, rest in seen.known(_CONDITION).items():
        if not rest.startswith(mine):
            seen.forget([name])
        elif rest.removeprefix(mine) not in abnormal:
            seen.holds(name, holds=False)
    for type_, entry in abnormal.items():
        seen.holds(_memory(ours, type_), holds=True, since=unix(entry.last_transition_time))


def _abnormal(subscription: Subscription) -> dict[str, Condition]:
    return {each.type: each for each in subscription.conditions if each.type and each.is_true}


def _memory(subscription: Subscription, type_: str) -> Name:
    return f"{_CONDITION}/{identity(subscription)}/{type_}"


def _since(history: History, subscription: Subscription, entry: Condition) -> float | None:
    """The earlier of first seen and lastTransitionTime, of the present episode."""
    told = unix(entry.last_transition_time)
    episode = history.episode(_memory(subscription, entry.type or ""))
    if episode.since is None:
        return told
    if episode.holds:
        return episode.since
    # It is back, which has not been stored yet.
    return told if told is not None and episode.ended is not None and told > episode.ended else None


def _effective_approval(cluster: Cluster, subscription: Subscription) -> str:
    plan = referenced_plan(cluster, subscription)
    if plan is not None and plan.waits_for_approval:
        return MANUAL if plan.approval == MANUAL else AUTOMATIC
    neighbours = (each for each in cluster[SUBSCRIPTIONS] if each.namespace == subscription.namespace)
    return MANUAL if any(each.approval == MANUAL for each in neighbours) else AUTOMATIC


def referenced_plan(cluster: Cluster, subscription: Subscription) -> InstallPlan | None:
    """The plan the Subscription refers to; others of the namespace are done or orphaned."""
    reference = subscription.status.install_plan_ref if subscription.status else None
    if reference is None:
        return None
    for plan in cluster[INSTALL_PLANS]:
        if plan.namespace != subscription.namespace:
            continue
        # A plan that was deleted and made again has another name; a missing uid leaves only the name.
        if reference.uid == plan.metadata.uid if reference.uid else reference.name == plan.name:
            return plan
    return None


@SUBJECT.gauge(
    "virt_upgrade_subscriptions",
    "Subscriptions of the OpenShift Virtualization package found in the cluster.",
    source="Subscription: spec.name",
    requires=(SUBSCRIPTIONS,),
)
def _subscriptions(facts: SubscriptionFacts) -> Samples:
    yield (), facts.found


@SUBJECT.gauge(
    "virt_upgrade_subscription_info",
    "Where updates of OpenShift Virtualization come from.",
    labels=("operator_namespace", "subscription", "package", "channel", "source", "source_namespace"),
    source="Subscription: metadata, spec",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _subscription_info(facts: SubscriptionFacts) -> Samples:
    if ours := facts.subscription:
        labels = (ours.namespace, ours.name, ours.package, ours.channel, ours.source, ours.source_namespace)
        yield labels, 1


@SUBJECT.gauge(
    "virt_upgrade_subscription_state",
    "State of the Subscription as OLM gives it; None is empty. AtLatestKnown means neither installed "
    "nor at the head of the channel.",
    labels=("state",),
    source="Subscription: status.state",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _subscription_state(facts: SubscriptionFacts) -> Samples:
    if facts.subscription:
        yield from stateset(STATES, facts.state)


@SUBJECT.gauge(
    "virt_upgrade_approval_strategy",
    "Approval strategy: as configured on the Subscription, and as it acts in its namespace.",
    labels=("scope", "strategy"),
    source="Subscription: spec.installPlanApproval; InstallPlan: spec.approval, spec.approved",
    requires=(SUBSCRIPTIONS,),
    optional=(INSTALL_PLANS, *PLACE),
)
def _approval_strategy(facts: SubscriptionFacts) -> Samples:
    if facts.subscription:
        yield from stateset(STRATEGIES, facts.configured_approval, "configured")
        yield from stateset(STRATEGIES, facts.effective_approval, "effective")


@SUBJECT.gauge(
    "virt_upgrade_channel_recommended",
    "1 when the update channel is the recommended one.",
    source="Subscription: spec.channel",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _channel_recommended(facts: SubscriptionFacts) -> Samples:
    if facts.subscription:
        yield (), float(facts.channel_recommended)


@SUBJECT.adds_to(
    SUPPORT_VIOLATION,
    source="virt_upgrade_channel_recommended",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _support_violation(facts: SubscriptionFacts) -> Samples:
    if facts.subscription:
        yield ("channel",), float(not facts.channel_recommended)


@SUBJECT.gauge(
    "virt_upgrade_subscription_condition",
    "Abnormal conditions of the Subscription that are True; some outlive what they say.",
    labels=("type", "reason"),
    source="Subscription: status.conditions",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _subscription_condition(facts: SubscriptionFacts) -> Samples:
    for each in facts.subscription.conditions if facts.subscription else ():
        if each.type and each.is_true:
            yield (each.type, each.reason or ""), 1


@SUBJECT.gauge(
    "virt_upgrade_subscription_condition_since_timestamp_seconds",
    "Since when an abnormal condition has held: first seen or its lastTransitionTime, the earlier; a gap "
    "of less than a minute does not count.",
    labels=("type",),
    source="Subscription: status.conditions; first seen (remembered)",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
    timed=True,
)
def _subscription_condition_since(facts: SubscriptionFacts) -> Samples:
    for type_, since in facts.abnormal_since:
        yield (type_,), since


@SUBJECT.gauge(
    "virt_upgrade_deprecated",
    "1 when the catalog marks the package, the channel or the installed bundle as deprecated.",
    labels=("scope",),
    source="Subscription: status.conditions[PackageDeprecated, ChannelDeprecated, BundleDeprecated]",
    requires=(SUBSCRIPTIONS,),
    optional=PLACE,
)
def _deprecated(facts: SubscriptionFacts) -> Samples:
    if facts.subscription:
        for scope, _ in DEPRECATIONS:
            yield (scope,), float(scope in facts.deprecated)


@SUBJECT.gauge(
    "virt_upgrade_catalog_source_ready",
    "1 when OLM is connected to the catalog that the Subscription names; 0 also when it is missing.",
    labels=("catalog", "catalog_namespace"),
    source="CatalogSource: status.connectionState.lastObservedState",
    requires=(SUBSCRIPTIONS, CATALOG_SOURCES),
    optional=PLACE,
)
def _catalog_source_ready(facts: SubscriptionFacts) -> Samples:
    if ours := facts.subscription:
        yield (ours.source, ours.source_namespace), float(facts.catalog_ready)


@SUBJECT.gauge(
    "virt_upgrade_catalog_source_last_poll_timestamp_seconds",
    "When the image of the catalog was last looked for; absent where polling is off.",
    labels=("catalog", "catalog_namespace"),
    source="CatalogSource: status.latestImageRegistryPoll",
    requires=(SUBSCRIPTIONS, CATALOG_SOURCES),
    optional=PLACE,
)
def _catalog_source_last_poll(facts: SubscriptionFacts) -> Samples:
    if facts.catalog is not None:
        polled = unix(facts.catalog.last_poll)
        if polled is not None:
            yield (facts.catalog.name, facts.catalog.namespace), polled
