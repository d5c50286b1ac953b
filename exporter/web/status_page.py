"""The page `/`: the facts as a person wants them, in plain sentences, readable without a style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from exporter import __version__
from exporter.facts import (
    Facts,
    eviction,
    machine,
    operator_upgrade,
    pending,
    semver,
    waiting_pods,
    worker_rollout,
)
from exporter.facts.finding import NAMED, OPENSHIFT, OPERATOR, Effect, text
from exporter.facts.subscription import MANUAL, RECOMMENDED_CHANNEL
from exporter.facts.vm_readiness import DRAIN
from exporter.history.upgrades import COMPLETED
from exporter.kube.follower import Follower
from exporter.kube.resource import Resource
from exporter.kube.status import State
from exporter.metrics.selfmonitoring import Watching
from exporter.pipeline import Pipeline
from exporter.records.base import unix
from exporter.records.machines import MIGRATIONS, VIRTUAL_MACHINE_INSTANCES
from exporter.records.nodes import MACHINE_CONFIG_POOLS, NODES
from exporter.records.olm import (
    CATALOG_SOURCES,
    CLUSTER_SERVICE_VERSIONS,
    INSTALL_PLANS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
)
from exporter.records.openshift import CLUSTER_OPERATORS, CLUSTER_VERSIONS, INFRASTRUCTURES
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS

GOOD: Final = "good"
NOTE: Final = "note"
BAD: Final = "bad"
OLD: Final = "old"
_MARKS: Final = {GOOD: "OK", NOTE: "Note", BAD: "Problem", OLD: "Old"}

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
.old { opacity: .6; }
.good .mark { color: #2a7d2a; } .note .mark { color: #8a6100; } .bad .mark { color: #c0281c; }
@media (prefers-color-scheme: dark) {
  .good .mark { color: #6fcf6f; } .note .mark { color: #e5b94d; } .bad .mark { color: #ff8278; }
}
"""

Statement = tuple[str, str, str]
"""How it is (good, note, bad, old), what it is about, and the sentence."""


def status_page(pipeline: Pipeline) -> str:
    """The whole page as HTML."""
    watching = pipeline.watching()
    statements = list(_statements(pipeline, watching))
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            "<title>OpenShift Virtualization upgrades</title>",
            f"<style>{_STYLE}</style>",
            "<h1>OpenShift Virtualization upgrades</h1>",
            f"<p class=sub>{_time(watching.now)}, {_source(watching)}.",
            " <a href=metrics>Metrics</a> · <a href=api/v1/status>JSON</a>",
            " · <a href=readyz>Readiness</a></p>",
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


@dataclass(frozen=True)
class _Section:
    """Sentences that rest on the same resources."""

    about: str
    resources: tuple[Resource[Any], ...]
    statements: Callable[[Facts], Iterator[Statement]]


def _statements(pipeline: Pipeline, watching: Watching) -> Iterator[Statement]:
    facts = pipeline.facts
    followers = {each.resource.plural: each for each in watching.followers}
    yield from _first(pipeline, watching)
    yield from _verdicts(facts)
    for section in _SECTIONS:
        rests_on = [followers[each.plural] for each in section.resources]
        unknown = [
            f"{each.resource.plural} is {each.status.state}"
            for each in rests_on
            if not facts.cluster.decided(each.resource)
        ]
        if unknown:
            yield NOTE, section.about, f"Not known: {', '.join(unknown)}."
            continue
        old = not all(each.fresh(watching.now) for each in rests_on)
        for how, about, sentence in section.statements(facts):
            yield (OLD if old else how), about, sentence


def _first(pipeline: Pipeline, watching: Watching) -> Iterator[Statement]:
    """What has to be known before anything else is believed."""
    missing = pipeline.missing()
    if missing:
        yield NOTE, "This page", f"is not complete yet: {', '.join(missing)} still to be read."
    old = [
        each
        for each in watching.followers
        if each.resource.plural not in missing
        and each.status.state is not State.FORBIDDEN
        and not each.fresh(watching.now)
    ]
    if old:
        since = min(each.status.last_update or 0.0 for each in old)
        names = "anything" if len(old) == len(watching.followers) else _list(old)
        why = next((f": {each.status.problem}" for each in old if each.status.problem), "")
        yield BAD, "This page", f"is old: the API server tells nothing of {names} since {_time(since)}{why}."


def _verdicts(facts: Facts) -> Iterator[Statement]:
    """Is anything in the way of an update?"""
    for update, about in ((OPERATOR, "Update virtualization"), (OPENSHIFT, "Update OpenShift")):
        ready = facts.findings.ready(update)
        if ready:
            yield GOOD, about, "Nothing is in the way."
        elif ready is not None:
            for found in facts.findings.found:
                if found.objects and found.finding.effect(update) is Effect.BLOCKS:
                    name = found.finding.name.replace("_", " ")
                    yield BAD, about, f"Not now: {name}: {text(found.names)}. {found.finding.action}"


_WAITS_FOR: Final = {
    pending.PLAN_FAILED: "its InstallPlan has failed",
    pending.UPGRADE_GATE: "the installed version does not allow it yet",
    pending.REQUIREMENTS_NOT_MET: "its requirements are not met yet",
    pending.AWAITING_APPROVAL: "it waits for somebody to approve its InstallPlan",
    pending.UNPACK_FAILED: "its bundle cannot be unpacked",
    pending.UNPACKING: "its bundle is being unpacked",
    pending.CATALOG_UNHEALTHY: "its catalog is not connected",
    pending.RESOLUTION_FAILED: "OLM cannot resolve the Subscriptions of the namespace",
    pending.NOT_STARTED: "OLM has not started it; there may be no way to it from here",
}


def _pending(facts: Facts) -> Iterator[Statement]:
    found = facts.pending
    if not found.subscribed:
        return
    if found.update is None:
        yield GOOD, "Pending update", "None."
    else:
        update = found.update
        step = f"{update.from_version} to {update.to_version}, available since {_time(update.since)}"
        how = NOTE if update.cause in {pending.AWAITING_APPROVAL, pending.UNPACKING} else BAD
        newer = " The catalog has a newer version by now." if found.stale else ""
        yield how, "Pending update", f"{step}: {_WAITS_FOR[update.cause]}.{newer}"
    if found.waits_for_openshift:
        yield NOTE, "Next minor", "comes after OpenShift's: update OpenShift first."


def _upgrade(facts: Facts) -> Iterator[Statement]:
    """The update that is under way, and the last one."""
    found = facts.operator_upgrade
    if current := found.current:
        step = f"{current.from_version} to {current.to_version}, begun {_time(current.started)}"
        if found.stage == operator_upgrade.FAILING:
            failures = f" Failed attempts: {len(current.failures)}." if current.failures else ""
            yield BAD, "Update", f"{step}: it has failed and does not go on by itself.{failures}"
        else:
            seconds = found.stages.get(found.stage)
            taken = f" for {_span(seconds)}" if seconds is not None else ""
            whole = f"; {_span(found.duration)} in all" if found.duration is not None else ""
            yield NOTE, "Update", f"{step}: {_DOES[found.stage]}{taken}{whole}."
        yield from _waiting(facts)
    if last := found.latest:
        how = GOOD if last.outcome == COMPLETED else BAD
        ended = f" {_time(last.end)}" if last.end is not None else ""
        took = f", after {_span(last.duration)}" if last.duration is not None else ""
        step = f"{last.from_version} to {last.to_version} {last.outcome}{ended}{took}"
        yield how, "Last update", f"{step}{' or less' if last.at_most and took else ''}."


def _waiting(facts: Facts) -> Iterator[Statement]:
    """Which pods hold up the update, and what they wait for."""
    for reason, why in _HOLDS_UP.items():
        if names := [pod for pod, its in facts.waiting_pods.pods if its == reason]:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield NOTE, "Pods of the update", f"Wait {why}: {', '.join(names[:NAMED])}{more}."


def _openshift_update(facts: Facts) -> Iterator[Statement]:
    """What of OpenShift is being updated, and what it is not updated to."""
    about = "OpenShift's update"
    found, coming = facts.openshift_upgrade, facts.openshift_next
    control, workers = found.control, found.workers
    if control is not None and control.running:
        begun = f", begun {_time(control.began)}" if control.began is not None else ""
        yield NOTE, about, f"Its control plane is being updated to {found.target}{begun}."
    if workers.rolling:
        begun = f" since {_time(workers.plane.began)}" if workers.plane and workers.plane.began else ""
        yield NOTE, about, f"Its nodes are being updated{begun}: {_progress(facts, workers.rolling)}."
    if workers.waiting:
        yield NOTE, about, f"Nodes wait, for their pools are paused: {_progress(facts, workers.waiting)}."
    if control is not None and not (control.running or workers.late) and control.began is not None:
        nodes = workers.plane.completed if workers.plane is not None else None
        then = f", of its nodes {_time(nodes)}" if nodes is not None else ""
        yield GOOD, about, f"The last one of its control plane ended {_time(control.completed)}{then}."
    if coming.blockers:
        names = ", ".join(
            f"{each.object} (up to {each.supports})" if each.supports else each.object
            for each in coming.blockers
        )
        yield BAD if coming.wants_minor else NOTE, "OpenShift's next minor", f"Blocked by {names}."


def _progress(facts: Facts, pools: Iterable[worker_rollout.Pool]) -> str:
    """How many machines of each pool have what they are to have, and since when it waits."""
    known = {each.name: each for each in facts.pools.pools}
    said = []
    for each in pools:
        pool = known[each.name]
        since = f", paused since {_time(pool.paused_since)}" if pool.paused_since is not None else ""
        ill = ", degraded" if pool.degraded else ""
        said.append(f"{each.name} ({dict(pool.states)['updated']} of {pool.machines}{since}{ill})")
    return ", ".join(said)


_DOES: Final = {
    operator_upgrade.GATE: "the version before does not allow it",
    operator_upgrade.INSTALL: "its operators are being installed",
    operator_upgrade.ROLLING_OUT: "its components are being rolled out",
}
_HOLDS_UP: Final = {
    waiting_pods.IMAGE_PULL: "for their images",
    waiting_pods.UNSCHEDULABLE: "for a node that takes them",
    waiting_pods.CRASH_LOOP: "to be started once more, for they crash",
    waiting_pods.CONTAINER_CREATING: "for their containers to be made",
    waiting_pods.OTHER: "and do not become ready",
}


def _list(followers: Iterable[Follower[Any]]) -> str:
    return ", ".join(each.resource.plural for each in followers)


def _openshift(facts: Facts) -> Iterator[Statement]:
    openshift, topology = facts.versions.openshift, facts.versions.topology
    if openshift:
        where = f", channel {openshift.channel}" if openshift.channel else ", no update channel set"
        built = (
            f"; control plane {topology.control_plane}, workers {topology.infrastructure}" if topology else ""
        )
        yield GOOD, "OpenShift", f"{openshift.version}{where}{built}."
    elif not facts.cluster.known(CLUSTER_VERSIONS):
        yield NOTE, "OpenShift", "This cluster is no OpenShift."
    else:
        yield NOTE, "OpenShift", "The version is not known."


def _virtualization(facts: Facts) -> Iterator[Statement]:
    operator = facts.versions.operator
    if operator is None:
        yield NOTE, "Virtualization", f"OpenShift Virtualization is not completely installed{_where(facts)}."
    else:
        yield GOOD, "Virtualization", f"{operator.version} in namespace {operator.namespace or 'unknown'}."


def _where(facts: Facts) -> str:
    namespace = facts.cluster.scope.operator_namespace
    return f" in namespace {namespace}, which is the only one looked at" if namespace else " here"


def _pair(facts: Facts) -> Iterator[Statement]:
    versions = facts.versions
    if versions.openshift and versions.operator and versions.skew is not None:
        openshift = versions.openshift
        yield _skew(versions.skew, versions.operator.version, openshift.version, openshift.minor_since)


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


def _operators(facts: Facts) -> Iterator[Statement]:
    for name, available in facts.versions.operators_available:
        if not available:
            yield BAD, name, "OpenShift's operator is not available; updates rest on it."


def _subscription(facts: Facts) -> Iterator[Statement]:
    about = facts.subscription
    if not facts.cluster.known(SUBSCRIPTIONS):
        yield NOTE, "Subscription", "The Operator Lifecycle Manager is not installed in this cluster."
    elif about.subscription is None:
        yield BAD, "Subscription", f"There is none{_where(facts)}: OpenShift Virtualization gets no updates."
    elif about.found > 1:
        text = f"There are {about.found} of the package; {about.subscription.name} counts."
        yield BAD, "Subscription", text


def _channel(facts: Facts) -> Iterator[Statement]:
    if ours := facts.subscription.subscription:
        if facts.subscription.channel_recommended:
            yield GOOD, "Channel", f"{ours.channel or 'the default channel'}, as recommended."
        else:
            yield BAD, "Channel", f"{ours.channel}: only {RECOMMENDED_CHANNEL} is supported."


def _approval(facts: Facts) -> Iterator[Statement]:
    about = facts.subscription
    if about.subscription is None:
        return
    if about.effective_approval != MANUAL:
        yield GOOD, "Approval", "Automatic: updates install themselves."
    elif about.configured_approval == MANUAL:
        yield NOTE, "Approval", "Manual: every update waits until a person approves it."
    else:
        text = "Manual, although this Subscription says Automatic: "
        text += "another Subscription of the namespace, or the plan that waits, is Manual."
        yield NOTE, "Approval", text


def _catalog(facts: Facts) -> Iterator[Statement]:
    about = facts.subscription
    ours = about.subscription
    if ours is None:
        return
    if about.catalog is None or not about.catalog.ready:
        how = "is missing" if about.catalog is None else "is not connected"
        yield BAD, "Catalog", f"{ours.source} in {ours.source_namespace} {how}: no updates come from it."
    else:
        polled = unix(about.catalog.last_poll)
        when = f", last looked for {_time(polled)}" if polled is not None else ""
        yield GOOD, "Catalog", f"{ours.source} in {ours.source_namespace}{when}."
    if facts.catalog.missing_since is not None:
        gone = (
            f"does not offer channel {ours.channel or 'default'} since {_time(facts.catalog.missing_since)}"
        )
        kept = "" if facts.catalog.channel is None else "; what it offered last counts on"
        yield (BAD if facts.catalog.lost else NOTE), "Catalog", f"{ours.source} {gone}{kept}."


def _conditions(facts: Facts) -> Iterator[Statement]:
    ours = facts.subscription.subscription
    for condition in ours.conditions if ours else ():
        if condition.type and condition.is_true:
            text = f"{condition.reason or ''} {condition.message or ''}".strip() or "True"
            yield NOTE, condition.type, text


def _machines(facts: Facts) -> Iterator[Statement]:
    if not facts.cluster.known(VIRTUAL_MACHINE_INSTANCES):
        return
    vms = facts.machines
    outcomes = vms.by("outcome")
    stuck = sum(vms.by("reason").values())
    yield GOOD, "Virtual machines", f"{vms.running:,} run, {stuck:,} of them cannot be live-migrated."
    if vms.settings.single_node:
        yield NOTE, "Drains", "On a single node nothing is drained: VMs stop with the node."
        return
    if blocks := vms.names.get(eviction.BLOCKS):
        count = f"{blocks.total:,} VM" + ("s" if blocks.total > 1 else "")
        yield BAD, "Drains", f"{count} would block a node drain: {text(blocks)}."
    if down := outcomes.get(eviction.STAYS_DOWN):
        yield NOTE, "Drains", f"{down:,} would be shut down by a drain and stay down."
    if not blocks:
        yield GOOD, "Drains", "No VM would block a node drain."


def _nodes(facts: Facts) -> Iterator[Statement]:
    for node, names in facts.drain.held.items():
        since = next((each.since for each in facts.drain.nodes if each.name == node), None)
        when = f" since {_time(since)}" if since is not None else ""
        yield BAD, f"Node {node}", f"Cordoned{when}, and held by {text(names)}."


def _workloads(facts: Facts) -> Iterator[Statement]:
    states = facts.machines.by("workload")
    outdated = states.get(machine.REMAINING, 0) + states.get(machine.FAILING, 0)
    if not facts.cluster.known(VIRTUAL_MACHINE_INSTANCES):
        return
    if not outdated:
        yield GOOD, "Workload update", "All VMs run in the present virt-launcher."
        return
    how = "; no method is enabled that would change that" if facts.workload_update.disabled else ""
    stuck = states.get(machine.FAILING, 0)
    failing = f", {stuck:,} of them with migrations that keep failing" if stuck else ""
    yield NOTE, "Workload update", f"{outdated:,} VMs run in an earlier virt-launcher{failing}{how}."


_INSTALLED: Final = (HYPERCONVERGEDS, CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS)
_SECTIONS: Final = (
    _Section("OpenShift", (CLUSTER_VERSIONS, INFRASTRUCTURES), _openshift),
    _Section(
        "OpenShift's update",
        (CLUSTER_VERSIONS, MACHINE_CONFIG_POOLS, CLUSTER_OPERATORS, *_INSTALLED),
        _openshift_update,
    ),
    _Section("Virtualization", _INSTALLED, _virtualization),
    _Section("Supported pair", (CLUSTER_VERSIONS, *_INSTALLED), _pair),
    _Section("OpenShift's operators", (CLUSTER_OPERATORS,), _operators),
    _Section("Subscription", _INSTALLED, _subscription),
    _Section("Channel", _INSTALLED, _channel),
    _Section("Approval", (INSTALL_PLANS, *_INSTALLED), _approval),
    _Section("Pending update", (INSTALL_PLANS, OPERATOR_CONDITIONS, *_INSTALLED), _pending),
    _Section("Update", (INSTALL_PLANS, OPERATOR_CONDITIONS, *_INSTALLED), _upgrade),
    _Section("Catalog", (CATALOG_SOURCES, *_INSTALLED), _catalog),
    _Section("Conditions", _INSTALLED, _conditions),
    _Section("Virtual machines", (VIRTUAL_MACHINE_INSTANCES, *DRAIN), _machines),
    _Section("Nodes", (VIRTUAL_MACHINE_INSTANCES, NODES, *DRAIN), _nodes),
    _Section("Workload update", (VIRTUAL_MACHINE_INSTANCES, MIGRATIONS, KUBEVIRTS), _workloads),
)


def _resources(watching: Watching) -> Iterator[str]:
    for follower in watching.followers:
        status = follower.status
        how = GOOD if follower.fresh(watching.now) else BAD if status.state is not State.SYNCING else NOTE
        stale = status.state is State.SYNCED and how is BAD
        silent = f"{status.state}, but silent for over {follower.fresh_seconds / 60:.0f} min"
        state = silent if stale else status.state
        problem = f": {status.problem}" if status.problem and status.state is not State.ABSENT else ""
        yield (
            f"<tr class={how}><td>{escape(follower.resource.plural)}"
            f"<td><span class=mark>{escape(state)}</span>{escape(problem)}"
            f"<td class=number>{len(follower.store.records)}<td class=number>{follower.store.skipped}"
            f"<td>{_time(status.last_update)}"
        )


def _source(watching: Watching) -> str:
    if watching.source == "cluster":
        return "a live cluster"
    what = "a simulated cluster" if watching.source == "simulator" else "a recording"
    return f"{what}, not a live cluster"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        # An offset can put an object's time before the year 1 or after the year 9999.
        return "an impossible time"
