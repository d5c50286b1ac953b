"""The cluster that is measured: virtual machines and what belongs to them, as large as real ones.

Everything follows from an index, so two runs measure the same bytes. A VirtualMachineInstance is 7 to 8 KB,
a third of it managedFields, as in a cluster whose machines run Linux with the guest agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from exporter.simulator import objects as openshift
from exporter.simulator.objects import ApiObject

NODES: Final = 120
NAMESPACES: Final = 200
HOSTPATH_CLASS: Final = "hostpath-csi"
SHARED_CLASS: Final = "ceph-rbd-virtualization"
VERSION: Final = "4.18.8"

_BEGAN: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_LAUNCHER: Final = "registry.redhat.io/container-native-virtualization/virt-launcher-rhel9@sha256:"
_IMAGES: Final = ("250bbd4d6f93670a26e559869004bddf" * 2, "eddadbb81044a8e7a67ada287b36988f" * 2)


class Population(StrEnum):
    """Which virtual machines there are."""

    HEALTHY_MIXED = "healthy-mixed"
    """Some 3 % cannot migrate, 10 % run an old launcher."""
    ALL_BAD = "all-bad"
    """None can migrate: each has a claim on one node's disk, the worst case for the page."""


def _uid(what: int, number: int) -> str:
    return f"{what:08x}-5eed-4000-8000-{number:012x}"


def _moment(number: int) -> str:
    return openshift.time(_BEGAN + timedelta(seconds=number * 37 % 2_000_000))


def _mac(number: int) -> str:
    return "02:" + ":".join(f"{number:010x}"[at : at + 2] for at in range(0, 10, 2))


def _fields(*paths: str) -> ApiObject:
    """A managedFields tree of paths, their parts separated by blanks."""
    tree: ApiObject = {}
    for path in paths:
        at = tree
        for part in path.split(" "):
            at = at.setdefault(part if part.startswith("k:") else f"f:{part}", {})
    return tree


def _managed(manager: str, moment: str, fields: ApiObject) -> ApiObject:
    return {
        "apiVersion": "kubevirt.io/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "manager": manager,
        "operation": "Update",
        "time": moment,
    }


_CONDITION_KEYS: Final = tuple(
    f'k:{{"type":"{type_}"}}'
    for type_ in ("Ready", "DataVolumesReady", "LiveMigratable", "StorageLiveMigratable", "AgentConnected")
)
_BY_CONTROLLER: Final = _fields(
    "metadata annotations kubevirt.io/latest-observed-api-version",
    "metadata annotations kubevirt.io/storage-observed-api-version",
    "metadata annotations kubevirt.io/vm-generation",
    "metadata annotations vm.kubevirt.io/flavor",
    "metadata annotations vm.kubevirt.io/os",
    "metadata annotations vm.kubevirt.io/workload",
    "metadata finalizers",
    "metadata labels kubevirt.io/domain",
    "metadata labels kubevirt.io/nodeName",
    "metadata labels kubevirt.io/size",
    "metadata ownerReferences",
    "spec architecture",
    "spec domain cpu cores",
    "spec domain cpu maxSockets",
    "spec domain cpu model",
    "spec domain cpu sockets",
    "spec domain cpu threads",
    "spec domain devices disks",
    "spec domain devices interfaces",
    "spec domain devices networkInterfaceMultiqueue",
    "spec domain devices rng",
    "spec domain features acpi enabled",
    "spec domain features smm enabled",
    "spec domain firmware bootloader efi",
    "spec domain firmware uuid",
    "spec domain machine type",
    "spec domain memory guest",
    "spec domain memory maxGuest",
    "spec domain resources requests memory",
    "spec evictionStrategy",
    "spec networks",
    "spec domain devices autoattachPodInterface",
    "spec domain devices autoattachMemBalloon",
    "spec domain devices blockMultiQueue",
    "spec domain devices logSerialConsole",
    "spec domain features hyperv relaxed enabled",
    "spec domain features hyperv spinlocks spinlocks",
    "spec domain features hyperv vapic enabled",
    "spec terminationGracePeriodSeconds",
    "spec volumes",
    "status activePods",
    "status conditions",
    "status currentCPUTopology cores",
    "status guestOSInfo",
    "status launcherContainerImageVersion",
    "status memory guestAtBoot",
    "status phase",
    "status phaseTransitionTimestamps",
    "status qosClass",
    "status runtimeUser",
    "status virtualMachineRevisionName",
)
_BY_HANDLER: Final = _fields(
    "status conditions",
    *(
        f"status conditions {key} {field}"
        for key in _CONDITION_KEYS
        for field in ("lastProbeTime", "lastTransitionTime", "message", "reason", "status", "type")
    ),
    "status guestOSInfo id",
    "status guestOSInfo kernelRelease",
    "status guestOSInfo kernelVersion",
    "status guestOSInfo machine",
    "status guestOSInfo name",
    "status guestOSInfo prettyName",
    "status guestOSInfo version",
    "status guestOSInfo versionId",
    "status interfaces",
    "status machine type",
    "status memory guestCurrent",
    "status memory guestRequested",
    "status migrationMethod",
    "status migrationTransport",
    "status nodeName",
    "status selinuxContext",
    "status volumeStatus",
    "status migrationState mode",
    "status migrationState startTimestamp",
    "status migrationState endTimestamp",
    "status migrationState completed",
    "status migrationState sourceNode",
    "status migrationState targetNode",
    "status migrationState targetNodeAddress",
    "status migrationState targetNodeDomainReadyTimestamp",
    "status migrationState targetDirectMigrationNodePorts",
)
_GUEST: Final = {
    "id": "rhel",
    "kernelRelease": "5.14.0-570.12.1.el9_6.x86_64",
    "kernelVersion": "#1 SMP PREEMPT_DYNAMIC Fri Apr 4 10:41:31 EDT 2025",
    "machine": "x86_64",
    "name": "Red Hat Enterprise Linux",
    "prettyName": "Red Hat Enterprise Linux 9.6 (Plow)",
    "version": "9.6 (Plow)",
    "versionId": "9.6",
}
_NOT_SHARED: Final = (
    "cannot migrate VMI: PVC {} is not shared, live migration requires that all PVCs must be shared "
    "(using ReadWriteMany access mode)"
)


@dataclass(frozen=True)
class Objects:
    """The objects of one cluster of so many virtual machines."""

    vms: int
    population: Population

    def name(self, number: int) -> str:
        """Name of a virtual machine."""
        return f"rhel9-vm-{number:05}"

    def namespace(self, number: int) -> str:
        """Its namespace."""
        return f"tenant-{number % NAMESPACES:03}"

    def node(self, number: int) -> str:
        """The node it runs on."""
        return f"worker-{number % NODES:03}.cluster.example.com"

    def stuck(self, number: int) -> bool:
        """Whether it cannot migrate."""
        return self.population is Population.ALL_BAD or number % 33 == 7

    def outdated(self, number: int) -> bool:
        """Whether it runs an old launcher."""
        return number % 10 == 3

    def claim_names(self, number: int) -> list[str]:
        """Its one or two claims."""
        return [f"{self.name(number)}-{disk}" for disk in ("root", "data")[: 1 + number % 2]]

    # Virtual machines

    def vmi(self, number: int, *, flipped: bool = False) -> ApiObject:
        """A running VirtualMachineInstance; flipped, one that can migrate where it could not, or back."""
        stuck = self.stuck(number) is not flipped
        outdated = self.outdated(number)
        node, began, vm = self.node(number), _moment(number), self.name(number)
        labels = {"kubevirt.io/domain": vm, "kubevirt.io/nodeName": node, "kubevirt.io/size": "small"}
        if outdated:
            labels["kubevirt.io/outdatedLauncherImage"] = ""
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {
                "annotations": {
                    "kubevirt.io/latest-observed-api-version": "v1",
                    "kubevirt.io/storage-observed-api-version": "v1",
                    "kubevirt.io/vm-generation": "1",
                    "vm.kubevirt.io/flavor": "small",
                    "vm.kubevirt.io/os": "rhel9",
                    "vm.kubevirt.io/workload": "server",
                },
                "creationTimestamp": began,
                "finalizers": [
                    "kubevirt.io/virtualMachineControllerFinalize",
                    "foregroundDeleteVirtualMachine",
                ],
                "generation": 12,
                "labels": labels,
                "managedFields": [
                    _managed("virt-controller", began, _BY_CONTROLLER),
                    _managed("virt-handler", began, _BY_HANDLER),
                ],
                "name": vm,
                "namespace": self.namespace(number),
                "ownerReferences": [
                    {
                        "apiVersion": "kubevirt.io/v1",
                        "blockOwnerDeletion": True,
                        "controller": True,
                        "kind": "VirtualMachine",
                        "name": vm,
                        "uid": _uid(1, number),
                    }
                ],
                "uid": _uid(2, number),
            },
            "spec": {**self._template(number), "architecture": "amd64", "evictionStrategy": "LiveMigrate"},
            "status": {
                "activePods": {_uid(3, number): node},
                "conditions": self._conditions(number, stuck=stuck),
                "currentCPUTopology": {"cores": 1, "sockets": 2, "threads": 1},
                "guestOSInfo": _GUEST,
                "interfaces": [self._interface(number)],
                "launcherContainerImageVersion": _LAUNCHER + _IMAGES[outdated],
                "machine": {"type": "pc-q35-rhel9.6.0"},
                "memory": {"guestAtBoot": "4Gi", "guestCurrent": "4Gi", "guestRequested": "4Gi"},
                "migrationMethod": "BlockMigration" if stuck else "LiveMigration",
                "migrationTransport": "Unix",
                "nodeName": node,
                "phase": "Running",
                "phaseTransitionTimestamps": [
                    {"phase": phase, "phaseTransitionTimestamp": began}
                    for phase in ("Pending", "Scheduling", "Scheduled", "Running")
                ],
                "qosClass": "Burstable",
                "runtimeUser": 107,
                "selinuxContext": f"system_u:object_r:container_file_t:s0:c{number % 1000},c1023",
                "virtualMachineRevisionName": f"revision-start-vm-{_uid(1, number)}-1",
                "volumeStatus": self._volume_status(number),
            },
        }

    def vm(self, number: int) -> ApiObject:
        """The VirtualMachine that owns it."""
        began = _moment(number)
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachine",
            "metadata": {
                "annotations": {
                    "kubevirt.io/latest-observed-api-version": "v1",
                    "kubevirt.io/storage-observed-api-version": "v1",
                },
                "creationTimestamp": began,
                "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"],
                "generation": 1,
                "labels": {
                    "app": self.name(number),
                    "vm.kubevirt.io/template": "rhel9-server-small",
                    "vm.kubevirt.io/template.namespace": "openshift",
                },
                "managedFields": [_managed("virt-controller", began, _BY_CONTROLLER)],
                "name": self.name(number),
                "namespace": self.namespace(number),
                "uid": _uid(1, number),
            },
            "spec": {
                "dataVolumeTemplates": [
                    {
                        "metadata": {"name": claim},
                        "spec": {
                            "source": {"blank": {}},
                            "storage": {"resources": {"requests": {"storage": "30Gi"}}},
                        },
                    }
                    for claim in self.claim_names(number)
                ],
                "runStrategy": ("Always", "RerunOnFailure", "Manual")[number % 3],
                "template": {
                    "metadata": {"labels": {"kubevirt.io/domain": self.name(number)}},
                    "spec": {**self._template(number), "evictionStrategy": "LiveMigrate"},
                },
            },
            "status": {
                "conditions": self._conditions(number, stuck=self.stuck(number)),
                "created": True,
                "desiredGeneration": 1,
                "observedGeneration": 1,
                "printableStatus": "Running",
                "ready": True,
                "runStrategy": ("Always", "RerunOnFailure", "Manual")[number % 3],
            },
        }

    def claims(self, number: int) -> Iterator[ApiObject]:
        """Its PersistentVolumeClaims."""
        for claim in self.claim_names(number):
            modes = [self._access_mode(number)]
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "annotations": {
                        "pv.kubernetes.io/bind-completed": "yes",
                        "pv.kubernetes.io/bound-by-controller": "yes",
                    },
                    "creationTimestamp": _moment(number),
                    "finalizers": ["kubernetes.io/pvc-protection"],
                    "labels": {"app": "containerized-data-importer", "app.kubernetes.io/part-of": "kubevirt"},
                    "name": claim,
                    "namespace": self.namespace(number),
                    "uid": _uid(4 + claim.endswith("data"), number),
                },
                "spec": {
                    "accessModes": modes,
                    "resources": {"requests": {"storage": "30Gi"}},
                    "storageClassName": HOSTPATH_CLASS if self.stuck(number) else SHARED_CLASS,
                    "volumeMode": "Block",
                    "volumeName": f"pvc-{_uid(4 + claim.endswith('data'), number)}",
                },
                "status": {"accessModes": modes, "capacity": {"storage": "30Gi"}, "phase": "Bound"},
            }

    def _template(self, number: int) -> ApiObject:
        claims = self.claim_names(number)
        disks = [f"disk-{at}" for at in range(len(claims))]
        return {
            "domain": {
                "cpu": {"cores": 1, "maxSockets": 8, "model": "host-model", "sockets": 2, "threads": 1},
                "devices": {
                    "disks": [{"disk": {"bus": "virtio"}, "name": name} for name in [*disks, "cloudinit"]],
                    "interfaces": [
                        {
                            "macAddress": _mac(number),
                            "masquerade": {},
                            "model": "virtio",
                            "name": "default",
                        }
                    ],
                    "networkInterfaceMultiqueue": True,
                    "rng": {},
                },
                "features": {"acpi": {"enabled": True}, "smm": {"enabled": True}},
                "firmware": {"bootloader": {"efi": {}}, "uuid": _uid(6, number)},
                "machine": {"type": "pc-q35-rhel9.6.0"},
                "memory": {"guest": "4Gi", "maxGuest": "16Gi"},
                "resources": {"requests": {"memory": "4Gi"}},
            },
            "networks": [{"name": "default", "pod": {}}],
            "terminationGracePeriodSeconds": 180,
            "volumes": [
                *(
                    {"dataVolume": {"name": claim}, "name": disk}
                    for claim, disk in zip(claims, disks, strict=True)
                ),
                {"cloudInitNoCloud": {"secretRef": {"name": "cloud-init"}}, "name": "cloudinit"},
            ],
        }

    def _conditions(self, number: int, *, stuck: bool) -> list[ApiObject]:
        began = _moment(number)
        migratable: ApiObject = {"status": "True", "type": "LiveMigratable"}
        if stuck:
            migratable = {
                "message": _NOT_SHARED.format(self.claim_names(number)[0]),
                "reason": "DisksNotLiveMigratable",
                "status": "False",
                "type": "LiveMigratable",
            }
        never = {"lastProbeTime": None, "lastTransitionTime": None}
        return [
            {"lastProbeTime": None, "lastTransitionTime": began, "status": "True", "type": "Ready"},
            {
                **never,
                "message": "All of the VMI's DVs are bound and ready",
                "reason": "AllDVsReady",
                "status": "True",
                "type": "DataVolumesReady",
            },
            {**never, **migratable},
            {**never, "status": "True", "type": "StorageLiveMigratable"},
            {
                "lastProbeTime": began,
                "lastTransitionTime": None,
                "status": "True",
                "type": "AgentConnected",
            },
        ]

    def _interface(self, number: int) -> ApiObject:
        address = f"10.{128 + number % 4}.{number // 250 % 250}.{number % 250 + 1}"
        return {
            "infoSource": "domain, guest-agent",
            "interfaceName": "enp1s0",
            "ipAddress": address,
            "ipAddresses": [address, f"fd01::{number:x}"],
            "linkState": "up",
            "mac": _mac(number),
            "name": "default",
            "podInterfaceName": "eth0",
            "queueCount": 2,
        }

    def _volume_status(self, number: int) -> list[ApiObject]:
        claims = [
            {
                "name": f"disk-{at}",
                "persistentVolumeClaimInfo": {
                    "accessModes": [self._access_mode(number)],
                    "capacity": {"storage": "30Gi"},
                    "claimName": claim,
                    "filesystemOverhead": "0",
                    "requests": {"storage": "32212254720"},
                    "volumeMode": "Block",
                },
                "target": f"vd{'abc'[at]}",
            }
            for at, claim in enumerate(self.claim_names(number))
        ]
        return [{"name": "cloudinit", "size": 1048576, "target": "vdz"}, *claims]

    def _access_mode(self, number: int) -> str:
        return "ReadWriteOnce" if self.stuck(number) else "ReadWriteMany"

    # Everything else

    def migrations(self) -> Iterator[ApiObject]:
        """One finished migration for every twentieth virtual machine, and three that run."""
        running = range(min(3, self.vms))
        for number in sorted({*running, *range(0, self.vms, 20)}):
            began = _moment(number + 1)
            yield {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstanceMigration",
                "metadata": {
                    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
                    "creationTimestamp": began,
                    "generation": 1,
                    "labels": {"kubevirt.io/vmi-name": self.name(number)},
                    "name": f"kubevirt-workload-update-{number:05}",
                    "namespace": self.namespace(number),
                    "uid": _uid(7, number),
                },
                "spec": {"vmiName": self.name(number)},
                "status": {
                    "migrationState": {
                        "mode": "PreCopy",
                        "sourceNode": self.node(number),
                        "startTimestamp": began,
                        "targetNode": self.node(number + 1),
                        **({} if number in running else {"completed": True, "endTimestamp": began}),
                    },
                    "phase": "Running" if number in running else "Succeeded",
                    "phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": began}],
                },
            }

    def nodes(self) -> Iterator[ApiObject]:
        """Three of the control plane, the others with virtual machines."""
        for number in range(NODES):
            role = "worker" if number > 2 else "control-plane"
            name = self.node(number)
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "annotations": {
                        "machineconfiguration.openshift.io/currentConfig": f"rendered-{role}-1",
                        "machineconfiguration.openshift.io/desiredConfig": f"rendered-{role}-1",
                        "machineconfiguration.openshift.io/state": "Done",
                        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                    },
                    "creationTimestamp": openshift.time(_BEGAN),
                    "labels": {
                        "kubernetes.io/arch": "amd64",
                        "kubernetes.io/hostname": name,
                        "kubernetes.io/os": "linux",
                        "kubevirt.io/schedulable": "true",
                        f"node-role.kubernetes.io/{role}": "",
                    },
                    "name": name,
                    "uid": _uid(8, number),
                },
                "spec": {"providerID": f"baremetalhost:///{name}"},
                "status": {
                    "allocatable": {"cpu": "63500m", "memory": "520000000Ki", "pods": "250"},
                    "capacity": {"cpu": "64", "memory": "528000000Ki", "pods": "250"},
                    "conditions": [_node_condition(type_) for type_ in _NODE_CONDITIONS],
                    "nodeInfo": _NODE_INFO,
                },
            }

    def namespaces(self) -> Iterator[ApiObject]:
        """The virtual machines' namespaces and the operator's."""
        for number, name in enumerate(
            [*(self.namespace(number) for number in range(NAMESPACES)), openshift.NAMESPACE]
        ):
            yield {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "creationTimestamp": openshift.time(_BEGAN),
                    "labels": {"kubernetes.io/metadata.name": name},
                    "name": name,
                    "uid": _uid(9, number),
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }

    def storage_classes(self) -> Iterator[ApiObject]:
        """One on the nodes' own disks, one shared."""
        provisioners = {
            HOSTPATH_CLASS: "kubevirt.io.hostpath-provisioner",
            SHARED_CLASS: "openshift-storage.rbd.csi.ceph.com",
        }
        for number, (name, provisioner) in enumerate(provisioners.items()):
            yield {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "creationTimestamp": openshift.time(_BEGAN),
                    "name": name,
                    "uid": _uid(10, number),
                },
                "provisioner": provisioner,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer",
            }

    def platform(self) -> Iterator[ApiObject]:
        """OpenShift, the Operator Lifecycle Manager and the operator with its operands."""
        later = _BEGAN + timedelta(hours=1)
        platform = [
            openshift.cluster_version(
                [openshift.release("4.18.9", _BEGAN, later)], channel="stable-4.18", created=_BEGAN
            ),
            openshift.cluster_operator("machine-config", since=_BEGAN),
            openshift.cluster_operator("operator-lifecycle-manager", since=_BEGAN),
            openshift.infrastructure(created=_BEGAN),
            openshift.catalog_source(created=_BEGAN, polled=later),
            openshift.package_manifest(VERSION, created=_BEGAN),
            openshift.subscription(created=_BEGAN, installed=openshift.csv_name(VERSION)),
            openshift.install_plan(
                "install-bench", created=_BEGAN, csv=openshift.csv_name(VERSION), approved=True
            ),
            openshift.cluster_service_version(VERSION, created=_BEGAN, succeeded=later),
            openshift.operator_condition(VERSION, since=later),
            openshift.hyperconverged(VERSION, created=_BEGAN, since=later),
            openshift.kubevirt(VERSION, created=_BEGAN),
        ]
        for number, each in enumerate(platform):
            each["metadata"] |= {"uid": _uid(11, number), "generation": 1}
            yield each

    def vmis(self) -> Iterator[ApiObject]:
        """All VirtualMachineInstances."""
        return (self.vmi(number) for number in range(self.vms))

    def others(self) -> Iterator[ApiObject]:
        """Everything but the VirtualMachineInstances."""
        yield from self.platform()
        yield from self.nodes()
        yield from self.namespaces()
        yield from self.storage_classes()
        for number in range(self.vms):
            yield self.vm(number)
            yield from self.claims(number)
        yield from self.migrations()


_NODE_CONDITIONS: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


def _node_condition(type_: str) -> dict[str, Any]:
    moment = openshift.time(_BEGAN)
    return {
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
        "message": "kubelet says so",
        "reason": f"Kubelet{type_}",
        "status": "True" if type_ == "Ready" else "False",
        "type": type_,
    }


_NODE_INFO: Final = {
    "architecture": "amd64",
    "bootID": _uid(12, 0),
    "containerRuntimeVersion": "cri-o://1.31.1-6.rhaos4.18.gitdee7150.el9",
    "kernelVersion": "5.14.0-427.42.1.el9_4.x86_64",
    "kubeProxyVersion": "v1.31.2",
    "kubeletVersion": "v1.31.2",
    "machineID": _uid(12, 1),
    "operatingSystem": "linux",
    "osImage": "Red Hat Enterprise Linux CoreOS 418.94.202410260038-0",
    "systemUUID": _uid(12, 2),
}
