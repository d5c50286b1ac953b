"""The installed command: start, what it prints, and the end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest

from exporter.facts import RESOURCES
from exporter.history.keeper import decode
from exporter.history.stores import ENTRY
from exporter.simulator.script import World, carry_out
from exporter.simulator.stories.setting import Setting
from exporter.simulator.stories.upgrades import Updating
from tests.contract.simulated import simulated_backend
from tests.contract.watched import catalog
from tests.end_to_end.installed import COMMAND, Installed, installed
from tests.servers.waiting import eventually

pytestmark = pytest.mark.long


async def test_the_demo_answers_within_three_seconds_and_ends_with_ctrl_c() -> None:
    async with installed("demo") as running:
        page = await running.metrics()
        answered = asyncio.get_running_loop().time() - running.started
        assert "virt_upgrade_exporter_build_info" in page
        assert answered < 3
        assert (await running.end(signal.SIGINT))[0] == 0
    text = "\n".join(running.lines)
    assert "look at" in text.lower()
    assert "Traceback" not in text


async def test_sigterm_ends_with_status_0_within_five_seconds(tmp_path: Path) -> None:
    async with simulated_backend() as backend:
        kubeconfig = backend.kubeconfig(tmp_path / "config")
        async with installed("serve", "--kubeconfig", str(kubeconfig)) as running:
            await running.metrics()
            status, took = await running.end()
    assert status == 0
    assert took < 5
    assert any(line.endswith("SIGTERM: finishing") for line in running.lines)


async def test_sigterm_stores_what_has_been_seen_since_the_last_write(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with simulated_backend() as backend:
        kubeconfig = backend.kubeconfig(tmp_path / "config")
        async with installed("serve", "--kubeconfig", str(kubeconfig), "--state.file", str(file)) as running:
            world = World()
            setting = Setting(world, operator="4.18.0")
            await carry_out(world, backend)
            updating = Updating(setting, "4.18.1", world.now)
            updating.phase("Pending", "RequirementsUnknown")
            setting.replaced()
            await carry_out(world, backend)
            await eventually(lambda: _holds(file, 0), "the update is stored")
            failures = 0
            while await _holds(file, failures):
                failures += 1
                before = await _events(running)
                updating.phase("Failed", "InstallCheckFailed")
                updating.phase("Installing", "InstallWaiting")
                await carry_out(world, backend)

                async def received(count: int = before + 2) -> bool:
                    return await _events(running) == count

                await eventually(received, "both changes are received")
            assert (await running.end())[0] == 0
    assert await _holds(file, failures)


async def _events(running: Installed) -> int:
    """How many changes of ClusterServiceVersions have been received."""
    counted = r'events_total{resource="clusterserviceversions",type="MODIFIED"} (\d+)'
    found = re.search(counted, await running.metrics())
    return int(found[1]) if found else 0


async def _holds(file: Path, failures: int) -> bool:
    """The file remembers an update and how often it has failed."""
    try:
        text = await asyncio.to_thread(file.read_text)
    except FileNotFoundError:
        return False
    upgrades = decode(json.loads(text)[ENTRY]).upgrades.records
    return [len(each.failures) for each in upgrades] == [failures]


async def test_one_log_line_a_state_change_and_none_an_event(tmp_path: Path) -> None:
    async with simulated_backend() as backend:
        kubeconfig = backend.kubeconfig(tmp_path / "config")
        async with installed("serve", "--kubeconfig", str(kubeconfig)) as running:
            await eventually(running.ready, "ready")
            for number in range(100):
                await backend.apply(catalog("redhat-operators", state=("IDLE", "READY")[number % 2]))
            expected = 'events_total{resource="catalogsources",type="MODIFIED"} 99'

            async def counted() -> bool:
                return expected in await running.metrics()

            await eventually(counted, expected)
            await backend.stop()
            failing = 'resource_state{resource="catalogsources",state="failing"} 1\n'

            async def failed() -> bool:
                return failing in await running.metrics()

            await eventually(failed, failing)
            await backend.start()
            await eventually(running.fresh, "all fresh")
            assert (await running.end())[0] == 0
    synced = [line for line in running.lines if "is synced" in line]
    outage = [line for line in running.lines if "cannot reach" in line or "is reached again" in line]
    assert len(synced) == len(RESOURCES)
    assert len(outage) == 2
    assert len(running.lines) == 1 + len(synced) + len(outage) + 1


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["demo", "--list"], ["serve", "--help"]])
async def test_what_can_be_asked_without_a_cluster(arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0
    assert out
    assert err == b""


async def test_a_rejected_kubeconfig_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("not: a kubeconfig")
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--kubeconfig", str(path), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.count(b"\n") == 1
    assert err.startswith(f"virt-upgrade-exporter: cannot use the kubeconfig {path}: ".encode())


async def test_a_recording_is_replayed_at_a_speed_and_served_to_its_end_and_after() -> None:
    recording = Path(__file__).parents[1] / "recordings" / "02-manual.jsonl.gz"
    async with installed("replay", str(recording), "--speed", "500") as running:

        async def over() -> bool:
            page = await running.metrics()
            return 'version="4.18.0",minor="4.18"} 1' in page and "pending_update_age_seconds 0\n" in page

        async def said() -> bool:
            return any("objects of kinds that nobody reads" in line for line in running.lines)

        await eventually(over, "4.18.0 is installed")
        await eventually(said, "what was skipped is said at the end")
        assert (await running.end(signal.SIGINT))[0] == 0
    assert "Traceback" not in "\n".join(running.lines)
