"""What is remembered, in a ConfigMap: nothing is lost, nothing is overwritten, replicas come to agree."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exporter.history.keeper import Keeper, encode
from exporter.history.stores import ENTRY, SIZE_LIMIT, ConfigMapStore, Conflict, StoreError
from exporter.history.value import History, Observations
from exporter.kube.client import Client
from exporter.kube.credentials import StaticCredentials
from exporter.simulator.faults import Reset, Verb, refusal
from tests.contract.backend import Backend
from tests.contract.watched import until

NAMESPACE = "virt-upgrade-exporter"
NAME = "state"
CONFIGMAPS = "configmaps"


@asynccontextmanager
async def store_on(backend: Backend) -> AsyncIterator[ConfigMapStore]:
    client = Client(StaticCredentials(backend.connection))
    try:
        yield ConfigMapStore(client, NAMESPACE, NAME)
    finally:
        await client.close()


def configmap(data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, **metadata},
        "data": data,
    }


async def stored(backend: Backend) -> dict[str, Any]:
    found = await backend.get("ConfigMap", NAME, NAMESPACE)
    assert found
    return found


def writes(backend: Backend) -> int:
    return len(backend.faults.seen(CONFIGMAPS, Verb.WRITE))


def seen(keeper: Keeper, name: str, now: float) -> None:
    """Something is first seen."""
    observations = Observations(keeper.memory, now)
    observations.first(name)
    keeper.remember(observations.history())


async def test_a_configmap_is_created_and_then_patched(backend: Backend) -> None:
    async with store_on(backend) as store:
        kept = await store.read()
        assert (kept.texts, kept.version) == ({}, "")
        version = await store.write({"a": "1"}, "")
        assert (await store.read()).texts == {"a": "1"}
        version = await store.write({"a": "2", "b": "3"}, version)
        kept = await store.read()
        assert (kept.texts, kept.version) == ({"a": "2", "b": "3"}, version)


async def test_a_write_from_an_older_state_changes_nothing(backend: Backend) -> None:
    async with store_on(backend) as store:
        first = await store.write({"a": "1"}, "")
        await store.write({"a": "2"}, first)
        for version in (first, ""):
            with pytest.raises(Conflict):
                await store.write({"a": "3"}, version)
        assert (await store.read()).texts == {"a": "2"}


async def test_what_others_keep_in_it_stays(backend: Backend) -> None:
    await backend.apply(configmap({"notes": "mine"}, labels={"app": "chart"}, annotations={"why": "so"}))
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
    found = await stored(backend)
    assert found["data"]["notes"] == "mine"
    assert found["metadata"]["labels"]["app"] == "chart"
    assert found["metadata"]["annotations"]["why"] == "so"
    assert found["data"][ENTRY] == encode(History({"head/a": 5.0}))


async def test_deleted_in_between_it_is_made_again(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        await backend.delete("ConfigMap", NAME, NAMESPACE)
        seen(keeper, "head/b", 6.0)
        await keeper.synchronize()
        assert (await store.read()).texts[ENTRY] == encode(History({"head/a": 5.0, "head/b": 6.0}))


async def test_what_is_seen_counts_once_it_is_stored_and_for_who_comes_after(backend: Backend) -> None:
    async with store_on(backend) as store:
        first = Keeper(store)
        await first.synchronize()
        assert (first.loaded, first.stored) == (True, History())
        seen(first, "head/a", 5.0)
        assert first.stored == History()
        await first.synchronize()
        assert first.stored == History({"head/a": 5.0})
        second = Keeper(store)
        await second.synchronize()
        assert second.stored == first.stored


async def test_replicas_that_saw_different_things_agree(backend: Backend) -> None:
    async with store_on(backend) as store:
        ours, theirs = Keeper(store), Keeper(store)
        for keeper in (ours, theirs):
            await keeper.synchronize()
        seen(ours, "head/a", 7.0)
        seen(ours, "head/b", 8.0)
        seen(theirs, "head/a", 5.0)
        # The second writes from a state that the first has replaced.
        await ours.synchronize()
        await theirs.synchronize()
        assert theirs.writes["conflict"] == 1
        assert theirs.stored == History({"head/a": 5.0, "head/b": 8.0})
        seen(ours, "head/c", 9.0)
        await ours.synchronize()
        assert ours.stored == History({"head/a": 5.0, "head/b": 8.0, "head/c": 9.0})


async def test_nothing_is_written_when_nothing_changed(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper, again = Keeper(store), Keeper(store)
        await keeper.synchronize()
        assert writes(backend) == 0
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert writes(backend) == 1
        for _ in range(3):
            seen(keeper, "head/a", 9.0)
            await keeper.synchronize()
            await again.synchronize()
        assert writes(backend) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"format": 1}',
        '{"format": 1, "history": {"first": {"head/a": "yesterday"}}}',
        '{"format": 3, "history": {}, "new": true}',
        '{"somebody": "else"}',
        "[" * 10_000,
    ],
)
async def test_what_is_no_history_of_ours_is_set_aside_and_said(
    text: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    await backend.apply(configmap({ENTRY: text}))
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        seen(keeper, "head/b", 6.0)
        await keeper.synchronize()
        assert keeper.set_aside == 1
        data = (await stored(backend))["data"]
        aside = [name for name in data if name.startswith("set-aside-")]
        assert [data[name] for name in aside] == [text]
        assert json.loads(data[ENTRY])["history"]["first"] == {"head/a": 5.0, "head/b": 6.0}
        assert len([record for record in caplog.records if aside[0] in record.message]) == 1
        # Whoever comes after knows of it as well.
        after = Keeper(store)
        await after.synchronize()
        assert (after.set_aside, after.stored) == (1, keeper.stored)


async def test_more_than_fits_is_refused_and_costs_nothing_that_is_there(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        seen(keeper, f"head/{'x' * SIZE_LIMIT}", 6.0)
        await keeper.synchronize()
        assert not keeper.saved
        assert f"more than {SIZE_LIMIT}" in caplog.text
        assert (await store.read()).texts == {ENTRY: encode(History({"head/a": 5.0}))}
        # What was seen counts all the same.
        assert len(keeper.stored.first) == 2


async def test_a_store_that_is_away_hides_nothing_and_loses_nothing(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        for action in (Reset(), refusal(503, "ServiceUnavailable"), refusal(403, "Forbidden", "no")):
            fault = backend.faults.add(action, resource=CONFIGMAPS)
            name = f"head/{action}"
            seen(keeper, name, 6.0)
            await keeper.synchronize()
            assert (keeper.saved, name in keeper.stored.first) == (False, True)
            backend.faults.remove(fault)
            await keeper.synchronize()
            assert (keeper.saved, name in keeper.stored.first) == (True, True)
            assert encode(keeper.stored) == (await store.read()).texts[ENTRY]


async def test_nothing_is_said_before_a_store_that_is_only_away_was_read(backend: Backend) -> None:
    async with store_on(backend) as store:
        before = Keeper(store)
        seen(before, "head/a", 5.0)
        await before.synchronize()
        keeper = Keeper(store)
        fault = backend.faults.add(refusal(503, "ServiceUnavailable"), resource=CONFIGMAPS)
        await keeper.synchronize()
        assert (keeper.loaded, keeper.stored) == (False, History())
        backend.faults.remove(fault)
        await keeper.synchronize()
        assert (keeper.loaded, keeper.stored) == (True, before.stored)


async def test_a_store_that_refuses_is_no_reason_to_wait(backend: Backend) -> None:
    backend.faults.add(refusal(403, "Forbidden", "configmaps is forbidden"), resource=CONFIGMAPS)
    async with store_on(backend) as store:
        with pytest.raises(StoreError, match=r"the ConfigMap .* cannot be read: 403 Forbidden"):
            await store.read()
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert keeper.loaded
        assert keeper.stored == History({"head/a": 5.0})
        assert not keeper.saved


async def test_what_was_forgotten_does_not_come_back(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        seen(keeper, "head/b", 6.0)
        await keeper.synchronize()
        keeper.remember(keeper.memory.without(["head/a"]))
        await keeper.synchronize()
        assert keeper.stored == History({"head/b": 6.0})
        assert (await store.read()).texts[ENTRY] == encode(keeper.stored)
        seen(keeper, "head/a", 9.0)
        await keeper.synchronize()
        assert keeper.stored == History({"head/a": 9.0, "head/b": 6.0})


async def test_what_is_seen_while_a_write_is_under_way_is_written_next(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store, pause=0.0)
        running = asyncio.create_task(keeper.run())
        seen(keeper, "head/0", 1.0)
        for number in range(1, 20):
            await asyncio.sleep(0)
            seen(keeper, f"head/{number}", float(number))
        await until(lambda: len(keeper.stored.first) == 20, "all of it is stored")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (await store.read()).texts[ENTRY] == encode(keeper.memory)
