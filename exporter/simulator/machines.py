"""Virtual machines and what they run on, as KubeVirt, Kubernetes and OpenShift write them, for stories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from exporter.simulator.objects import ApiObject, api_object, condition, time

PROJECT: Final = "prod"

HOSTPATH: Final = "hostpath-csi"
SHARED: Final = "ceph-rbd"
CLASSES: Final[Mapping[str, str]] = {
    HOSTPATH: "kubevirt.io.hostpath-provisioner",
    SHARED: "openshift-storage.rbd.csi.ceph.com",
    "gp3": "ebs.csi.aws.com",
}
"""Storage classes and what provisions them."""

_MCO: Final = "machineconfiguration.openshift.io"


def storage_class(name: str, *, created: datetime) -> ApiObject:
    """One of CLASSES."""
    whole = api_object("storage.k8s.io/v1", "StorageClass", name, created=created)
    del whole["spec"]
    return {**whole, "provisioner": CLASSES[name], "volumeBindingMode": "WaitForFirstConsumer"}


def claim(name: str, *, created: datetime, class_: str, shared: bool) -> ApiObject:
    """A bound claim."""
    return api_object(
        "v1",
        "PersistentVolumeClaim",
        name,
        namespace=PROJECT,
        created=created,
        spec={
            "accessModes": ["ReadWriteMany" if shared else "ReadWriteOnce"],
            "resources": {"requests": {"storage": "30Gi"}},
            "storageClassName": class_,
            "volumeMode": "Block",
            "volumeName": f"pvc-{name}",
        },
        status={"phase": "Bound"},
    )


def node(
    name: str,
    *,
    created: datetime,
    cordoned: datetime | None = None,
    drain: str = "",
    drained: str = "",
    handler: bool = True,
) -> ApiObject:
    """A worker.

    Args:
        name: its name.
        created: when it joined.
        cordoned: since when nothing new is scheduled on it.
        drain: configuration for which it is to be drained.
        drained: configuration for which it has been drained.
        handler: its virt-handler is heard of.
    """
    wanted = f"drain-{drain}" if drain else "uncordon-rendered-worker-a"
    applied = f"drain-{drained}" if drained else "uncordon-rendered-worker-a"
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return api_object(
        "v1",
        "Node",
        name,
        created=created,
        labels={
            "node-role.kubernetes.io/worker": "",
            "kubevirt.io/schedulable": "true" if handler else "false",
        },
        annotations={
            f"{_MCO}/state": "Working" if drain else "Done",
            f"{_MCO}/desiredDrain": wanted,
            f"{_MCO}/lastAppliedDrain": applied,
        },
        spec={"unschedulable": True, "taints": [{**taint, "timeAdded": time(cordoned)}]} if cordoned else {},
        status={"conditions": [condition("Ready", "True", created, "KubeletReady")]},
    )


def pool(
    name: str, *, created: datetime, machines: int, updated: int | None = None, paused: bool = False
) -> ApiObject:
    """A pool; one whose machines are not all updated is to get another configuration."""
    done = machines if updated is None else updated
    wanted = "rendered-worker-a" if updated is None else "rendered-worker-b"
    return api_object(
        f"{_MCO}/v1",
        "MachineConfigPool",
        name,
        created=created,
        spec={"paused": paused, "configuration": {"name": wanted}},
        status={
            "observedGeneration": 1,
            "configuration": {"name": "rendered-worker-a"},
            "machineCount": machines,
            "updatedMachineCount": done,
            "readyMachineCount": done,
            "unavailableMachineCount": 0,
            "degradedMachineCount": 0,
            "conditions": [condition("Degraded", "False", created)],
        },
    )


@dataclass(frozen=True, eq=False)
class Design:
    """What a VM is made of, and why KubeVirt says that it cannot be migrated."""

    reason: str = ""
    """Empty when it can be; `?` while nobody has looked."""
    message: str = ""
    class_: str = SHARED
    devices: tuple[tuple[str, tuple[ApiObject, ...]], ...] = ()
    networks: tuple[ApiObject, ...] = ({"name": "default", "pod": {}},)
    volumes: tuple[ApiObject, ...] = ()


def virtual_machine(
    name: str, *, created: datetime, run: str, strategy: str | None, design: Design
) -> ApiObject:
    """A VirtualMachine with one claim of its own name."""
    return api_object(
        "kubevirt.io/v1",
        "VirtualMachine",
        name,
        namespace=PROJECT,
        created=created,
        spec={
            "runStrategy": run,
            "template": {"metadata": {}, "spec": _instance_spec(name, strategy, design)},
        },
        status={"printableStatus": "Running", "runStrategy": run},
    )


def _instance_spec(name: str, strategy: str | None, design: Design) -> ApiObject:
    devices: ApiObject = {"interfaces": [{"name": "default", "masquerade": {}}]}
    devices |= {kind: list(each) for kind, each in design.devices}
    disks = ["root", *(each["name"] for each in design.volumes)]
    return {
        "domain": {"devices": {**devices, "disks": [{"name": each, "disk": {}} for each in disks]}},
        "networks": list(design.networks),
        "volumes": [
            {"name": "root", "persistentVolumeClaim": {"claimName": name}},
            *(dict(each) for each in design.volumes),
        ],
        **({"evictionStrategy": strategy} if strategy else {}),
    }


def instance(
    name: str,
    *,
    uid: str,
    created: datetime,
    node: str,
    strategy: str | None,
    design: Design,
    owner: str = "VirtualMachine",
    outdated: bool = False,
    marked: bool = False,
) -> ApiObject:
    """A running instance."""
    said = [{"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": time(created)}]
    if design.reason != "?":
        good = not design.reason
        live: ApiObject = {"type": "LiveMigratable", "status": "True" if good else "False"}
        live |= {"lastProbeTime": None, "lastTransitionTime": None}
        said.append(live if good else {**live, "reason": design.reason, "message": design.message})
    shared = design.class_ == SHARED
    labels = {"kubevirt.io/nodeName": node}
    whole = api_object(
        "kubevirt.io/v1",
        "VirtualMachineInstance",
        name,
        namespace=PROJECT,
        created=created,
        labels=labels | ({"kubevirt.io/outdatedLauncherImage": ""} if outdated else {}),
        spec=_instance_spec(name, strategy, design),
        status={
            "phase": "Running",
            "nodeName": node,
            "activePods": {f"pod-{uid}": node},
            "conditions": said,
            "migrationMethod": "LiveMigration" if shared else "BlockMigration",
            "volumeStatus": [
                {
                    "name": "root",
                    "target": "vda",
                    "persistentVolumeClaimInfo": {
                        "claimName": name,
                        "accessModes": ["ReadWriteMany" if shared else "ReadWriteOnce"],
                        "volumeMode": "Block",
                    },
                }
            ],
            **({"evacuationNodeName": node} if marked else {}),
        },
    )
    whole["metadata"]["uid"] = uid
    if owner:
        whole["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "kubevirt.io/v1",
                "kind": owner,
                "name": name,
                "uid": f"owner-of-{name}",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return whole


ORIGINS: Final[Mapping[str, Mapping[str, str]]] = {
    "evacuation": {"kubevirt.io/evacuationMigration": "node"},
    "workload_update": {"kubevirt.io/workloadUpdateMigration": ""},
    "other": {},
}
"""Annotations of a migration, by who asked for it."""


def migration(
    name: str,
    *,
    of: str,
    created: datetime,
    origin: str,
    phases: Iterable[tuple[str, datetime]],
    quota: bool = False,
) -> ApiObject:
    """A migration and the phases that it has been through; `quota` keeps its target from being made."""
    told = list(phases)
    phase = told[-1][0] if told else ""
    status: ApiObject = {
        "phaseTransitionTimestamps": [
            {"phase": each, "phaseTransitionTimestamp": time(moment)} for each, moment in told
        ]
    }
    if phase:
        status["phase"] = phase
    if quota:
        status["conditions"] = [{"type": "migrationRejectedByResourceQuota", "status": "True"}]
    return api_object(
        "kubevirt.io/v1",
        "VirtualMachineInstanceMigration",
        name,
        namespace=PROJECT,
        created=created,
        labels={"kubevirt.io/vmi-name": of},
        annotations=ORIGINS[origin],
        spec={"vmiName": of},
        status=status,
    )
