"""etcd: the store behind the API server, with the side doors that tests need.

The v3 JSON gateway lets a test write what no client of the Kubernetes API may: times in the past.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.process import Server, http_json
from tests.tools.binaries import path_of


def _encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _end_of(prefix: str) -> str:
    """The first key behind all keys with this prefix."""
    raw = prefix.encode()
    return _encode(raw[:-1] + bytes([raw[-1] + 1]))


@dataclass(frozen=True)
class Entry:
    """One stored key."""

    key: str
    value: bytes
    revision: int

    @property
    def object(self) -> dict[str, Any]:
        """The value as the JSON object that it is."""
        decoded: dict[str, Any] = json.loads(self.value)
        return decoded


class Etcd(Server):
    """One member, forgetful: nothing is synced to disk."""

    name: ClassVar[str] = "etcd"

    def __init__(self, program: Path | None = None) -> None:
        super().__init__()
        self._program = program

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"http://127.0.0.1:{self.port()}"

    def _command(self) -> list[str]:
        peer = f"http://127.0.0.1:{self.port('peer')}"
        return [
            str(self._program or path_of("etcd")),
            "--name=test",
            f"--data-dir={self.directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=test={peer}",
            # A crash of the machine would cost the data of a test run: none.
            "--unsafe-no-fsync",
            # The only member elects itself; by default it takes a second to dare.
            "--heartbeat-interval=10",
            "--election-timeout=100",
            "--log-level=warn",
        ]

    def _ready(self) -> bool:
        health = http_json(f"{self.url}/health", timeout=2)
        return isinstance(health, dict) and health.get("health") == "true"

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request to the JSON gateway; blocking, for a few milliseconds."""
        answer = http_json(f"{self.url}/v3/{path}", body)
        if not isinstance(answer, dict):
            raise TypeError(f"etcd answers {path} with {answer!r}")
        return answer

    async def revision(self) -> int:
        """The current revision: the resourceVersion of the newest write."""
        return await asyncio.to_thread(self._revision)

    def _revision(self) -> int:
        answer = self.call("kv/range", {"key": _encode("/"), "keys_only": True})
        return int(answer["header"]["revision"])

    async def get(self, key: str) -> Entry | None:
        """What is stored under the key."""
        answer = await asyncio.to_thread(self.call, "kv/range", {"key": _encode(key)})
        for each in answer.get("kvs", ()):
            return Entry(key, base64.b64decode(each["value"]), int(each["mod_revision"]))
        return None

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin like this."""
        body = {"key": _encode(prefix), "range_end": _end_of(prefix), "keys_only": True}
        answer = await asyncio.to_thread(self.call, "kv/range", body)
        return [base64.b64decode(each["key"]).decode() for each in answer.get("kvs", ())]

    async def put(self, key: str, obj: dict[str, Any]) -> int:
        """Store an object; the revision of that write."""
        value = _encode(json.dumps(obj, separators=(",", ":")))
        answer = await asyncio.to_thread(self.call, "kv/put", {"key": _encode(key), "value": value})
        return int(answer["header"]["revision"])

    async def delete(self, key: str) -> int:
        """Remove one key; how many there were."""
        answer = await asyncio.to_thread(self.call, "kv/deleterange", {"key": _encode(key)})
        return int(answer.get("deleted", 0))

    async def delete_prefix(self, prefix: str) -> int:
        """Remove all keys that begin like this; how many there were."""
        body = {"key": _encode(prefix), "range_end": _end_of(prefix)}
        answer = await asyncio.to_thread(self.call, "kv/deleterange", body)
        return int(answer.get("deleted", 0))

    async def compact(self, revision: int | None = None) -> int:
        """Forget all history before the revision, by default the newest; that revision.

        Kubernetes' own compactor announces its work under a key that API servers watch to drop what they
        keep for page tokens; so does this.
        """
        target = revision if revision is not None else await self.revision()
        announced = {"key": _encode("compact_rev_key"), "value": _encode(str(target))}
        await asyncio.to_thread(self.call, "kv/put", announced)
        await asyncio.to_thread(self.call, "kv/compaction", {"revision": str(target), "physical": True})
        return target
