"""A server in a process of its own: started, known to be ready, stopped, and never left behind.

Starting and stopping are plain functions (`start_blocking`, `stop_blocking`, `close_blocking`), so that a
fixture of the whole session needs no event loop; `start`, `stop`, `restart` and `close` are the same for
asynchronous tests and are bound to no loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Self

# Linux hands out local ports from 32768 on to whoever connects somewhere. A server's port must not be one
# of those: while the server is down for a restart, a client that keeps trying could be given that very
# port, connect to itself, and keep the server from coming back.
_PORTS: Final = range(20_000, 32_000)

_POLL: Final = 0.05
_LOG_TAIL: Final = 30
_LISTEN: Final = "0A"
_ATTEMPTS: Final = 5


STARTED: Final[set[str]] = set()
"""Names of the servers that were ready at least once in this process."""


class ServerFailed(Exception):
    """A server did not start, or died; the message ends with the tail of its log."""


class ErrorStatus(OSError):
    """A server's answer with an error status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body.strip()[:500]}")
        self.status = status


class _Guard:
    """The process that ends what this one leaves behind."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._pipe: IO[str] | None = None

    def tell(self, line: str) -> None:
        if self._process is None or self._process.poll() is not None:
            script = str(Path(__file__).with_name("guard.py"))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            self._pipe = self._process.stdin
            atexit.register(self._end)
        if self._pipe is not None:
            self._pipe.write(f"{line}\n")
            self._pipe.flush()

    def _end(self) -> None:
        if self._process is not None and self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.close()
            self._process.wait(timeout=10)
            self._process = self._pipe = None


_GUARD: Final = _Guard()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def owns_listener(pid: int, port: int) -> bool:
    """Whether this process, and no other, listens on the port.

    An answer on a port says nothing about who gives it: had another test run taken the port first, its
    server would answer in place of ours, and the first wipe would be of its data.
    """
    if not Path("/proc/net/tcp").exists():
        return True  # no Linux: a server that lost its port has ended, which the caller sees
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{columns[9]}]")
    held = set()
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held.add(str(Path(descriptor.path).readlink()))
    return bool(sockets & held)


# A proxy of the environment is for the outside world, not for 127.0.0.1.
_DIRECT: Final = urllib.request.ProxyHandler({})


def http_json(
    url: str, body: object = None, *, token: str = "", cafile: Path | None = None, timeout: float = 10
) -> Any:
    """Answer of a server as JSON, or as text when it is none.

    Raises:
        ErrorStatus: the answer is an error.
        OSError: there is no answer.
    """
    handlers: list[urllib.request.BaseHandler] = [_DIRECT]
    if cafile is not None:
        context = ssl.create_default_context(cafile=str(cafile))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        with error:  # it is also the open connection
            raise ErrorStatus(error.code, error.read().decode(errors="replace")) from None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


class Server(ABC):
    """One server process with its data and log in a folder of its own; an asynchronous context manager."""

    name: ClassVar[str]
    start_timeout: ClassVar[float] = 90.0
    stop_timeout: ClassVar[float] = 10.0

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._ports: dict[str, int] = {}

    @abstractmethod
    def _command(self) -> list[str]:
        """Program and arguments; asks `port()` for its ports."""

    @abstractmethod
    def _ready(self) -> bool:
        """One look whether the server does its work; `OSError` means not yet."""

    def _prepare(self) -> None:  # noqa: B027 (most servers have nothing to write)
        """Write what the server reads when it starts."""

    @property
    def directory(self) -> Path:
        """Folder of data and log; removed by `close`."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"virt-upgrade-test-{self.name}-"))
        return self._directory

    @property
    def log(self) -> Path:
        """What the server printed, over all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            RuntimeError: it does not run.
        """
        if not self.running or self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def port(self, purpose: str = "main") -> int:
        """The server's port for this purpose; stays the same when it is restarted."""
        if purpose not in self._ports:
            port = free_port()
            while port in self._ports.values():
                port = free_port()
            self._ports[purpose] = port
        return self._ports[purpose]

    def log_tail(self, lines: int = _LOG_TAIL) -> str:
        """The end of the log."""
        if not self.log.exists():
            return "(no log)"
        with self.log.open(errors="replace") as stream:
            return "".join(deque(stream, maxlen=lines)).rstrip()

    def start_blocking(self) -> None:
        """Start the server and return when it is ready; does nothing when it runs.

        Raises:
            ServerFailed: it does not get ready.
        """
        if self.running:
            return
        told = bool(self._ports)  # somebody knows the ports already: they cannot change any more
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_once()
            except ServerFailed:
                self.stop_blocking(kill=True)
                taken = "address already in use" in self.log_tail()
                if not taken or told or attempt == _ATTEMPTS:
                    raise
                self._ports.clear()  # somebody was faster; other ports then
            except BaseException:  # an interrupt must not leave a half started server
                self.stop_blocking(kill=True)
                raise
            else:
                return

    def _start_once(self) -> None:
        self._prepare()
        command = self._command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                # A group of its own: it can be killed as a whole, and Ctrl-C reaches the test run alone.
                start_new_session=True,
            )
        _GUARD.tell(f"+ {self._process.pid} {self.directory}")
        deadline = time.monotonic() + self.start_timeout
        last: object = "no answer"
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise ServerFailed(f"{self.name} ended with code {code} while starting\n{self.log_tail()}")
            try:
                if owns_listener(self._process.pid, self.port()) and self._ready():
                    STARTED.add(self.name)
                    return
            except OSError as error:
                last = error
            time.sleep(_POLL)
        raise ServerFailed(
            f"{self.name} was not ready after {self.start_timeout:.0f} s: {last}\n{self.log_tail()}"
        )

    def stop_blocking(self, *, kill: bool = False) -> None:
        """End the process; data and ports stay for the next start. `kill` gives it no time to tidy up."""
        process = self._process
        if process is None:
            return
        if process.poll() is None and not kill:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=self.stop_timeout)
        # Unconditionally, before the process is reaped for good: children of the server go as well.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        _GUARD.tell(f"- {process.pid}")
        self._process = None

    def close_blocking(self) -> None:
        """End the process for good and remove its data."""
        self.stop_blocking(kill=True)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def start(self) -> None:
        """Start the server; returns when it is ready."""
        await asyncio.to_thread(self.start_blocking)

    async def stop(self, *, kill: bool = False) -> None:
        """End the process; data and ports stay for the next start."""
        await asyncio.to_thread(self.stop_blocking, kill=kill)

    async def restart(self, *, kill: bool = False) -> None:
        """Stop, then start on the same ports and data."""
        await self.stop(kill=kill)
        await self.start()

    async def close(self) -> None:
        """End the process for good and remove its data."""
        await asyncio.to_thread(self.close_blocking)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
