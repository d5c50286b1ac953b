"""CustomResourceDefinitions of the real server: the simulator's minimal ones, or the products' own.

With `CRD_DIR` in the environment the YAML files of that folder take the place of the minimal ones of the
same name, so that the products' own schemas validate what tests write.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.simulator.kinds import KINDS
from tests.servers.client import ApiError, Client, Object
from tests.servers.waiting import eventually

# The C parser where it is compiled in: real CRDs are megabytes of YAML.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BUILT_IN: Final = frozenset({"", "apps", "batch", "policy", "autoscaling", "storage.k8s.io"})
"""Groups that the API server serves by itself."""

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_DIGEST: Final = "tests/digest"
_CHANGED: Final = "changed since"


@dataclass(frozen=True)
class Served:
    """How a kind is served in one version."""

    group: str
    version: str
    plural: str
    namespaced: bool
    status_subresource: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Path of an object or collection."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{base}{scope}/{self.plural}" + (f"/{name}" if name else "")


@cache
def crds_in(directory: Path) -> dict[str, Object]:
    """Every CustomResourceDefinition in the folder's YAML files, by name."""
    found: dict[str, Object] = {}
    for file in sorted({*directory.glob("*.yaml"), *directory.glob("*.yml")}):
        with file.open("rb") as stream:
            for document in yaml.load_all(stream, Loader=_Loader):
                if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
                    found[document["metadata"]["name"]] = document
    return found


def default_crds() -> list[Object]:
    """One CRD for each kind that the exporter reads and the API server does not know by itself."""
    directory = os.environ.get("CRD_DIR")
    real = crds_in(Path(directory).absolute()) if directory else {}
    kinds = [kind for kind in KINDS if kind.group not in _BUILT_IN]
    return [real.get(kind.resource) or kind.crd() for kind in kinds]


def served_by(crd: Object) -> list[Served]:
    """How a CRD's kind is served, in each version."""
    spec = crd["spec"]
    return [
        Served(
            spec["group"],
            version["name"],
            spec["names"]["plural"],
            spec["scope"] == "Namespaced",
            "status" in (version.get("subresources") or {}),
        )
        for version in spec["versions"]
        if version["served"]
    ]


def _digest(crd: Object) -> str:
    return hashlib.sha256(json.dumps(crd["spec"], sort_keys=True).encode()).hexdigest()[:16]


class Crds:
    """Installs and removes CustomResourceDefinitions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def install(self, crds: Sequence[Object]) -> None:
        """Create what is missing and return when all versions are served.

        One of the same name that is different is removed first, with its objects.
        """
        present = await self.installed()
        missing = []
        for crd in crds:
            name = crd["metadata"]["name"]
            if name in present and present[name] != _digest(crd):
                await self.remove(name)
            elif name in present:
                continue
            await self._create(crd)
            missing.append(crd)
        await asyncio.gather(*(self._wait_served(crd) for crd in missing))

    async def _create(self, crd: Object) -> None:
        # A plain create: `kubectl apply` would put the whole CRD into an annotation, which large ones exceed.
        metadata = crd["metadata"]
        annotations = {**(metadata.get("annotations") or {}), _DIGEST: _digest(crd)}
        body = {
            "apiVersion": crd["apiVersion"],
            "kind": crd["kind"],
            "metadata": {
                "name": metadata["name"],
                "labels": metadata.get("labels") or {},
                "annotations": annotations,
            },
            "spec": crd["spec"],
        }
        await self._client.request("POST", _CRDS, body)

    async def installed(self) -> dict[str, str]:
        """What is installed, by name, with what tells one from another of the same name."""
        # The whole CRDs are megabytes.
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        answer = await self._client.request("GET", _CRDS, headers=accept)
        found = {}
        for item in answer["items"] or ():  # of nothing, this kind of list says null
            metadata = item["metadata"]
            # Every change of a CRD's specification counts its generation up.
            unchanged = metadata.get("generation") == 1
            digest = (metadata.get("annotations") or {}).get(_DIGEST, "")
            found[metadata["name"]] = digest if unchanged else _CHANGED
        return found

    async def remove(self, name: str) -> None:
        """Delete a CRD with its objects; returns when discovery and paths know it no more."""
        crd = await self._client.request("GET", f"{_CRDS}/{name}")
        await self._client.request("DELETE", f"{_CRDS}/{name}")

        async def gone() -> bool:
            if await self._client.find(f"{_CRDS}/{name}") is not None:
                return False
            for served in served_by(crd):
                if await self._answers(served) or await self._discovered(served):
                    return False
            return True

        await eventually(gone, f"{name} gone", timeout=30)

    async def _wait_served(self, crd: Object) -> None:
        name = crd["metadata"]["name"]

        async def served() -> bool:
            # The paths answer only when the CRD is Established; the CRD itself is too large to ask often.
            for each in served_by(crd):
                if not (await self._answers(each) and await self._discovered(each)):
                    return False
            return True

        try:
            await eventually(served, f"{name} served", timeout=60, poll=0.1)
        except TimeoutError as error:
            status = (await self._client.request("GET", f"{_CRDS}/{name}")).get("status")
            raise TimeoutError(f"{error}; its status is {json.dumps(status)}") from None

    async def _answers(self, served: Served) -> bool:
        try:
            return await self._client.find(served.path(), params={"limit": "1"}) is not None
        except ApiError as error:
            if error.status in {429, 500, 503}:  # its storage is being set up or torn down
                return False
            raise

    async def _discovered(self, served: Served) -> bool:
        """Whether discovery names the resource: in its group and in its version."""
        group = await self._client.find(f"/apis/{served.group}")
        if group is None or served.version not in {each["version"] for each in group["versions"]}:
            return False
        version: Any = await self._client.find(f"/apis/{served.group}/{served.version}")
        return version is not None and served.plural in {each["name"] for each in version["resources"]}
