"""Claims and the classes they are provisioned by, as far as they tell why a VM cannot be migrated."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Self

import msgspec

from exporter.kube.resource import Resource
from exporter.records.base import BulkMetadata, BulkRecord, Part


class ClaimAnnotations(Part, frozen=True):
    """Who was asked to make the volume: stays when the class is deleted."""

    provisioner: str | None = msgspec.field(name="volume.kubernetes.io/storage-provisioner", default=None)
    provisioner_before: str | None = msgspec.field(
        name="volume.beta.kubernetes.io/storage-provisioner", default=None
    )
    """Until Kubernetes 1.23."""


class ClaimMetadata(BulkMetadata, frozen=True):
    """ObjectMeta of a claim."""

    annotations: ClaimAnnotations | None = None


class ClaimSpec(Part, frozen=True):
    """What was claimed."""

    storage_class_name: str | None = None


@lru_cache(maxsize=256)
def _made_by(provisioner: str) -> ClaimAnnotations:
    """The one object for annotations that repeat."""
    return ClaimAnnotations(provisioner=provisioner)


@lru_cache(maxsize=256)
def _of_class(name: str) -> ClaimSpec:
    """The one object for claims of a class."""
    return ClaimSpec(storage_class_name=name)


class PersistentVolumeClaim(BulkRecord, frozen=True):
    """A claim; of its access modes KubeVirt's copy in the instance is what counts."""

    metadata: ClaimMetadata
    spec: ClaimSpec | None = None

    @property
    def provisioner(self) -> str:
        """Who made its volume; empty where nobody was asked to."""
        said = self.metadata.annotations
        return (said and (said.provisioner or said.provisioner_before)) or ""

    def trimmed(self) -> Self:
        """With one object for what many have in common."""
        metadata, provisioner = self.metadata, self.provisioner
        return type(self)(
            metadata=ClaimMetadata(
                name=metadata.name,
                namespace=None if metadata.namespace is None else sys.intern(metadata.namespace),
                uid=metadata.uid,
                resource_version=metadata.resource_version,
                annotations=_made_by(provisioner) if provisioner else None,
            ),
            spec=_of_class(self.storage_class) if self.storage_class else None,
        )

    @property
    def storage_class(self) -> str:
        """Empty where the claim names none."""
        return (self.spec and self.spec.storage_class_name) or ""


class StorageClass(BulkRecord, frozen=True):
    """What volumes of a class are made by."""

    provisioner: str | None = None


CLAIMS = Resource("persistentvolumeclaims", "", ("v1",), PersistentVolumeClaim)
STORAGE_CLASSES = Resource("storageclasses", "storage.k8s.io", ("v1",), StorageClass)
