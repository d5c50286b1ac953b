"""OpenShift Virtualization's own objects: hco.kubevirt.io and kubevirt.io."""

from __future__ import annotations

from typing import Any, Final

import msgspec

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


class WorkloadUpdateStrategy(Part, frozen=True):
    """How running VMs get into new virt-launcher pods after an update; no method is: not at all."""

    workload_update_methods: tuple[str, ...] | None = None


class Virtualization(Part, frozen=True):
    """`spec.virtualization`: where version v1 keeps what v1beta1 has in `spec` itself."""

    workload_update_strategy: WorkloadUpdateStrategy | None = None


class HyperConvergedSpec(Part, frozen=True):
    """What is wanted of the operands; objects of version v1 with fields of v1beta1 have been seen."""

    workload_update_strategy: WorkloadUpdateStrategy | None = None
    virtualization: Virtualization | None = None
    feature_gates: Any = None
    """A struct in v1beta1, a list of objects in v1."""


class HyperConverged(Record, frozen=True):
    """The one object that stands for OpenShift Virtualization in a cluster."""

    spec: HyperConvergedSpec | None = None
    status: HyperConvergedStatus | None = None

    @property
    def workload_update_methods(self) -> tuple[str, ...]:
        """LiveMigrate, Evict."""
        spec = self.spec or HyperConvergedSpec()
        nested = spec.virtualization and spec.virtualization.workload_update_strategy
        strategy = nested or spec.workload_update_strategy
        return (strategy and strategy.workload_update_methods) or ()

    @property
    def sriov_gate(self) -> bool | None:
        """The gate of the live migration of SR-IOV, on the releases that had one; None where not set."""
        gates = self.spec.feature_gates if self.spec else None
        said = gates.get("sriovLiveMigration") if isinstance(gates, dict) else None
        return said if isinstance(said, bool) else None

    @property
    def operator_version(self) -> str:
        """Version of the last completed roll-out; empty before the first status."""
        versions = (self.status and self.status.versions) or []
        return next((entry.version or "" for entry in versions if entry.name == OPERATOR_VERSION), "")

    @property
    def conditions(self) -> list[Condition]:
        """ReconcileComplete, Available, Progressing, Degraded, Upgradeable."""
        return (self.status and self.status.conditions) or []


class KubeVirtConfiguration(Part, frozen=True):
    """Defaults of all virtual machines."""

    eviction_strategy: str | None = None


class KubeVirtSpec(Part, frozen=True):
    """What is wanted of KubeVirt; written by HyperConverged."""

    configuration: KubeVirtConfiguration | None = None
    workload_update_strategy: WorkloadUpdateStrategy | None = None


class KubeVirtStatus(Part, frozen=True):
    """Versions of KubeVirt's roll-out; `phase` stays Deployed during an update."""

    observed_kube_virt_version: str | None = None
    target_kube_virt_version: str | None = None
    observed_deployment_id: str | None = msgspec.field(name="observedDeploymentID", default=None)
    target_deployment_id: str | None = msgspec.field(name="targetDeploymentID", default=None)
    conditions: list[Condition] | None = None


class KubeVirt(Record, frozen=True):
    """KubeVirt as rolled out by the HyperConverged operator."""

    spec: KubeVirtSpec | None = None
    status: KubeVirtStatus | None = None

    @property
    def observed_version(self) -> str:
        """The version that is rolled out."""
        return (self.status and self.status.observed_kube_virt_version) or ""

    @property
    def target_version(self) -> str:
        """The version that is being rolled out, or is."""
        return (self.status and self.status.target_kube_virt_version) or ""

    @property
    def eviction_strategy(self) -> str:
        """Of VMs that name none; empty where none is set."""
        configuration = self.spec and self.spec.configuration
        return (configuration and configuration.eviction_strategy) or ""

    @property
    def workload_update_methods(self) -> tuple[str, ...]:
        """LiveMigrate, Evict."""
        strategy = self.spec and self.spec.workload_update_strategy
        return (strategy and strategy.workload_update_methods) or ()

    @property
    def is_rolling_out(self) -> bool:
        """Its components, virt-handler among them, are being replaced."""
        status = self.status or KubeVirtStatus()
        observed, target = status.observed_deployment_id, status.target_deployment_id
        return bool(observed) and bool(target) and observed != target

    @property
    def conditions(self) -> list[Condition]:
        """Available, Progressing, Degraded, Created."""
        return (self.status and self.status.conditions) or []


HYPERCONVERGEDS = Resource(
    "hyperconvergeds",
    "hco.kubevirt.io",
    # v1beta1 is the older of the two and about to go.
    ("v1", "v1beta1"),
    HyperConverged,
    in_operator_namespace=True,
)
KUBEVIRTS = Resource("kubevirts", "kubevirt.io", ("v1",), KubeVirt, in_operator_namespace=True)
