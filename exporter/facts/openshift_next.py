"""Which update of OpenShift comes next, and what is in the way of its next minor?

An update is to be had when it is recommended (`availableUpdates`); those of `conditionalUpdates` are not. It
is wanted when it has been asked for, or taken up, and is not complete; a minor also when the channel is about
a later one (`stable-4.19` on 4.18).

The next minor is blocked by an operator whose bundle names the newest minor it supports
(`olm.maxOpenShiftVersion`): ours, or others, of which OLM's ClusterOperator speaks; else by whatever makes
ClusterVersion not Upgradeable. Whether HyperConverged is Upgradeable is about its own next version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import msgspec

from exporter.facts import semver
from exporter.facts.cluster import Cluster
from exporter.facts.family import Samples, Subject
from exporter.facts.package import Package
from exporter.facts.versions import OpenShift
from exporter.records.base import condition
from exporter.records.olm import CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS, ClusterServiceVersion
from exporter.records.openshift import (
    CLUSTER_OPERATORS,
    CLUSTER_VERSIONS,
    ClusterVersion,
    Release,
    UpdateHistory,
)
from exporter.records.virtualization import HYPERCONVERGEDS

SUBJECT: Final = Subject["OpenShiftNext"]("OpenShift's next update")

PATCH: Final = "patch"
MINOR: Final = "minor"
KINDS: Final = (PATCH, MINOR)

VIRTUALIZATION: Final = "virtualization"
OTHER_OPERATOR: Final = "other_operator"
OPENSHIFT: Final = "openshift"
BLOCKERS: Final = (VIRTUALIZATION, OTHER_OPERATOR, OPENSHIFT)

_OLM: Final = "operator-lifecycle-manager"
_INCOMPATIBLE: Final = "IncompatibleOperatorsInstalled"
_SAYS_OLM: Final = {_INCOMPATIBLE, f"ClusterOperatorUpgradeable-{_OLM}"}
"""ClusterVersion's reasons when it is OLM's ClusterOperator, of older and of recent releases."""
_MAX_OPENSHIFT: Final = "olm.maxOpenShiftVersion"
_QUOTED: Final = re.compile(r'"[^"]*"')
_NAMED: Final = re.compile(r"(?<![\w./-])([a-z0-9][a-z0-9-]*/[a-z0-9](?:[\w.-]*\w)?)")
"""A ClusterServiceVersion with its namespace, in a sentence."""
_SUPPORTS: Final = re.compile(r"\b(?:is|than) (\d{1,4}\.\d{1,4})(?![.\d])")
_TOLERANT: Final = re.compile(r"v?0*(\d{1,4})(?:\.0*(\d{1,4}))?(?:\.0+)?")

_BLOCKERS_REST_ON: Final = (CLUSTER_OPERATORS, CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS, HYPERCONVERGEDS)


@dataclass(frozen=True)
class Blocker:
    """What keeps OpenShift from its next minor."""

    by: str
    object: str
    """The ClusterServiceVersion with its namespace, or the reason of a condition."""
    supports: str = ""
    """The newest minor that it supports, where it says so."""


@dataclass(frozen=True)
class OpenShiftNext:
    """What this subject knows."""

    available: dict[str, int] | None
    """Recommended updates by kind; None where no version is known that they could be newer than."""
    wanted: dict[str, bool] | None
    blockers: tuple[Blocker, ...]

    @property
    def wants_minor(self) -> bool:
        """The next minor has been asked for, or the channel is about it."""
        return (self.wanted or {}).get(MINOR, False)


def derive(cluster: Cluster, package: Package, openshift: OpenShift | None) -> OpenShiftNext:
    """What is available and wanted, and what is in the way."""
    version = cluster.find(CLUSTER_VERSIONS, "version")
    if version is None:
        return OpenShiftNext(None, None, ())
    here = openshift.version if openshift else _installing(version)
    return OpenShiftNext(
        available=_available(version, here) if here else None,
        wanted=_wanted(version, here) if here else None,
        blockers=tuple(_blockers(cluster, package, version, openshift)),
    )


def _installing(version: ClusterVersion) -> str:
    """The version that is being installed, when none has been completed yet."""
    status = version.status
    return (status.desired.version if status and status.desired else "") or ""


def _kind(version: str, running: str) -> str:
    there, here = semver.openshift_line(version), semver.openshift_line(running)
    return MINOR if there is not None and here is not None and there > here else PATCH


def _available(version: ClusterVersion, here: str) -> dict[str, int]:
    newer = {
        each.version for each in version.recommended if each.version and semver.newer(each.version, here)
    }
    kinds = [_kind(each, here) for each in newer]
    return {kind: kinds.count(kind) for kind in KINDS}


def _wanted(version: ClusterVersion, here: str) -> dict[str, bool]:
    """Asked for and not completed; or, of a minor, what the channel is about."""
    completed = next((each for each in version.history if each.is_completed), None)
    kinds = set()
    if completed is not None:
        kinds = {
            _kind(_version_of(each, version), here)
            for each in version.asked_for
            if (each.version or each.image) and not _same(each, completed)
        }
        if version.history[0].is_running:
            # Also back to the version that was complete before.
            kinds.add(_kind(version.history[0].version or "", here))
    if _kind(version.channel.rpartition("-")[2], here) == MINOR:
        kinds.add(MINOR)
    return {kind: kind in kinds for kind in KINDS}


def _same(release: Release, entry: UpdateHistory) -> bool:
    """Other architectures of one version have another image."""
    pairs = ((release.version, entry.version), (release.image, entry.image))
    return all(one == other for one, other in pairs if one and other)


def _version_of(release: Release, version: ClusterVersion) -> str:
    """Its version; one that is asked for by its image alone has it where the image is named too."""
    known = [(each.image, each.version) for each in (*version.asked_for, *version.recommended)]
    known += [(each.image, each.version) for each in version.history]
    return release.version or next((named for image, named in known if image == release.image and named), "")


def _blockers(
    cluster: Cluster, package: Package, version: ClusterVersion, openshift: OpenShift | None
) -> list[Blocker]:
    ours = {f"{each.namespace}/{each.name}": each for each in package.csvs}
    limits = {name: limit for name, each in ours.items() if (limit := _limit(each, openshift)) is not None}
    operator = cluster.find(CLUSTER_OPERATORS, _OLM)
    olm = condition(operator.conditions, "Upgradeable") if operator else None
    whole = condition(version.conditions, "Upgradeable")
    repeats = whole is not None and whole.is_false and whole.reason in _SAYS_OLM
    if repeats and (olm is None or not olm.is_false):
        olm = whole
    found: list[Blocker] = []
    named: dict[str, str] = {}
    if olm is not None and olm.is_false and olm.reason in _SAYS_OLM:
        named = dict(_named(olm.message or ""))
        if not named and not limits:
            found.append(Blocker(OTHER_OPERATOR, olm.reason or ""))
    found += [
        Blocker(VIRTUALIZATION, name, limits.get(name) or named.get(name, ""))
        for name in sorted(ours)
        if name in limits or name in named
    ]
    found += [Blocker(OTHER_OPERATOR, name, named[name]) for name in sorted(named.keys() - ours.keys())]
    if whole is not None and whole.is_false and not (repeats and found):
        # What it repeats may be OLM's own trouble, such as ErrorCheckingOperatorCompatibility.
        said = olm if repeats and olm is not None else whole
        found.append(Blocker(OPENSHIFT, said.reason or "Upgradeable"))
    return found


def _named(message: str) -> Iterator[tuple[str, str]]:
    """ClusterServiceVersions that a message names, one a line or one after another, and what they support."""
    message = _QUOTED.sub("", message)
    found = list(_NAMED.finditer(message))
    for match, after in zip_longest(found, found[1:]):
        supports = _SUPPORTS.search(message, match.end(), after.start() if after else len(message))
        yield match[1], supports[1] if supports else ""


def _limit(csv: ClusterServiceVersion, openshift: OpenShift | None) -> str | None:
    """The newest minor that it supports, if that is below the next one; None when it does not block.

    OLM blocks as well when it is named twice or is no X.Y (operator-lifecycle-manager,
    pkg/controller/operators/openshift/helpers.go): that is the empty text.
    """
    annotations = csv.metadata.annotations
    text = annotations.properties if annotations else None
    if not text:
        return None
    try:
        document = msgspec.json.decode(text, type=_Properties)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    values = [each.value for each in document.properties or [] if each.type == _MAX_OPENSHIFT]
    if not values:
        return None
    # A number of JSON is taken as well as a text, and one with quotes within its quotes.
    match = _TOLERANT.fullmatch(bytes(values[0]).decode(errors="replace").replace('\\"', '"').strip('"'))
    if len(values) > 1 or match is None:
        return ""
    minor = f"{match[1]}.{match[2] or 0}"
    limit = semver.openshift_line(minor)
    here = semver.openshift_line(openshift.version) if openshift else None
    return minor if limit is not None and here is not None and limit < here + 1 else None


class _Property(msgspec.Struct):
    type: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"")


class _Properties(msgspec.Struct):
    properties: list[_Property] | None = None


# What is shown


@SUBJECT.gauge(
    "virt_upgrade_openshift_available_updates",
    "Recommended updates of OpenShift, by whether they stay in the present minor.",
    labels=("kind",),
    source="ClusterVersion version: status.availableUpdates",
    requires=(CLUSTER_VERSIONS,),
)
def _available_updates(found: OpenShiftNext) -> Samples:
    for kind, count in (found.available or {}).items():
        yield (kind,), count


@SUBJECT.gauge(
    "virt_upgrade_openshift_update_wanted",
    "1 when an update of OpenShift has been asked for and is not complete, or, for a minor, when its channel "
    "is about a later one.",
    labels=("kind",),
    source="ClusterVersion version: spec.desiredUpdate, spec.channel, status.desired, status.history",
    requires=(CLUSTER_VERSIONS,),
)
def _update_wanted(found: OpenShiftNext) -> Samples:
    for kind, wanted in (found.wanted or {}).items():
        yield (kind,), float(wanted)


@SUBJECT.gauge(
    "virt_upgrade_openshift_minor_blocked",
    "1 for whoever keeps OpenShift from its next minor: this operator's bundle, another operator's, or "
    "OpenShift itself.",
    labels=("by",),
    source="ClusterServiceVersion: annotation operatorframework.io/properties (olm.maxOpenShiftVersion); "
    "ClusterOperator operator-lifecycle-manager, ClusterVersion version: status.conditions[Upgradeable]",
    requires=(CLUSTER_VERSIONS,),
    optional=_BLOCKERS_REST_ON,
)
def _minor_blocked(found: OpenShiftNext) -> Samples:
    blocking = {each.by for each in found.blockers}
    for by in BLOCKERS:
        yield (by,), float(by in blocking)
