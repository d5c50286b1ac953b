"""Events, of which only HyperConverged's words about its own updates are read (k8s.io/api core/v1).

An event expires, after three hours on OpenShift: who comes later finds none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from exporter.kube.resource import Place, Resource
from exporter.records.base import Record

_SUCCESS: Final = "Successfully upgraded to version "


class Event(Record, frozen=True):
    """One thing that has happened, perhaps several times."""

    message: str | None = None
    first_timestamp: datetime | None = None

    @property
    def upgraded_to(self) -> str:
        """The version that HyperConverged has finished rolling out; empty where it says something else."""
        message = self.message or ""
        return message.removeprefix(_SUCCESS).strip() if message.startswith(_SUCCESS) else ""


EVENTS = Resource(
    "events",
    "",
    ("v1",),
    Event,
    located=Place.OPERATOR,
    # hyperconverged-cluster-operator, controllers/hyperconverged.
    field_selector="reason=UpgradeHCO",
    fleeting=True,
)
