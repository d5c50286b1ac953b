"""The whole exporter over a recording, whole and damaged."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.cli import main
from exporter.recording.lines import Recording, RecordingError
from exporter.recording.replay import Replay, serve
from exporter.service import running
from exporter.simulator import objects
from exporter.simulator.script import Deletion, World
from exporter.simulator.stories.pending import approval_waiting
from tests.contract.watched import until

RECORDINGS = Path(__file__).parents[2] / "recordings"
MANUAL = RECORDINGS / "02-manual.jsonl.gz"
START = datetime(2026, 8, 20, 10, 0, tzinfo=UTC)
WAITING = 'cause="awaiting_approval"} 1'


def told(with_resource: bool = False) -> list[dict[str, Any]]:
    """A story as a recorder would have written it."""
    now = START
    world = World(clock=lambda: now)
    held: dict[str, dict[str, Any]] = {}
    lines: list[dict[str, Any]] = [{"t": START.isoformat(), "note": "start"}]
    for pause in approval_waiting(world):
        for change in world.changes:
            if isinstance(change, Deletion):
                key = f"{change.kind}/{change.name}"
                lines.append({"t": now.isoformat(), "type": "DELETED", "object": held.pop(key)})
            else:
                key = f"{change['kind']}/{change['metadata']['name']}"
                type_ = "MODIFIED" if key in held else "ADDED"
                held[key] = change
                lines.append({"t": now.isoformat(), "type": type_, "object": change})
        world.changes.clear()
        now += timedelta(seconds=pause)
    if with_resource:
        for line in lines:
            if "object" in line:
                line["resource"] = f"{line['object']['kind'].lower()}s"
    return lines


def write(path: Path, lines: list[dict[str, Any]], *, compressed: bool = False) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if compressed else text)
    return path


def final(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert main(["replay", str(path), "--final", *arguments]) == 0
    said = capsys.readouterr()
    return said.out, said.err


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("with_resource", [False, True])
def test_a_recording_is_read_plain_and_compressed_with_and_without_plurals(
    compressed: bool, with_resource: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "recording", told(with_resource), compressed=compressed)
    page, said = final(path, capsys, "--until", (START + timedelta(days=1)).isoformat())
    since = START.timestamp() + 60
    assert WAITING in page
    assert f"virt_upgrade_pending_update_since_timestamp_seconds {since:.0f}\n" in page
    assert f"virt_upgrade_pending_update_age_seconds {86400 - 60}\n" in page
    assert said == ""


def test_every_kind_of_the_file_is_synced_and_fresh_and_every_other_absent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page, _ = final(MANUAL, capsys)
    states = dict(re.findall(r'resource_state\{resource="(\w+)",state="(\w+)"\} 1\n', page))
    assert states["subscriptions"] == states["clusterserviceversions"] == "synced"
    assert states["packagemanifests"] == states["clusterversions"] == "absent"
    assert set(re.findall(r"resource_fresh\{.*\} (\S+)", page)) == {"1"}
    assert 'virt_upgrade_exporter_source_info{source="replay"} 1\n' in page


def test_it_ends_at_the_last_line_or_where_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told()
    end = datetime.fromisoformat(lines[-1]["t"])
    path = write(
        tmp_path / "recording", [*lines, {"t": (end + timedelta(hours=2)).isoformat(), "note": "end"}]
    )
    assert Replay(Recording(path)).end == (end + timedelta(hours=2)).timestamp()
    page, _ = final(path, capsys)
    assert "virt_upgrade_versions_behind 0\n" in page
    page, _ = final(path, capsys, "--until", "2026-08-20T09:00:00Z")
    assert "virt_upgrade_subscription_info{" not in page
    assert "virt_upgrade_findings{" in page


@pytest.mark.parametrize(
    ("lines", "skipped"),
    [
        ([b"no json", b'{"type":"ADDED"}', b"[]", b"\xff\xfe"], "4 lines that are none of a recording"),
        ([b'{"t":"2026-08-20T10:00:00Z","type":"SEEN","object":{}}'], "1 lines of an unknown type"),
        (
            [b'{"t":"2026-08-20T10:00:00Z","type":"ADDED","object":{"kind":"Secret","apiVersion":"v1"}}'],
            "1 objects of kinds that nobody reads",
        ),
    ],
)
def test_what_is_skipped_is_said(
    lines: list[bytes], skipped: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "recording", told())
    path.write_bytes(b"\n".join([*lines, path.read_bytes()]))
    page, said = final(path, capsys, "--until", "2026-08-21T10:00:00Z")
    assert WAITING in page
    assert f"skipped {skipped}\n" in said


def test_lines_a_little_out_of_order_make_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told()
    page, _ = final(write(tmp_path / "a", lines), capsys, "--until", "2026-08-21T10:00:00Z")
    shuffled = [*lines[1::2], *lines[::2]]
    shuffled.sort(key=lambda line: int(datetime.fromisoformat(line["t"]).timestamp()) // 5)
    other, _ = final(write(tmp_path / "b", shuffled), capsys, "--until", "2026-08-21T10:00:00Z")
    facts = "# HELP virt_upgrade_exporter_"
    assert page.split(facts)[0] == other.split(facts)[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(1, 20_000))
def test_a_file_cut_off_anywhere_is_replayed_as_far_as_it_goes(where: int, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(MANUAL.read_bytes()[: where + 2000])
    try:
        replay = Replay(Recording(path))
    except RecordingError:
        return
    replay.advance(replay.end)
    assert b"virt_upgrade_exporter_source_info" in replay.page()
    assert sum(replay.recording.skipped.values())
    assert not sum(replay.pipeline.watching().rule_errors.values())


def test_a_recording_that_begins_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told()
    waiting = next(
        number for number, line in enumerate(lines) if line.get("object", {}).get("kind") == "InstallPlan"
    )
    page, _ = final(write(tmp_path / "a", lines[waiting:]), capsys)
    assert "virt_upgrade_exporter_source_info" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-file"], "no-such-file cannot be read: No such file or directory"),
        (["{empty}"], "{empty} holds no line of a recording"),
        ([str(MANUAL), "--until", "soon"], "soon is no time; write it as 2026-11-23T08:00:00Z"),
        ([str(MANUAL), "--speed", "0"], "the speed must be a positive number, not 0"),
    ],
)
def test_wrong_use_is_said_in_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert main(["replay", *(each.format(empty=empty) for each in arguments)]) == 2
    assert capsys.readouterr().err == f"virt-upgrade-exporter: {message.format(empty=empty)}\n"


async def test_a_replay_is_served_and_says_that_it_is_not_live(tmp_path: Path) -> None:
    replay = Replay(Recording(write(tmp_path / "recording", told())))
    replay.advance(START.timestamp() + 86400)
    async with (
        running(replay.pipeline, ("127.0.0.1", 0)) as (_web, port),
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            page = await response.text()
        async with session.get(f"http://127.0.0.1:{port}/api/v1/status") as response:
            document = await response.json()
        await until(lambda: replay.pipeline.alive)
    assert "a recording, not a live cluster" in page
    assert "2026-08-21 10:00:00 UTC" in page
    assert (document["source"], document["live"]) == ("replay", False)


async def test_played_to_its_end_it_is_served_until_somebody_ends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    replay = Replay(Recording(MANUAL))
    serving = asyncio.create_task(serve(replay, 1e5, ("127.0.0.1", 0)))
    await until(lambda: replay.clock.now == replay.end, "the end")
    await until(lambda: replay.upcoming is None)
    os.kill(os.getpid(), signal.SIGINT)
    assert await serving == 0
    assert "/metrics for Prometheus" in capsys.readouterr().out


def test_copies_of_a_csv_in_other_namespaces_are_left_out(tmp_path: Path) -> None:
    copy = objects.cluster_service_version("4.18.8", created=START, succeeded=START)
    copy["metadata"] |= {"namespace": "default", "labels": {"olm.copiedFrom": "openshift-cnv"}}
    lines = [*told(), {"t": START.isoformat(), "type": "ADDED", "object": copy}]
    replay = Replay(Recording(write(tmp_path / "recording", lines)))
    replay.advance(START.timestamp() + 10)
    held = next(each for each in replay.pipeline.followers if each.resource.kind == "ClusterServiceVersion")
    assert set(held.store.records) == {"openshift-cnv/kubevirt-hyperconverged-operator.v4.18.8"}
