"""The installed command as a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

COMMAND = Path(sys.executable).with_name("virt-upgrade-exporter")
DEADLINE = 60.0

_ADDRESS = re.compile(r"listening on (\S+)|(http://\S+:\d+)/metrics")


class Installed:
    """A running command and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.base = ""
        self.started = asyncio.get_running_loop().time()

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Collect what it prints."""
        while line := await stream.readline():
            self.lines.append(line.decode().rstrip("\n"))
            if not self.base and (found := _ADDRESS.search(self.lines[-1])):
                self.base = found[2] or f"http://{found[1]}"

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a page."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.base + path, headers=headers) as response,
        ):
            return response.status, await response.text()

    async def metrics(self) -> str:
        """The metrics page."""
        status, page = await self.get("/metrics")
        assert status == 200
        return page

    async def ready(self) -> bool:
        """It says that it is ready."""
        return (await self.get("/readyz"))[0] == 200

    async def fresh(self) -> bool:
        """It says that everything it watches is fresh."""
        lines = [line for line in (await self.metrics()).splitlines() if "_resource_fresh{" in line]
        return bool(lines) and all(line.endswith(" 1") for line in lines)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit status and the seconds it took to end."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), DEADLINE)
        return status, loop.time() - asked


@asynccontextmanager
async def installed(*arguments: str) -> AsyncIterator[Installed]:
    """Start the command, in a home of its own; returns when it listens."""
    with TemporaryDirectory() as home:
        async with _started(arguments, {**os.environ, "XDG_STATE_HOME": home}) as running:
            yield running


@asynccontextmanager
async def _started(arguments: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Installed]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        "--web.listen-address",
        "127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    running = Installed(process)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [asyncio.create_task(running.read(each)) for each in (process.stdout, process.stderr)]
    try:
        async with asyncio.timeout(DEADLINE):
            while not running.base:
                assert process.returncode is None, running.lines
                await asyncio.sleep(0.01)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.gather(*readers)
