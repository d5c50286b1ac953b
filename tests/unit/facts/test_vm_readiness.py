"""Whether VMs can be migrated and what drains do to them: every known row, objects in, text out."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.facts.eviction import OUTCOMES, WORKAROUNDS
from exporter.facts.migratability import CAUSES, REASONS
from exporter.records.machines import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from exporter.records.nodes import NODES
from exporter.records.openshift import INFRASTRUCTURES
from exporter.records.storage import CLAIMS, STORAGE_CLASSES
from exporter.records.virtualization import HYPERCONVERGEDS, KUBEVIRTS
from exporter.simulator import objects
from tests.unit.facts.given import page_of
from tests.unit.facts.test_versions import BORN
from tests.unit.facts.vms import HOSTPATH, Object, claim, kubevirt, node, storage_class, vm, vmi

NOT_SHARED = (
    "cannot migrate VMI: PVC db is not shared, live migration requires that all PVCs must be shared "
    "(using ReadWriteMany access mode)"
)
GATE = "SRIOVLiveMigration feature-gate is closed, can't migrate VMI with SRIOV interfaces"
POD_NETWORK = (
    "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network"
)
SRIOV = {"interfaces": [{"name": "default", "masquerade": {}}, {"name": "fast", "sriov": {}}]}
NETWORKS = [{"name": "default", "pod": {}}, {"name": "fast", "multus": {"networkName": "prod/sriov-a"}}]
BRIDGE = {"interfaces": [{"name": "default", "bridge": {}}, {"name": "fast", "bridge": {}}]}


def nonzero(page: str) -> str:
    """The lines that are not 0, without the prefix."""
    lines = [line.removeprefix("virt_upgrade_") for line in page.splitlines() if not line.endswith(" 0")]
    return "".join(f"{line}\n" for line in lines)


def offending(
    kind: str, name: str, claim_: str = "", class_: str = "", by: str = "", network: str = ""
) -> str:
    return (
        f'non_migratable_vm_object_info{{vm_namespace="prod",vm="db",object_kind="{kind}",object="{name}",'
        f'claim="{claim_}",storage_class="{class_}",provisioner="{by}",network="{network}"}} 1\n'
    )


DISK = offending("volume", "root", "db", "local", HOSTPATH)
HOSTPATH_CLASS = (claim("db", "local"), storage_class("local", HOSTPATH))
ROOT = ("root", "db", "ReadWriteOnce")
SHARED = ("data", "shared", "ReadWriteMany")

# Reason, what KubeVirt says, cause, objects in the way, and whatever else there is.
REASON_ROWS: list[tuple[str, Object, str, str, list[Object]]] = [
    (
        "InterfaceNotLiveMigratable",
        vmi(live="InterfaceNotLiveMigratable", message=POD_NETWORK, devices=BRIDGE, networks=NETWORKS),
        "pod_network",
        offending("interface", "default", network="pod"),
        [],
    ),
    (
        "InterfaceNotLiveMigratable",
        vmi(live="InterfaceNotLiveMigratable", message=GATE, devices=SRIOV, networks=NETWORKS[1:]),
        "sriov_gate_off",
        offending("interface", "fast", network="prod/sriov-a"),
        [kubevirt("v0.41.0")],
    ),
    # A masquerade, SR-IOV and whatever is on another network are not what keeps it.
    (
        "InterfaceNotLiveMigratable",
        vmi(
            live="InterfaceNotLiveMigratable",
            message=POD_NETWORK,
            devices={
                "interfaces": [
                    {"name": "default", "masquerade": {}},
                    {"name": "fast", "sriov": {}},
                    {"name": "flat", "binding": {"name": "passt"}},
                ]
            },
            networks=[*NETWORKS, {"name": "flat", "pod": {}}],
        ),
        "pod_network",
        offending("interface", "flat", network="pod"),
        [],
    ),
    (
        "CPUModeLiveMigratable",
        vmi(live="CPUModeLiveMigratable", message='the node "w1" does not allow migration with host-model'),
        "cpu",
        "",
        [],
    ),
    (
        "HostDeviceNotLiveMigratable",
        vmi(
            live="HostDeviceNotLiveMigratable",
            message="VMI uses a PCI host devices",
            devices={
                "hostDevices": [{"name": "nic", "deviceName": "intel.com/qat"}],
                "gpus": [{"name": "gpu1", "deviceName": "nvidia.com/A2"}],
            },
        ),
        "host_device",
        offending("device", "gpu1") + offending("device", "nic"),
        [],
    ),
    ("SEVNotLiveMigratable", vmi(live="SEVNotLiveMigratable", message="VMI uses SEV"), "security", "", []),
    ("TDXNotLiveMigratable", vmi(live="TDXNotLiveMigratable", message="VMI uses TDX"), "security", "", []),
    ("SecureExecutionNotLiveMigratable", vmi(live="SecureExecutionNotLiveMigratable"), "security", "", []),
    ("NoTSCFrequencyNotLiveMigratable", vmi(live="NoTSCFrequencyNotLiveMigratable"), "cpu", "", []),
    (
        "HypervPassthroughNotLiveMigratable",
        vmi(live="HypervPassthroughNotLiveMigratable", message="VMI uses hyperv passthrough"),
        "cpu",
        "",
        [],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(live="DisksNotLiveMigratable", message=NOT_SHARED, claims=[ROOT, SHARED]),
        "hostpath",
        DISK,
        [*HOSTPATH_CLASS],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(live="DisksNotLiveMigratable", message=NOT_SHARED, claims=[ROOT]),
        "hostpath",
        offending("volume", "root", "db", "old", "kubevirt.io/hostpath-provisioner"),
        [claim("db", "old"), storage_class("old", "kubevirt.io/hostpath-provisioner")],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(live="DisksNotLiveMigratable", message=NOT_SHARED, claims=[ROOT]),
        "unshared_claim",
        offending("volume", "root", "db", "gp3", "ebs.csi.aws.com"),
        [claim("db", "gp3"), storage_class("gp3", "ebs.csi.aws.com")],
    ),
    # The class is gone, the claim still says who made its volume.
    (
        "DisksNotLiveMigratable",
        vmi(live="DisksNotLiveMigratable", message=NOT_SHARED, claims=[ROOT]),
        "hostpath",
        DISK,
        [claim("db", "local", made_by=HOSTPATH)],
    ),
    # Of more volumes than are named, those that the cause is about come first.
    (
        "DisksNotLiveMigratable",
        vmi(
            live="DisksNotLiveMigratable",
            message=NOT_SHARED,
            claims=[*((f"d{number}", f"d{number}", "ReadWriteOnce") for number in range(6)), ROOT],
        ),
        "hostpath",
        DISK + "".join(offending("volume", f"d{number}", f"d{number}") for number in range(4)),
        [*HOSTPATH_CLASS],
    ),
    # A dump of memory is no disk.
    (
        "DisksNotLiveMigratable",
        vmi(
            live="DisksNotLiveMigratable",
            message=NOT_SHARED,
            claims=[("dump", "dumps", "ReadWriteOnce"), ROOT],
            dump="dump",
        ),
        "hostpath",
        DISK,
        [*HOSTPATH_CLASS],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(
            live="DisksNotLiveMigratable",
            message="Unable to determine if PVC db is "
            "shared, live migration requires that all PVCs must be shared",
            claims=[ROOT],
        ),
        "unshared_claim",
        offending("volume", "root", "db"),
        [],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(
            live="DisksNotLiveMigratable",
            message="cannot migrate VMI with non-shared HostDisk",
            volumes=[{"name": "file", "hostDisk": {"path": "/x", "type": "Disk"}}],
        ),
        "host_disk",
        offending("volume", "file"),
        [],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(
            live="DisksNotLiveMigratable",
            volumes=[{"name": "file", "hostDisk": {}}, {"name": "nfs", "hostDisk": {"shared": True}}],
        ),
        "host_disk",
        offending("volume", "file"),
        [],
    ),
    (
        "DisksNotLiveMigratable",
        vmi(live="DisksNotLiveMigratable", message="Backend storage PVC is not RWX"),
        "unshared_claim",
        "",
        [kubevirt("v1.3.1")],
    ),
    (
        "VirtIOFSNotLiveMigratable",
        vmi(live="VirtIOFSNotLiveMigratable", message="VMI uses virtiofs"),
        "other",
        "",
        [kubevirt("v1.4.0")],
    ),
    (
        "HotplugNotLiveMigratable",
        vmi(live="HotplugNotLiveMigratable", message="VMI has hotplugged disks"),
        "other",
        "",
        [kubevirt("v0.41.0")],
    ),
    (
        "PersistentReservationNotLiveMigratable",
        vmi(live="PersistentReservationNotLiveMigratable"),
        "other",
        "",
        [],
    ),
    ("NotEvaluated", vmi(live=None), "not_evaluated", "", []),
    ("SomethingNewNotLiveMigratable", vmi(live="SomethingNewNotLiveMigratable"), "other", "", []),
    ("Unknown", vmi(live=""), "other", "", []),
    # Conditions of other kinds are no reasons of this one.
    (
        "NotEvaluated",
        vmi(
            live=None,
            conditions=[
                {"type": "StorageLiveMigratable", "status": "False", "reason": "NotMigratable"},
                {
                    "type": "DecentralizedLiveMigrationFailure",
                    "status": "True",
                    "reason": "DecentralizedNotLiveMigratable",
                },
            ],
        ),
        "not_evaluated",
        "",
        [],
    ),
    (
        "NotEvaluated",
        vmi(live=None, conditions=[{"type": "LiveMigratable", "status": "Unknown"}]),
        "not_evaluated",
        "",
        [],
    ),
    ("NotEvaluated", vmi(live=None, conditions=[{"type": None}, {}]), "not_evaluated", "", []),
]


@pytest.mark.parametrize(
    ("reason", "instance", "cause", "objects_", "more"),
    REASON_ROWS,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(REASON_ROWS)],
)
def test_a_reason_is_shown_as_kubevirt_writes_it_with_its_cause_and_what_is_in_the_way(
    reason: str, instance: Object, cause: str, objects_: str, more: list[Object]
) -> None:
    families = [
        "running_vms",
        "non_migratable_vms",
        "non_migratable_vms_by_cause",
        "non_migratable_vm_object_info",
    ]
    assert sorted(nonzero(page_of(instance, vm(), *more, families=families)).splitlines()) == sorted(
        f'running_vms 1\nnon_migratable_vms{{reason="{reason}"}} 1\n'
        f'non_migratable_vms_by_cause{{cause="{cause}"}} 1\n{objects_}'.splitlines()
    )


def test_an_sriov_interface_counts_as_gated_only_where_there_was_a_gate() -> None:
    instance = vmi(live="InterfaceNotLiveMigratable", devices=SRIOV, networks=NETWORKS)
    gate = objects.hyperconverged("4.8.0", created=BORN, since=BORN)
    opened = {**gate, "spec": {"featureGates": {"sriovLiveMigration": True}}}
    for given, cause in [
        ([kubevirt("v0.41.0"), gate], "sriov_gate_off"),
        ([kubevirt("v0.56.1")], "sriov_gate_off"),
        ([kubevirt("v0.41.0"), opened], "pod_network"),
        ([kubevirt("v0.57.0"), gate], "pod_network"),
        ([{**gate, "spec": {"featureGates": [{"name": "sriovLiveMigration"}]}}], "pod_network"),
        ([], "pod_network"),
    ]:
        page = page_of(instance, vm(), *given, families=["non_migratable_vms_by_cause"])
        assert nonzero(page) == f'non_migratable_vms_by_cause{{cause="{cause}"}} 1\n'


def test_every_known_reason_cause_outcome_and_state_is_there_without_any_vm() -> None:
    page = page_of(
        families=[
            "running_vms",
            "non_migratable_vms",
            "non_migratable_vms_by_cause",
            "vm_drain_outcomes",
            "workaround_vms",
        ]
    )
    labels = [
        *(f'non_migratable_vms{{reason="{each}"}}' for each in sorted(REASONS)),
        *(f'non_migratable_vms_by_cause{{cause="{each}"}}' for each in sorted(CAUSES)),
        *(f'vm_drain_outcomes{{outcome="{each}"}}' for each in sorted(OUTCOMES)),
        *(f'workaround_vms{{state="{each}"}}' for each in sorted(WORKAROUNDS)),
    ]
    assert page == "".join(f"virt_upgrade_{each} 0\n" for each in ["running_vms", *labels])


# Which instances run at all.
@pytest.mark.parametrize(
    ("instance", "running"),
    [
        *(
            (vmi(phase=each), 0)
            for each in (
                "",
                "Pending",
                "Scheduling",
                "Scheduled",
                "Succeeded",
                "Failed",
                "WaitingForSync",
                "Unknown",
            )
        ),
        (vmi(), 1),
        (vmi(deleting=True), 0),
        (vmi(conditions=[{"type": "Paused", "status": "True", "reason": "PausedByUser"}]), 1),
        ({**vmi(), "status": None}, 0),
        ({**vmi(), "spec": None}, 1),
    ],
)
def test_a_vm_runs_in_the_phase_running_until_somebody_stops_it(instance: Object, running: int) -> None:
    assert page_of(instance, vm(), families=["running_vms"]) == f"virt_upgrade_running_vms {running}\n"


M, N, U = True, "DisksNotLiveMigratable", None
"""Migratable, not, not evaluated."""

OUTCOME_ROWS: list[tuple[str | None, Any, str, str, str]] = [
    # Strategy of the instance, migratable, strategy of the cluster, KubeVirt's release, outcome with Always.
    ("None", M, "", "v1.6.0", "restarts"),
    ("None", N, "", "v1.6.0", "restarts"),
    ("None", U, "LiveMigrate", "v1.6.0", "restarts"),
    (None, M, "", "v1.6.0", "restarts"),
    (None, N, "", "v1.6.0", "restarts"),
    ("LiveMigrate", M, "", "v1.6.0", "migrates"),
    ("LiveMigrate", N, "", "v1.6.0", "blocks"),
    ("LiveMigrate", U, "", "v1.6.0", "blocks"),
    ("LiveMigrate", "CPUModeLiveMigratable", "", "v1.6.0", "blocks"),
    ("LiveMigrateIfPossible", M, "", "v1.6.0", "migrates"),
    ("LiveMigrateIfPossible", N, "", "v1.6.0", "restarts"),
    ("LiveMigrateIfPossible", U, "", "v1.6.0", "restarts"),
    ("External", M, "", "v1.6.0", "external"),
    ("External", N, "", "v1.6.0", "external"),
    ("External", U, "", "v1.6.0", "external"),
    # The cluster's strategy counts where the instance has none.
    (None, M, "LiveMigrate", "v1.6.0", "migrates"),
    (None, N, "LiveMigrate", "v1.6.0", "blocks"),
    (None, N, "LiveMigrateIfPossible", "v1.6.0", "restarts"),
    (None, N, "External", "v1.6.0", "external"),
    (None, N, "None", "v1.6.0", "restarts"),
    ("", N, "LiveMigrate", "v1.6.0", "blocks"),
    # A later change of the cluster's does not reach an instance that has one written in.
    ("LiveMigrate", N, "None", "v1.6.0", "blocks"),
    # Eras: the webhook of 1.2 and before let go and left it to the budget, from 1.6 on there is none.
    *(
        ("LiveMigrate", N, "", each, "blocks")
        for each in (
            "v0.41.0",
            "v0.58.0",
            "v1.0.1",
            "v1.2.2",
            "v1.3.1",
            "v1.4.0",
            "v1.5.0",
            "v1.7.0",
            "v1.9.0",
        )
    ),
    *(
        ("LiveMigrate", M, "", each, "migrates")
        for each in ("v0.41.0", "v1.2.2", "v1.3.1", "v1.5.0", "v1.6.0")
    ),
    (None, N, "LiveMigrate", "v0.50.0", "restarts"),
    (None, N, "LiveMigrate", "v0.51.0", "blocks"),
    ("External", N, "", "v0.52.0", "restarts"),
    ("External", N, "", "v0.53.0", "external"),
    ("LiveMigrateIfPossible", M, "", "v0.59.2", "restarts"),
    ("LiveMigrateIfPossible", M, "", "v1.0.0", "migrates"),
    # An unknown release counts as a present one, an unknown word as none.
    ("External", N, "", "", "external"),
    ("shutdown", N, "", "v1.6.0", "restarts"),
]


@pytest.mark.parametrize(("strategy", "live", "cluster", "release", "outcome"), OUTCOME_ROWS)
def test_what_a_drain_does_follows_the_effective_strategy(
    strategy: str | None, live: Any, cluster: str, release: str, outcome: str
) -> None:
    page = page_of(
        vmi(live=live, strategy=strategy),
        vm(),
        kubevirt(release, strategy=cluster),
        families=["vm_drain_outcomes"],
    )
    assert nonzero(page) == f'vm_drain_outcomes{{outcome="{outcome}"}} 1\n'


@pytest.mark.parametrize(
    ("given", "run", "outcome"),
    [
        ([vm(run="Always")], "Always", "restarts"),
        ([vm(run="RerunOnFailure")], "RerunOnFailure", "stays_down"),
        ([vm(run="Manual")], "Manual", "stays_down"),
        ([vm(run="Once")], "Once", "stays_down"),
        ([vm(run="Halted")], "Halted", "stays_down"),
        ([vm(run="WaitAsReceiver")], "WaitAsReceiver", "stays_down"),
        ([vm(run=None, running=True)], "Always", "restarts"),
        ([vm(run=None, running=False)], "Halted", "stays_down"),
        ([vm(run=None)], "Halted", "stays_down"),
        ([vm(run="always")], "always", "stays_down"),
        ([vm(run="Always", deleting=True)], "Always", "stays_down"),
        ([{**vm(), "spec": None}], "Halted", "stays_down"),
        # The VirtualMachine has gone, or was never there.
        ([], "", "stays_down"),
    ],
)
def test_only_always_brings_a_vm_back(given: list[Object], run: str, outcome: str) -> None:
    instance = vmi(live="SEVNotLiveMigratable", strategy="None")
    page = page_of(instance, *given, families=["vm_drain_outcomes", "non_migratable_vm_info"])
    workaround = "applied" if outcome == "restarts" else "incomplete"
    assert nonzero(page) == (
        'non_migratable_vm_info{vm_namespace="prod",vm="db",node="w1",reason="SEVNotLiveMigratable",'
        f'eviction_strategy="None",run_strategy="{run}",drain_outcome="{outcome}",workaround="{workaround}",'
        f'outdated="false"}} 1\nvm_drain_outcomes{{outcome="{outcome}"}} 1\n'
    )


@pytest.mark.parametrize(
    ("owner", "outcome"),
    [
        ("VirtualMachine", "restarts"),
        # Made by hand: nobody makes it again, though a VirtualMachine of its name may be there.
        (None, "stays_down"),
        ("VirtualMachineInstanceReplicaSet", "restarts"),
        ("Job", "stays_down"),
    ],
)
def test_what_made_an_instance_makes_it_again(owner: str | None, outcome: str) -> None:
    page = page_of(vmi(owner=owner, strategy="None"), vm(), families=["vm_drain_outcomes"])
    assert nonzero(page) == f'vm_drain_outcomes{{outcome="{outcome}"}} 1\n'


SINGLE = {"control_plane": "SingleReplica", "workers": "SingleReplica"}


@pytest.mark.parametrize(
    ("topology", "nodes", "outcome"),
    [
        (SINGLE, ["m1"], "restarts"),
        # Nobody says how many there are by now.
        (SINGLE, [], "blocks"),
        # Installed on one node, and given workers since.
        (SINGLE, ["m1", "w1"], "blocks"),
        # Hosted: the one worker is drained.
        ({"control_plane": "External", "workers": "SingleReplica"}, ["w1"], "blocks"),
        ({}, ["w1", "w2", "w3"], "blocks"),
    ],
)
def test_nothing_is_drained_on_a_single_node(
    topology: dict[str, str], nodes: list[str], outcome: str
) -> None:
    infrastructure = objects.infrastructure(created=BORN, **topology)
    given = [vmi(live=N), vm(), infrastructure, *(node(each) for each in nodes)]
    page = page_of(
        *given, families=["vm_drain_outcomes", "drain_blocking_vm_info", "node_drain_blocking_vms"]
    )
    blocked = (
        'drain_blocking_vm_info{vm_namespace="prod",vm="db",node="w1",cause="unshared_claim"} 1\n',
        'node_drain_blocking_vms{node="w1"} 1\n',
    )
    lines = (blocked[0], f'vm_drain_outcomes{{outcome="{outcome}"}} 1\n', blocked[1])
    assert nonzero(page) == "".join(each for each in lines if outcome == "blocks" or each not in blocked)


@pytest.mark.parametrize(
    ("running", "template", "cluster", "run", "state"),
    [
        ("LiveMigrate", "LiveMigrate", "", "Always", "missing"),
        ("LiveMigrate", "", "LiveMigrate", "Always", "missing"),
        ("External", "External", "", "Always", "missing"),
        # As it is documented now: None or LiveMigrateIfPossible, and Always.
        ("LiveMigrate", "None", "", "Always", "restart_required"),
        ("LiveMigrate", "LiveMigrateIfPossible", "", "Always", "restart_required"),
        ("LiveMigrate", "None", "", "Manual", "restart_required"),
        ("None", "None", "", "Always", "applied"),
        ("LiveMigrateIfPossible", "LiveMigrateIfPossible", "", "Always", "applied"),
        ("None", "None", "", "RerunOnFailure", "incomplete"),
        ("LiveMigrateIfPossible", "LiveMigrateIfPossible", "", "Halted", "incomplete"),
        # As it was: the strategy removed. That helps where the cluster has none.
        ("LiveMigrate", "", "", "Always", "restart_required"),
        (None, "", "", "Always", "applied"),
        (None, "", "LiveMigrate", "Always", "missing"),
        (None, "", "LiveMigrateIfPossible", "Always", "applied"),
        ("LiveMigrate", "", "None", "Always", "restart_required"),
        # Changed in the template to what blocks: the running instance does not, yet.
        ("None", "LiveMigrate", "", "Always", "applied"),
    ],
)
def test_the_way_out_counts_on_the_running_instance(
    running: str | None, template: str, cluster: str, run: str, state: str
) -> None:
    given = [vmi(live=N, strategy=running), vm(run=run, strategy=template), kubevirt(strategy=cluster)]
    assert nonzero(page_of(*given, families=["workaround_vms"])) == f'workaround_vms{{state="{state}"}} 1\n'
    # Of a VM that can be migrated nobody asks.
    given[0] = vmi(live=True, strategy=running)
    assert nonzero(page_of(*given, families=["workaround_vms"])) == ""


def test_a_vm_that_needs_attention_has_its_own_series_and_a_healthy_one_none() -> None:
    families = ["non_migratable_vm_info", "non_migratable_vm_object_info", "drain_blocking_vm_info"]
    given = [vmi("fine"), vm("fine"), vmi(live=N, claims=[ROOT], outdated=True)]
    given += [vm(strategy="LiveMigrate"), *HOSTPATH_CLASS]
    assert nonzero(page_of(*given, families=families)) == (
        'non_migratable_vm_info{vm_namespace="prod",vm="db",node="w1",reason="DisksNotLiveMigratable",'
        'eviction_strategy="LiveMigrate",run_strategy="Always",drain_outcome="blocks",workaround="missing",'
        f'outdated="true"}} 1\n{DISK}'
        'drain_blocking_vm_info{vm_namespace="prod",vm="db",node="w1",cause="hostpath"} 1\n'
    )


def test_a_claim_may_have_any_name() -> None:
    message = "cannot migrate VMI: PVC win-hostdisk is not shared, live migration requires that all PVCs ..."
    instance = vmi(live=N, message=message, claims=[("root", "win-hostdisk", "ReadWriteOnce")])
    given = [instance, vm(), claim("win-hostdisk", "local"), storage_class("local", HOSTPATH)]
    page = page_of(*given, families=["non_migratable_vms_by_cause"])
    assert nonzero(page) == 'non_migratable_vms_by_cause{cause="hostpath"} 1\n'


def test_the_owner_is_the_one_that_controls() -> None:
    instance = vmi(strategy="None")
    instance["metadata"]["ownerReferences"].insert(0, {"kind": "Application", "name": "shop"})
    page = page_of(instance, vm(), families=["vm_drain_outcomes"])
    assert nonzero(page) == 'vm_drain_outcomes{outcome="restarts"} 1\n'


def test_at_most_five_objects_of_a_vm_are_named() -> None:
    claims = [(f"disk{number}", f"claim{number}", "ReadWriteOnce") for number in range(9)]
    page = page_of(vmi(live=N, claims=claims), vm(), families=["non_migratable_vm_object_info"])
    assert len(page.splitlines()) == 5


@pytest.mark.parametrize(
    ("unknown", "gone"),
    [
        (VIRTUAL_MACHINE_INSTANCES, {"running_vms", "non_migratable_vms", "non_migratable_vms_by_cause",
            "vm_drain_outcomes", "workaround_vms", "non_migratable_vm_info", "non_migratable_vm_object_info",
            "drain_blocking_vm_info", "node_drain_blocking_vms"}),
        (VIRTUAL_MACHINES, {"vm_drain_outcomes", "workaround_vms", "non_migratable_vm_info",
            "drain_blocking_vm_info", "node_drain_blocking_vms"}),
        (KUBEVIRTS, {"non_migratable_vms_by_cause", "vm_drain_outcomes", "workaround_vms",
            "non_migratable_vm_info", "drain_blocking_vm_info", "node_drain_blocking_vms"}),
        (INFRASTRUCTURES, {"vm_drain_outcomes", "non_migratable_vm_info", "drain_blocking_vm_info",
            "node_drain_blocking_vms"}),
        (CLAIMS, {"non_migratable_vms_by_cause", "non_migratable_vm_object_info"}),
        (STORAGE_CLASSES, {"non_migratable_vms_by_cause", "non_migratable_vm_object_info"}),
        (HYPERCONVERGEDS, {"non_migratable_vms_by_cause"}),
        (NODES, set()),
    ],
    ids=lambda each: each.plural if hasattr(each, "plural") else "",
)  # fmt: skip
def test_what_rests_on_something_unknown_is_not_said(unknown: Any, gone: set[str]) -> None:
    families = ["running_vms", "non_migratable_vms", "non_migratable_vms_by_cause", "vm_drain_outcomes",
                "workaround_vms", "non_migratable_vm_info", "non_migratable_vm_object_info",
                "drain_blocking_vm_info", "node_drain_blocking_vms"]  # fmt: skip
    page = page_of(vmi(live=N, claims=[ROOT]), vm(), *HOSTPATH_CLASS, families=families, unknown=[unknown])
    shown = {line.split("{")[0].split(" ")[0].removeprefix("virt_upgrade_") for line in page.splitlines()}
    assert set(families) - shown == gone
