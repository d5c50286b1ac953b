"""Objects into a real API server, faster than its API takes them: straight into etcd.

The API server sees them as it sees what another API server of the same cluster writes, so its watches and
lists are the real ones. One put an object: a transaction of many would give them one resourceVersion.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import Lock, local
from typing import Any, Final

import msgspec

from exporter.simulator.kinds import BY_KIND, KINDS
from exporter.simulator.objects import ApiObject
from tests.servers import ApiError, KubeApiServer, RealCluster, eventually

_WRITERS: Final = 4
_BATCH: Final = 50
_BUILT_IN: Final = frozenset({"", "apps", "batch", "policy", "storage.k8s.io"})


class Loader:
    """Writes objects into one server's etcd."""

    def __init__(self, api: KubeApiServer, bases: dict[str, str]) -> None:
        """With the key of each kind's collection; see `prepared`."""
        self._api = api
        self._bases = bases
        self._connections = local()

    def put(self, obj: ApiObject) -> None:
        """Write one object.

        Raises:
            OSError: etcd refuses it.
        """
        metadata = obj["metadata"]
        parts = (self._bases[obj["kind"]], metadata.get("namespace", ""), metadata["name"])
        body = json.dumps(
            {
                "key": base64.b64encode("/".join(filter(None, parts)).encode()).decode(),
                "value": base64.b64encode(msgspec.json.encode(obj)).decode(),
            }
        )
        connection = getattr(self._connections, "etcd", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._api.etcd.port(), timeout=60)
            self._connections.etcd = connection
        connection.request("POST", "/v3/kv/put", body)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise OSError(f"etcd answers {answer.status}: {said[:300]!r}")

    def load(self, objects: Iterable[ApiObject]) -> int:
        """Write many with several writers; how many."""
        remaining, lock = iter(objects), Lock()

        def write() -> int:
            written = 0
            while True:
                with lock:
                    batch = list(islice(remaining, _BATCH))
                if not batch:
                    return written
                for obj in batch:
                    self.put(obj)
                written += len(batch)

        with ThreadPoolExecutor(_WRITERS) as pool:
            return sum(writer.result() for writer in [pool.submit(write) for _ in range(_WRITERS)])

    def paced(self, objects: Iterable[ApiObject], rate: float) -> float:
        """Write that many a second; the seconds it took."""
        began = time.monotonic()
        for number, obj in enumerate(objects):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.put(obj)
        return time.monotonic() - began


async def prepared(api: KubeApiServer) -> Loader:
    """A loader of a server that serves all kinds, each stored under its first version."""
    async with RealCluster(api) as cluster:
        await cluster.install_crds()
        bases = {}
        for kind in KINDS:
            served = await cluster.served(kind.api_version(), kind.kind)
            bases[kind.kind] = await cluster.storage_key(served, "", "")
        return Loader(api, bases)


async def wait_served(api: KubeApiServer, objects: dict[str, int]) -> None:
    """Wait until the server's lists hold so many objects of each resource."""
    async with RealCluster(api) as cluster:
        for plural, wanted in objects.items():
            kind = next(each for each in BY_KIND.values() if each.plural == plural)
            await eventually(partial(_holds, cluster, kind.path(), wanted), f"{wanted} {plural}", timeout=300)


async def _holds(cluster: RealCluster, path: str, wanted: int) -> bool:
    try:
        page: Any = await cluster.client.request("GET", path, params={"limit": "1"})
    except ApiError as error:
        if error.status == 429:
            return False
        raise
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0) >= wanted


def counted(objects: Iterable[ApiObject], note: Callable[[str], None]) -> Iterable[ApiObject]:
    """The same objects; `note` is told the resource of each."""
    for obj in objects:
        note(BY_KIND[obj["kind"]].plural)
        yield obj
