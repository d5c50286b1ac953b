"""What a finding is.

A finding is a declaration (its name, how bad it is, what it means for an update of the operator and for one
of OpenShift, what the documentation says, what to do) and a pure function that names the objects
concerned. The metrics, the status page and the report all show this one list; `ready` is 1 exactly when
no finding that blocks that update has objects.

What has been gone for less than a minute has not gone: conditions of the API flap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from exporter.kube.resource import Resource

if TYPE_CHECKING:
    from exporter.facts import Facts

log = logging.getLogger(__name__)

NAMED: Final = 5
"""Objects that an alert's text names."""

LISTED: Final = 100
"""Objects that the list of findings names; of what there are thousands, nobody reads more."""

_TEXT_BYTES: Final = 400
MEMORY: Final = "finding"
_REPORTED: Final[set[str]] = set()


class Severity(StrEnum):
    """How bad it is; the names are those of OpenShift's alerts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Effect(StrEnum):
    """What a finding means for an update."""

    BLOCKS = "blocks"
    WARNS = "warns"
    NOTHING = "nothing"


class Names(NamedTuple):
    """Some of the objects of a finding, sorted, and how many there are."""

    first: tuple[str, ...] = ()
    total: int = 0

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """All of these."""
        every = set(names)
        return cls(tuple(sorted(every)), len(every)) if every else _NOBODY


_NOBODY: Final = Names()

Objects: TypeAlias = Iterable[str] | Names
"""All names in any order; or what has been counted already."""


@dataclass(frozen=True)
class Finding:
    """The declaration of a finding."""

    name: str
    severity: Severity
    operator: Effect
    """For an update of OpenShift Virtualization."""
    openshift: Effect
    """For an update of OpenShift."""
    statement: str
    """What the documentation says."""
    action: str
    """What to do."""
    resources: tuple[Resource[Any], ...]
    """What has to be known to tell; what is absent is empty."""
    objects: Callable[[Facts], Objects]
    """Names of the objects concerned."""
    since: Callable[[Facts], float | None]
    """Since when, where the API tells; else it is remembered."""
    by_node: Callable[[Facts], Mapping[str, Names]] | None = None
    """What it is about on each node, where its objects are nodes."""

    def effect(self, update: str) -> Effect:
        """What it means for one of the two updates."""
        return self.operator if update == OPERATOR else self.openshift


OPERATOR: Final = "operator"
OPENSHIFT: Final = "openshift"


@dataclass(frozen=True)
class Found:
    """A finding, and what it concerns now."""

    finding: Finding
    names: Names
    now: bool
    """It holds at this moment; else it has only just gone."""
    since: float | None
    known: bool
    """Everything it rests on is known."""
    stale: bool
    """Something it rests on has not been heard of for too long."""
    by_node: Mapping[str, Names]
    """What it is about on each node, where its objects are nodes."""

    @property
    def objects(self) -> tuple[str, ...]:
        """Names, sorted; of thousands the first."""
        return self.names.first


@dataclass(frozen=True)
class Findings:
    """What this subject knows."""

    found: tuple[Found, ...]
    has_subscriptions: bool
    """The Operator Lifecycle Manager is installed."""
    has_openshift: bool

    def ready(self, update: str) -> bool | None:
        """Nothing is in the way of an update; None while that is not known."""
        blocking = [each for each in self.found if each.finding.effect(update) is Effect.BLOCKS]
        present = self.has_subscriptions if update == OPERATOR else self.has_openshift
        if not present or not all(each.known and not each.stale for each in blocking):
            return None
        return not any(each.objects for each in blocking)

    @property
    def objects(self) -> dict[str, tuple[str, ...]]:
        """Objects by finding, of those that have any."""
        return {each.finding.name: each.objects for each in self.found if each.objects}

    @property
    def names(self) -> dict[str, Names]:
        """The same with their numbers."""
        return {each.finding.name: each.names for each in self.found if each.objects}


def look(facts: Facts, finding: Finding, recent: Mapping[str, Names]) -> Found:
    """What a finding concerns now; `recent` are the objects of a moment ago."""
    cluster = facts.cluster
    known = cluster.decided(*finding.resources)
    stale = bool(cluster.stale) and any(each.plural in cluster.stale for each in finding.resources)
    objects = _NOBODY
    by_node: Mapping[str, Names] = {}
    try:
        if known:
            named = finding.objects(facts)
            objects = named if isinstance(named, Names) else Names.of(named)
            by_node = finding.by_node(facts) if finding.by_node else {}
    except Exception:
        # A defect of ours: it must not read as if nothing had been found.
        if finding.name not in _REPORTED:
            _REPORTED.add(finding.name)
            log.exception("the finding %s cannot be worked out", finding.name)
        known = False
    episode = facts.history.episode(f"{MEMORY}/{finding.name}")
    lasts = episode.lasts(facts.now)
    shown = objects if objects.total else (recent.get(finding.name, _NOBODY) if lasts else _NOBODY)
    times = [episode.since if lasts else None, finding.since(facts) if objects.total else None]
    return Found(
        finding,
        shown,
        now=bool(objects.total),
        since=min((each for each in times if each is not None), default=None) if shown.total else None,
        known=known,
        stale=stale,
        by_node=by_node,
    )


def text(names: Names) -> str:
    """The first names, and how many more there are, in at most 400 bytes."""
    named: list[str] = []
    for name in names.first[:NAMED]:
        if named and len(", ".join([*named, name]).encode(errors="replace")) > _TEXT_BYTES - 20:
            break
        named.append(name)
    more = names.total - len(named)
    tail = f" and {more} more" if more else ""
    joined = ", ".join(named).encode(errors="replace")
    return joined[: _TEXT_BYTES - len(tail)].decode(errors="ignore") + tail
