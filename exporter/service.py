"""A pipeline behind a web server, from start to SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporter.allocator import map_large_blocks
from exporter.config import address_text
from exporter.facts.cluster import Scope
from exporter.history.keeper import Keeper
from exporter.history.stores import ConfigMapStore, FileStore, Store, StoreError
from exporter.kube.client import Client
from exporter.kube.credentials import Credentials
from exporter.kube.errors import os_reason
from exporter.pipeline import LivePipeline, Pipeline
from exporter.web.server import WebServer

log = logging.getLogger(__name__)

CONFIGMAP: Final = "virt-upgrade-exporter-state"
"""Name of the ConfigMap, in the pod's own namespace, unless told otherwise."""

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

FINISH_SECONDS: Final = 1.0
"""After SIGTERM: time to store what has not been stored yet."""

LINGER_SECONDS: Final = 1.0
"""After SIGTERM: time in which probes see that we are not ready any more."""


class ServiceError(Exception):
    """The service cannot start; the text is one sentence for the person who started it."""


@dataclass(frozen=True)
class State:
    """Where what is remembered is kept; nothing given is the place that suits where we run."""

    configmap: tuple[str, str] | None = None
    """Namespace and name."""
    file: Path | None = None
    none: bool = False

    def store(self, client: Client, server: str) -> Store | None:
        """The store, for the cluster behind this server.

        Raises:
            ServiceError: a file that was asked for cannot be used.
        """
        if self.none:
            return None
        if self.configmap is not None:
            return ConfigMapStore(client, *self.configmap)
        if self.file is not None:
            return self._file(self.file)
        if _POD_NAMESPACE.is_file():
            return ConfigMapStore(client, _POD_NAMESPACE.read_text(encoding="utf-8").strip(), CONFIGMAP)
        # One file a cluster: what one cluster's objects make needless is another's.
        digest = hashlib.sha256(server.encode()).hexdigest()[:12]
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return FileStore(Path(home) / "virt-upgrade-exporter" / f"{digest}.json")

    def _file(self, path: Path) -> FileStore:
        store = FileStore(path)
        try:
            store.check()
        except StoreError as error:
            raise ServiceError(str(error)) from error
        return store


async def serve(
    credentials: Credentials,
    *,
    scope: Scope,
    address: tuple[str, int],
    state: State,
    max_vm_series: int,
    revision: str = "",
) -> int:
    """Watch a cluster and serve its metrics until SIGTERM or SIGINT; the exit status.

    Raises:
        CredentialsError: there are no usable credentials.
        ServiceError: the address cannot be listened on.
    """
    map_large_blocks()
    # Wrong credentials are the fault of whoever started us: say so now, not in a log line every 30 s.
    server = (await credentials.current()).server
    # What the program is made of is never garbage: no collection need look at it again.
    gc.freeze()
    stop = stop_signals()
    pipeline = LivePipeline(
        credentials,
        scope=scope,
        revision=revision,
        max_vm_series=max_vm_series,
        memory=lambda client: Keeper(state.store(client, server)),
    )
    async with running(pipeline, address) as (web, port):
        log.info("listening on %s", address_text(address[0], port))
        received = await stop
        log.info("%s: finishing", received.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                # What has been received a moment ago is seen as well.
                pipeline.refresh()
                await pipeline.memory.finish()
        await web.stop(LINGER_SECONDS if received is signal.SIGTERM else 0.0)
    return 0


@asynccontextmanager
async def running(pipeline: Pipeline, address: tuple[str, int]) -> AsyncIterator[tuple[WebServer, int]]:
    """The pipeline and its web server at work; the server and the port it listens on.

    Raises:
        ServiceError: the address cannot be listened on.
    """
    web = WebServer(pipeline)
    host, port = address
    try:
        port = await web.start(host, port)
    except OSError as error:
        await web.stop()
        raise ServiceError(f"cannot listen on {address_text(host, port)}: {os_reason(error)}") from error
    watching = asyncio.create_task(pipeline.run(), name="pipeline")
    try:
        yield web, port
    finally:
        await web.stop()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def stop_signals() -> asyncio.Future[signal.Signals]:
    """A future that holds the first SIGTERM or SIGINT to arrive."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def on_signal(received: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(received)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each)
    return stop
