"""Which version of the operator is installed, which one is arriving, and has the installed one arrived?

A version's installation begins when its ClusterServiceVersion first leaves the phase Pending. Neither
`installedCSV` nor the phase Succeeded is its end: HyperConverged then rolls its operands out. The end has
been reached when

- HyperConverged has the version in `status.versions`, has not been Progressing ever since its creation
  (during the very first installation that field holds the version from the first write on), and the
  operator's word to OLM, the OperatorCondition Upgradeable, has another reason than Initializing and
  AlreadyPerformingUpgrade (an empty one says nothing yet), or
- there is no HyperConverged at all and the CSV has succeeded.

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
from exporter.records.base import condition, unix
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
_FIRST_STATUS_SECONDS: Final = 60.0
"""HyperConverged gets its first status within seconds of its creation."""


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
        """An update is being rolled out."""
        return self.installed is not None and not self.complete and not self.first


def derive(cluster: Cluster, history: History, package: Package) -> Rollout:
    """How far the operator's versions have come."""
    begun = [csv for csv in package.csvs if csv.has_begun]
    replaced = {csv.replaces for csv in begun}
    installed = next((csv for csv in reversed(begun) if csv.name not in replaced), None)
    if installed is None:
        return Rollout(None, None, complete=False, first=True, memory="")
    waiting = [csv for csv in package.csvs if not csv.has_begun]
    hyperconverged = package.hyperconverged
    owner = f"{_COMPLETE}/{identity(hyperconverged) if hyperconverged else '-'}/"
    memory = f"{owner}{identity(installed)}"
    complete = memory in history.first or _has_arrived(cluster, hyperconverged, installed)
    # The CSV of the version before goes long before the roll-out of its successor is complete.
    earlier = (
        len(begun) > 1
        or any(name.startswith(owner) for name in history.first)
        or (hyperconverged is not None and hyperconverged.operator_version not in {"", _target(installed)})
    )
    return Rollout(
        installed=installed,
        arriving=next((csv for csv in reversed(waiting) if _follows(csv, installed)), None),
        complete=complete,
        first=not complete and not earlier,
        memory=memory,
    )


def observe(rollout: Rollout, seen: Observations) -> None:
    """Remember the end of a roll-out, of as many as there are CSVs."""
    if rollout.installed is not None and rollout.complete:
        seen.first(rollout.memory)
        # The end of the one before tells that this one was an update, for as long as it is under way.
        seen.forget(name for name in seen.known(_COMPLETE) if name != rollout.memory)


def progressing_from_birth(hyperconverged: HyperConverged) -> bool:
    """Its operands have been rolled out ever since it was created: the first time."""
    progressing = condition(hyperconverged.conditions, "Progressing")
    if progressing is None or not progressing.is_true:
        return False
    created = unix(hyperconverged.metadata.creation_timestamp)
    since = unix(progressing.last_transition_time)
    return created is not None and since is not None and since - created < _FIRST_STATUS_SECONDS


def _target(csv: ClusterServiceVersion) -> str:
    """The version that HyperConverged is to have."""
    return csv.variable("HCO_KV_IO_VERSION") or csv.version


def _follows(csv: ClusterServiceVersion, installed: ClusterServiceVersion) -> bool:
    return csv.replaces == installed.name or newer(csv.version, installed.version)


def _has_arrived(cluster: Cluster, hyperconverged: HyperConverged | None, csv: ClusterServiceVersion) -> bool:
    if not csv.has_succeeded:
        return False
    if hyperconverged is None:
        return True
    return (
        hyperconverged.operator_version == _target(csv)
        and not progressing_from_birth(hyperconverged)
        and _is_settled(cluster, csv)
    )


def _is_settled(cluster: Cluster, csv: ClusterServiceVersion) -> bool:
    found = next(
        (
            each
            for each in cluster[OPERATOR_CONDITIONS]
            if (each.namespace, each.name) == (csv.namespace, csv.name)
        ),
        None,
    )
    if found is None:
        return True
    said = condition(found.conditions, "Upgradeable")
    return said is not None and said.reason not in _STILL_UPGRADING
