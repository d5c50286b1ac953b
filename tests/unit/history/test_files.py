"""What is remembered, in a file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from exporter.history.keeper import Keeper, encode
from exporter.history.stores import ENTRY, Conflict, FileStore, MemoryStore, Store, StoreError
from exporter.history.upgrades import Upgrade, Upgrades
from exporter.history.value import History, Observations


def no_space(*_arguments: object) -> None:
    raise OSError(28, "No space left on device")


def seen(keeper: Keeper, name: str, now: float) -> None:
    observations = Observations(keeper.memory, now)
    observations.first(name)
    keeper.remember(observations.history())


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FileStore(tmp_path / "below" / "state.json") if request.param == "file" else MemoryStore()


async def test_what_was_written_is_read(store: Store) -> None:
    kept = await store.read()
    assert (kept.texts, kept.version) == ({}, "")
    version = await store.write({"a": "1", "b": "ü\n"}, "")
    kept = await store.read()
    assert (kept.texts, kept.version) == ({"a": "1", "b": "ü\n"}, version)
    await store.write({"a": "2"}, version)
    assert (await store.read()).texts == {"a": "2"}


async def test_a_write_from_an_older_state_changes_nothing(store: Store) -> None:
    first = await store.write({"a": "1"}, "")
    await store.write({"a": "2"}, first)
    for version in (first, ""):
        with pytest.raises(Conflict):
            await store.write({"a": "3"}, version)
    assert (await store.read()).texts == {"a": "2"}


async def test_two_processes_on_one_file_agree(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ours, theirs = Keeper(FileStore(path)), Keeper(FileStore(path))
    for keeper in (ours, theirs):
        await keeper.synchronize()
    seen(ours, "head/a", 7.0)
    seen(theirs, "head/a", 5.0)
    await ours.synchronize()
    await theirs.synchronize()
    assert theirs.stored == History({"head/a": 5.0})
    assert theirs.writes["conflict"] == 1


async def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    store = FileStore(path)
    version = await store.write({"a": "1"}, "")
    before = path.read_bytes()

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"state.json cannot be written: No space left on device"):
        await store.write({"a": "2"}, version)
    assert path.read_bytes() == before
    assert names(tmp_path) == [".state.json.lock", "state.json"]


@pytest.mark.parametrize("content", [b"garbage", b"\xff\xfe\x00", b'{"other": 7}', b'{"history.json": "{}"}'])
async def test_a_file_that_is_no_history_is_set_aside_in_the_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    keeper = Keeper(FileStore(path))
    seen(keeper, "head/a", 5.0)
    await keeper.synchronize()
    assert keeper.set_aside == 1
    texts = (await FileStore(path).read()).texts
    assert texts[ENTRY] == encode(History({"head/a": 5.0}))
    aside = next(text for name, text in texts.items() if name.startswith("set-aside-"))
    assert aside == (content.decode(errors="backslashreplace") if b"history" not in content else "{}")


async def test_an_empty_file_is_an_empty_history(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.touch()
    keeper = Keeper(FileStore(path))
    seen(keeper, "head/a", 5.0)
    await keeper.synchronize()
    assert (keeper.set_aside, keeper.saved) == (0, True)


def test_what_cannot_be_used_is_said_before_it_is_needed(tmp_path: Path) -> None:
    FileStore(tmp_path / "new" / "state.json").check()
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(StoreError, match=r"the file .* cannot be used: Is a directory"):
        FileStore(tmp_path).check()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be used: (Not a directory|File exists)"):
        FileStore(tmp_path / "file" / "state.json").check()


async def test_without_a_store_what_is_seen_counts_at_once() -> None:
    keeper = Keeper(None)
    assert keeper.loaded
    seen(keeper, "head/a", 5.0)
    assert keeper.stored == History({"head/a": 5.0})
    assert (keeper.place, keeper.stores) == ("memory", False)


async def test_what_a_write_that_failed_has_left_is_stored_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    keeper = Keeper(FileStore(path))
    await keeper.synchronize()
    seen(keeper, "head/a", 5.0)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", no_space)
        await keeper.synchronize()
    assert (keeper.saved, keeper.stored) == (False, keeper.memory)
    await keeper.finish()
    assert (await FileStore(path).read()).texts[ENTRY] == encode(History({"head/a": 5.0}))


async def test_it_is_not_written_more_often_than_every_pause() -> None:
    store = MemoryStore()
    keeper = Keeper(store, pause=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    running = asyncio.create_task(keeper.run())
    number = 0
    while store.writes < 4:
        number += 1
        seen(keeper, f"head/{number}", 5.0)
        await asyncio.sleep(0.005)
    assert loop.time() - began >= 3 * 0.2
    running.cancel()
    assert number > 4
    assert Keeper(store)._pause >= 2.0


async def test_what_an_earlier_release_has_set_aside_is_found_again(tmp_path: Path) -> None:
    ours = History({"head/a": 5.0}, upgrades=Upgrades((Upgrade("uid", 100.0, completed=160.0),)))
    path = tmp_path / "state.json"
    theirs = encode(History({"head/b": 6.0})).replace('"format":2', '"format":1')
    await FileStore(path).write({ENTRY: theirs, "set-aside-0123": encode(ours), "set-aside-4567": "no"}, "")
    keeper = Keeper(FileStore(path))
    await keeper.synchronize()
    assert keeper.stored == ours.merge(History({"head/b": 6.0}))
    texts = (await FileStore(path).read()).texts
    assert texts == {ENTRY: encode(keeper.stored), "set-aside-4567": "no"}
    assert keeper.set_aside == 1


async def test_what_is_not_stored_yet_is_stored_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    keeper = Keeper(FileStore(path))
    await keeper.synchronize()
    seen(keeper, "head/a", 5.0)
    await keeper.finish()
    assert (await FileStore(path).read()).texts[ENTRY] == encode(History({"head/a": 5.0}))
