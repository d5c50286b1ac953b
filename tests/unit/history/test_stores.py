"""What a file makes of the memory when it cannot be used, is written by others, or a write breaks off.

The plain rules are in `test_files`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.history.keeper import Keeper, encode
from exporter.history.stores import ENTRY, SIZE_LIMIT, Conflict, FileStore, Kept, StoreError
from exporter.history.value import History
from tests.unit.history.test_files import names, no_space, seen

LOCK = ".state.json.lock"


async def test_a_directory_in_its_place_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (path / "below").mkdir(parents=True)
    store = FileStore(path)
    with pytest.raises(StoreError, match=r"the file .*state\.json cannot be read: Is a directory"):
        await store.read()
    with pytest.raises(StoreError, match=r"the file .*state\.json cannot be .*: Is a directory"):
        await store.write({"a": "1"}, "")
    assert names(path) == ["below"]
    assert names(path.parent) == [LOCK, "state.json"]


async def test_a_file_where_its_directory_should_be_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("mine")
    store = FileStore(path / "state.json")
    with pytest.raises(StoreError, match=r"cannot be read: Not a directory"):
        await store.read()
    with pytest.raises(StoreError, match=r"cannot be written: (Not a directory|File exists)"):
        await store.write({"a": "1"}, "")
    assert path.read_text() == "mine"


async def test_missing_directories_are_no_error_and_made_by_the_first_write(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "not" / "yet" / "state.json")
    assert await store.read() == Kept({}, "")
    assert names(tmp_path) == []
    await store.write({"a": "1"}, "")
    assert names(tmp_path / "not" / "yet") == [LOCK, "state.json"]


async def test_a_write_from_what_another_instance_has_replaced_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ours, theirs = FileStore(path), FileStore(path)
    nothing = (await ours.read()).version
    first = await theirs.write({"a": "theirs"}, nothing)
    with pytest.raises(Conflict):
        await ours.write({"a": "ours"}, nothing)
    second = await ours.write({"a": "ours"}, first)
    with pytest.raises(Conflict):
        await theirs.write({"a": "theirs again"}, first)
    assert await theirs.read() == Kept({"a": "ours"}, second)
    assert names(path.parent) == [LOCK, "state.json"]


async def test_deleted_in_between_a_write_conflicts_and_the_next_one_creates_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    store = FileStore(path)
    version = await store.write({"a": "1"}, "")
    path.unlink()
    with pytest.raises(Conflict):
        await store.write({"a": "2"}, version)
    assert not path.exists()
    await store.write({"a": "3"}, (await store.read()).version)
    assert (await store.read()).texts == {"a": "3"}


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("existed", [True, False])
async def test_a_first_or_later_write_that_fails_leaves_nothing_of_itself(
    existed: bool, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    store = FileStore(path)
    version = await store.write({"a": "1"}, "") if existed else ""
    with monkeypatch.context() as patched:
        if broken == "fsync":
            patched.setattr(os, "fsync", no_space)
        else:
            patched.setattr(Path, "replace", no_space)
        with pytest.raises(StoreError, match=r"cannot be written: No space left on device"):
            await store.write({"a": "2"}, version)
    assert await store.read() == Kept({"a": "1"} if existed else {}, version)
    assert names(path.parent) == [LOCK, *(["state.json"] if existed else [])]
    # The lock has been given back: another instance waits for nothing.
    await FileStore(path).write({"a": "3"}, version)
    assert (await store.read()).texts == {"a": "3"}


async def test_whoever_reads_during_a_write_reads_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    store = FileStore(path)
    version = await store.write({"a": "1"}, "")
    before, during = path.read_bytes(), []
    fsync = os.fsync

    def reading(number: int) -> None:
        during.append(path.read_bytes())
        fsync(number)

    monkeypatch.setattr(os, "fsync", reading)
    await store.write({"a": "2"}, version)
    assert during == [before]


@pytest.mark.parametrize("text", ["no json", "[]", '{"somebody": "else"}', '{"format": 3, "history": {}}'])
async def test_what_was_set_aside_is_said_once_and_stays(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    await FileStore(path).write({ENTRY: text, "notes": "mine"}, "")
    keeper = Keeper(FileStore(path))
    for number in range(3):
        seen(keeper, f"head/{number}", 5.0)
        await keeper.synchronize()
    texts = dict((await FileStore(path).read()).texts)
    assert texts.pop(ENTRY) == encode(keeper.stored)
    assert texts.pop("notes") == "mine"
    ((name, aside),) = texts.items()
    assert (name.startswith("set-aside-"), aside) == (True, text)
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert name in errors[0]
    after = Keeper(FileStore(path))
    await after.synchronize()
    assert (after.set_aside, after.stored) == (1, keeper.stored)


async def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    keeper = Keeper(FileStore(path))
    await keeper.synchronize()
    assert names(path.parent) == []
    seen(keeper, "head/a", 5.0)
    await keeper.synchronize()
    before = path.stat()
    for each in (keeper, Keeper(FileStore(path))):
        seen(each, "head/a", 9.0)
        await each.synchronize()
        assert each.stored == History({"head/a": 5.0})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_what_is_seen_while_the_disk_is_full_counts_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    keeper = Keeper(FileStore(path))
    seen(keeper, "head/a", 5.0)
    await keeper.synchronize()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        seen(keeper, "head/b", 6.0)
        assert keeper.stored == History({"head/a": 5.0})
        for _ in range(3):
            await keeper.synchronize()
            assert (keeper.saved, keeper.stored) == (False, History({"head/a": 5.0, "head/b": 6.0}))
    assert (await FileStore(path).read()).texts == {ENTRY: encode(History({"head/a": 5.0}))}
    assert caplog.text.count("No space left on device") == 1
    await keeper.synchronize()
    assert keeper.saved
    assert (await FileStore(path).read()).texts == {ENTRY: encode(keeper.stored)}


async def test_more_than_fits_is_refused_and_costs_nothing_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.json"
    keeper = Keeper(FileStore(path))
    seen(keeper, "head/a", 5.0)
    await keeper.synchronize()
    seen(keeper, f"head/{'x' * SIZE_LIMIT}", 6.0)
    await keeper.synchronize()
    assert not keeper.saved
    assert f"more than {SIZE_LIMIT}" in caplog.text
    assert (await FileStore(path).read()).texts == {ENTRY: encode(History({"head/a": 5.0}))}


async def test_what_another_process_still_remembers_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    ours, theirs = Keeper(FileStore(path)), Keeper(FileStore(path))
    seen(ours, "head/a", 5.0)
    await ours.synchronize()
    await theirs.synchronize()
    ours.remember(ours.memory.without(["head/a"]))
    await ours.synchronize()
    seen(theirs, "head/b", 6.0)
    await theirs.synchronize()
    seen(ours, "head/c", 7.0)
    await ours.synchronize()
    assert ours.stored == History({"head/b": 6.0, "head/c": 7.0})
