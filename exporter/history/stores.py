"""Where memories are kept: a ConfigMap in a cluster, a file elsewhere.

A store holds a handful of named texts. Every write names the version it was made from and is refused when
somebody else has written since, so nothing is ever overwritten unread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from exporter.kube.client import FAILURES, MERGE_PATCH, Client
from exporter.kube.errors import ApiError, os_reason

ENTRY: Final = "history.json"
"""Name of the text that holds the history."""

SIZE_LIMIT: Final = 900_000
"""Bytes of all texts together; the API server takes about a million in one ConfigMap."""

_TIMEOUT_SECONDS: Final = 10.0


class StoreError(Exception):
    """The store cannot be read or written now; the text says why."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing
        """It is likely to be different in a moment: an outage, not a refusal."""


class Conflict(Exception):
    """Somebody else has written in the meantime: read again."""


@dataclass(frozen=True)
class Kept:
    """What a store holds."""

    texts: Mapping[str, str]
    version: str
    """Names this state of the store; empty while there is nothing."""


class Store(Protocol):
    """A place for a handful of texts."""

    def __str__(self) -> str:
        """Where it is, for a person."""

    async def read(self) -> Kept:
        """Everything it holds.

        Raises:
            StoreError: it cannot be read now.
        """

    async def write(self, texts: Mapping[str, str], version: str) -> str:
        """Put these texts in the place of the version they were made from; the new version.

        Raises:
            Conflict: the store is at another version.
            StoreError: it cannot be written now.
        """


class MemoryStore:
    """Keeps texts as long as the process lives."""

    def __init__(self) -> None:
        self._kept = Kept({}, "")
        self.writes = 0

    def __str__(self) -> str:
        return "memory"

    async def read(self) -> Kept:
        """Everything it holds."""
        return self._kept

    async def write(self, texts: Mapping[str, str], version: str) -> str:
        """Put these texts in the place of the version they were made from."""
        if version != self._kept.version:
            raise Conflict
        self.writes += 1
        self._kept = Kept(dict(texts), str(self.writes))
        return self._kept.version


class FileStore:
    """One JSON file, replaced as a whole; several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return f"the file {self._path}"

    def check(self) -> None:
        """Find out whether it can be used, before anything depends on it.

        Raises:
            StoreError: it cannot be read or written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                self._path.read_bytes()
            self._draft.touch()
            self._draft.unlink()
        except OSError as error:
            raise StoreError(f"{self} cannot be used: {os_reason(error)}") from error

    @property
    def _draft(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{os.getpid()}")

    async def read(self) -> Kept:
        """Everything it holds."""
        try:
            return _kept(self._path.read_bytes())
        except FileNotFoundError:
            return Kept({}, "")
        except OSError as error:
            raise StoreError(f"{self} cannot be read: {os_reason(error)}") from error

    async def write(self, texts: Mapping[str, str], version: str) -> str:
        """Put these texts in the place of the version they were made from."""
        body = msgspec.json.format(msgspec.json.encode(dict(texts)), indent=1)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if (await self.read()).version != version:
                    raise Conflict
                self._replace(body)
        except OSError as error:
            raise StoreError(f"{self} cannot be written: {os_reason(error)}") from error
        return _kept(body).version

    def _replace(self, body: bytes) -> None:
        draft = self._draft
        try:
            with draft.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)


def _kept(body: bytes) -> Kept:
    version = hashlib.sha256(body).hexdigest()
    try:
        return Kept(msgspec.json.decode(body, type=dict[str, str]), version)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # No file of ours; what reads the history will set it aside as one text.
        return Kept({ENTRY: body.decode(errors="backslashreplace")} if body else {}, version)


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _ConfigMap(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] | None = None


_DECODER: Final = msgspec.json.Decoder(_ConfigMap)


class ConfigMapStore:
    """One ConfigMap; the API server refuses a write that was made from an older resourceVersion.

    What others have put into it, labels of whoever installed it for instance, stays.
    """

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"

    def __str__(self) -> str:
        return f"the ConfigMap {self._namespace}/{self._name}"

    async def read(self) -> Kept:
        """Everything it holds."""
        try:
            return self._decode(
                await self._client.get(f"{self._collection}/{self._name}", {}, read_timeout=_TIMEOUT_SECONDS)
            )
        except ApiError as error:
            if error.absent:
                return Kept({}, "")
            raise self._error("read", error) from error
        except FAILURES as error:
            raise self._error("read", error) from error

    async def write(self, texts: Mapping[str, str], version: str) -> str:
        """Put these texts in the place of the version they were made from."""
        head = {"apiVersion": "v1", "kind": "ConfigMap", "data": dict(texts)}
        if version:
            method, path, kind = "PATCH", f"{self._collection}/{self._name}", MERGE_PATCH
            metadata = {"resourceVersion": version}
        else:
            method, path, kind = "POST", self._collection, "application/json"
            metadata = {"name": self._name, "namespace": self._namespace}
        body = msgspec.json.encode({**head, "metadata": metadata})
        try:
            answer = await self._client.send(method, path, body, kind, read_timeout=_TIMEOUT_SECONDS)
        except ApiError as error:
            # 404: it was deleted since we read it.
            if error.code == 409 or (version and error.absent):
                raise Conflict from error
            raise self._error("written", error) from error
        except FAILURES as error:
            raise self._error("written", error) from error
        return self._decode(answer).version

    def _error(self, what: str, error: Exception) -> StoreError:
        refused = isinstance(error, ApiError) and error.from_api and error.code < 500 and not error.throttled
        return StoreError(f"{self} cannot be {what}: {error}", passing=not refused)

    def _decode(self, body: bytes) -> Kept:
        try:
            found = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{self} cannot be read: the answer is no ConfigMap: {error}") from error
        return Kept(found.data or {}, found.metadata.resource_version)
