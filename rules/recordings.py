"""What a fleet is told of each cluster: the table of recorded series.

They are few and small enough to be forwarded to a hub, hold no replica's identity, and exist only while
what they say is known to be true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from exporter.facts import versions
from exporter.facts.family import Subject
from rules.known import known


def record_name(family: str) -> str:
    """Name of the series that a family is recorded as."""
    return f"cluster:{family}:max"


@dataclass(frozen=True)
class Recording:
    """A family recorded with all its labels, once a cluster."""

    subject: Subject[Any]
    family: str

    @property
    def name(self) -> str:
        """Name of the recorded series."""
        return record_name(self.family)

    @property
    def expression(self) -> str:
        """PromQL."""
        labels = next(
            (rule.family.labels for rule in self.subject.rules if rule.family.name == self.family), ()
        )
        return known(self.subject, self.family, *labels)


RECORDINGS: Final = (
    Recording(versions.SUBJECT, "virt_upgrade_openshift_info"),
    Recording(versions.SUBJECT, "virt_upgrade_operator_info"),
    Recording(versions.SUBJECT, "virt_upgrade_version_skew"),
)
