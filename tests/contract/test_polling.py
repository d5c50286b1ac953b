"""A resource without WATCH is polled: what is asked for, when, and what trouble does to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from exporter.kube.client import Client
from exporter.kube.credentials import StaticCredentials
from exporter.kube.poller import Poller
from exporter.kube.resource import Query
from exporter.kube.status import ReflectorSettings, State
from exporter.kube.store import Delta
from exporter.records.olm import PACKAGE_MANIFESTS
from exporter.simulator import objects
from exporter.simulator.faults import Action, Seen, Verb, html, refusal
from tests.contract.backend import Backend
from tests.contract.watched import BORN, QUICK, until

CATALOG = f"catalog={objects.CATALOG},catalog-namespace={objects.CATALOG_NAMESPACE}"
OURS = Query(objects.CATALOG_NAMESPACE, objects.PACKAGE, CATALOG)
OTHER = Query(objects.CATALOG_NAMESPACE, "other", CATALOG)
PATIENT = replace(QUICK, poll_interval=1000.0, poll_missing=1000.0, poll_after_change=(0.0,))


class Polled:
    """One poller on one backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.queries: Sequence[Query] | None = [OURS]
        self.deltas: list[Delta] = []
        self.now = 1000.0
        self.poller: Poller[Any]

    @property
    def heads(self) -> set[str]:
        """Heads of the channels held."""
        return {record.status.channels[0].head for record in self.poller.store.records.values()}

    @property
    def asked(self) -> list[Seen]:
        """Lists that were asked for."""
        return self.backend.faults.seen(PACKAGE_MANIFESTS.plural, Verb.LIST)

    async def state(self, state: State) -> None:
        await until(lambda: self.poller.status.state is state, f"{self.poller.status} is {state}")

    async def holds(self, *versions: str) -> None:
        wanted = {objects.csv_name(version) for version in versions}
        await until(lambda: self.heads == wanted, f"{wanted} are held")


@asynccontextmanager
async def polled(backend: Backend, settings: ReflectorSettings = QUICK) -> AsyncIterator[Polled]:
    """A running poller."""
    found = Polled(backend)
    client = Client(StaticCredentials(backend.connection))
    found.poller = Poller(
        PACKAGE_MANIFESTS,
        client,
        lambda: found.queries,
        settings=settings,
        wall_clock=lambda: found.now,
        on_change=lambda changed, _received: found.deltas.extend(changed),
    )
    task = asyncio.create_task(found.poller.run())
    try:
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def manifest(*versions: str, package: str = objects.PACKAGE) -> dict[str, Any]:
    return objects.package_manifest(*versions, created=BORN, package=package)


async def test_asks_for_one_package_of_one_catalog_and_never_watches(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    await backend.apply(manifest("9.9.9", package="other"))
    elsewhere = manifest("1.0.0", package="third")
    elsewhere["metadata"]["labels"]["catalog"] = "community-operators"
    await backend.apply(elsewhere)
    async with polled(backend) as each:
        await each.holds("4.18.8")
        each.queries = [OURS, OTHER, OTHER._replace(name="third")]
        each.poller.look()
        await each.holds("4.18.8", "9.9.9")
    first = each.asked[0].query
    assert (first["fieldSelector"], first["labelSelector"]) == (f"metadata.name={objects.PACKAGE}", CATALOG)
    assert not backend.faults.seen(PACKAGE_MANIFESTS.plural, Verb.WATCH, Verb.WATCH_LIST)


async def test_what_changes_and_what_goes_is_reported_at_the_next_poll(backend: Backend) -> None:
    async with polled(backend) as each:
        await each.state(State.SYNCED)
        await backend.apply(manifest("4.18.8"))
        await each.holds("4.18.8")
        await backend.apply(manifest("4.18.11", "4.18.8"))
        await each.holds("4.18.11")
        await backend.delete("PackageManifest", objects.PACKAGE, objects.CATALOG_NAMESPACE)
        await each.holds()
        lists = each.poller.status.lists["success"]
        await until(lambda: each.poller.status.lists["success"] > lists + 1, "it polls on")
    assert [delta.type for delta in each.deltas] == ["ADDED", "MODIFIED", "DELETED"]


async def test_asks_nothing_while_nobody_knows_for_what_and_once_somebody_does(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend, PATIENT) as each:
        each.queries = None
        await asyncio.sleep(0)
        each.poller.look()
        assert each.poller.status.state is State.SYNCING
        assert not each.asked
        each.queries = [OURS]
        each.poller.look()
        await each.holds("4.18.8")
        asked = len(each.asked)
        # The same again is no reason to ask.
        each.poller.look()
        await backend.apply(manifest("4.18.11"))
        each.poller.wake()
        await each.holds("4.18.11")
        assert len(each.asked) == asked + 1


async def test_looks_several_times_after_a_change_that_it_follows(backend: Backend) -> None:
    settings = replace(PATIENT, poll_after_change=(0.0, 0.01, 0.02))
    async with polled(backend, settings) as each:
        await each.state(State.SYNCED)
        asked = len(each.asked)
        each.poller.wake()
        await until(lambda: len(each.asked) == asked + 3, "three more")


async def test_an_aggregated_api_that_is_down_is_no_absence(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend) as each:
        await each.holds("4.18.8")
        actions: list[Action] = [refusal(503, "ServiceUnavailable"), html(503), refusal(500)]
        for action in actions:
            fault = backend.faults.add(action, resource=PACKAGE_MANIFESTS.plural)
            await each.state(State.FAILING)
            assert each.heads == {objects.csv_name("4.18.8")}
            backend.faults.remove(fault)
            await each.state(State.SYNCED)
    assert [delta.type for delta in each.deltas] == ["ADDED"]


async def test_how_old_the_last_good_answer_is_can_be_told(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend, replace(QUICK, poll_interval=10.0)) as each:
        await each.holds("4.18.8")
        assert each.poller.status.last_update == 1000.0
        assert each.poller.fresh(1000.0 + 30.0)
        assert not each.poller.fresh(1000.0 + 30.1)
        backend.faults.add(refusal(503, "ServiceUnavailable"), resource=PACKAGE_MANIFESTS.plural)
        each.now = 1005.0
        each.poller.wake()
        await each.state(State.FAILING)
        assert each.poller.status.last_update == 1000.0
        assert not each.poller.fresh(1005.0)


async def test_forbidden_and_back(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend) as each:
        await each.holds("4.18.8")
        await backend.forbid(PACKAGE_MANIFESTS.plural)
        await each.state(State.FORBIDDEN)
        await backend.permit(PACKAGE_MANIFESTS.plural)
        await each.state(State.SYNCED)
        await each.holds("4.18.8")


async def test_gone_and_back(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend) as each:
        await each.holds("4.18.8")
        await backend.remove_kind(PACKAGE_MANIFESTS.plural)
        await each.state(State.ABSENT)
        assert not each.poller.store.records
        await backend.add_kind(PACKAGE_MANIFESTS.plural)
        await backend.apply(manifest("4.18.11"))
        await each.state(State.SYNCED)
        await each.holds("4.18.11")


async def test_a_throttling_server_is_given_the_pause_it_asks_for(backend: Backend) -> None:
    async with polled(backend) as each:
        await each.state(State.SYNCED)
        fault = backend.faults.add(
            refusal(429, "TooManyRequests", retry_after=0.3), resource=PACKAGE_MANIFESTS.plural
        )
        await until(lambda: fault.hits == 1)
        began = asyncio.get_running_loop().time()
        await until(lambda: fault.hits == 2)
        assert asyncio.get_running_loop().time() - began > 0.25


async def test_an_object_of_a_wrong_shape_costs_itself_alone(backend: Backend) -> None:
    await backend.apply(manifest("9.9.9", package="other"))
    bad = manifest("4.18.8")
    bad["status"]["channels"] = "none"
    await backend.apply(bad)
    async with polled(backend) as each:
        each.queries = [OURS, OTHER]
        each.poller.look()
        await each.holds("9.9.9")
        assert each.poller.store.skipped == 1
        assert each.poller.status.object_errors
        await backend.apply(manifest("4.18.8"))
        await each.holds("4.18.8", "9.9.9")
        assert each.poller.store.skipped == 0
