"""Virtual machines and what belongs to them, as short as tables need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]

T = "2026-08-20T10:00:00Z"
HOSTPATH = "kubevirt.io.hostpath-provisioner"


def vmi(
    name: str = "db",
    *,
    live: bool | str | None = True,
    message: str = "",
    strategy: str | None = "LiveMigrate",
    owner: str | None = "VirtualMachine",
    node: str = "w1",
    phase: str = "Running",
    outdated: bool = False,
    evacuating: str = "",
    created: str = "",
    deleting: bool = False,
    volumes: Iterable[Object] = (),
    claims: Iterable[tuple[str, str, str]] = (),
    dump: str = "",
    networks: Iterable[Object] = (),
    devices: Object | None = None,
    conditions: Iterable[Object] = (),
) -> Object:
    """An instance; `live` is True, a reason, "" for False without one, or None for no condition.

    Claims are triples of volume, claim and access mode; into the volume `dump` memory is dumped.
    """
    said: list[Object] = list(conditions)
    if live is not None:
        good = live is True
        said.append({"type": "LiveMigratable", "status": "True" if good else "False", "lastProbeTime": None})
        said[-1] |= {} if good else {"reason": live, "message": message}
    metadata: Object = {"name": name, "namespace": "prod", "uid": f"uid-{name}"}
    if outdated:
        metadata["labels"] = {"kubevirt.io/outdatedLauncherImage": ""}
    if created:
        metadata["creationTimestamp"] = created
    if deleting:
        metadata["deletionTimestamp"] = T
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "name": name, "controller": True}]
    spec: Object = {"domain": {"devices": devices or {}}, "networks": list(networks)}
    spec["volumes"] = [*volumes, *({"name": each[0]} for each in claims)]
    if strategy is not None:
        spec["evictionStrategy"] = strategy
    attached: list[Object] = [
        {"name": volume, "persistentVolumeClaimInfo": {"claimName": claim, "accessModes": [mode]}}
        for volume, claim, mode in claims
    ]
    for each in attached:
        if each["name"] == dump:
            each["memoryDumpVolume"] = {"claimName": dump}
    status: Object = {"phase": phase, "nodeName": node, "conditions": said, "volumeStatus": attached}
    if evacuating:
        status["evacuationNodeName"] = evacuating
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def vm(
    name: str = "db",
    run: str | None = "Always",
    *,
    running: bool | None = None,
    strategy: str | None = None,
    deleting: bool = False,
) -> Object:
    """A VirtualMachine; its template's strategy is `strategy`."""
    spec: Object = {"template": {"spec": {"evictionStrategy": strategy} if strategy else {}}}
    spec |= {} if run is None else {"runStrategy": run}
    spec |= {} if running is None else {"running": running}
    metadata: Object = {"name": name, "namespace": "prod", "uid": f"vm-{name}"}
    if deleting:
        metadata["deletionTimestamp"] = T
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": spec,
        # A copy of what an earlier instance said: nobody is to read it.
        "status": {"conditions": [{"type": "LiveMigratable", "status": "False", "reason": "Stale"}]},
    }


def migration(
    name: str,
    phase: str,
    *,
    of: str = "db",
    origin: str = "",
    at: str = T,
    conditions: Iterable[str] = (),
    labels: Object | None = None,
    priority: str = "",
    transitions: bool = True,
) -> Object:
    """A migration that has been in its phase since `at`."""
    annotations = {
        "evacuation": {"kubevirt.io/evacuationMigration": "w1"},
        "workload_update": {"kubevirt.io/workloadUpdateMigration": ""},
    }
    metadata: Object = {"name": name, "namespace": "prod", "uid": f"uid-{name}", "creationTimestamp": at}
    if origin:
        metadata["annotations"] = annotations[origin]
    if labels:
        metadata["labels"] = labels
    spec: Object = {"vmiName": of} | ({"priority": priority} if priority else {})
    status: Object = {"phase": phase, "conditions": [{"type": each, "status": "True"} for each in conditions]}
    if transitions:
        status["phaseTransitionTimestamps"] = [{"phase": phase, "phaseTransitionTimestamp": at}]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def node(
    name: str = "w1",
    *,
    cordoned: bool = False,
    tainted: str | None = None,
    drain: tuple[str, str] | None = None,
    schedulable: str = "true",
) -> Object:
    """A node; `drain` is what the machine-config operator wants and what it has got."""
    annotations = {}
    if drain:
        wanted, applied = (
            f"machineconfiguration.openshift.io/{each}Drain" for each in ("desired", "lastApplied")
        )
        annotations = {wanted: drain[0], applied: drain[1]}
    spec: Object = {"unschedulable": True} if cordoned else {}
    if tainted:
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": tainted}
        spec["taints"] = [
            {"key": "other", "effect": "NoSchedule", "timeAdded": "2020-01-01T00:00:00Z"},
            taint,
        ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "annotations": annotations,
            "labels": {"kubevirt.io/schedulable": schedulable},
        },
        "spec": spec,
    }


def claim(name: str, storage_class: str | None, *, made_by: str = "") -> Object:
    """A claim of a class."""
    metadata: Object = {"name": name, "namespace": "prod"}
    if made_by:
        metadata["annotations"] = {"volume.kubernetes.io/storage-provisioner": made_by}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {"storageClassName": storage_class} if storage_class else {},
    }


def storage_class(name: str, provisioner: str) -> Object:
    """A class and what provisions it."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
    }


def kubevirt(
    version: str = "v1.6.0",
    *,
    strategy: str = "",
    methods: Iterable[str] | None = ("LiveMigrate",),
    deployments: tuple[str, str] = ("a", "a"),
    progressing: tuple[str, str] | None = None,
) -> Object:
    """KubeVirt; `deployments` are the observed and the target ID, `progressing` status and since when."""
    spec: Object = {"configuration": {"evictionStrategy": strategy} if strategy else {}}
    if methods is not None:
        spec["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
    status: Object = {
        "phase": "Deployed",
        "observedKubeVirtVersion": version,
        "targetKubeVirtVersion": version,
        "observedDeploymentID": deployments[0],
        "targetDeploymentID": deployments[1],
    }
    if progressing:
        state, since = progressing
        status["conditions"] = [{"type": "Progressing", "status": state, "lastTransitionTime": since}]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt-kubevirt-hyperconverged", "namespace": "openshift-cnv"},
        "spec": spec,
        "status": status,
    }


def pool(
    name: str = "worker",
    *,
    paused: bool | None = None,
    configurations: tuple[str, str] = ("rendered-a", "rendered-a"),
    counts: tuple[int, int, int, int] = (3, 3, 0, 0),
    degraded: str = "False",
) -> Object:
    """A pool: wanted and present configuration; machines, updated, unavailable, degraded ones."""
    names = ("machineCount", "updatedMachineCount", "unavailableMachineCount", "degradedMachineCount")
    spec: Object = {"configuration": {"name": configurations[0]}}
    spec |= {} if paused is None else {"paused": paused}
    return {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": spec,
        "status": {
            "configuration": {"name": configurations[1]},
            **dict(zip(names, counts, strict=True)),
            "conditions": [{"type": "Degraded", "status": degraded, "lastTransitionTime": T}],
        },
    }
