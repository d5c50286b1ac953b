"""The contract on a real kube-apiserver, with a faulty proxy in front of it.

The exporter is a ServiceAccount that may list and watch what it reads and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exporter.facts import RESOURCES
from exporter.kube.credentials import Connection
from exporter.simulator.faults import Faults
from exporter.simulator.kinds import BY_KIND, BY_PLURAL
from exporter.simulator.proxy import FaultyProxy
from tests.servers.crds import default_crds
from tests.servers.kube_apiserver import KubeApiServer, User
from tests.servers.real_cluster import RealCluster, clean_cluster

NAMESPACE = "virt-upgrade-exporter"
WATCHED = ("list", "watch")
POLLED = ("list",)
REMEMBERED = ("get", "create", "patch")


class RealBackend:
    """A real API server behind a proxy of its own for each test."""

    name = "kube-apiserver"

    def __init__(self, cluster: RealCluster, proxy: FaultyProxy, user: User) -> None:
        self.cluster = cluster
        self._proxy = proxy
        self._user = user

    @property
    def faults(self) -> Faults:
        return self._proxy.faults

    @property
    def connection(self) -> Connection:
        return Connection(self._proxy.url, authorization=f"Bearer {self._user.token}")

    def kubeconfig(self, path: Path, *, token_file: Path | None = None) -> Path:
        return self.cluster.kubeconfig(
            path, token=self._user.token, token_file=token_file, server=self._proxy.url
        )

    async def apply(self, obj: dict[str, Any]) -> object:
        return await self.cluster.apply(obj)

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        api_version = BY_KIND[kind].api_version()
        await self.cluster.delete(api_version, kind, name, namespace)
        return None

    async def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        return await self.cluster.get(BY_KIND[kind].api_version(), kind, name, namespace)

    async def expire_versions(self) -> None:
        await self.cluster.expire_versions()

    async def expire_pages(self) -> None:
        await self.cluster.expire_pages()

    async def stop(self) -> None:
        await self.cluster.stop()

    async def start(self) -> None:
        await self.cluster.start()

    async def remove_kind(self, plural: str) -> None:
        await self.cluster.remove_crd(BY_PLURAL[plural].resource)

    async def add_kind(self, plural: str) -> None:
        name = BY_PLURAL[plural].resource
        await self.cluster.install_crds([crd for crd in default_crds() if crd["metadata"]["name"] == name])

    async def forbid(self, plural: str) -> None:
        await self.cluster.forbid(self._user, BY_PLURAL[plural].resource)

    async def permit(self, plural: str) -> None:
        verbs = WATCHED if BY_PLURAL[plural].watchable else POLLED
        await self.cluster.allow(self._user, BY_PLURAL[plural].resource, verbs)

    async def forbid_memory(self, *verbs: str) -> None:
        await self.cluster.forbid(self._user, "configmaps", verbs, namespace=NAMESPACE)

    async def permit_memory(self) -> None:
        await self.cluster.allow(self._user, "configmaps", REMEMBERED, namespace=NAMESPACE)

    async def rotate_token(self) -> str:
        # A token is good for one life of its ServiceAccount.
        await self.cluster.delete("v1", "ServiceAccount", "exporter", NAMESPACE)
        self._user = await self.cluster.service_account(NAMESPACE, "exporter")
        return self._user.token


@asynccontextmanager
async def real_backend(api: KubeApiServer) -> AsyncIterator[RealBackend]:
    """A clean cluster on a running server."""
    async with clean_cluster(api) as cluster, FaultyProxy(api.url, tls=api.ssl_context()) as proxy:
        user = await cluster.service_account(NAMESPACE, "exporter")
        for verbs, polled in ((WATCHED, False), (POLLED, True)):
            readable = [BY_PLURAL[each.plural].resource for each in RESOURCES if each.polled is polled]
            await cluster.allow(user, readable, verbs)
        await cluster.allow(user, "configmaps", REMEMBERED, namespace=NAMESPACE)
        yield RealBackend(cluster, proxy, user)
