"""The contract on the simulated API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import yaml

from exporter.kube.credentials import Connection
from exporter.simulator.faults import Fault, Faults, Verb, refusal
from exporter.simulator.kinds import BY_KIND, BY_PLURAL
from exporter.simulator.server import ApiServer, ServerSettings
from exporter.simulator.storage import NotFound, Storage


class SimulatedBackend:
    """A simulated API server of its own for each test."""

    name = "simulator"

    def __init__(self, server: ApiServer, tokens: set[str]) -> None:
        self._server = server
        self._tokens = tokens
        self._token = "first"
        self._forbidden: dict[str, Fault] = {}

    @property
    def faults(self) -> Faults:
        return self._server.faults

    @property
    def connection(self) -> Connection:
        return Connection(self._server.url, authorization=f"Bearer {self._token}")

    def kubeconfig(self, path: Path, *, token_file: Path | None = None) -> Path:
        user = {"tokenFile": str(token_file)} if token_file else {"token": self._token}
        path.write_text(yaml.safe_dump(kubeconfig(self._server.url, user)))
        return path

    async def apply(self, obj: dict[str, Any]) -> object:
        return self._server.storage.apply(obj)

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        return self._server.storage.delete(kind, namespace, name)

    async def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        try:
            stored = self._server.storage.get(BY_KIND[kind].plural, namespace, name)
        except NotFound:
            return None
        found: dict[str, Any] = msgspec.json.decode(stored.body)
        return found

    async def expire_versions(self) -> None:
        await self._server.stop()
        self._server.storage.compact()
        await self._server.start()

    async def expire_pages(self) -> None:
        self._server.storage.compact()

    async def stop(self) -> None:
        await self._server.stop()

    async def start(self) -> None:
        await self._server.start()

    async def remove_kind(self, plural: str) -> None:
        self._server.storage.remove_kind(plural)

    async def add_kind(self, plural: str) -> None:
        self._server.storage.add_kind(BY_PLURAL[plural])

    async def forbid(self, plural: str) -> None:
        action = refusal(403, "Forbidden", f"{plural} is forbidden: User cannot list resource")
        self._forbidden[plural] = self.faults.add(action, resource=plural)

    async def permit(self, plural: str) -> None:
        self.faults.remove(self._forbidden.pop(plural))

    async def forbid_memory(self, *verbs: str) -> None:
        asked = tuple({Verb.GET if verb == "get" else Verb.WRITE for verb in verbs})
        action = refusal(403, "Forbidden", "configmaps is forbidden: User cannot do that")
        self._forbidden["configmaps"] = self.faults.add(action, resource="configmaps", verbs=asked)

    async def permit_memory(self) -> None:
        await self.permit("configmaps")

    async def rotate_token(self) -> str:
        self._tokens.clear()
        self._token = f"token-{uuid4()}"
        self._tokens.add(self._token)
        return self._token


def kubeconfig(server: str, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> dict[str, Any]:
    """A kubeconfig of one cluster and one user."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


@asynccontextmanager
async def simulated_backend() -> AsyncIterator[SimulatedBackend]:
    """A started simulated API server."""
    tokens = {"first"}
    storage = Storage(clock=lambda: datetime.now(UTC))
    async with ApiServer(storage, ServerSettings(tokens=tokens, bookmark_interval=0.2)) as server:
        yield SimulatedBackend(server, tokens)
