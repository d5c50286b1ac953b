"""Objects of the Operator Lifecycle Manager: operators.coreos.com (operator-framework/api)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from exporter.kube.resource import Resource
from exporter.records.base import Condition, Metadata, Part, Present, Record, condition

_GROUP: Final = "operators.coreos.com"
_OLM: Final = "catalog"
"""The manager as which OLM's catalog operator writes."""


class ObjectReference(Part, frozen=True):
    """A reference to another object."""

    name: str | None = None
    uid: str | None = None


class SubscriptionSpec(Part, frozen=True):
    """What the administrator subscribed to; `name` is the package."""

    name: str | None = None
    channel: str | None = None
    source: str | None = None
    source_namespace: str | None = None
    install_plan_approval: str | None = None


class SubscriptionStatus(Part, frozen=True):
    """What the catalog operator made of it.

    `currentCSV` is the target of the latest resolution; `installedCSV` follows as soon as that CSV's
    object exists, in whatever phase, so neither says that anything is installed.
    """

    state: str | None = None
    current_csv: str | None = msgspec.field(default=None, name="currentCSV")
    installed_csv: str | None = msgspec.field(default=None, name="installedCSV")
    install_plan_ref: ObjectReference | None = None
    conditions: list[Condition] | None = None


class Subscription(Record, frozen=True):
    """A wish to have a package of a catalog installed and kept up to date."""

    spec: SubscriptionSpec | None = None
    status: SubscriptionStatus | None = None

    @property
    def package(self) -> str:
        """The package's name in its catalog; a Subscription's own name is free."""
        return (self.spec and self.spec.name) or ""

    @property
    def channel(self) -> str:
        """The update channel; empty means the package's default channel."""
        return (self.spec and self.spec.channel) or ""

    @property
    def source(self) -> str:
        """Name of the CatalogSource."""
        return (self.spec and self.spec.source) or ""

    @property
    def source_namespace(self) -> str:
        """Namespace of the CatalogSource."""
        return (self.spec and self.spec.source_namespace) or ""

    @property
    def approval(self) -> str:
        """The configured approval strategy; empty means Automatic."""
        return (self.spec and self.spec.install_plan_approval) or ""

    @property
    def conditions(self) -> list[Condition]:
        """Conditions; each of them is abnormal when True."""
        return (self.status and self.status.conditions) or []


class InstallPlanSpec(Part, frozen=True):
    """What is to be installed, and whether somebody has to say yes."""

    approval: str | None = None
    approved: bool | None = None
    cluster_service_version_names: list[str] | None = None
    generation: int | None = None


class BundleLookup(Part, frozen=True):
    """A bundle that is unpacked for a plan; newer OLM unpacks before it makes the plan."""

    conditions: list[Condition] | None = None


class StepResource(Part, frozen=True):
    """What a step makes."""

    kind: str | None = None
    name: str | None = None


class Step(Part, frozen=True):
    """One object that a plan makes: Unknown, NotPresent, Present or Created."""

    resource: StepResource | None = None
    status: str | None = None


class InstallPlanStatus(Part, frozen=True):
    """How far it has come; `Complete` means that manifests were written, and nothing more."""

    phase: str | None = None
    start_time: datetime | None = None
    bundle_lookups: list[BundleLookup] | None = None
    conditions: list[Condition] | None = None
    plan: list[Step] | None = None


class OwnedSpec(Part, frozen=True):
    """Fields of a plan's spec that a client has written."""

    approved: Present | None = msgspec.field(name="f:approved", default=None)


class OwnedFields(Part, frozen=True):
    """Fields that a client has written."""

    spec: OwnedSpec | None = msgspec.field(name="f:spec", default=None)


class ManagedFields(Part, frozen=True):
    """Who wrote which fields."""

    manager: str | None = None
    fields_v1: OwnedFields | None = msgspec.field(name="fieldsV1", default=None)


class InstallPlanMetadata(Metadata, frozen=True):
    """Metadata with who wrote what: nothing else tells who approved a plan."""

    managed_fields: tuple[ManagedFields, ...] | None = None


class InstallPlan(Record, frozen=True):
    """One step of an operator's installation or update."""

    metadata: InstallPlanMetadata
    spec: InstallPlanSpec | None = None
    status: InstallPlanStatus | None = None

    @property
    def started(self) -> datetime | None:
        """When OLM began to install it: when it had been approved."""
        return self.status.start_time if self.status else None

    @property
    def approver(self) -> str:
        """The client that wrote the approval; empty where that is OLM itself, or nothing tells."""
        found = (
            each.manager
            for each in self.metadata.managed_fields or ()
            if each.fields_v1 and each.fields_v1.spec and each.fields_v1.spec.approved is not None
        )
        return next((each for each in found if each and each != _OLM), "")

    @property
    def csv_names(self) -> list[str]:
        """ClusterServiceVersions that it installs, of all packages of the namespace together."""
        return (self.spec and self.spec.cluster_service_version_names) or []

    @property
    def generation(self) -> int:
        """Its place among all plans that the namespace has had; 0 where nothing tells."""
        return (self.spec and self.spec.generation) or 0

    @property
    def approved(self) -> bool:
        """Somebody, or the strategy Automatic, has approved it."""
        return self.spec is not None and self.spec.approved is True

    @property
    def failed(self) -> bool:
        """It has failed for good."""
        return self.status is not None and self.status.phase == "Failed"

    @property
    def failed_at(self) -> datetime | None:
        """When it failed."""
        found = condition(self.status.conditions if self.status else None, "Installed")
        return found.last_transition_time if found is not None and self.failed and found.is_false else None

    @property
    def completed_at(self) -> datetime | None:
        """When everything that it makes was there."""
        found = condition(self.status.conditions if self.status else None, "Installed")
        complete = self.status is not None and self.status.phase == "Complete"
        return found.last_transition_time if found is not None and complete and found.is_true else None

    def has_made(self, csv: str) -> bool:
        """It has made a ClusterServiceVersion, or found it there."""
        return any(
            each.status in {"Created", "Present"}
            for each in (self.status and self.status.plan) or []
            if each.resource and (each.resource.kind, each.resource.name) == ("ClusterServiceVersion", csv)
        )

    def lookup_holds(self, type_: str) -> bool:
        """A condition of some bundle's unpacking is True."""
        lookups = (self.status and self.status.bundle_lookups) or []
        found = (condition(lookup.conditions, type_) for lookup in lookups)
        return any(each is not None and each.is_true for each in found)

    @property
    def waits_for_approval(self) -> bool:
        """Nobody has approved it yet, whatever its phase says."""
        return self.spec is not None and self.spec.approved is False

    @property
    def approval(self) -> str:
        """Approval strategy, fixed when the plan was made; empty means Automatic."""
        return (self.spec and self.spec.approval) or ""


class ClusterServiceVersionAnnotations(Part, frozen=True):
    """The one annotation that is read, of the many and long ones a bundle has."""

    properties: str | None = msgspec.field(default=None, name="operatorframework.io/properties")


class ClusterServiceVersionMetadata(Metadata, frozen=True):
    """Metadata with what OLM writes of the bundle."""

    annotations: ClusterServiceVersionAnnotations | None = None


class EnvironmentVariable(Part, frozen=True):
    """A variable of a container."""

    name: str | None = None
    value: str | None = None


class Container(Part, frozen=True):
    """A container of one of the operator's pods."""

    env: list[EnvironmentVariable] | None = None


class PodSpec(Part, frozen=True):
    """What runs in a pod of the operator."""

    containers: list[Container] | None = None


class PodTemplate(Part, frozen=True):
    """How a pod of the operator is made."""

    spec: PodSpec | None = None


class DeploymentSpec(Part, frozen=True):
    """A Deployment's wish."""

    template: PodTemplate | None = None


class StrategyDeployment(Part, frozen=True):
    """A Deployment that OLM makes for the operator."""

    spec: DeploymentSpec | None = None


class InstallStrategySpec(Part, frozen=True):
    """What OLM makes for the operator."""

    deployments: list[StrategyDeployment] | None = None


class InstallStrategy(Part, frozen=True):
    """How OLM installs the operator."""

    spec: InstallStrategySpec | None = None


class ClusterServiceVersionSpec(Part, frozen=True):
    """The operator's version; `replaces` is overwritten by OLM with what was really installed before."""

    version: str | None = None
    replaces: str | None = None
    install: InstallStrategy | None = None


_WAITING: Final = {"", "Pending", None}
_NOT_UPGRADEABLE: Final = "OperatorConditionNotUpgradeable"
_CHANGES_KEPT: Final = 20
"""Entries after which OLM drops the oldest."""


class PhaseChange(Part, frozen=True):
    """One entry of `status.conditions`: a history of phases, the oldest first, at most 20."""

    phase: str | None = None
    reason: str | None = None
    last_transition_time: datetime | None = None

    @property
    def waits(self) -> bool:
        """Its installation has not begun, or begins anew."""
        return self.phase in _WAITING

    @property
    def is_held(self) -> bool:
        """The OperatorCondition of the version before does not allow it."""
        return self.waits and self.reason == _NOT_UPGRADEABLE


class ClusterServiceVersionStatus(Part, frozen=True):
    """Where the installation of this version stands."""

    phase: str | None = None
    reason: str | None = None
    last_transition_time: datetime | None = None
    conditions: list[PhaseChange] | None = None


class ClusterServiceVersion(Record, frozen=True):
    """One installed, or to be installed, version of an operator."""

    metadata: ClusterServiceVersionMetadata
    spec: ClusterServiceVersionSpec | None = None
    status: ClusterServiceVersionStatus | None = None

    @property
    def version(self) -> str:
        """The operator's version; empty when the bundle names none."""
        return (self.spec and self.spec.version) or ""

    @property
    def replaces(self) -> str:
        """Name of the CSV that this one was installed over."""
        return (self.spec and self.spec.replaces) or ""

    @property
    def phase(self) -> str:
        """Pending, InstallReady, Installing, Succeeded, Failed, Replacing, Deleting or empty."""
        return (self.status and self.status.phase) or ""

    @property
    def reason(self) -> str:
        """Why it is in its phase."""
        return (self.status and self.status.reason) or ""

    @property
    def waits(self) -> bool:
        """Its installation has not begun, or begins anew."""
        return self.phase in _WAITING

    @property
    def is_held(self) -> bool:
        """The OperatorCondition of the version before does not allow it."""
        return self.waits and self.reason == _NOT_UPGRADEABLE

    @property
    def changes(self) -> list[PhaseChange]:
        """Its history of phases, the oldest first, as far as it goes back."""
        return (self.status and self.status.conditions) or []

    @property
    def is_whole(self) -> bool:
        """Its history of phases goes back to its beginning: none has been dropped yet."""
        return len(self.changes) < _CHANGES_KEPT

    @property
    def has_flapped(self) -> bool:
        """It has been in other phases since it first succeeded, or may have been; being replaced is none."""
        phases = [each.phase for each in self.changes]
        after = phases[phases.index("Succeeded") :] if "Succeeded" in phases else []
        return not self.is_whole or any(each not in {"Succeeded", "Replacing", "Deleting"} for each in after)

    @property
    def has_begun(self) -> bool:
        """Its installation has begun once: it was in another phase than none or Pending."""
        return not self.waits or any(not each.waits for each in self.changes)

    def variable(self, name: str) -> str:
        """Value of an environment variable of the operator's containers; empty when none has it."""
        install = self.spec.install.spec if self.spec and self.spec.install else None
        for deployment in (install and install.deployments) or []:
            template = deployment.spec.template if deployment.spec else None
            for container in (template and template.spec and template.spec.containers) or []:
                for env in container.env or []:
                    if env.name == name and env.value:
                        return env.value
        return ""

    @property
    def first_succeeded(self) -> datetime | None:
        """When it first succeeded, as far as its history of phases goes back."""
        return next((each.last_transition_time for each in self.changes if each.phase == "Succeeded"), None)

    @property
    def has_succeeded(self) -> bool:
        """It was installed once; flaps afterwards, and being replaced, do not undo that."""
        if self.phase == "Succeeded" or any(each.phase == "Succeeded" for each in self.changes):
            return True
        # One that failed can be replaced as well; only of a history that has lost something nothing tells.
        return self.phase in {"Replacing", "Deleting"} and not (self.changes and self.is_whole)


class RegistryConnection(Part, frozen=True):
    """OLM's gRPC connection to the catalog's registry pod."""

    last_observed_state: str | None = None
    last_connect: datetime | None = None


class CatalogSourceStatus(Part, frozen=True):
    """Health of a catalog; `latestImageRegistryPoll` is the last attempt, not the last new content."""

    connection_state: RegistryConnection | None = None
    latest_image_registry_poll: datetime | None = None


class CatalogSource(Record, frozen=True):
    """A catalog that packages come from."""

    status: CatalogSourceStatus | None = None

    @property
    def ready(self) -> bool:
        """OLM is connected to it; IDLE, CONNECTING and TRANSIENT_FAILURE are not ready."""
        connection = self.status and self.status.connection_state
        return bool(connection and connection.last_observed_state == "READY")

    @property
    def ready_since(self) -> datetime | None:
        """When OLM last connected to it; it is rewritten with every change of the state."""
        connection = self.status and self.status.connection_state
        return connection.last_connect if connection and self.ready else None

    @property
    def last_poll(self) -> datetime | None:
        """When the catalog's image was last looked for."""
        return self.status.latest_image_registry_poll if self.status else None


class OperatorConditionSpec(Part, frozen=True):
    """What an administrator says over the operator's head; its own word counts once OLM has taken it over."""

    overrides: list[Condition] | None = None


class OperatorConditionStatus(Part, frozen=True):
    """What OLM has taken over from the spec."""

    conditions: list[Condition] | None = None


class OperatorCondition(Record, frozen=True):
    """An operator's word to OLM about itself; it has the name of the CSV and dies with it."""

    spec: OperatorConditionSpec | None = None
    status: OperatorConditionStatus | None = None

    @property
    def overrides(self) -> list[Condition]:
        """Conditions an administrator has set in place of the operator's."""
        return (self.spec and self.spec.overrides) or []

    @property
    def conditions(self) -> list[Condition]:
        """Conditions as OLM has taken them over."""
        return (self.status and self.status.conditions) or []


class CurrentVersion(Part, frozen=True):
    """What a channel's head says of itself."""

    version: str | None = None


class ChannelEntry(Part, frozen=True):
    """A version in a channel."""

    name: str | None = None
    version: str | None = None


class PackageChannel(Part, frozen=True):
    """A channel of a package; there are no upgrade edges in it."""

    name: str | None = None
    current_csv: str | None = msgspec.field(default=None, name="currentCSV")
    current_csv_desc: CurrentVersion | None = msgspec.field(default=None, name="currentCSVDesc")
    entries: list[ChannelEntry] | None = None

    @property
    def head(self) -> str:
        """Name of the newest ClusterServiceVersion."""
        return self.current_csv or ""

    @property
    def head_version(self) -> str:
        """Version of the newest ClusterServiceVersion."""
        found = (entry.version for entry in self.entries or () if entry.name == self.current_csv)
        return (self.current_csv_desc and self.current_csv_desc.version) or next(found, None) or ""


class PackageManifestStatus(Part, frozen=True):
    """What one catalog offers of one package."""

    catalog_source: str | None = None
    catalog_source_namespace: str | None = None
    package_name: str | None = None
    default_channel: str | None = None
    channels: list[PackageChannel] | None = None


class PackageManifest(Record, frozen=True):
    """A package as a catalog offers it; an aggregated API that knows no WATCH."""

    status: PackageManifestStatus | None = None

    def channel(self, name: str) -> PackageChannel | None:
        """A channel; the default one without a name."""
        wanted = name or (self.status and self.status.default_channel)
        channels = (self.status and self.status.channels) or []
        return next((each for each in channels if each.name and each.name == wanted), None)


SUBSCRIPTIONS = Resource("subscriptions", _GROUP, ("v1alpha1",), Subscription, in_operator_namespace=True)
INSTALL_PLANS = Resource("installplans", _GROUP, ("v1alpha1",), InstallPlan, in_operator_namespace=True)
CLUSTER_SERVICE_VERSIONS = Resource(
    "clusterserviceversions",
    _GROUP,
    ("v1alpha1",),
    ClusterServiceVersion,
    in_operator_namespace=True,
    # OLM copies the CSV of a global operator into every namespace.
    label_selector="!olm.copiedFrom",
)
CATALOG_SOURCES = Resource("catalogsources", _GROUP, ("v1alpha1",), CatalogSource)
OPERATOR_CONDITIONS = Resource(
    "operatorconditions", _GROUP, ("v2", "v1"), OperatorCondition, in_operator_namespace=True
)
PACKAGE_MANIFESTS = Resource(
    "packagemanifests", "packages.operators.coreos.com", ("v1",), PackageManifest, polled=True
)
