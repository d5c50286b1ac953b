"""The page `/`: the facts as a person wants them, in plain sentences, readable without a style sheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

from exporter import __version__
from exporter.facts import Facts, semver
from exporter.facts.cluster import Availability
from exporter.facts.subscription import MANUAL, RECOMMENDED_CHANNEL
from exporter.kube.status import State
from exporter.metrics.selfmonitoring import FRESH_SECONDS, Watching, fresh
from exporter.pipeline import Pipeline
from exporter.records.olm import INSTALL_PLANS, SUBSCRIPTIONS
from exporter.records.openshift import CLUSTER_VERSIONS

GOOD: Final = "good"
NOTE: Final = "note"
BAD: Final = "bad"
_MARKS: Final = {GOOD: "OK", NOTE: "Note", BAD: "Problem"}

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.sub { opacity: .7; margin-top: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }
tr { border-bottom: 1px solid #8884; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.mark { font-weight: 600; white-space: nowrap; }
.good .mark { color: #2a7d2a; } .note .mark { color: #8a6100; } .bad .mark { color: #c0281c; }
@media (prefers-color-scheme: dark) {
  .good .mark { color: #6fcf6f; } .note .mark { color: #e5b94d; } .bad .mark { color: #ff8278; }
}
"""

Statement = tuple[str, str, str]
"""How it is (good, note, bad), what it is about, and the sentence."""


def status_page(pipeline: Pipeline) -> str:
    """The whole page as HTML."""
    watching = pipeline.watching()
    availability = pipeline.availability()
    statements = list(_statements(pipeline.facts, availability, pipeline.missing()))
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            "<title>OpenShift Virtualization upgrades</title>",
            f"<style>{_STYLE}</style>",
            "<h1>OpenShift Virtualization upgrades</h1>",
            f"<p class=sub>{_time(watching.now)}, {_source(watching)}.",
            " <a href=metrics>Metrics</a> · <a href=readyz>Readiness</a></p>",
            "<table>",
            *(
                f"<tr class={how}><td class=mark>{_MARKS[how]}<th scope=row>{escape(about)}"
                f"<td>{escape(sentence)}"
                for how, about, sentence in statements
            ),
            "</table><h2>What is watched</h2>",
            "<table><tr><th>Resource<th>State<th class=number>Objects<th class=number>Left out",
            "<th>Last heard of",
            *_resources(watching),
            f"</table><p class=sub>virt-upgrade-exporter {escape(__version__)}</p></html>\n",
        ]
    )


def _statements(
    facts: Facts, availability: Mapping[str, Availability], missing: list[str]
) -> Iterator[Statement]:
    if missing:
        yield NOTE, "This page", f"is not complete yet: {', '.join(missing)} still to be read."
    yield from _versions(facts, availability)
    yield from _subscription(facts, availability)


def _versions(facts: Facts, availability: Mapping[str, Availability]) -> Iterator[Statement]:
    versions = facts.versions
    openshift, operator, topology = versions.openshift, versions.operator, versions.topology
    if openshift:
        where = f", channel {openshift.channel}" if openshift.channel else ", no update channel set"
        built = (
            f"; control plane {topology.control_plane}, workers {topology.infrastructure}" if topology else ""
        )
        yield GOOD, "OpenShift", f"{openshift.version}{where}{built}."
    elif availability.get(CLUSTER_VERSIONS.plural) is Availability.ABSENT:
        yield NOTE, "OpenShift", "This cluster is no OpenShift."
    else:
        yield NOTE, "OpenShift", "The version is not known."
    if operator is None:
        yield NOTE, "Virtualization", "OpenShift Virtualization is not completely installed here."
        return
    yield GOOD, "Virtualization", f"{operator.version} in namespace {operator.namespace or 'unknown'}."
    if openshift and versions.skew is not None:
        yield _skew(versions.skew, operator.version, openshift.version, openshift.minor_since)
    for name, available in versions.operators_available:
        if not available:
            yield BAD, name, "OpenShift's operator is not available; updates rest on it."


def _skew(skew: int, operator: str, openshift: str, since: float | None) -> Statement:
    ours, theirs = semver.minor(operator), semver.minor(openshift)
    if skew == 0:
        return GOOD, "Supported pair", f"Yes: {ours} is made for OpenShift {theirs}."
    when = f" OpenShift is at {theirs} since {_time(since)}." if since is not None else ""
    if skew > 0:
        return BAD, "Supported pair", f"No: {ours} is ahead of OpenShift {theirs}, which is never supported."
    behind = "one minor" if skew == -1 else f"{-skew} minors"
    text = f"No: {ours} is {behind} behind OpenShift {theirs}.{when} Update OpenShift Virtualization."
    return (NOTE if skew == -1 else BAD), "Supported pair", text


def _subscription(facts: Facts, availability: Mapping[str, Availability]) -> Iterator[Statement]:
    about = facts.subscription
    ours = about.subscription
    if ours is None:
        if availability.get(SUBSCRIPTIONS.plural) is Availability.KNOWN:
            yield BAD, "Subscription", "There is none: OpenShift Virtualization gets no updates."
        elif availability.get(SUBSCRIPTIONS.plural) is Availability.ABSENT:
            yield NOTE, "Subscription", "The Operator Lifecycle Manager is not installed in this cluster."
        return
    if about.found > 1:
        yield BAD, "Subscription", f"There are {about.found} of the package; {ours.name} counts."
    if about.channel_recommended:
        yield GOOD, "Channel", f"{ours.channel or 'the default channel'}, as recommended."
    else:
        yield BAD, "Channel", f"{ours.channel}: only {RECOMMENDED_CHANNEL} is supported."
    if availability.get(INSTALL_PLANS.plural) is not Availability.UNKNOWN:
        yield _approval(about.configured_approval, about.effective_approval)
    if about.catalog is None or not about.catalog.ready:
        how = "is missing" if about.catalog is None else "is not connected"
        yield BAD, "Catalog", f"{ours.source} in {ours.source_namespace} {how}: no updates come from it."
    else:
        polled = about.catalog.last_poll
        when = f", last looked for {_time(polled.timestamp())}" if polled else ""
        yield GOOD, "Catalog", f"{ours.source} in {ours.source_namespace}{when}."
    for condition in ours.conditions:
        if condition.type and condition.is_true:
            text = f"{condition.reason or ''} {condition.message or ''}".strip() or "True"
            yield NOTE, condition.type, text


def _approval(configured: str, effective: str) -> Statement:
    if effective != MANUAL:
        return GOOD, "Approval", "Automatic: updates install themselves."
    if configured == MANUAL:
        return NOTE, "Approval", "Manual: every update waits until a person approves it."
    text = "Manual, although this Subscription says Automatic: "
    text += "another Subscription of the namespace, or the plan that waits, is Manual."
    return NOTE, "Approval", text


def _resources(watching: Watching) -> Iterator[str]:
    for reflector in watching.reflectors:
        status = reflector.status
        how = GOOD if fresh(reflector, watching.now) else BAD if status.state is not State.SYNCING else NOTE
        stale = status.state is State.SYNCED and how is BAD
        state = f"{status.state}, but silent for over {FRESH_SECONDS / 60:.0f} min" if stale else status.state
        problem = f": {status.problem}" if status.problem and status.state is not State.ABSENT else ""
        yield (
            f"<tr class={how}><td>{escape(reflector.resource.plural)}"
            f"<td><span class=mark>{escape(state)}</span>{escape(problem)}"
            f"<td class=number>{len(reflector.store.records)}<td class=number>{reflector.store.skipped}"
            f"<td>{_time(status.last_update)}"
        )


def _source(watching: Watching) -> str:
    if watching.source == "cluster":
        return "a live cluster"
    return "a simulated cluster" if watching.source == "simulator" else f"a {watching.source}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
