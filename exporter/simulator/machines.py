"""Virtual machines and what they run on, as KubeVirt, Kubernetes and OpenShift write them, for stories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from exporter.simulator.objects import ApiObject, api_object, condition, time

PROJECT: Final = "prod"

HOSTPATH: Final = "hostpath-csi"
OLD_HOSTPATH: Final = "hostpath"
SHARED: Final = "ceph-rbd"
CLASSES: Final[Mapping[str, str]] = {
    HOSTPATH: "kubevirt.io.hostpath-provisioner",
    OLD_HOSTPATH: "kubevirt.io/hostpath-provisioner",
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
    tainted: bool = True,
    config: str = "rendered-worker-a",
    drain: str = "",
    drained: str = "",
    heartbeat: datetime | None = None,
    handler: bool = True,
) -> ApiObject:
    """A worker.

    Args:
        name: its name.
        created: when it joined.
        cordoned: since when nothing new is scheduled on it.
        tainted: Kubernetes has put the taint of the cordon on it.
        config: its configuration.
        drain: configuration for which it is to be drained.
        drained: configuration for which it has been drained.
        heartbeat: when its virt-handler was last heard of.
        handler: that is not too long ago.
    """
    wanted = f"drain-{drain}" if drain else f"uncordon-{config}"
    applied = f"drain-{drained}" if drained else f"uncordon-{config}"
    spec: ApiObject = {}
    if cordoned:
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        spec = {"unschedulable": True}
        spec |= {"taints": [{**taint, "timeAdded": time(cordoned)}]} if tainted else {}
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
            f"{_MCO}/currentConfig": config,
            f"{_MCO}/desiredConfig": drain or config,
            f"{_MCO}/desiredDrain": wanted,
            f"{_MCO}/lastAppliedDrain": applied,
            "kubevirt.io/heartbeat": time(heartbeat or created),
        },
        spec=spec,
        status={"conditions": [condition("Ready", "True", created, "KubeletReady")]},
    )


def pool(
    name: str,
    *,
    created: datetime,
    machines: int,
    updated: int | None = None,
    paused: bool = False,
    degraded: bool = False,
    wants: str = "",
    has: str = "rendered-worker-a",
    conditions: Iterable[ApiObject] = (),
) -> ApiObject:
    """A pool; one whose machines are not all updated wants another configuration than it has."""
    done = machines if updated is None else updated
    wanted = wants or (has if updated is None else "rendered-worker-b")
    return api_object(
        f"{_MCO}/v1",
        "MachineConfigPool",
        name,
        created=created,
        spec={"paused": paused, "configuration": {"name": wanted}},
        status={
            "observedGeneration": 1,
            "configuration": {"name": has},
            "machineCount": machines,
            "updatedMachineCount": done,
            "readyMachineCount": done,
            "unavailableMachineCount": 0,
            "degradedMachineCount": int(degraded),
            "conditions": [condition("Degraded", "True" if degraded else "False", created), *conditions],
        },
    )


@dataclass(frozen=True, eq=False)
class Design:
    """What a VM is made of, and why KubeVirt says that it cannot be migrated."""

    reason: str = ""
    """Empty when it can be."""
    message: str = ""
    verdict: str = ""
    """Status of the condition; by the reason if not given, `-` while nobody has looked."""
    class_: str = SHARED
    devices: tuple[tuple[str, tuple[ApiObject, ...]], ...] = ()
    networks: tuple[ApiObject, ...] = ({"name": "default", "pod": {}},)
    volumes: tuple[ApiObject, ...] = ()


def virtual_machine(
    name: str,
    *,
    created: datetime,
    run: str,
    strategy: str | None,
    design: Design,
    deleted: datetime | None = None,
) -> ApiObject:
    """A VirtualMachine with one claim of its own name.

    Before there were run strategies, a VM had `running` or not even that: `true`, `false` or `-` in `run`.
    """
    old_words: dict[str, ApiObject] = {"true": {"running": True}, "false": {"running": False}, "-": {}}
    whole = api_object(
        "kubevirt.io/v1",
        "VirtualMachine",
        name,
        namespace=PROJECT,
        created=created,
        spec={
            **old_words.get(run, {"runStrategy": run}),
            "template": {"metadata": {}, "spec": _instance_spec(name, strategy, design)},
        },
        status={"printableStatus": "Running", **({} if run in old_words else {"runStrategy": run})},
    )
    if deleted:
        whole["metadata"]["deletionTimestamp"] = time(deleted)
    return whole


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


def _verdicts(design: Design, storage: bool) -> list[ApiObject]:
    """What virt-handler says of it; on a release that moves volumes, whether those alone are in the way."""
    verdict = design.verdict or ("False" if design.reason else "True")
    if verdict == "-":
        return []
    said = [{"type": "LiveMigratable", "status": verdict}]
    if design.reason:
        said[0] |= {"reason": design.reason, "message": design.message}
    if storage and verdict == "False" and not design.reason.startswith("Disks"):
        why = {"reason": "NotMigratable", "message": f"{design.reason}: {design.message}"}
        said.append({"type": "StorageLiveMigratable", "status": "False", **why})
    elif storage:
        said.append({"type": "StorageLiveMigratable", "status": "True"})
    return [{**each, "lastProbeTime": None, "lastTransitionTime": None} for each in said]


def _interfaces(design: Design) -> list[ApiObject]:
    names = [each["name"] for kind, each_kind in design.devices if kind == "interfaces" for each in each_kind]
    return [
        {
            "name": name,
            "mac": f"02:00:00:00:00:{number:02x}",
            "interfaceName": f"eth{number}",
            "infoSource": "domain, guest-agent",
            "linkState": "up",
        }
        for number, name in enumerate(names or ["default"])
    ]


def instance(
    name: str,
    *,
    uid: str,
    created: datetime,
    node: str,
    strategy: str | None,
    design: Design,
    owner: str = "VirtualMachine",
    phase: str = "Running",
    deleted: datetime | None = None,
    outdated: bool = False,
    marked: bool = False,
    storage: bool = True,
    pods: Mapping[str, str] | None = None,
) -> ApiObject:
    """An instance.

    Args:
        name: its name, which is its claim's as well.
        uid: of this life of the VM.
        created: when that began.
        node: where it runs.
        strategy: what is to be done when it has to leave.
        design: what it is made of.
        owner: kind of what made it; empty for nobody.
        phase: how far it is.
        deleted: when it was asked to stop.
        outdated: its launcher is of an earlier version.
        marked: it is to leave its node.
        storage: the release says whether its volumes can be moved.
        pods: its launchers and their nodes, if there is not just one.
    """
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False", "lastProbeTime": None}
    said = [{**ready, "lastTransitionTime": time(created)}]
    if phase == "Running":
        said += _verdicts(design, storage)
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
            "phase": phase,
            "nodeName": node,
            "activePods": dict(pods or {f"pod-{uid}": node}),
            "conditions": said,
            "interfaces": _interfaces(design) if phase == "Running" else [],
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
    if deleted:
        whole["metadata"]["deletionTimestamp"] = time(deleted)
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


_WORKLOAD_UPDATE: Final = {"kubevirt.io/workloadUpdateMigration": ""}

ANNOTATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "workload_update": _WORKLOAD_UPDATE,
    "volumes": _WORKLOAD_UPDATE,
    "hotplug": _WORKLOAD_UPDATE,
}
"""Of a migration, by what it is for; a person asks without any, an evacuation names the node."""


def migration(
    name: str,
    *,
    of: str,
    created: datetime,
    asked: str,
    source: str,
    phases: Iterable[tuple[str, datetime]],
    target: str = "",
    condition: str = "",
    timed: bool = True,
) -> ApiObject:
    """A migration.

    Args:
        name: its name.
        of: the instance.
        created: when it was asked for.
        asked: what it is for: `evacuation`, `workload_update`, `volumes`, `hotplug` or `person`.
        source: the node that the VM leaves.
        phases: what it has been through.
        target: the node that the VM goes to, once there is one.
        condition: what keeps its target from being made.
        timed: the release writes down when phases begin.
    """
    told = list(phases)
    phase = told[-1][0] if told else ""
    status: ApiObject = {}
    if timed and told:
        status["phaseTransitionTimestamps"] = [
            {"phase": each, "phaseTransitionTimestamp": time(moment)} for each, moment in told
        ]
    if phase:
        status["phase"] = phase
    if condition:
        status["conditions"] = [{"type": condition, "status": "True"}]
    began = next((moment for each, moment in told if each == "Running"), None)
    if began:
        status["migrationState"] = {
            "startTimestamp": time(began),
            "sourceNode": source,
            "targetNode": target,
            "mode": "PreCopy",
        }
        if phase in {"Succeeded", "Failed"}:
            end = {"endTimestamp": time(told[-1][1]), "completed": True, "failed": phase == "Failed"}
            status["migrationState"] |= end
    labels = {"kubevirt.io/vmi-name": of}
    evacuated = {"kubevirt.io/evacuationMigration": source}
    return api_object(
        "kubevirt.io/v1",
        "VirtualMachineInstanceMigration",
        name,
        namespace=PROJECT,
        created=created,
        labels=labels | ({"kubevirt.io/volume-update-migration": ""} if asked == "volumes" else {}),
        annotations=evacuated if asked == "evacuation" else ANNOTATIONS.get(asked, {}),
        spec={"vmiName": of, **({"priority": "user-triggered"} if asked == "hotplug" else {})},
        status=status,
    )
