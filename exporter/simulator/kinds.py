"""The API kinds of the simulated cluster, and the smallest CRDs under which a real server takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Kind:
    """One API kind."""

    group: str
    versions: tuple[str, ...]
    """Served versions; the first is preferred and stored."""
    plural: str
    kind: str
    namespaced: bool = True
    watchable: bool = True
    """An aggregated API may know no WATCH."""
    status_subresource: bool = True

    @property
    def resource(self) -> str:
        """`subscriptions.operators.coreos.com`, as CustomResourceDefinitions are named."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_path(self) -> str:
        """Path of the API group."""
        return f"/apis/{self.group}" if self.group else "/api"

    def path(self, version: str | None = None, namespace: str | None = None) -> str:
        """Path of the collection, in one namespace or in all."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.group_path}/{version or self.versions[0]}{scope}/{self.plural}"

    def api_version(self, version: str | None = None) -> str:
        """`group/version`, as objects carry it."""
        return "/".join(filter(None, (self.group, version or self.versions[0])))

    def crd(self) -> dict[str, Any]:
        """A CustomResourceDefinition that keeps every field.

        Raises:
            ValueError: a core kind has none.
        """
        if not self.group or "." not in self.group:
            raise ValueError(f"{self.kind} is built into every API server")
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        status: dict[str, Any] = {"subresources": {"status": {}}} if self.status_subresource else {}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.resource,
                # Groups under k8s.io belong to the Kubernetes community, which wants this said.
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": self.group,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "names": {
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                },
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": version == self.versions[0],
                        "schema": {"openAPIV3Schema": schema},
                        **status,
                    }
                    for version in self.versions
                ],
            },
        }


_CONFIG: Final = "config.openshift.io"
_OLM: Final = "operators.coreos.com"
_KUBEVIRT: Final = "kubevirt.io"
_CDI: Final = "cdi.kubevirt.io"

KINDS: Final = (
    Kind(_CONFIG, ("v1",), "clusterversions", "ClusterVersion", namespaced=False),
    Kind(_CONFIG, ("v1",), "clusteroperators", "ClusterOperator", namespaced=False),
    Kind(_CONFIG, ("v1",), "infrastructures", "Infrastructure", namespaced=False),
    Kind(
        "machineconfiguration.openshift.io",
        ("v1",),
        "machineconfigpools",
        "MachineConfigPool",
        namespaced=False,
    ),
    Kind(_OLM, ("v1alpha1",), "subscriptions", "Subscription"),
    Kind(_OLM, ("v1alpha1",), "installplans", "InstallPlan"),
    Kind(_OLM, ("v1alpha1",), "clusterserviceversions", "ClusterServiceVersion"),
    Kind(_OLM, ("v1alpha1",), "catalogsources", "CatalogSource"),
    Kind(_OLM, ("v2", "v1"), "operatorconditions", "OperatorCondition"),
    Kind("packages.operators.coreos.com", ("v1",), "packagemanifests", "PackageManifest", watchable=False),
    Kind("hco.kubevirt.io", ("v1", "v1beta1"), "hyperconvergeds", "HyperConverged"),
    Kind(_KUBEVIRT, ("v1",), "kubevirts", "KubeVirt"),
    Kind(_KUBEVIRT, ("v1",), "virtualmachines", "VirtualMachine"),
    Kind(_KUBEVIRT, ("v1",), "virtualmachineinstances", "VirtualMachineInstance", status_subresource=False),
    Kind(_KUBEVIRT, ("v1",), "virtualmachineinstancemigrations", "VirtualMachineInstanceMigration"),
    Kind(_CDI, ("v1beta1",), "datavolumes", "DataVolume"),
    Kind(_CDI, ("v1beta1",), "storageprofiles", "StorageProfile", namespaced=False),
    Kind("k8s.cni.cncf.io", ("v1",), "network-attachment-definitions", "NetworkAttachmentDefinition"),
    Kind("", ("v1",), "namespaces", "Namespace", namespaced=False),
    Kind("", ("v1",), "nodes", "Node", namespaced=False),
    Kind("", ("v1",), "pods", "Pod"),
    Kind("", ("v1",), "persistentvolumeclaims", "PersistentVolumeClaim"),
    Kind("", ("v1",), "configmaps", "ConfigMap", status_subresource=False),
    Kind("", ("v1",), "events", "Event", status_subresource=False),
    Kind("storage.k8s.io", ("v1",), "storageclasses", "StorageClass", namespaced=False),
    Kind("batch", ("v1",), "jobs", "Job"),
)

BY_KIND: Final[Mapping[str, Kind]] = {kind.kind: kind for kind in KINDS}
BY_PLURAL: Final[Mapping[str, Kind]] = {kind.plural: kind for kind in KINDS}
