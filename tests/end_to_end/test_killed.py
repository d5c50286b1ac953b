"""The installed command, killed with SIGKILL at any moment: what it has shown once, it goes on showing."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from exporter.simulator import objects
from exporter.simulator.machines import PROJECT
from exporter.simulator.script import World, carry_out
from exporter.simulator.stories.farm import Farm, Guest
from exporter.simulator.stories.pending import UNPACKING, requires_approval
from exporter.simulator.stories.setting import Setting
from exporter.simulator.stories.upgrades import Updating
from tests.contract.backend import Backend
from tests.contract.real import NAMESPACE, real_backend
from tests.contract.simulated import simulated_backend
from tests.contract.told import Clock, expected_of_updates
from tests.contract.wandering import HOUR, wandering
from tests.end_to_end.installed import Installed, installed
from tests.servers.kube_apiserver import KubeApiServer
from tests.servers.waiting import eventually

pytestmark = pytest.mark.long

ROUNDS = 5
MIGRATIONS = 8
SINCE = re.compile(r"^virt_upgrade_pending_update_since_timestamp_seconds (\S+)$", re.MULTILINE)

FINISHED = re.compile(
    r'^virt_upgrade_migrations_finished_total\{origin="(\w+)",outcome="(\w+)"\} (\d+)$', re.MULTILINE
)


class Victim:
    """One exporter after another, on one store."""

    def __init__(self, backend: Backend, directory: Path, random: Random, *store: str) -> None:
        self._arguments = (
            "serve",
            "--kubeconfig",
            str(backend.kubeconfig(directory / "kubeconfig")),
            *store,
        )
        self._random = random
        self._stack = AsyncExitStack()
        self.running: Installed | None = None
        self.kills = 0

    async def start(self) -> None:
        self.running = await self._stack.enter_async_context(installed(*self._arguments))

    async def kill(self, within: float) -> None:
        """Kill it at some moment within these seconds, and start the next."""
        assert self.running
        await asyncio.sleep(self._random.uniform(0.0, within))
        assert (await self.running.end(signal.SIGKILL))[0] == -signal.SIGKILL
        self.kills += 1
        await self._stack.aclose()
        await self.start()

    async def finished(self) -> dict[tuple[str, str], int]:
        """How many migrations have ended, by origin and outcome, once VMs are shown."""
        page = ""

        async def shown() -> bool:
            nonlocal page
            assert self.running
            page = await self.running.metrics()
            return "virt_upgrade_running_vms 1\n" in page and bool(FINISHED.search(page))

        await eventually(shown, "migrations that have ended")
        return {(origin, end): int(count) for origin, end, count in FINISHED.findall(page) if int(count)}

    async def since(self, cause: str, version: str) -> float:
        """Since when the update is said to be pending, once it is said to be."""
        wanted = rf'to_version="{re.escape(version)}",kind="patch",cause="{cause}"}} 1'
        page = ""

        async def shown() -> bool:
            nonlocal page
            assert self.running
            page = await self.running.metrics()
            return re.search(wanted, page) is not None

        await eventually(shown, wanted)
        found = SINCE.search(page)
        assert found
        return float(found[1])

    async def says(self, sample: str, value: float) -> None:
        """Wait until a sample has this value; what there was before is shown until then."""

        async def shown() -> bool:
            assert self.running
            found = re.findall(f"^virt_upgrade_{sample}$", await self.running.metrics(), re.MULTILINE)
            return [float(each) for each in found] == [value]

        await eventually(shown, f"{sample} is {value}")

    async def tells(self, true: set[str], when: str) -> None:
        """Wait until it says of updates what is true."""
        said: set[str] = set()

        async def shown() -> bool:
            nonlocal said
            assert self.running
            said = told(await self.running.metrics())
            return said == true

        await eventually(shown, lambda: f"{when}: said {sorted(said - true)}, not said {sorted(true - said)}")

    async def end(self) -> None:
        await self._stack.aclose()


async def test_twenty_kills_cost_no_second_of_what_was_shown(tmp_path: Path) -> None:
    async with simulated_backend() as backend:
        await killed_again_and_again(backend, tmp_path, "--state.file", str(tmp_path / "state.json"))


async def test_nor_do_they_on_a_real_api_server_with_a_configmap(
    tmp_path: Path, kube_apiserver: KubeApiServer
) -> None:
    async with real_backend(kube_apiserver) as backend:
        await killed_again_and_again(backend, tmp_path, "--state.configmap", f"{NAMESPACE}/state")


async def killed_again_and_again(backend: Backend, directory: Path, *store: str) -> None:
    """Kill the exporter four times in the life of each of five updates."""
    exporter = Victim(backend, directory, Random(4), *store)
    await exporter.start()
    try:
        world = World()
        setting = Setting(world, approval="Manual", operator="4.18.0")
        await carry_out(world, backend)
        versions = ["4.18.0"]
        for number in range(1, ROUNDS + 1):
            version = f"4.18.{number}"
            versions.insert(0, version)
            began = time.time()
            setting.offer(*versions)
            # OLM connects anew to a catalog with new content, which is when it is asked what it offers.
            setting.catalog("READY")
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            since = await exporter.since("not_started", version)
            assert began - 1 <= since <= time.time()
            await exporter.kill(within=0.1)
            assert await exporter.since("not_started", version) == since

            made = world.now
            setting.plan(f"install-{number}a", version, created=made)
            setting.subscribe(current=version, plan=f"install-{number}a", conditions=requires_approval(made))
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            # What the API has to whole seconds may be earlier than what was seen.
            since = min(since, made.timestamp())
            assert await exporter.since("awaiting_approval", version) == since

            world.delete("InstallPlan", f"install-{number}a", objects.NAMESPACE)
            setting.subscribe(resolving=True, conditions=[UNPACKING])
            await carry_out(world, backend)
            await exporter.kill(within=0.3)
            made = world.now
            setting.plan(f"install-{number}b", version, created=made)
            setting.subscribe(current=version, plan=f"install-{number}b", conditions=requires_approval(made))
            await carry_out(world, backend)
            assert await exporter.since("awaiting_approval", version) == since

            setting.plan(f"install-{number}b", version, created=made, approved=True)
            begun: objects.Phase = ("Installing", "InstallWaiting", world.now)
            setting.complete(version, begun)
            await carry_out(world, backend)
        assert exporter.kills == 4 * ROUNDS
    finally:
        await exporter.end()


async def test_twenty_kills_cost_no_second_of_an_update(tmp_path: Path) -> None:
    async with simulated_backend() as backend:
        await killed_while_it_updates(backend, tmp_path, "--state.file", str(tmp_path / "state.json"))


async def test_nor_do_they_of_an_update_on_a_real_api_server_with_a_configmap(
    tmp_path: Path, kube_apiserver: KubeApiServer
) -> None:
    async with real_backend(kube_apiserver) as backend:
        await killed_while_it_updates(backend, tmp_path, "--state.configmap", f"{NAMESPACE}/state")


async def killed_while_it_updates(backend: Backend, directory: Path, *store: str) -> None:
    """Kill the exporter after each of the four steps of each of five updates."""
    exporter = Victim(backend, directory, Random(6), *store)
    await exporter.start()
    try:
        world = World()
        setting = Setting(world, operator="4.18.0")
        await carry_out(world, backend)
        took: dict[str, float] = {}
        for number in range(1, ROUNDS + 1):
            before, version = setting.installed, f"4.18.{number}"
            started = world.now
            updating = Updating(setting, version, started)
            setting.offer(version, before)
            setting.plan(f"install-{number}", version, created=started, approved=True, phase="Installing")
            updating.phase("Pending", "RequirementsUnknown")
            setting.replaced()
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            await exporter.says(
                rf'started_timestamp_seconds{{from_version="{before}",to_version="{version}"}} (\S+)',
                started.timestamp(),
            )

            updating.phase("Installing", "InstallWaiting")
            for _ in range(number % 2):
                updating.phase("Failed", "InstallCheckFailed")
                updating.phase("Installing", "InstallWaiting")
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            await exporter.says(rf'install_failures{{to_version="{version}"}} (\S+)', number % 2)

            installed = world.now
            updating.says("Initializing")
            updating.phase("Succeeded", "InstallSucceeded")
            world.delete("ClusterServiceVersion", objects.csv_name(before), objects.NAMESPACE)
            world.delete("OperatorCondition", objects.csv_name(before), objects.NAMESPACE)
            updating.hyperconverged(before, "HCOUpgrading")
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            await exporter.says(r'stage{stage="rollout"} (\S+)', 1)

            updating.says("Upgradeable")
            updating.hyperconverged(version)
            setting.completed(version, *updating.phases)
            completed = world.now
            await carry_out(world, backend)
            await exporter.kill(within=0.5)
            took[version] = (completed - started).total_seconds()
            last = "last_stage_duration_seconds"
            await exporter.says(rf'{last}{{stage="install"}} (\S+)', (installed - started).total_seconds())
            await exporter.says(rf'{last}{{stage="rollout"}} (\S+)', (completed - installed).total_seconds())
            await exporter.says(r'duration_seconds_count{outcome="completed"} (\S+)', number)
        for version, seconds in took.items():
            await exporter.says(rf'history_duration_seconds{{.*to_version="{version}".*}} (\S+)', seconds)
        assert exporter.kills == 4 * ROUNDS
    finally:
        await exporter.end()


LIVES = 20
EACH = 5
KILLED_AT = 0.15
SAMPLE = re.compile(r"^virt_upgrade_(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
EXACT = re.compile(
    r"history_duration_seconds |duration_seconds |completed_timestamp_seconds |last_duration_seconds "
    r"|last_stage_duration_seconds (?:gate|install|rollout) |started_timestamp_seconds |install_failures "
    r"|in_progress "
)
"""What the objects tell, whatever the time is by the exporter's clock."""


def told(page: str) -> set[str]:
    """What the page says of updates, in the words in which the truth is told."""
    lines = set()
    for name, labels, value in SAMPLE.findall(page):
        values = re.findall(r'="((?:[^"\\]|\\.)*)"', labels)
        family = name
        if name in {"duration_seconds_bucket", "duration_seconds_sum"}:
            family = "duration_seconds"
            values = values if name.endswith("bucket") else [*values, "sum"]
        line = f"{family} {' '.join(values)} {float(value):.10g}"
        if (
            EXACT.match(line)
            and float(value)
            and (family != "duration_seconds" or values[-1] in {"+Inf", "sum"})
        ):
            lines.add(line)
    return lines


@pytest.mark.parametrize("first", range(0, LIVES, EACH))
async def test_random_lives_are_told_as_they_went_by_who_is_killed_in_them(
    first: int, tmp_path: Path
) -> None:
    for seed in range(first, first + EACH):
        directory = tmp_path / str(seed)
        directory.mkdir()
        async with simulated_backend() as backend:
            await killed_in_a_life(seed, backend, directory)


async def killed_in_a_life(seed: int, backend: Backend, directory: Path) -> None:
    """A story of hours, some weeks ago, told as fast as the exporter can take it in."""
    random = Random(seed)
    exporter = Victim(backend, directory, random, "--state.file", str(directory / "state.json"))
    await exporter.start()
    try:
        clock = Clock(now=datetime.now(UTC).replace(microsecond=0) - timedelta(days=30))
        world = World(clock=clock)
        pauses = wandering(seed, 0.06, HOUR, vms=False, proved=True).script(world)
        step = 0
        while (pause := next(pauses, None)) is not None or not exporter.kills:
            step += 1
            await carry_out(world, backend)
            if random.random() < KILLED_AT or pause is None:
                await exporter.kill(within=0.2)
            truth = world.truth
            if truth is not None and truth.courses is not None:
                true = {
                    each for each in expected_of_updates(truth, clock.now).splitlines() if EXACT.match(each)
                }
                await exporter.tells(true, f"seed {seed}, step {step}")
            clock.advance(pause or 0)
    finally:
        await exporter.end()


async def test_no_kill_loses_or_doubles_a_migration(tmp_path: Path) -> None:
    async with simulated_backend() as backend:
        await killed_among_migrations(backend, tmp_path, "--state.file", str(tmp_path / "state.json"))


async def test_nor_does_it_on_a_real_api_server_with_a_configmap(
    tmp_path: Path, kube_apiserver: KubeApiServer
) -> None:
    async with real_backend(kube_apiserver) as backend:
        await killed_among_migrations(backend, tmp_path, "--state.configmap", f"{NAMESPACE}/state")


async def killed_among_migrations(backend: Backend, directory: Path, *store: str) -> None:
    """Kill the exporter as each migration ends; older ones are deleted all the while."""
    exporter = Victim(backend, directory, Random(5), *store)
    await exporter.start()
    try:
        world = World()
        guest = Guest("wanderer")
        farm = Farm(world, [guest])
        await carry_out(world, backend)
        for number in range(MIGRATIONS):
            move = farm.migrate(guest, ("evacuation", "workload_update", "person")[number % 3], "Running")
            await carry_out(world, backend)
            farm.proceed(move, "Failed" if number % 4 == 1 else "Succeeded")
            await carry_out(world, backend)
            await exporter.kill(within=0.3)

            async def counted() -> bool:
                found = await exporter.finished()
                assert sum(found.values()) <= sum(farm.finished.values())
                return found == dict(farm.finished)

            await eventually(counted, f"{dict(farm.finished)}")
        # What is deleted stays counted, by one that has seen none of it.
        for move in list(farm.moves.values()):
            world.delete("VirtualMachineInstanceMigration", move.name, PROJECT)
        await carry_out(world, backend)
        await exporter.kill(within=0.0)
        assert await exporter.finished() == dict(farm.finished)
    finally:
        await exporter.end()
