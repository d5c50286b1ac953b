"""A resource that is read in one namespace alone: nowhere before that is known, elsewhere when it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from exporter.kube.client import Client
from exporter.kube.credentials import StaticCredentials
from exporter.kube.located import Located
from exporter.kube.status import State
from exporter.kube.store import Delta
from exporter.records.pods import PODS, Pod
from exporter.simulator.faults import Seen, Verb, refusal
from tests.contract.backend import Backend
from tests.contract.watched import QUICK, until


class Place:
    """Where to look, and what is found there."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.namespace: str | None = None
        self.deltas: list[Delta] = []
        self.located: Located[Pod]

    @property
    def held(self) -> set[str]:
        """Names of the pods held, with their namespaces."""
        return {f"{each.namespace}/{each.name}" for each in self.located.store.records.values()}

    @property
    def asked(self) -> list[Seen]:
        """Everything that was asked of the server."""
        return self.backend.faults.seen(PODS.plural, Verb.LIST, Verb.WATCH, Verb.WATCH_LIST)

    def go(self, namespace: str) -> None:
        self.namespace = namespace
        self.located.look()

    async def holds(self, *names: str) -> None:
        await until(lambda: self.held == set(names), f"{names} are held, not {self.held}")

    async def state(self, state: State) -> None:
        await until(lambda: self.located.status.state is state, f"{self.located.status} is {state}")


@asynccontextmanager
async def placed(backend: Backend) -> AsyncIterator[Place]:
    """A running reflector that has not been told where to look."""
    place = Place(backend)
    client = Client(StaticCredentials(backend.connection))
    place.located = Located(
        PODS,
        client,
        where=lambda: place.namespace,
        settings=QUICK,
        wall_clock=lambda: 1000.0,
        on_change=lambda changed, _received: place.deltas.extend(changed),
    )
    task = asyncio.create_task(place.located.run())
    try:
        yield place
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def pod(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "quay.io/story/c:1"}]},
    }


async def test_nothing_is_asked_before_it_is_known_where(backend: Backend) -> None:
    await backend.apply(pod("a", "here"))
    async with placed(backend) as place:
        place.located.look()
        await asyncio.sleep(0)
        assert place.located.status.state is State.SYNCING
        assert place.asked == []
        place.go("here")
        await place.holds("here/a")


async def test_only_the_one_namespace_is_followed(backend: Backend) -> None:
    await backend.apply(pod("a", "here"))
    await backend.apply(pod("b", "elsewhere"))
    async with placed(backend) as place:
        place.go("here")
        await place.holds("here/a")
        await backend.apply(pod("d", "elsewhere"))
        await backend.apply(pod("c", "here"))
        await place.holds("here/a", "here/c")


async def test_when_it_moves_what_was_held_goes_with_the_first_list(backend: Backend) -> None:
    await backend.apply(pod("a", "here"))
    await backend.apply(pod("b", "elsewhere"))
    async with placed(backend) as place:
        place.go("here")
        await place.holds("here/a")
        place.go("elsewhere")
        await place.holds("elsewhere/b")
        await backend.apply(pod("c", "here"))
        await backend.apply(pod("d", "elsewhere"))
        await place.holds("elsewhere/b", "elsewhere/d")
        gone = [each.type for each in place.deltas if (each.old or each.new).namespace == "here"]  # type: ignore[union-attr]
        assert gone == ["ADDED", "DELETED"]


async def test_nowhere_is_an_answer(backend: Backend) -> None:
    await backend.apply(pod("a", "here"))
    async with placed(backend) as place:
        place.go("")
        await place.state(State.SYNCED)
        assert place.held == set()
        assert place.asked == []
        place.go("here")
        await place.holds("here/a")
        place.go("")
        await place.holds()
        assert place.located.status.state is State.SYNCED


async def test_while_nobody_knows_any_more_it_stays_where_it_is(backend: Backend) -> None:
    async with placed(backend) as place:
        place.go("here")
        await place.state(State.SYNCED)
        place.namespace = None
        place.located.look()
        await backend.apply(pod("a", "here"))
        await place.holds("here/a")


async def test_trouble_is_told_and_lived_through(backend: Backend) -> None:
    await backend.apply(pod("a", "here"))
    async with placed(backend) as place:
        fault = backend.faults.add(refusal(403, "Forbidden", "no"), resource=PODS.plural)
        place.go("here")
        await place.state(State.FORBIDDEN)
        place.go("elsewhere")
        backend.faults.remove(fault)
        place.go("here")
        await place.holds("here/a")
        await place.state(State.SYNCED)
