"""Obtaining tools: what needs neither network nor a build."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools import binaries
from tests.tools.__main__ import main
from tests.tools.binaries import TOOLS, DebianTool, GoTool, ToolUnavailable, cached, parse_go_version


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("VIRT_TOOLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(path: Path, script: str = "echo ok") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.8", (1, 26)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("go2.0", (2, 0)),
        ("devel +abc", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_go_versions(text: str, version: tuple[int, int]) -> None:
    assert parse_go_version(text) == version


@pytest.mark.parametrize(
    ("explicit", "xdg", "expected"),
    [
        ("/explicit", "/xdg", "/explicit"),
        ("", "/xdg", "/xdg/virt-upgrade-exporter"),
        ("", "", "/home/somebody/.cache/virt-upgrade-exporter"),
    ],
)
def test_place_of_the_cache(explicit: str, xdg: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRT_TOOLS_CACHE", explicit)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert binaries.cache_root() == Path(expected)


def test_the_cache_is_outside_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRT_TOOLS_CACHE")
    assert Path(__file__).parents[2] not in binaries.cache_root().parents


def test_cached_makes_once(cache: Path) -> None:
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "tool").write_text("made")

    assert cached("key", make) == cached("key", make) == cache / "key"
    assert (cache / "key" / "tool").read_text() == "made"
    assert len(calls) == 1


def test_a_failed_making_leaves_nothing(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cached("key", fail)
    assert [path.name for path in cache.iterdir()] == ["locks"]


def _make_slowly(folder: Path) -> None:
    with (folder.parents[1] / "makers").open("a") as makers:
        makers.write("one\n")
    time.sleep(0.2)
    (folder / "tool").write_text("made")


def _make_in_a_process(cache: str) -> None:
    os.environ["VIRT_TOOLS_CACHE"] = cache
    assert (cached("key", _make_slowly) / "tool").read_text() == "made"


def test_two_processes_make_once(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_make_in_a_process, args=(str(cache),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (cache / "makers").read_text() == "one\n"


def go_module(folder: Path, version: str = "v1.2.3") -> GoTool:
    source = folder / "thing"
    source.mkdir(parents=True, exist_ok=True)
    (source / "go.mod").write_text(f"module x\n\ngo 1.26.0\n\nrequire example.org/thing {version}\n")
    (source / "go.sum").write_text("")
    (source / "main.go").write_text("package main\n")
    return GoTool("thing", "example.org/thing", ("example.org/thing/version.Version",))


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_a_changed_source_is_another_build(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_SOURCES", tmp_path)
    tool = go_module(tmp_path)
    before = tool.key
    assert before.startswith("thing-1.2.3-")
    changed = tool.source / file
    changed.write_text(changed.read_text() + "\n// changed\n")
    assert tool.key != before


def test_the_version_is_linked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_SOURCES", tmp_path)
    assert "-X example.org/thing/version.Version=v1.2.3" in go_module(tmp_path).linker_flags


@pytest.mark.parametrize(("name", "version"), [("kube-apiserver", "1.37.2"), ("etcd", "3.7.3")])
def test_pinned_versions(name: str, version: str) -> None:
    tool = TOOLS[name]
    assert isinstance(tool, GoTool)
    assert tool.version == version


def test_kubebuilder_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert TOOLS["etcd"].find() is None
    given = program(tmp_path / "assets" / "etcd")
    assert binaries.path_of("etcd") == given


def test_what_is_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert TOOLS["alertmanager"].find() is None
    debian = program(tmp_path / "bin" / "prometheus-alertmanager", "echo version 0.25.0")
    assert binaries.path_of("alertmanager") == debian
    upstream = program(tmp_path / "bin" / "alertmanager", "echo alertmanager, version 0.28.1")
    assert binaries.path_of("alertmanager") == upstream
    assert binaries.version_of("alertmanager") == "0.28.1"


def test_without_apt_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolUnavailable, match="`brew install prometheus`"):
        binaries.path_of("promtool")


def test_relocation_keeps_the_length() -> None:
    before = b"stuff/usr/share/prometheus/alertmanagerNEXT/usr/share/other"
    after = binaries.relocate(before, "/usr/share/prometheus/alertmanager")
    assert after == b"stuffusr//share/prometheus/alertmanagerNEXT/usr/share/other"
    assert len(after) == len(before)


APT = [
    (0, "E: Unable to locate package prometheus", "apt-get install prometheus", 1),
    (1000, "E: Unable to locate package prometheus", "sudo apt-get update", 0),
    (1000, "E: Failed to fetch http://mirror/x.deb  404  Not Found", "sudo apt-get update", 0),
    (1000, "E: some other trouble", "sudo apt-get install prometheus", 0),
]


@pytest.mark.parametrize(("uid", "message", "remedy", "updates"), APT)
def test_a_package_that_apt_does_not_have(
    uid: int, message: str, remedy: str, updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    program(
        tmp_path / "bin" / "apt-get",
        f"""echo "$*" >> {calls}; case "$*" in *update*) exit 0;; esac; echo '{message}'; exit 100""",
    )
    program(tmp_path / "bin" / "dpkg")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with pytest.raises(ToolUnavailable) as caught:
        DebianTool("promtool", "prometheus", ("promtool",)).obtain(lambda _: None)
    assert f"`{remedy}`" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert calls.read_text().count("update") == updates


def test_a_failed_build_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path / "bin" / "go",
        'if [ "$1" = env ]; then echo go1.26.0; else echo "dial tcp: no route"; exit 1; fi',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(ToolUnavailable) as caught:
        binaries.path_of("etcd")
    assert str(caught.value) == (
        "etcd 3.7.3 is missing and `python -m tests.tools etcd`, which would build it with access to a Go "
        "module proxy, fails here: dial tcp: no route."
    )


def test_command_says_where_each_tool_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    there = program(tmp_path / "bin" / "amtool")
    assert main(["amtool", "promtool"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"amtool: {there} (")
    assert second.startswith("promtool: promtool is not on PATH")


MISSING = """
import pytest
from tests.tools.binaries import ToolUnavailable

@pytest.fixture(scope="session")
def tool():
    raise ToolUnavailable("thing is missing and `get thing` would permit it.")

@pytest.mark.parametrize("number", [1, 2])
def test_fixture(tool, number): pass

async def test_body(): raise ToolUnavailable("thing is missing and `get thing` would permit it.")

def test_other(): pass
"""


@pytest.mark.parametrize(
    ("required", "code", "outcome"),
    [
        ("", 0, "1 passed, 3 skipped"),
        ("0", 0, "1 passed, 3 skipped"),
        ("1", 1, "1 failed, 1 passed, 2 errors"),
    ],
)
def test_a_missing_tool_skips_or_fails(required: str, code: int, outcome: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "test_missing.py").write_text(MISSING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", str(root / "pyproject.toml"), str(tmp_path)],
        cwd=root,
        env={**os.environ, "VIRT_TEST_REQUIRE_ALL": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert outcome in done.stdout
    assert "`get thing` would permit it" in done.stdout
    assert "ran on real servers" not in done.stdout


def test_command_refuses_an_unknown_tool() -> None:
    with pytest.raises(SystemExit):
        main(["kubectl"])
