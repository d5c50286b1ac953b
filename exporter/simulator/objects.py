"""API objects as OpenShift, OLM and HyperConverged write them, for stories.

Only what a reader of the cluster would look at is filled in, but what is there passes the products' own
schemas, so a story can be told to a real API server as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, TypeAlias

ApiObject: TypeAlias = dict[str, Any]

NAMESPACE: Final = "openshift-cnv"
PACKAGE: Final = "kubevirt-hyperconverged"
CATALOG: Final = "redhat-operators"
CATALOG_NAMESPACE: Final = "openshift-marketplace"
HYPERCONVERGED: Final = "kubevirt-hyperconverged"


def time(moment: datetime) -> str:
    """A time as the API writes it: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def csv_name(version: str) -> str:
    """Name of the ClusterServiceVersion of a version."""
    return f"kubevirt-hyperconverged-operator.v{version}"


def condition(
    type_: str, status: str, since: datetime | None, reason: str = "", message: str = ""
) -> ApiObject:
    """A status condition; OLM writes some without a lastTransitionTime."""
    found: ApiObject = {"type": type_, "status": status, "reason": reason, "message": message}
    return found if since is None else {**found, "lastTransitionTime": time(since)}


def api_object(
    api_version: str,
    kind: str,
    name: str,
    *,
    created: datetime,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    spec: ApiObject | None = None,
    status: ApiObject | None = None,
) -> ApiObject:
    """An object with what every object has."""
    metadata: ApiObject = {"name": name, "creationTimestamp": time(created)}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    whole: ApiObject = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec or {}}
    if status is not None:
        whole["status"] = status
    return whole


def _payload(version: str) -> str:
    """Every release has an image of its own."""
    return f"quay.io/openshift-release-dev/ocp-release@sha256:{sha256(version.encode()).hexdigest()}"


def release(
    version: str, started: datetime, completed: datetime | None, *, given_up: bool = False
) -> ApiObject:
    """One entry of ClusterVersion's history: completed, under way, or given up."""
    done = completed is not None and not given_up
    return {
        "state": "Completed" if done else "Partial",
        "version": version,
        "image": _payload(version),
        "startedTime": time(started),
        "completionTime": time(completed) if completed else None,
        "verified": True,
    }


def cluster_version(
    history: list[ApiObject], *, channel: str, created: datetime, available: Iterable[str] = ()
) -> ApiObject:
    """OpenShift's version; `history` with the newest entry first."""
    newest = history[0]
    return api_object(
        "config.openshift.io/v1",
        "ClusterVersion",
        "version",
        created=created,
        spec={"clusterID": "00000000-0000-4000-8000-000000000000", "channel": channel},
        status={
            "desired": {"version": newest["version"], "image": newest["image"]},
            "history": history,
            "observedGeneration": 1,
            "versionHash": "story",
            "availableUpdates": [{"version": version, "image": _payload(version)} for version in available]
            or None,
        },
    )


def cluster_operator(name: str, *, since: datetime, available: bool = True) -> ApiObject:
    """One of OpenShift's operators."""
    status = condition("Available", "True" if available else "False", since, "AsExpected")
    return api_object(
        "config.openshift.io/v1", "ClusterOperator", name, created=since, status={"conditions": [status]}
    )


def infrastructure(
    *, created: datetime, control_plane: str = "HighlyAvailable", workers: str = "HighlyAvailable"
) -> ApiObject:
    """The cluster's topology."""
    return api_object(
        "config.openshift.io/v1",
        "Infrastructure",
        "cluster",
        created=created,
        spec={"cloudConfig": {"name": ""}, "platformSpec": {"type": "None"}},
        status={
            "controlPlaneTopology": control_plane,
            "infrastructureTopology": workers,
            "infrastructureName": "story",
            "apiServerURL": "https://api.story.example:6443",
            "apiServerInternalURI": "https://api-int.story.example:6443",
            "etcdDiscoveryDomain": "",
            "cpuPartitioning": "None",
        },
    )


def catalog_source(
    *, created: datetime, polled: datetime, state: str = "READY", connected: datetime | None = None
) -> ApiObject:
    """The catalog that the package comes from; OLM connected to it, or lost it, at `connected`."""
    return api_object(
        "operators.coreos.com/v1alpha1",
        "CatalogSource",
        CATALOG,
        namespace=CATALOG_NAMESPACE,
        created=created,
        spec={
            "sourceType": "grpc",
            "image": "registry.redhat.io/redhat/redhat-operator-index:v4.18",
            "updateStrategy": {"registryPoll": {"interval": "240m"}},
        },
        status={
            "connectionState": {
                "address": f"{CATALOG}.{CATALOG_NAMESPACE}.svc:50051",
                "lastConnect": time(connected or created),
                "lastObservedState": state,
            },
            "latestImageRegistryPoll": time(polled),
        },
    )


def package_manifest(
    *versions: str, created: datetime, channel: str = "stable", package: str = PACKAGE
) -> ApiObject:
    """What the catalog offers: the versions of one channel, the newest first."""
    entries = [{"name": csv_name(version), "version": version} for version in versions]
    return api_object(
        "packages.operators.coreos.com/v1",
        "PackageManifest",
        package,
        namespace=CATALOG_NAMESPACE,
        created=created,
        labels={"catalog": CATALOG, "catalog-namespace": CATALOG_NAMESPACE},
        status={
            "catalogSource": CATALOG,
            "catalogSourceNamespace": CATALOG_NAMESPACE,
            "packageName": package,
            "defaultChannel": channel,
            "channels": [
                {
                    "name": channel,
                    "currentCSV": csv_name(versions[0]),
                    "currentCSVDesc": {"version": versions[0], "displayName": "OpenShift Virtualization"},
                    "entries": entries,
                }
            ],
        },
    )


def subscription(
    *,
    created: datetime,
    installed: str,
    current: str = "",
    name: str = "hco-operatorhub",
    package: str = PACKAGE,
    channel: str = "stable",
    approval: str = "Automatic",
    plan: str = "",
    conditions: Iterable[ApiObject] = (),
    resolving: bool = False,
) -> ApiObject:
    """A Subscription; an update is pending when `current` is given and differs from `installed`.

    While OLM is `resolving`, after a waiting plan was deleted, there is neither state nor currentCSV.
    """
    current = current or installed
    status: ApiObject = {
        "installedCSV": installed,
        **(
            {}
            if resolving
            else {
                "state": "AtLatestKnown" if current == installed else "UpgradePending",
                "currentCSV": current,
            }
        ),
        "lastUpdated": time(created),
        "conditions": list(conditions),
    }
    if plan:
        status["installPlanRef"] = {
            "apiVersion": "operators.coreos.com/v1alpha1",
            "kind": "InstallPlan",
            "namespace": NAMESPACE,
            "name": plan,
        }
    return api_object(
        "operators.coreos.com/v1alpha1",
        "Subscription",
        name,
        namespace=NAMESPACE,
        created=created,
        labels={f"operators.coreos.com/{package}.{NAMESPACE}": ""},
        spec={
            "name": package,
            "channel": channel,
            "source": CATALOG,
            "sourceNamespace": CATALOG_NAMESPACE,
            "installPlanApproval": approval,
        },
        status=status,
    )


def install_plan(
    name: str,
    *,
    created: datetime,
    csv: str,
    approval: str = "Manual",
    approved: bool = False,
    phase: str = "",
    begun: datetime | None = None,
    failed: datetime | None = None,
) -> ApiObject:
    """A plan; one that nobody has approved waits, another one is complete unless told otherwise.

    One that has failed did so with its first step, by which it makes the ClusterServiceVersion.
    """
    step = {
        "resolving": csv,
        "resource": {
            "group": "operators.coreos.com",
            "version": "v1alpha1",
            "kind": "ClusterServiceVersion",
            "name": csv,
            "sourceName": CATALOG,
            "sourceNamespace": CATALOG_NAMESPACE,
        },
        "status": "Unknown",
    }
    ended = {
        "plan": [step],
        "conditions": [condition("Installed", "False", failed, "InstallComponentFailed", "denied")],
    }
    return api_object(
        "operators.coreos.com/v1alpha1",
        "InstallPlan",
        name,
        namespace=NAMESPACE,
        created=created,
        labels={f"operators.coreos.com/{PACKAGE}.{NAMESPACE}": ""},
        spec={
            "approval": approval,
            "approved": approved,
            "clusterServiceVersionNames": [csv],
            "generation": 1,
        },
        status={
            "phase": "Failed" if failed else phase or ("Complete" if approved else "RequiresApproval"),
            "catalogSources": [CATALOG],
            **({"startTime": time(begun)} if begun else {}),
            **(ended if failed else {}),
        },
    )


Phase: TypeAlias = tuple[str, str, datetime]
"""Phase, reason, and when it began."""


def cluster_service_version(
    version: str,
    *,
    created: datetime,
    succeeded: datetime | None = None,
    phases: Iterable[Phase] = (),
    replaces: str = "",
) -> ApiObject:
    """A version of the operator, installed at `succeeded`, or with these phases so far."""
    if succeeded is not None:
        phases = [
            ("Pending", "RequirementsUnknown", created),
            ("InstallReady", "AllRequirementsMet", created),
            ("Installing", "InstallSucceeded", created),
            ("Succeeded", "InstallSucceeded", succeeded),
            *phases,
        ]
    changes = [
        {
            "phase": phase,
            "reason": reason,
            "lastTransitionTime": time(moment),
            "lastUpdateTime": time(moment),
        }
        for phase, reason, moment in phases
    ]
    properties = (
        '{"properties":[{"type":"olm.package","value":'
        f'{{"packageName":"{PACKAGE}","version":"{version}"}}}}]}}'
    )
    return api_object(
        "operators.coreos.com/v1alpha1",
        "ClusterServiceVersion",
        csv_name(version),
        namespace=NAMESPACE,
        created=created,
        labels={f"operators.coreos.com/{PACKAGE}.{NAMESPACE}": "", "olm.managed": "true"},
        annotations={"operatorframework.io/properties": properties},
        spec={
            "displayName": "OpenShift Virtualization",
            "version": version,
            **({"replaces": replaces} if replaces else {}),
            "install": {"strategy": "deployment", "spec": {"deployments": []}},
        },
        status={**changes[-1], "conditions": changes} if changes else {},
    )


def pod(name: str, *, created: datetime, waiting: str = "", sandbox: bool = True) -> ApiObject:
    """A pod of the operator: ready, or waiting for something since it was created."""
    state: ApiObject = (
        {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": time(created)}}
    )
    # A pod may have dots in its name, a container may not.
    own = name.replace(".", "-")
    container = {"name": own, "image": f"registry.example/{name}:1", "imageID": "", "restartCount": 0}
    return api_object(
        "v1",
        "Pod",
        name,
        namespace=NAMESPACE,
        created=created,
        spec={"containers": [{"name": own, "image": container["image"]}]},
        status={
            "phase": "Pending" if waiting else "Running",
            "conditions": [
                condition("PodScheduled", "True", created),
                condition("PodReadyToStartContainers", str(sandbox), created),
                condition("Ready", str(not waiting), created, "ContainersNotReady" if waiting else ""),
            ],
            "containerStatuses": [{**container, "ready": not waiting, "state": state}],
        },
    )


def upgraded(version: str, at: datetime) -> ApiObject:
    """The event by which HyperConverged says that it has reached a version."""
    obj = api_object("v1", "Event", f"hco-operator.{version}", namespace=NAMESPACE, created=at)
    del obj["spec"]
    return obj | {
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": "hco-operator"},
        "reason": "UpgradeHCO",
        "message": f"Successfully upgraded to version {version}",
        "source": {"component": PACKAGE},
        "firstTimestamp": time(at),
        "lastTimestamp": time(at),
        "count": 1,
        "type": "Normal",
    }


def unpack_job(name: str, *, created: datetime, failed: datetime | None = None) -> ApiObject:
    """The job by which OLM unpacks a bundle, under way or given up after ten minutes."""
    labels = {"operatorframework.io/bundle-unpack-ref": name}
    pod_spec = {"containers": [{"name": "extract", "image": "registry.example/bundle:1"}]}
    said = ("FailureTarget", "Failed") if failed else ()
    conditions = [condition(each, "True", failed, "DeadlineExceeded") for each in said]
    return api_object(
        "batch/v1",
        "Job",
        name,
        namespace=CATALOG_NAMESPACE,
        created=created,
        labels=labels,
        spec={"template": {"spec": {**pod_spec, "restartPolicy": "Never"}}},
        status={"startTime": time(created), **({"conditions": conditions} if conditions else {"active": 1})},
    )


def operator_condition(
    version: str, *, since: datetime, upgradeable: bool = True, reason: str = "Upgradeable"
) -> ApiObject:
    """The operator's word to OLM."""
    said = condition("Upgradeable", "True" if upgradeable else "False", since, reason)
    return api_object(
        "operators.coreos.com/v2",
        "OperatorCondition",
        csv_name(version),
        namespace=NAMESPACE,
        created=since,
        spec={"conditions": [said], "deployments": ["hco-operator"]},
        # OLM notes which generation it has taken over; the object is written once here.
        status={"conditions": [said | {"observedGeneration": 1}]},
    )


def hyperconverged(version: str, *, created: datetime, since: datetime) -> ApiObject:
    """A HyperConverged whose operands are all rolled out."""
    states = {
        "ReconcileComplete": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
        "Upgradeable": "True",
    }
    return api_object(
        "hco.kubevirt.io/v1",
        "HyperConverged",
        HYPERCONVERGED,
        namespace=NAMESPACE,
        created=created,
        status={
            "versions": [{"name": "operator", "version": version}],
            "conditions": [
                condition(type_, state, since, "ReconcileCompleted") for type_, state in states.items()
            ],
        },
    )


def kubevirt(
    version: str,
    *,
    created: datetime,
    methods: Iterable[str] = ("LiveMigrate",),
    strategy: str = "LiveMigrate",
    rolling_to: str = "",
    since: datetime | None = None,
) -> ApiObject:
    """A KubeVirt that runs the version it is to have; or is being rolled out anew, `since`."""
    return api_object(
        "kubevirt.io/v1",
        "KubeVirt",
        "kubevirt-kubevirt-hyperconverged",
        namespace=NAMESPACE,
        created=created,
        spec={
            "configuration": {"evictionStrategy": strategy},
            "workloadUpdateStrategy": {"workloadUpdateMethods": list(methods)},
        },
        status={
            "phase": "Deployed",
            "operatorVersion": version,
            "observedKubeVirtVersion": version,
            "targetKubeVirtVersion": version,
            "observedDeploymentID": f"deployment-of-{version}",
            "targetDeploymentID": f"deployment-of-{rolling_to or version}",
            "conditions": [
                condition("Available", "True", created, "AllComponentsReady"),
                condition("Progressing", "True" if rolling_to else "False", since or created),
            ],
        },
    )
