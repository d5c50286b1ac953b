"""Which version of the operator is installed, which one is arriving, and has the installed one arrived?

A version's installation begins when its ClusterServiceVersion first leaves the phase Pending, and ends when
it has arrived (`exporter/facts/arrival.py`). Once reached, the end is remembered for the HyperConverged and
the CSV: restarts of the operator and operands that progress later are no new roll-out.

A version that is installed anew (`exporter/facts/installation.py`) is as little an update as the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from exporter.facts.arrival import Arrival, version_of
from exporter.facts.cluster import Cluster
from exporter.facts.installation import INSTALLATION, comes_anew
from exporter.facts.package import Package, identity
from exporter.facts.semver import newer
from exporter.history.upgrades import COMPLETED
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.base import unix
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    SUBSCRIPTIONS,
    ClusterServiceVersion,
)
from exporter.records.virtualization import HYPERCONVERGEDS, HyperConverged

RESTS_ON: Final[tuple[Resource[Any], ...]] = (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    HYPERCONVERGEDS,
    SUBSCRIPTIONS,
)

_COMPLETE: Final = "complete"
_ALONE: Final = f"{_COMPLETE}/-/"
"""Begins the names of ends that were reached before there was a HyperConverged: it installs more."""


@dataclass(frozen=True)
class Rollout:
    """What this subject knows."""

    installed: ClusterServiceVersion | None
    """The newest version whose installation has begun."""
    arriving: ClusterServiceVersion | None
    """A newer version that is there and whose installation has not begun."""
    complete: bool
    """The installed version is rolled out, operands included."""
    first: bool
    """No version has ever been rolled out, or none but those that are gone: this is an installation, or there
    is none."""
    memory: str
    """The name under which the end is remembered."""
    anew: frozenset[str]
    """Versions, by uid, that came beside no other one: an installation, no update."""

    @property
    def running(self) -> bool:
        """An update has begun: its CSV is there, and its end has not been reached."""
        return not self.first and (self.arriving is not None or not self.complete)


def derive(cluster: Cluster, history: History, package: Package, before: frozenset[str] | None) -> Rollout:
    """How far the operator's versions have come.

    Args:
        cluster: the records.
        history: what is remembered.
        package: what is ours.
        before: uids of our ClusterServiceVersions a moment ago; None when nobody looked.
    """
    anew = frozenset(identity(each) for each in package.csvs if comes_anew(each, package, history, before))
    begun = [csv for csv in package.csvs if csv.has_begun]
    replaced = {csv.replaces for csv in begun}
    last = [csv for csv in reversed(begun) if csv.name not in replaced]
    installed = next((csv for csv in last if not _is_stray(csv, last)), None)
    if installed is None:
        return Rollout(None, None, complete=False, first=True, memory="", anew=anew)
    waiting = [csv for csv in package.csvs if not csv.has_begun]
    hyperconverged = package.hyperconverged
    memory = f"{_COMPLETE}/{identity(hyperconverged) if hyperconverged else '-'}/{identity(installed)}"
    record = history.upgrades.find(identity(installed))
    same = record.same_version if record is not None else None
    complete = (
        memory in history.first
        or (record is not None and record.outcome == COMPLETED)
        or Arrival(
            cluster, hyperconverged, installed, succeeded=installed.has_succeeded, same_version=same
        ).reached
    )
    # The CSV of the version before goes long before the roll-out of its successor is complete.
    earlier = record is not None or (
        identity(installed) not in anew
        and (
            any(csv is not installed and csv.has_succeeded for csv in begun)
            or any(name.startswith(f"{_COMPLETE}/") and not name.startswith(_ALONE) for name in history.first)
            or (hyperconverged is not None and _was_there_before(hyperconverged, installed))
        )
    )
    return Rollout(
        installed=installed,
        arriving=next((csv for csv in reversed(waiting) if _follows(csv, installed)), None),
        complete=complete,
        first=not complete and not earlier,
        memory=memory,
        anew=anew,
    )


def observe(rollout: Rollout, seen: Observations) -> None:
    """Remember what is installed anew, and the end of a roll-out: of this CSV, under any HyperConverged."""
    for each in rollout.anew:
        seen.first(f"{INSTALLATION}/{each}")
    seen.forget(name for name, uid in seen.known(INSTALLATION).items() if uid not in rollout.anew)
    if rollout.installed is not None and rollout.complete:
        seen.first(rollout.memory)
        # That of the one before tells that this one was an update, for as long as it is under way.
        mine = f"/{identity(rollout.installed)}"
        seen.forget(name for name in seen.known(_COMPLETE) if not name.endswith(mine))


def _is_stray(csv: ClusterServiceVersion, last: list[ClusterServiceVersion]) -> bool:
    """It was brought by an old plan, and does not come up beside a newer version that is installed."""
    return not csv.has_succeeded and any(
        each.has_succeeded and newer(each.version, csv.version) for each in last
    )


def _was_there_before(hyperconverged: HyperConverged, csv: ClusterServiceVersion) -> bool:
    """HyperConverged was made, or brought to another version, by an earlier one."""
    made = unix(hyperconverged.metadata.creation_timestamp)
    created = unix(csv.metadata.creation_timestamp)
    older = made is not None and created is not None and made < created
    return older or hyperconverged.operator_version not in {"", version_of(csv)}


def _follows(csv: ClusterServiceVersion, installed: ClusterServiceVersion) -> bool:
    return csv.replaces == installed.name or newer(csv.version, installed.version)
