"""OpenShift Virtualization's own objects: hco.kubevirt.io and kubevirt.io."""

from __future__ import annotations

from typing import Final

from exporter.kube.resource import Resource
from exporter.records.base import Condition, Part, Record

OPERATOR_VERSION: Final = "operator"
"""Name of the entry of HyperConverged `status.versions` that holds the operator's version."""


class ComponentVersion(Part, frozen=True):
    """One entry of `status.versions`: a version whose roll-out has been completed."""

    name: str | None = None
    version: str | None = None


class HyperConvergedStatus(Part, frozen=True):
    """State of all operands together; alike in v1beta1 and v1."""

    versions: list[ComponentVersion] | None = None
    conditions: list[Condition] | None = None


class HyperConverged(Record, frozen=True):
    """The one object that stands for OpenShift Virtualization in a cluster."""

    status: HyperConvergedStatus | None = None

    @property
    def operator_version(self) -> str:
        """Version of the last completed roll-out; empty before the first status."""
        versions = (self.status and self.status.versions) or []
        return next((entry.version or "" for entry in versions if entry.name == OPERATOR_VERSION), "")

    @property
    def conditions(self) -> list[Condition]:
        """ReconcileComplete, Available, Progressing, Degraded, Upgradeable."""
        return (self.status and self.status.conditions) or []


class KubeVirtStatus(Part, frozen=True):
    """Versions of KubeVirt's roll-out; `phase` stays Deployed during an update."""

    observed_kube_virt_version: str | None = None
    target_kube_virt_version: str | None = None


class KubeVirt(Record, frozen=True):
    """KubeVirt as rolled out by the HyperConverged operator."""

    status: KubeVirtStatus | None = None

    @property
    def observed_version(self) -> str:
        """The version that is rolled out."""
        return (self.status and self.status.observed_kube_virt_version) or ""

    @property
    def target_version(self) -> str:
        """The version that is being rolled out, or is."""
        return (self.status and self.status.target_kube_virt_version) or ""


HYPERCONVERGEDS = Resource(
    "hyperconvergeds",
    "hco.kubevirt.io",
    # v1beta1 is the older of the two and about to go.
    ("v1", "v1beta1"),
    HyperConverged,
    in_operator_namespace=True,
)
KUBEVIRTS = Resource("kubevirts", "kubevirt.io", ("v1",), KubeVirt, in_operator_namespace=True)
