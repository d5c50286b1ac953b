"""Has a version of the operator arrived, and when was that?

Neither `installedCSV` nor the phase Succeeded is the end of an update: HyperConverged then rolls its operands
out. The end, E, has been reached when HyperConverged has the version in `status.versions` and says
Progressing=False (during the very first installation the version is there from the first write on), and

- it said so after the CSV was created, and is known to have had another version before, or the CSV has
  succeeded and the operator's word to OLM does not deny it: the operands have been rolled out for it; or
- it has said so by the event "Successfully upgraded", which is there for some hours; or
- the operator's word to OLM, the OperatorCondition Upgradeable, has another reason than Initializing and
  AlreadyPerformingUpgrade (an empty one says nothing yet), or became so only after the CSV had succeeded,
  which is a restart of the operator: HyperConverged had that version already.

That word denies it when it has been False for one of these two reasons since before the CSV succeeded: a new
version of the operator alone makes HyperConverged progress for an instant, and is not through by then.

Where an operand progresses again by the time we look, it is enough that the operator's word has been True
since after both objects were made, or has been taken back since the CSV succeeded.

E is the moment since which Progressing has been False to who has watched. To who has not, the event tells;
else that moment and the one since which the operator's word has been True do when they agree and the CSV has
not flapped since. Both move on when an operand progresses later or the operator is restarted, so otherwise
the earlier one is an upper bound. Where a new version of the operator keeps HyperConverged's, HyperConverged
does not change, and says nothing: only the operator's word tells.

Without a HyperConverged the end is that the CSV has succeeded. One that was there and is gone is expected
back for a minute, and as long as its definition is missing. Where it may not be read, nothing tells.

HyperConverged's own version is named by the variable HCO_KV_IO_VERSION of the CSV's containers (the operator
and its webhook have it), else it is the CSV's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

from exporter.facts import semver
from exporter.facts.cluster import Cluster
from exporter.records.base import Condition, condition, unix
from exporter.records.events import EVENTS
from exporter.records.olm import (
    CLUSTER_SERVICE_VERSIONS,
    OPERATOR_CONDITIONS,
    ClusterServiceVersion,
    OperatorCondition,
)
from exporter.records.virtualization import HYPERCONVERGEDS, HyperConverged

_STILL_UPGRADING: Final = {"Initializing", "AlreadyPerformingUpgrade"}
_TOGETHER_SECONDS: Final = 1.0
"""Apart at most are what the operator and HyperConverged write at the end."""


def version_of(csv: ClusterServiceVersion) -> str:
    """The version that HyperConverged has once this CSV is rolled out."""
    return csv.variable("HCO_KV_IO_VERSION") or csv.version


def announced(
    cluster: Cluster, namespace: str | None, version: str, since: float | None
) -> tuple[float, ...]:
    """When HyperConverged said that it had reached a version, of what was said since a moment."""
    said = (
        unix(each.first_timestamp)
        for each in cluster[EVENTS]
        if each.namespace == namespace and each.upgraded_to == version
    )
    return tuple(sorted(at for at in said if at is not None and since is not None and at >= since))


def progressing_ended(hyperconverged: HyperConverged, since: float | None) -> float | None:
    """Since when HyperConverged has not progressed any more, if that is no earlier than another moment."""
    said = condition(hyperconverged.conditions, "Progressing")
    ended = unix(said.last_transition_time) if said is not None and said.is_false else None
    return ended if ended is not None and since is not None and ended >= since else None


class End(NamedTuple):
    """When an update ended; `at` is None where nothing tells."""

    at: float | None
    at_most: bool = False
    """It was then or earlier."""


class Arrival:
    """What the objects of one moment tell of the end of one version's roll-out."""

    def __init__(
        self,
        cluster: Cluster,
        hyperconverged: HyperConverged | None,
        csv: ClusterServiceVersion,
        *,
        succeeded: bool,
        same_version: bool | None,
    ) -> None:
        """Look at the objects.

        Args:
            cluster: the records.
            hyperconverged: ours.
            csv: the version.
            succeeded: the CSV has, once.
            same_version: HyperConverged had that version before; None where nobody knows.
        """
        self._cluster = cluster
        self._hyperconverged = hyperconverged
        self._csv = csv
        self._succeeded = succeeded
        self._same = same_version
        self._created = unix(csv.metadata.creation_timestamp)

    @cached_property
    def reached(self) -> bool:
        """The version is rolled out, as far as the objects tell."""
        hyperconverged, csv, said = self._hyperconverged, self._csv, self.word
        if hyperconverged is None:
            # One that has been seen since the CSV was made is only missing.
            return self._same is None and self._cluster.decided(HYPERCONVERGEDS) and self._succeeded
        if hyperconverged.operator_version != version_of(csv):
            return False
        if not self._succeeded and not self._cluster.hears(CLUSTER_SERVICE_VERSIONS):
            # What has become of the CSV meanwhile is still to come.
            return False
        if self._announced:
            return True
        progressing = condition(hyperconverged.conditions, "Progressing")
        if progressing is None:
            return False
        ended = self._ended is not None
        if self._same is False and ended:
            # The version came with this; operators that are not up yet are nothing to the operands.
            return True
        if not self._succeeded:
            return False
        if progressing.is_false:
            if said is None:
                return self.operator_condition is None or ended
            return (ended and not self._denied_ever_since) or self._is_settled
        # An operand may progress again after the end; the operator's word of then still stands.
        if said is None or not _after(said, self._created):
            return False
        made = unix(hyperconverged.metadata.creation_timestamp)
        if said.is_true:
            return _after(progressing, unix(said.last_transition_time)) and _after(said, made)
        older = made is not None and self._created is not None and made < self._created
        return older and self._is_settled

    def end(self, installed: float | None, *, watched: bool) -> End:
        """E, of a version that has arrived.

        Args:
            installed: when its CSV first succeeded.
            watched: somebody has seen it arrive, and nothing of it in between was missed.
        """
        if self._hyperconverged is None:
            return End(self._announced[0] if self._announced else installed)
        ended = self._ended
        if self._same is None and ended is not None and installed is not None and ended < installed:
            # Nobody knows whether HyperConverged is to change at all: it may only have been looked at.
            ended = None
        if watched and self._same is False and ended is not None:
            return End(ended)
        if self._announced:
            return End(self._announced[0])
        allowed = self._allowed
        if ended is None or allowed is None:
            return End(allowed if ended is None else ended, at_most=not watched)
        if abs(ended - allowed) <= _TOGETHER_SECONDS and not self._csv.has_flapped:
            return End(ended)
        return End(min(ended, allowed), at_most=not watched)

    @property
    def is_first(self) -> bool:
        """What is under way is certainly the roll-out, and nothing that came later."""
        hyperconverged, said, version = self._hyperconverged, self.word, version_of(self._csv)
        if not self._same and hyperconverged and hyperconverged.operator_version != version:
            # What has a newer one by now may have had this one.
            return not semver.newer(hyperconverged.operator_version, version)
        return said is None or self._denied_ever_since

    @cached_property
    def operator_condition(self) -> OperatorCondition | None:
        """By which the operator speaks to OLM."""
        return self._cluster.find(OPERATOR_CONDITIONS, self._csv.name, self._csv.namespace)

    @cached_property
    def word(self) -> Condition | None:
        """Whether it allows the next version, as far as it has said."""
        found = self.operator_condition
        return condition(found.conditions, "Upgradeable") if found is not None else None

    @cached_property
    def _announced(self) -> tuple[float, ...]:
        if self._same:
            # It says nothing then: what is there is about another time.
            return ()
        return announced(self._cluster, self._csv.namespace, version_of(self._csv), self._created)

    @cached_property
    def _ended(self) -> float | None:
        if self._same or self._hyperconverged is None:
            return None
        return progressing_ended(self._hyperconverged, self._created)

    @cached_property
    def _allowed(self) -> float | None:
        since = unix(self.word.last_transition_time) if self.word is not None and self.word.is_true else None
        return since if since is not None and self._created is not None and since >= self._created else None

    @property
    def _denied_ever_since(self) -> bool:
        """The operator has not allowed the next version since before this one succeeded: it is at it."""
        said = self.word
        if said is None or not said.is_false or said.reason not in _STILL_UPGRADING or not self._csv.is_whole:
            return False
        return not _after(said, unix(self._csv.first_succeeded))

    @property
    def _is_settled(self) -> bool:
        """The operator is not, or not any more, upgrading to this version."""
        said = self.word
        if said is None:
            return False
        return said.reason not in _STILL_UPGRADING or _after(said, unix(self._csv.first_succeeded))


def _after(entry: Condition, moment: float | None) -> bool:
    """A condition has been what it is since after a moment."""
    since = unix(entry.last_transition_time)
    return since is not None and moment is not None and since > moment
