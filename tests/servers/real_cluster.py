"""What tests do to a cluster, on a real API server: objects, CRDs, permissions, history.

Objects reach the exporter as they do in a real cluster, through LIST and WATCH of kube-apiserver. Only
what the API forbids everybody, such as a creationTimestamp in the past, goes into etcd directly.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from tests.servers.client import ApiError, Client, Object
from tests.servers.crds import Crds, Served, default_crds
from tests.servers.kube_apiserver import KubeApiServer, User
from tests.servers.permissions import PREFIX, READ, Permissions, split_resource

_SET_BY_SERVER: Final = (
    "creationTimestamp",
    "managedFields",
    "uid",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""Metadata that the API overwrites or drops."""

_HISTORY: Final = ("creationTimestamp", "managedFields", "deletionTimestamp")
"""Of these, what makes an object go into etcd directly; the others are then taken over with it."""

_SYSTEM_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})

_STORED_AS: Final = {"nodes": "minions", "services": "services/specs", "endpoints": "services/endpoints"}
"""Where kube-apiserver keeps built-in kinds that are not stored under their plural."""

_EMPTY_AT_FIRST: Final = {
    "minions": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "persistentvolumeclaims": "/api/v1/persistentvolumeclaims",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "events": "/api/v1/events",
    "secrets": "/api/v1/secrets",
    "serviceaccounts": "/api/v1/serviceaccounts",
    "storageclasses": "/apis/storage.k8s.io/v1/storageclasses",
    "jobs": "/apis/batch/v1/jobs",
    "deployments": "/apis/apps/v1/deployments",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "replicasets": "/apis/apps/v1/replicasets",
    "poddisruptionbudgets": "/apis/policy/v1/poddisruptionbudgets",
}
"""Built-in kinds of which a fresh server holds no object: where stored, and where served."""

_PARTLY_SYSTEM: Final = {
    "configmaps": "/api/v1/configmaps",
    "leases": "/apis/coordination.k8s.io/v1/leases",
}
"""Kinds of which the server keeps objects of its own, in system namespaces."""


class RealCluster:
    """Administrator of a real API server for one test; an asynchronous context manager."""

    def __init__(self, api: KubeApiServer) -> None:
        self.api = api
        self.etcd = api.etcd
        self.client = Client(api)
        self._crds = Crds(self.client)
        self._permissions = Permissions(self.client)
        self._kinds: dict[tuple[str, str], Served] = {}
        self._namespaces: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the server, which goes on."""
        await self.client.close()

    @property
    def url(self) -> str:
        """Address of the API."""
        return self.api.url

    def kubeconfig(self, path: Path, *, token: str | None = None, **more: Any) -> Path:
        """Write a kubeconfig: of the administrator, or with this token; see `KubeApiServer.kubeconfig`."""
        return self.api.kubeconfig(path, token=token, **more)

    # The server

    async def stop(self) -> None:
        """Stop the API server; etcd goes on."""
        await self.close()
        await self.api.stop()

    async def start(self) -> None:
        """Start it again on the same port."""
        await self.api.start()

    async def restart(self) -> None:
        """Restart the API server: same objects and resourceVersions, empty watch cache."""
        await self.stop()
        await self.start()

    # Kinds

    async def install_crds(self, crds: Sequence[Object] | None = None) -> None:
        """Create these CRDs, by default those of all kinds the exporter reads; returns when they are served.

        A CRD of the same name that is different is removed first, with its objects.
        """
        await self._crds.install(default_crds() if crds is None else crds)
        self._kinds.clear()

    async def remove_crd(self, name: str) -> None:
        """Delete a CRD with its objects; returns when the server knows it no more."""
        await self._crds.remove(name)
        self._kinds.clear()

    async def crd_names(self) -> set[str]:
        """Names of the installed CRDs."""
        return set(await self._crds.installed())

    async def served(self, api_version: str, kind: str) -> Served:
        """How the server serves a kind.

        Raises:
            LookupError: it does not.
        """
        if (api_version, kind) not in self._kinds:
            group, _, version = api_version.rpartition("/")
            document = await self.client.find(f"/apis/{api_version}" if group else f"/api/{version}")
            resources = document["resources"] if document else []
            names = {each["name"] for each in resources}
            for each in resources:
                name = each["name"]
                if "/" not in name:
                    served = Served(group, version, name, each["namespaced"], f"{name}/status" in names)
                    self._kinds[api_version, each["kind"]] = served
        try:
            return self._kinds[api_version, kind]
        except KeyError:
            raise LookupError(f"the server does not serve {api_version} {kind}") from None

    # Objects

    async def namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        if name in self._namespaces or name in _SYSTEM_NAMESPACES:
            return
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        try:
            await self.client.request("POST", "/api/v1/namespaces", body)
        except ApiError as error:
            if error.status != 409:
                raise
        self._namespaces.add(name)

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, or None."""
        served = await self.served(api_version, kind)
        return await self.client.find(served.path(namespace, name))

    async def list(self, api_version: str, kind: str, namespace: str = "") -> builtins.list[Object]:
        """All objects of a kind, in one namespace or in all."""
        served = await self.served(api_version, kind)
        answer = await self.client.request("GET", served.path(namespace))
        items: builtins.list[Object] = answer["items"]
        return items

    async def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object without grace period; finalizers hold it, one that is missing is no error."""
        served = await self.served(api_version, kind)
        try:
            # A Job would otherwise wait for a controller that takes its pods from it.
            params = {"gracePeriodSeconds": "0", "propagationPolicy": "Background"}
            await self.client.request("DELETE", served.path(namespace, name), params=params)
        except ApiError as error:
            if error.status != 404:
                raise

    async def apply(self, obj: Object) -> Object:
        """Create or replace an object with its status; what the server then holds.

        Times in metadata (creationTimestamp, managedFields, deletionTimestamp) are honoured, together with
        a uid and generation beside them. Such an object arrives as one event, status and times included.
        """
        served = await self.served(obj["apiVersion"], obj["kind"])
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "") if served.namespaced else ""
        if served.namespaced and not namespace:
            raise ValueError(f"{obj['kind']} {metadata['name']} is namespaced and names no namespace")
        if namespace:
            await self.namespace(namespace)
        if any(metadata.get(field) for field in _HISTORY):
            return await self._write_history(served, namespace, obj)
        stored = await self._replace(served, namespace, _sendable(obj))
        # A write that changes nothing would make no event, but cost a request.
        if served.status_subresource and "status" in obj and stored.get("status") != obj["status"]:
            stored = await self._put_status(served, namespace, stored, obj["status"])
        return stored

    async def _replace(
        self, served: Served, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        params = {"dryRun": "All"} if dry_run else None
        path = served.path(namespace, body["metadata"]["name"])
        present = await self.client.find(path)
        if present is None:
            return await self.client.request("POST", served.path(namespace), body, params=params)
        # Custom resources cannot be replaced without it.
        version = present["metadata"]["resourceVersion"]
        versioned = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        if body["kind"] == "Job":
            # What a Job runs is completed by the server, and cannot be changed any more.
            versioned["spec"] = present["spec"]
        return await self.client.request("PUT", path, versioned, params=params)

    async def _put_status(
        self, served: Served, namespace: str, stored: Object, status: object, *, dry_run: bool = False
    ) -> Object:
        path = f"{served.path(namespace, stored['metadata']['name'])}/status"
        params = {"dryRun": "All"} if dry_run else None
        return await self.client.request("PUT", path, {**stored, "status": status}, params=params)

    async def _write_history(self, served: Served, namespace: str, obj: Object) -> Object:
        """Write an object with metadata that the API would overwrite.

        The API says, without storing it, what it would store; that is completed and put into etcd in one
        write. Creating the object first would show it to every watcher as it never was: just created, or
        old and without status. The price is that nobody checks the status of a new object: the API checks
        the status of existing ones only, and tolerates what is wrong in them already. See `validate`.
        """
        name = obj["metadata"]["name"]
        content = await self._replace(served, namespace, _sendable(obj), dry_run=True)
        key = await self.storage_key(served, namespace, name)
        before = await self.etcd.get(key)
        if "status" in obj:
            content["status"] = obj["status"]
            if before and served.status_subresource:
                checked = await self._put_status(served, namespace, content, obj["status"], dry_run=True)
                content["status"] = checked.get("status")
        given = {field: obj["metadata"][field] for field in _SET_BY_SERVER if field in obj["metadata"]}
        content["metadata"] = {**content["metadata"], **given}
        content["metadata"].pop("resourceVersion", None)  # is etcd's revision, never stored
        revision = await self.etcd.put(key, content)
        try:
            now = await self.client.find(served.path(namespace, name))
            if now is None or int(now["metadata"]["resourceVersion"]) < revision:
                raise AssertionError(f"{key} is not where the server keeps {served.plural}")
        except BaseException:
            await (self.etcd.put(key, before.object) if before else self.etcd.delete(key))
            raise
        return now

    async def validate(self, obj: Object) -> None:
        """Have the API check an object with its status; an object of that name must not exist.

        Watchers see it come and go: not for a cluster that an exporter is watching.

        Raises:
            ApiError: the server refuses it.
        """
        served = await self.served(obj["apiVersion"], obj["kind"])
        plain = _sendable(obj)
        try:
            await self.apply(plain)
        finally:
            key = await self.storage_key(
                served, plain["metadata"].get("namespace", ""), plain["metadata"]["name"]
            )
            await self.etcd.delete(key)

    async def storage_key(self, served: Served, namespace: str, name: str) -> str:
        """Where etcd holds an object."""
        custom = f"{served.plural}.{served.group}" in await self._custom()
        kind = f"{served.group}/{served.plural}" if custom else _STORED_AS.get(served.plural, served.plural)
        return "/registry/" + "/".join(filter(None, (kind, namespace, name)))

    async def _custom(self) -> set[str]:
        """Names of the CRDs, read where that is fastest."""
        prefix = "/registry/apiextensions.k8s.io/customresourcedefinitions/"
        return {key.removeprefix(prefix) for key in await self.etcd.keys(prefix)}

    async def wipe(self) -> None:
        """Remove every object, namespace and permission that tests made; the CRDs stay.

        Straight in etcd, one request for each kind: watchers see ordinary deletions, and no finalizer waits
        for a controller that does not run.
        """
        wiped: set[str] = set()
        for name in await self._custom():
            plural, group = split_resource(name)
            if await self.etcd.delete_prefix(f"/registry/{group}/{plural}/"):
                versions = (await self.client.request("GET", f"/apis/{group}"))["versions"]
                wiped |= {f"/apis/{group}/{each['version']}/{plural}" for each in versions}
        for stored, path in _EMPTY_AT_FIRST.items():
            if await self.etcd.delete_prefix(f"/registry/{stored}/"):
                wiped.add(path)
        for stored, path in _PARTLY_SYSTEM.items():
            for key in await self.etcd.keys(f"/registry/{stored}/"):
                if key.split("/")[3] not in _SYSTEM_NAMESPACES - {"default"}:
                    await self.etcd.delete(key)
                    wiped.add(path)
        for key in await self.etcd.keys("/registry/namespaces/"):
            if key.rpartition("/")[2] not in _SYSTEM_NAMESPACES:
                await self.etcd.delete(key)
                wiped.add("/api/v1/namespaces")
        await self._wipe_permissions()
        await asyncio.gather(*(self._caught_up(path) for path in wiped))
        self._namespaces.clear()

    async def _wipe_permissions(self) -> None:
        for plural in ("clusterrolebindings", "clusterroles"):
            await self.etcd.delete_prefix(f"/registry/{plural}/{PREFIX}")
        for plural in ("rolebindings", "roles"):
            for key in await self.etcd.keys(f"/registry/{plural}/"):
                if key.rpartition("/")[2].startswith(PREFIX):
                    await self.etcd.delete(key)
        self._permissions.forget()

    async def _caught_up(self, path: str) -> None:
        """Wait until the watch cache behind a path is as new as etcd.

        A LIST without resourceVersion is answered only then, one with resourceVersion 0 at any time: a
        reflector that starts right after the wipe must not be handed what the last test left.
        """
        await self.client.find(path, params={"limit": "1"})

    # History

    async def compact(self) -> int:
        """Make etcd forget its history; the oldest revision that can still be read.

        The API server goes on serving watches from its watch cache, which knows the last events of each
        kind: see `expire_versions`.
        """
        return await self.etcd.compact()

    async def expire_versions(self) -> None:
        """Make every resourceVersion handed out so far too old to watch from; ends all watches."""
        await self.stop()
        await self.expire_pages()
        await self.start()

    async def expire_pages(self) -> None:
        """Make every page token handed out so far too old; watches go on."""
        await self.etcd.put("/test/revision", {})  # the newest revision would survive
        await self.compact()

    # Permissions

    def user(self) -> User:
        """Somebody new, with a valid token and no permission."""
        return self.api.mint()

    async def service_account(self, namespace: str, name: str, *, expires: int = 3600) -> User:
        """A ServiceAccount, created when it is missing, with a fresh token that is good for so many seconds.

        The server's shortest is 600.
        """
        await self.namespace(namespace)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if await self.client.find(f"{path}/{name}") is None:
            await self.client.request("POST", path, {"metadata": {"name": name}})
        answer = await self.client.request(
            "POST", f"{path}/{name}/token", {"spec": {"expirationSeconds": expires}}
        )
        return User(f"system:serviceaccount:{namespace}:{name}", answer["status"]["token"])

    async def allow(
        self,
        user: User | str,
        resources: str | Iterable[str],
        verbs: Iterable[str] = READ,
        *,
        namespace: str | None = None,
    ) -> None:
        """Permit verbs on resources (`pods`, `subscriptions.operators.coreos.com`).

        Returns when that is effective.
        """
        if namespace:
            await self.namespace(namespace)
        await self._permissions.allow(user, resources, verbs, namespace or "")

    async def forbid(
        self,
        user: User | str,
        resources: str | Iterable[str],
        verbs: Iterable[str] | None = None,
        *,
        namespace: str | None = None,
    ) -> None:
        """Take back what `allow` gave, all verbs or these; returns when that is effective.

        A watch that is open goes on: that is what real servers do.
        """
        await self._permissions.forbid(user, resources, verbs, namespace or "")


@asynccontextmanager
async def clean_cluster(api: KubeApiServer) -> AsyncIterator[RealCluster]:
    """A cluster as a test expects it, on a server that others have used before.

    Cleaned before the test, not after: what a test leaves, interrupted or not, is never the next one's.
    """
    await api.start()
    async with RealCluster(api) as cluster:
        await cluster.wipe()
        wanted = default_crds()
        for name in await cluster.crd_names() - {crd["metadata"]["name"] for crd in wanted}:
            await cluster.remove_crd(name)
        await cluster.install_crds(wanted)
        yield cluster


def _sendable(obj: Object) -> Object:
    """The object without what only the server sets."""
    unwanted = {*_SET_BY_SERVER, "resourceVersion", "selfLink"}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in unwanted}
    return {**obj, "metadata": metadata}
