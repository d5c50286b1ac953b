"""A program under measurement: what /proc says of it, from exec on, and how it answers scrapes."""

from __future__ import annotations

import gzip
import http.client
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers import ServerFailed
from tests.servers.process import Server

MIB: Final = 1024 * 1024

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
_TIMEOUT: Final = 120.0


def cpu_of(pid: int) -> float:
    """Processor time of all threads of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def wait_calm(pids: Sequence[int], *, at_most: float = 60.0) -> None:
    """Wait until these processes together use less than a tenth of a processor."""
    deadline = time.monotonic() + at_most
    while time.monotonic() < deadline:
        before = sum(map(cpu_of, pids))
        time.sleep(1)
        if sum(map(cpu_of, pids)) - before < 0.1:
            return


class Program(Server):
    """A program that listens on a port of its own, with its processor time and memory."""

    start_timeout = 180.0

    def __init__(self) -> None:
        super().__init__()
        self.began = 0.0
        """When it was executed, on the monotonic clock."""
        self._connection: http.client.HTTPConnection | None = None

    def command(self) -> Sequence[str]:
        """Program and arguments."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        command = list(self.command())
        self.began = time.monotonic()
        return command

    def _ready(self) -> bool:
        # Listening is enough to go on with; what is waited for afterwards is part of the measurement.
        return True

    def cpu(self) -> float:
        """Processor time of all its threads since exec, in seconds."""
        return cpu_of(self.pid)

    def resident(self) -> float:
        """Resident memory now, in MiB."""
        return self._memory("VmRSS")

    def peak(self) -> float:
        """The most resident memory it ever had, in MiB."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / MIB
        raise ServerFailed(f"{self.name} has no {name}: it has ended")

    def get(self, path: str, *, compressed: bool = False) -> tuple[int, bytes]:
        """Status and body as they come over the wire; the connection is kept, as Prometheus does."""
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip" if compressed else "identity"}
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=_TIMEOUT)
            try:
                self._connection.request("GET", path, headers=headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                # A kept connection may have been closed by the other side meanwhile.
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
        raise AssertionError

    def page(self) -> bytes:
        """The metrics page."""
        status, body = self.get("/metrics")
        if status != 200:
            raise ServerFailed(f"{self.name} answers /metrics with {status}\n{self.log_tail()}")
        return body

    def close_blocking(self) -> None:
        """End the process for good and remove its data."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        super().close_blocking()


@dataclass(frozen=True)
class Scrapes:
    """Scrapes with gzip, one right after the other."""

    seconds: tuple[float, ...]
    cpu: float
    """Processor time of one."""
    compressed: int
    plain: int
    """Bytes of the page, on the wire and before."""


def scrapes(program: Program, *, count: int = 60, seconds: float = 3.0) -> Scrapes:
    """At least so many, for at least so long: processor time is told in hundredths of a second."""
    _, body = program.get("/metrics", compressed=True)
    plain = len(gzip.decompress(body)) if body[:2] == b"\x1f\x8b" else len(body)
    taken: list[float] = []
    before, began = program.cpu(), time.monotonic()
    while len(taken) < count or time.monotonic() - began < seconds:
        asked = time.perf_counter()
        _, body = program.get("/metrics", compressed=True)
        taken.append(time.perf_counter() - asked)
    return Scrapes(tuple(taken), (program.cpu() - before) / len(taken), len(body), plain)


@dataclass(frozen=True)
class Settled:
    """Memory once it has stopped falling."""

    resident: float
    after: float
    """Seconds since the measurement of it began, after the last scrape."""
    idle: float
    """Share of a processor used meanwhile."""


def settle(program: Program, *, at_least: float, at_most: float) -> Settled:
    """Leave the program alone until its memory has not fallen by 1 % for 30 s."""
    began, before = time.monotonic(), program.cpu()
    lowest, since = program.resident(), 0.0
    idle: float | None = None
    while (passed := time.monotonic() - began) < at_most:
        time.sleep(0.5)
        resident = program.resident()
        if resident < lowest * 0.99:
            lowest, since = resident, passed
        if idle is None and passed >= at_least:
            idle = (program.cpu() - before) / (time.monotonic() - began)
        if idle is not None and passed - since >= min(30.0, at_least):
            break
    if idle is None:
        idle = (program.cpu() - before) / (time.monotonic() - began)
    return Settled(program.resident(), since, idle)
