"""Jobs, of which only those are read by which OLM unpacks bundles (k8s.io/api batch/v1)."""

from __future__ import annotations

from exporter.kube.resource import Place, Resource
from exporter.records.base import Condition, Part, Record, condition


class JobStatus(Part, frozen=True):
    """How far it has come; a condition Complete or Failed is its end."""

    conditions: list[Condition] | None = None


class Job(Record, frozen=True):
    """The unpacking of one bundle; it is given up after ten minutes, with the reason DeadlineExceeded."""

    status: JobStatus | None = None

    @property
    def failed(self) -> bool:
        """It has ended, and the bundle is not unpacked."""
        return self._holds("Failed")

    @property
    def succeeded(self) -> bool:
        """It has ended, and the bundle is unpacked."""
        return self._holds("Complete")

    def _holds(self, type_: str) -> bool:
        found = condition(self.status.conditions if self.status else None, type_)
        return found is not None and found.is_true


JOBS = Resource(
    "jobs",
    "batch",
    ("v1",),
    Job,
    located=Place.CATALOG,
    # operator-lifecycle-manager, pkg/controller/bundle/bundle_unpacker.go.
    label_selector="operatorframework.io/bundle-unpack-ref",
    fleeting=True,
)
