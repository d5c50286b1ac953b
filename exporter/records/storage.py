"""Claims and the classes they are provisioned by, as far as they tell why a VM cannot be migrated."""

from __future__ import annotations

from exporter.kube.resource import Resource
from exporter.records.base import BulkRecord, Part


class ClaimSpec(Part, frozen=True):
    """What was claimed."""

    storage_class_name: str | None = None


class PersistentVolumeClaim(BulkRecord, frozen=True):
    """A claim; of its access modes KubeVirt's copy in the instance is what counts."""

    spec: ClaimSpec | None = None

    @property
    def storage_class(self) -> str:
        """Empty where the claim names none."""
        return (self.spec and self.spec.storage_class_name) or ""


class StorageClass(BulkRecord, frozen=True):
    """What volumes of a class are made by."""

    provisioner: str | None = None


CLAIMS = Resource("persistentvolumeclaims", "", ("v1",), PersistentVolumeClaim)
STORAGE_CLASSES = Resource("storageclasses", "storage.k8s.io", ("v1",), StorageClass)
