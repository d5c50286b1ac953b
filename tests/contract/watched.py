"""A reflector at work, and waiting for what it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from exporter.kube.backoff import BackoffSettings
from exporter.kube.client import Client
from exporter.kube.credentials import Credentials, StaticCredentials
from exporter.kube.reflector import Reflector
from exporter.kube.resource import Resource
from exporter.kube.status import ReflectorSettings, State
from exporter.kube.store import Delta
from exporter.records.olm import CATALOG_SOURCES
from exporter.simulator import objects
from exporter.simulator.faults import Seen, Verb
from tests.contract.backend import Backend

DEADLINE = float(os.environ.get("VIRT_TEST_DEADLINE", "30"))
"""Only a test that fails ever waits this long."""

QUICK = ReflectorSettings(
    page_size=3,
    request_timeout=5.0,
    watch_timeout=(600.0, 600.0),
    inactivity_limit=20.0,
    watch_list_patience=3.0,
    slow_retry=0.1,
    shortest_watch=0.05,
    poll_interval=0.2,
    poll_missing=0.2,
    poll_after_change=(0.0, 0.1),
    backoff=BackoffSettings(initial=0.02, cap=0.2, reset_after=0.5),
)
PAGED = replace(QUICK, watch_list=False)

BORN = datetime(2026, 1, 1, tzinfo=UTC)


async def until(
    condition: Callable[[], object], what: str | Callable[[], str] = "", seconds: float = DEADLINE
) -> None:
    """Wait until a condition holds; fail with the condition's words, or what is wrong, when it does not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + max(DEADLINE, seconds)
    while not condition():
        assert loop.time() < deadline, f"never happened: {(what() if callable(what) else what) or condition}"
        await asyncio.sleep(0.005)


class Watched:
    """One reflector on one backend."""

    def __init__(self, backend: Backend, reflector: Reflector[Any], deltas: list[Delta]) -> None:
        self.backend = backend
        self.reflector = reflector
        self.deltas = deltas

    @property
    def names(self) -> set[str]:
        """Names of the objects in the store."""
        return {record.name for record in self.reflector.store.records.values()}

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What was reported, as type and name."""
        return [(delta.type, delta.key.rpartition("/")[2]) for delta in self.deltas]

    def seen(self, *verbs: Verb) -> list[Seen]:
        """Requests for the resource."""
        return self.backend.faults.seen(self.reflector.resource.plural, *verbs)

    async def state(self, state: State) -> None:
        """Wait for a state."""
        await until(lambda: self.reflector.status.state is state, f"{self.reflector.status} is {state}")

    async def holds(self, *names: str) -> None:
        """Wait until the store holds exactly these objects."""
        await until(lambda: self.names == set(names), f"{self.names} is {set(names)}")

    async def watching(self, count: int = 1) -> None:
        """Wait until that many watches, streaming lists included, have been asked for and accepted."""
        await until(
            lambda: (
                len(self.seen(Verb.WATCH, Verb.WATCH_LIST)) >= count
                and self.reflector.status.state is State.SYNCED
            ),
            f"watch {count}",
        )


@asynccontextmanager
async def watched(
    backend: Backend,
    settings: ReflectorSettings = QUICK,
    *,
    resource: Resource[Any] = CATALOG_SOURCES,
    namespace: str | None = None,
    credentials: Credentials | None = None,
) -> AsyncIterator[Watched]:
    """A running reflector."""
    client = Client(credentials or StaticCredentials(backend.connection))
    deltas: list[Delta] = []
    reflector = Reflector(
        resource,
        client,
        namespace=namespace,
        settings=settings,
        wall_clock=lambda: 0.0,
        on_change=lambda changed, _received: deltas.extend(changed),
    )
    task = asyncio.create_task(reflector.run())
    try:
        yield Watched(backend, reflector, deltas)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def catalog(name: str, *, state: str = "READY", labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A CatalogSource, the object of most tests."""
    obj = objects.catalog_source(created=BORN, polled=BORN, state=state)
    obj["metadata"] |= {"name": name, **({"labels": labels} if labels else {})}
    return obj


async def delete_catalog(backend: Backend, name: str) -> None:
    """Delete a CatalogSource."""
    await backend.delete("CatalogSource", name, objects.CATALOG_NAMESPACE)
