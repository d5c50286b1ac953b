"""What the contract tests need of an API server, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from exporter.kube.credentials import Connection
from exporter.simulator.faults import Faults


class Backend(Protocol):
    """An API server that stories can be told to and that can be made to misbehave."""

    name: str

    @property
    def faults(self) -> Faults:
        """Switches between the exporter and the server."""

    @property
    def connection(self) -> Connection:
        """The way to the server through the faults."""

    def kubeconfig(self, path: Path, *, token_file: Path | None = None) -> Path:
        """Write a kubeconfig for the same way."""

    async def apply(self, obj: dict[str, Any]) -> object:
        """Create or replace an object, with its status and given times."""

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        """Delete an object."""

    async def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """An object as it is stored."""

    async def expire_versions(self) -> None:
        """Make every resourceVersion handed out so far too old to resume at, and end all watches."""

    async def expire_pages(self) -> None:
        """Make every page token handed out so far too old."""

    async def stop(self) -> None:
        """Stop the server."""

    async def start(self) -> None:
        """Start it again, with what it held."""

    async def remove_kind(self, plural: str) -> None:
        """Delete the CustomResourceDefinition."""

    async def add_kind(self, plural: str) -> None:
        """Create the CustomResourceDefinition again."""

    async def forbid(self, plural: str) -> None:
        """Take away the permission to list and watch a resource."""

    async def permit(self, plural: str) -> None:
        """Give it back."""

    async def forbid_memory(self, *verbs: str) -> None:
        """Take away verbs on the ConfigMaps in which is remembered; get, create and patch are permitted."""

    async def permit_memory(self) -> None:
        """Give them back."""

    async def rotate_token(self) -> str:
        """Accept a new token only; the new token."""
