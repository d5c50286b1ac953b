"""What does the catalog offer: the head of our channel, versions behind, and are we still in it?

A PackageManifest is one package as one catalog offers it: per channel a head and the entries. It has no
upgrade edges, so that a newer head need not be reachable from the installed version. It is served by an
aggregated API that knows no WATCH and is asked for by name and catalog; `queries` says for what.

It vanishes within a second of its catalog's death and comes back seconds after the catalog is READY. So
while the catalog has not been READY for five minutes, a missing package or channel says nothing and what
was offered last counts on; the aggregated API too may have lost its cache for a moment, so what has only
just gone missing counts on as well. Only then is it gone, and the installed version, or all that is newer,
with it: no longer in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import PLACE, identity
from exporter.facts.rollout import Rollout
from exporter.facts.semver import newer, precedence
from exporter.facts.shared import SUPPORT_VIOLATION
from exporter.facts.subscription import SubscriptionFacts
from exporter.facts.versions import Versions
from exporter.history.value import History, Observations
from exporter.kube.resource import Query
from exporter.records.base import unix
from exporter.records.olm import (
    CATALOG_SOURCES,
    OPERATOR_CONDITIONS,
    PACKAGE_MANIFESTS,
    SUBSCRIPTIONS,
    CatalogSource,
    PackageChannel,
    PackageManifest,
    Subscription,
)

SUBJECT: Final = Subject["Catalog"]("catalog")

SETTLED_SECONDS: Final = 300.0
"""A catalog that has been READY for longer tells by what it lacks."""

MISSED_SECONDS: Final = 30.0
"""What has been missing for less may be the API's mistake: its server has been restarted, say."""

_OFFER: Final = "offer"
_MISSING: Final = "missing"


@dataclass(frozen=True)
class Catalog:
    """What this subject knows."""

    channel: PackageChannel | None
    """What our channel offers, or offered last; None when nothing is known or it is gone."""
    present: PackageChannel | None
    """What it offers right now."""
    missing_since: float | None
    """Since when the channel has not been offered; None while it is."""
    gone: bool
    """The channel is missing from a catalog that would tell."""
    lost: bool | None
    """The catalog would tell, and lacks our package, channel or versions; None while nobody can tell."""
    behind: int | None
    """Versions in the channel that are newer than the installed one."""
    memory: str
    """What this Subscription and channel are remembered by."""


def queries(cluster: Cluster) -> list[Query]:
    """The PackageManifests to ask for."""
    return sorted(
        {
            Query(
                each.source_namespace,
                each.package,
                f"catalog={each.source},catalog-namespace={each.source_namespace}",
            )
            for each in cluster[SUBSCRIPTIONS]
            if each.package in cluster.scope.packages and each.source and each.source_namespace
        }
    )


def derive(
    cluster: Cluster,
    history: History,
    now: float,
    subscription: SubscriptionFacts,
    rollout: Rollout,
    versions: Versions,
) -> Catalog:
    """What the catalog offers us."""
    ours = subscription.subscription
    if ours is None:
        return Catalog(None, None, None, False, None, None, "")
    memory = f"{identity(ours)}/{ours.source_namespace}.{ours.source}/{ours.channel}"
    present = _channel(cluster, ours)
    asked = cluster.known(PACKAGE_MANIFESTS)
    # While the aggregated API does not answer, what it said last speaks of then.
    tells = asked and _would_tell(subscription.catalog, cluster.heard.get(PACKAGE_MANIFESTS.plural, now))
    gone = tells and present is None and _missed(history, memory, now)
    channel = present if present or gone else _remembered(history, memory)
    installed = _installed(rollout, versions)
    return Catalog(
        channel=channel,
        present=present,
        missing_since=_missing_since(history, memory) if asked and present is None else None,
        gone=gone,
        lost=gone or (tells and present is not None and _is_beyond(present, installed)) if asked else None,
        behind=_behind(channel, installed),
        memory=memory,
    )


def observe(cluster: Cluster, catalog: Catalog, seen: Observations) -> None:
    """Remember the last good offer, and since when there is none."""
    if not catalog.memory or not cluster.known(PACKAGE_MANIFESTS):
        return
    if catalog.present is not None:
        text = msgspec.json.encode(catalog.present).decode()
        seen.latest(f"{_OFFER}/{catalog.memory}", text, cluster.heard.get(PACKAGE_MANIFESTS.plural))
    elif catalog.gone:
        # A catalog that goes down later must not bring it back.
        seen.forget([f"{_OFFER}/{catalog.memory}"])
    if catalog.present is None:
        seen.holds(f"{_MISSING}/{catalog.memory}", holds=True)
    else:
        # What comes back was not gone, however soon it is missing again: no gap rule here.
        seen.forget([f"{_MISSING}/{catalog.memory}"])
    for kind in (_OFFER, _MISSING):
        seen.forget(name for name, rest in seen.known(kind).items() if rest != catalog.memory)


def _installed(rollout: Rollout, versions: Versions) -> str:
    """The completed version as the catalog counts: a rebuild keeps HyperConverged's version."""
    if versions.operator is None:
        return ""
    csv = rollout.installed
    return csv.version if csv and rollout.complete and csv.version else versions.operator.version


def _channel(cluster: Cluster, ours: Subscription) -> PackageChannel | None:
    for manifest in cluster[PACKAGE_MANIFESTS]:
        if _offers(manifest, ours):
            return manifest.channel(ours.channel)
    return None


def _offers(manifest: PackageManifest, ours: Subscription) -> bool:
    status = manifest.status
    return status is not None and (
        status.package_name or manifest.name,
        status.catalog_source,
        status.catalog_source_namespace,
    ) == (ours.package, ours.source, ours.source_namespace)


def _would_tell(source: CatalogSource | None, now: float) -> bool:
    since = unix(source.ready_since) if source else None
    return since is not None and now - since > SETTLED_SECONDS


def _missing_since(history: History, memory: str) -> float | None:
    episode = history.episode(f"{_MISSING}/{memory}")
    return episode.since if episode.holds else None


def _missed(history: History, memory: str, now: float) -> bool:
    since = _missing_since(history, memory)
    return since is not None and now - since >= MISSED_SECONDS


def _remembered(history: History, memory: str) -> PackageChannel | None:
    text = history.text(f"{_OFFER}/{memory}")
    try:
        return msgspec.json.decode(text, type=PackageChannel) if text else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _versions(channel: PackageChannel) -> Iterable[str]:
    yield from (entry.version for entry in channel.entries or () if entry.version)
    if channel.head_version:
        yield channel.head_version


def _behind(channel: PackageChannel | None, installed: str) -> int | None:
    if channel is None or precedence(installed) is None:
        return None
    return sum(newer(version, installed) for version in set(_versions(channel)))


def _is_beyond(channel: PackageChannel, installed: str) -> bool:
    """The installed version is newer than everything in the channel."""
    ours = precedence(installed)
    known = [each for version in _versions(channel) if (each := precedence(version))]
    return ours is not None and bool(known) and all(each < ours for each in known)


@SUBJECT.gauge(
    "virt_upgrade_channel_head_info",
    "Newest version in the Subscription's channel, as the catalog offers it or offered it last.",
    labels=("version", "csv"),
    source="PackageManifest: status.channels[].currentCSV, currentCSVDesc.version",
    requires=(SUBSCRIPTIONS, PACKAGE_MANIFESTS),
    optional=(CATALOG_SOURCES, *PLACE),
    timed=True,
)
def _channel_head_info(catalog: Catalog) -> Samples:
    if catalog.channel is not None and catalog.channel.head:
        yield (catalog.channel.head_version, catalog.channel.head), 1


@SUBJECT.gauge(
    "virt_upgrade_channel_missing_since_timestamp_seconds",
    "Since when the catalog has not offered the Subscription's channel; absent while it does. The head that "
    "is shown meanwhile is the last one known.",
    source="PackageManifest: status.channels; first seen (remembered)",
    requires=(SUBSCRIPTIONS, PACKAGE_MANIFESTS),
    optional=(CATALOG_SOURCES, *PLACE),
    timed=True,
)
def _channel_missing_since(catalog: Catalog) -> Samples:
    if catalog.missing_since is not None:
        yield (), catalog.missing_since


@SUBJECT.gauge(
    "virt_upgrade_versions_behind",
    "Versions in the channel that are newer than the completed one; not each of them is a step of its own.",
    source="PackageManifest: status.channels[].entries; virt_upgrade_operator_info",
    requires=(SUBSCRIPTIONS, PACKAGE_MANIFESTS),
    optional=(CATALOG_SOURCES, OPERATOR_CONDITIONS, *PLACE),
    timed=True,
)
def _versions_behind(catalog: Catalog) -> Samples:
    if catalog.behind is not None:
        yield (), catalog.behind


@SUBJECT.adds_to(
    SUPPORT_VIOLATION,
    source="PackageManifest: status.channels; CatalogSource: status.connectionState",
    requires=(SUBSCRIPTIONS, PACKAGE_MANIFESTS, CATALOG_SOURCES),
    optional=PLACE,
    timed=True,
)
def _support_violation(catalog: Catalog) -> Samples:
    if catalog.lost is not None:
        yield ("no_longer_in_catalog",), float(catalog.lost)
