"""Which version of the operator is installed, which one is arriving, and has the installed one arrived?

A version's installation begins when its ClusterServiceVersion first leaves the phase Pending. Neither
`installedCSV` nor the phase Succeeded is its end: HyperConverged then rolls its operands out. The end has
been reached when the CSV has succeeded, HyperConverged has the version in `status.versions` and says
Progressing=False (during the very first installation the version is there from the first write on), and

- it said so after the CSV was created: the operands have been rolled out for it; or
- the operator's word to OLM, the OperatorCondition Upgradeable, has another reason than Initializing and
  AlreadyPerformingUpgrade (an empty one says nothing yet), or became so only after the CSV had succeeded,
  which is a restart of the operator: HyperConverged had that version already.

Where an operand progresses again by the time we look, it is enough that the operator's word has been True
since after both objects were made.

Without a HyperConverged it has been reached when the CSV has succeeded.

HyperConverged's own version is named by the variable HCO_KV_IO_VERSION of the CSV's containers (the
operator and its webhook have it), else it is the CSV's. Once reached, the end is remembered for the
HyperConverged and the CSV: restarts of the operator and operands that progress later are no new roll-out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from exporter.facts.cluster import Cluster
from exporter.facts.package import Package, identity
from exporter.facts.semver import newer
from exporter.history.value import History, Observations
from exporter.kube.resource import Resource
from exporter.records.base import Condition, condition, unix
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

_STILL_UPGRADING: Final = {"Initializing", "AlreadyPerformingUpgrade"}
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
    """No version has ever been rolled out: this is the first installation, or there is none."""
    memory: str
    """The name under which the end is remembered."""

    @property
    def running(self) -> bool:
        """An update has begun: its CSV is there, and its end has not been reached."""
        return not self.first and (self.arriving is not None or not self.complete)


def derive(cluster: Cluster, history: History, package: Package) -> Rollout:
    """How far the operator's versions have come."""
    begun = [csv for csv in package.csvs if csv.has_begun]
    replaced = {csv.replaces for csv in begun}
    installed = next((csv for csv in reversed(begun) if csv.name not in replaced), None)
    if installed is None:
        return Rollout(None, None, complete=False, first=True, memory="")
    waiting = [csv for csv in package.csvs if not csv.has_begun]
    hyperconverged = package.hyperconverged
    memory = f"{_COMPLETE}/{identity(hyperconverged) if hyperconverged else '-'}/{identity(installed)}"
    complete = memory in history.first or _has_arrived(cluster, hyperconverged, installed)
    # The CSV of the version before goes long before the roll-out of its successor is complete.
    earlier = (
        len(begun) > 1
        or any(name.startswith(f"{_COMPLETE}/") and not name.startswith(_ALONE) for name in history.first)
        or (hyperconverged is not None and _was_there_before(hyperconverged, installed))
    )
    return Rollout(
        installed=installed,
        arriving=next((csv for csv in reversed(waiting) if _follows(csv, installed)), None),
        complete=complete,
        first=not complete and not earlier,
        memory=memory,
    )


def observe(rollout: Rollout, seen: Observations) -> None:
    """Remember the end of a roll-out: of this CSV, under whichever HyperConverged."""
    if rollout.installed is not None and rollout.complete:
        seen.first(rollout.memory)
        # That of the one before tells that this one was an update, for as long as it is under way.
        mine = f"/{identity(rollout.installed)}"
        seen.forget(name for name in seen.known(_COMPLETE) if not name.endswith(mine))


def version_of(csv: ClusterServiceVersion) -> str:
    """The version that HyperConverged has once this CSV is rolled out."""
    return csv.variable("HCO_KV_IO_VERSION") or csv.version


def _was_there_before(hyperconverged: HyperConverged, csv: ClusterServiceVersion) -> bool:
    """HyperConverged was made, or brought to another version, by an earlier one."""
    made = unix(hyperconverged.metadata.creation_timestamp)
    created = unix(csv.metadata.creation_timestamp)
    older = made is not None and created is not None and made < created
    return older or hyperconverged.operator_version not in {"", version_of(csv)}


def _follows(csv: ClusterServiceVersion, installed: ClusterServiceVersion) -> bool:
    return csv.replaces == installed.name or newer(csv.version, installed.version)


def _has_arrived(cluster: Cluster, hyperconverged: HyperConverged | None, csv: ClusterServiceVersion) -> bool:
    if not csv.has_succeeded:
        return False
    if hyperconverged is None:
        return True
    if hyperconverged.operator_version != version_of(csv):
        return False
    found = cluster.find(OPERATOR_CONDITIONS, csv.name, csv.namespace)
    said = condition(found.conditions, "Upgradeable") if found else None
    made, created = unix(hyperconverged.metadata.creation_timestamp), unix(csv.metadata.creation_timestamp)
    progressing = condition(hyperconverged.conditions, "Progressing")
    if progressing is None or not progressing.is_false:
        # An operand may progress again after the end; the operator's word of then still stands.
        if said is None or progressing is None or not said.is_true:
            return False
        again = _after(progressing, unix(said.last_transition_time))
        return again and _after(said, made) and _after(said, created)
    if _after(progressing, created, or_at=True) or found is None:
        return True
    return said is not None and _is_settled(said, csv)


def _after(entry: Condition, moment: float | None, *, or_at: bool = False) -> bool:
    """A condition has been what it is since after a moment."""
    since = unix(entry.last_transition_time)
    return since is not None and moment is not None and (since > moment or (or_at and since == moment))


def _is_settled(said: Condition, csv: ClusterServiceVersion) -> bool:
    """The operator is not, or not any more, upgrading to this version."""
    return said.reason not in _STILL_UPGRADING or _after(said, unix(csv.first_succeeded))
