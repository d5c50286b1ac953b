"""What a ConfigMap makes of the memory when it is refused, fought over, full or lost.

The plain rules are in `test_remembering`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from exporter.history.keeper import Keeper, encode
from exporter.history.stores import ENTRY, SIZE_LIMIT, Conflict, Kept, StoreError
from exporter.history.value import History
from exporter.simulator.faults import Answer, Reset, Verb, html, refusal
from tests.contract.backend import Backend
from tests.contract.test_remembering import (
    CONFIGMAPS,
    NAME,
    NAMESPACE,
    configmap,
    seen,
    store_on,
    stored,
    writes,
)


async def data(backend: Backend) -> dict[str, str]:
    """What the ConfigMap holds, whoever has written it."""
    found: dict[str, str] = (await stored(backend))["data"]
    return found


# The store


async def test_deleted_in_between_a_write_conflicts_and_the_next_one_creates_it(backend: Backend) -> None:
    async with store_on(backend) as store:
        version = await store.write({"a": "1"}, "")
        await backend.delete("ConfigMap", NAME, NAMESPACE)
        with pytest.raises(Conflict):
            await store.write({"a": "2"}, version)
        assert await backend.get("ConfigMap", NAME, NAMESPACE) is None
        kept = await store.read()
        assert (kept.texts, kept.version) == ({}, "")
        version = await store.write({"a": "3"}, kept.version)
        assert await store.read() == Kept({"a": "3"}, version)


async def test_what_somebody_else_created_first_is_not_overwritten(backend: Backend) -> None:
    async with store_on(backend) as ours, store_on(backend) as theirs:
        nothing = (await ours.read()).version
        await theirs.write({"a": "theirs"}, (await theirs.read()).version)
        with pytest.raises(Conflict):
            await ours.write({"a": "ours"}, nothing)
        assert await data(backend) == {"a": "theirs"}


async def test_what_others_put_into_it_between_two_writes_stays(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        texts = await data(backend)
        # Such as `kubectl annotate` and `kubectl edit`.
        await backend.apply(
            configmap({**texts, "notes": "theirs"}, labels={"app": "x"}, annotations={"b": "y"})
        )
        seen(keeper, "head/b", 6.0)
        await keeper.synchronize()
        found = await stored(backend)
        assert found["data"] == {"notes": "theirs", ENTRY: encode(History({"head/a": 5.0, "head/b": 6.0}))}
        assert found["metadata"]["labels"]["app"] == "x"
        assert found["metadata"]["annotations"]["b"] == "y"
        assert keeper.writes == {"success": 2, "conflict": 1}


async def test_as_much_as_we_permit_the_server_takes(backend: Backend) -> None:
    first = {f"head/{number:06}": 1_700_000_000.0 for number in range(33_000)}
    size = len(ENTRY) + len(encode(History(first)))
    assert 0.98 * SIZE_LIMIT < size < SIZE_LIMIT
    async with store_on(backend) as store:
        keeper = Keeper(store)
        keeper.remember(History(first))
        await keeper.synchronize()
        assert keeper.saved
        # Patching it is another request than creating it.
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert keeper.saved
        assert await data(backend) == {ENTRY: encode(History({**first, "head/a": 5.0}))}


async def test_who_may_not_read_is_told_so(backend: Backend) -> None:
    await backend.forbid_memory("get")
    async with store_on(backend) as store:
        with pytest.raises(
            StoreError, match=r"the ConfigMap .*/state cannot be read: 403 Forbidden: .+"
        ) as told:
            await store.read()
        assert not told.value.passing
        await backend.permit_memory()
        assert (await store.read()).texts == {}


async def test_who_may_not_write_is_told_so(backend: Backend) -> None:
    async with store_on(backend) as store:
        version = ""
        for number in range(2):
            # First it would be created, then patched.
            await backend.forbid_memory("create", "patch")
            sentence = r"the ConfigMap .*/state cannot be written: 403 Forbidden: .+"
            with pytest.raises(StoreError, match=sentence) as told:
                await store.write({"a": str(number)}, version)
            assert not told.value.passing
            await backend.permit_memory()
            version = await store.write({"a": str(number)}, version)
            assert await data(backend) == {"a": str(number)}


@pytest.mark.parametrize(
    "action",
    [
        Reset(),
        html(503),
        html(403),
        html(404),
        refusal(500, "InternalError"),
        refusal(429, "TooManyRequests", retry_after=1.0),
    ],
    ids=["reset", "503", "403 in between", "404 in between", "500", "429"],
)
async def test_an_outage_is_neither_a_refusal_nor_an_empty_store(
    backend: Backend, action: Reset | Answer
) -> None:
    async with store_on(backend) as store:
        version = await store.write({"a": "1"}, "")
        fault = backend.faults.add(action, resource=CONFIGMAPS)
        with pytest.raises(StoreError, match=r"cannot be read: .+") as reading:
            await store.read()
        with pytest.raises(StoreError, match=r"cannot be written: .+") as writing:
            await store.write({"a": "2"}, version)
        assert reading.value.passing
        assert writing.value.passing
        backend.faults.remove(fault)
        assert await store.read() == Kept({"a": "1"}, version)


async def test_an_answer_that_is_no_configmap_is_an_error_and_not_an_empty_store(backend: Backend) -> None:
    async with store_on(backend) as store:
        for body in (b"<html></html>", b"[]", b"{}", b'{"metadata": {}, "data": {"a": 1}}', b"\xff"):
            backend.faults.add(Answer(200, body), resource=CONFIGMAPS, times=1)
            with pytest.raises(StoreError, match="the answer is no ConfigMap"):
                await store.read()


# The keeper


async def test_what_is_seen_while_writing_is_forbidden_counts_and_is_written_later(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        await keeper.synchronize()
        await backend.forbid_memory("create", "patch")
        seen(keeper, "head/a", 5.0)
        assert keeper.stored == History()
        for _ in range(3):
            await keeper.synchronize()
            assert (keeper.saved, keeper.stored) == (False, History({"head/a": 5.0}))
        assert keeper.writes == {"error": 3}
        # Said once, not with every attempt.
        assert caplog.text.count("what is remembered is not stored") == 1
        assert await backend.get("ConfigMap", NAME, NAMESPACE) is None
        await backend.permit_memory()
        await keeper.synchronize()
        assert (keeper.saved, keeper.stored) == (True, History({"head/a": 5.0}))
        assert await data(backend) == {ENTRY: encode(keeper.stored)}


@pytest.mark.parametrize("text", [encode(History({"head/old": 1.0})), "no json"], ids=["ours", "corrupt"])
async def test_a_store_that_can_be_read_and_not_written_hides_nothing_from_the_start(
    backend: Backend, text: str
) -> None:
    await backend.apply(configmap({ENTRY: text}))
    # As when etcd is full.
    fault = backend.faults.add(refusal(500, "InternalError"), resource=CONFIGMAPS, verbs=(Verb.WRITE,))
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        read = {} if text == "no json" else {"head/old": 1.0}
        assert keeper.loaded
        assert (keeper.saved, keeper.stored) == (False, History({**read, "head/a": 5.0}))
        assert await data(backend) == {ENTRY: text}
        backend.faults.remove(fault)
        await keeper.synchronize()
        assert keeper.saved
        assert (await data(backend))[ENTRY] == encode(keeper.stored)


async def test_who_is_always_too_late_does_not_try_for_ever(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        await keeper.synchronize()
        fault = backend.faults.add(refusal(409, "Conflict"), resource=CONFIGMAPS, verbs=(Verb.WRITE,))
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert fault.hits == keeper.writes["conflict"] == writes(backend)
        assert 1 < fault.hits < 20
        assert (keeper.saved, keeper.stored) == (False, History({"head/a": 5.0}))
        assert "written by others all the time" in caplog.text
        backend.faults.remove(fault)
        await keeper.synchronize()
        assert keeper.saved
        assert await data(backend) == {ENTRY: encode(keeper.stored)}


async def test_what_cannot_be_set_aside_yet_is_said_once_and_stays_where_it_is(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    await backend.apply(configmap({ENTRY: "no json"}))
    await backend.forbid_memory("patch")
    async with store_on(backend) as store:
        keeper = Keeper(store)
        for _ in range(3):
            await keeper.synchronize()
        assert await data(backend) == {ENTRY: "no json"}
        await backend.permit_memory()
        await keeper.synchronize()
        assert keeper.saved
        texts = await data(backend)
        assert texts.pop(ENTRY) == encode(History())
        assert list(texts.values()) == ["no json"]
        (said,) = [each.message for each in caplog.records if "no history of ours" in each.message]
        assert next(iter(texts)) in said


async def test_two_different_texts_are_both_set_aside(backend: Backend) -> None:
    async with store_on(backend) as store:
        keeper = Keeper(store)
        for text in ("no json", '{"format": 3, "history": {}}'):
            texts = (await data(backend)) if keeper.loaded else {}
            await backend.apply(configmap({**texts, ENTRY: text}))
            # Reads again, as it does once a minute.
            keeper = Keeper(store)
            seen(keeper, "head/a", 5.0)
            await keeper.synchronize()
        texts = await data(backend)
        assert texts.pop(ENTRY) == encode(History({"head/a": 5.0}))
        assert sorted(texts.values()) == ["no json", '{"format": 3, "history": {}}']
        assert all(name.startswith("set-aside-") for name in texts)
        assert keeper.set_aside == 2


async def test_what_others_put_into_it_counts_towards_what_fits(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.apply(configmap({"notes": "x" * SIZE_LIMIT}))
    async with store_on(backend) as store:
        keeper = Keeper(store)
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert (keeper.saved, keeper.stored) == (False, History({"head/a": 5.0}))
        assert keeper.writes == {"error": 1}
        assert writes(backend) == 0
        assert f"more than {SIZE_LIMIT}" in caplog.text
        # Once there is room again it is written.
        await backend.apply(configmap({"notes": "short"}))
        await keeper.synchronize()
        assert keeper.saved
        assert await data(backend) == {"notes": "short", ENTRY: encode(keeper.stored)}


async def test_what_another_replica_still_remembers_does_not_come_back(backend: Backend) -> None:
    async with store_on(backend) as store:
        ours, theirs = Keeper(store), Keeper(store)
        seen(ours, "head/a", 5.0)
        seen(ours, "head/b", 6.0)
        await ours.synchronize()
        await theirs.synchronize()
        ours.remember(ours.memory.without(["head/a"]))
        await ours.synchronize()
        seen(theirs, "head/c", 7.0)
        await theirs.synchronize()
        assert "head/a" in theirs.stored.first
        seen(ours, "head/d", 8.0)
        await ours.synchronize()
        assert ours.stored == History({"head/b": 6.0, "head/c": 7.0, "head/d": 8.0})
        # Nor when it is forgotten while the store is away.
        fault = backend.faults.add(Reset(), resource=CONFIGMAPS)
        ours.remember(ours.memory.without(["head/b"]))
        await ours.synchronize()
        backend.faults.remove(fault)
        await ours.synchronize()
        assert ours.saved
        assert await data(backend) == {ENTRY: encode(History({"head/c": 7.0, "head/d": 8.0}))}


async def test_a_write_whose_answer_is_lost_is_neither_lost_nor_repeated(backend: Backend) -> None:
    class Deaf:
        """Writes and does not hear the answer."""

        def __str__(self) -> str:
            return str(store)

        async def read(self) -> Kept:
            return await store.read()

        async def write(self, texts: Mapping[str, str], version: str) -> str:
            await store.write(texts, version)
            raise StoreError("no answer", passing=True)

    async with store_on(backend) as store:
        keeper = Keeper(Deaf())
        seen(keeper, "head/a", 5.0)
        await keeper.synchronize()
        assert not keeper.saved
        await keeper.synchronize()
        assert (keeper.saved, keeper.stored) == (True, History({"head/a": 5.0}))
        assert writes(backend) == 1
