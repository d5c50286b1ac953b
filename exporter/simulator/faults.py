"""Switches for everything that goes wrong between an API server and its clients.

The same switches work in the simulated API server and in a proxy before a real one. A fault applies to
the requests it matches, in the order in which faults were added; it answers in the server's place, cuts
the connection, or spoils the stream of events.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

FAULT: Final = web.RequestKey("fault", object)
SEEN_LIMIT: Final = 10_000


class Verb(StrEnum):
    """What a request asks for."""

    LIST = "list"
    WATCH = "watch"
    WATCH_LIST = "watchlist"
    GET = "get"
    DISCOVERY = "discovery"
    WRITE = "write"


@dataclass(frozen=True)
class Seen:
    """One request."""

    verb: Verb
    resource: str
    """Plural; empty for discovery."""
    version: str
    """API version in the path; empty for discovery of groups."""
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """An answer in the server's place."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """The connection is reset before an answer."""


@dataclass(frozen=True)
class Spoiled:
    """A stream that goes wrong after some of its lines."""

    after: int = 0
    """Lines that pass first."""
    then: Literal["reset", "cut", "end", "silence", "go on"] = "go on"
    """`cut` sends half of the next line and closes; `silence` keeps the connection and says nothing."""
    line: bytes = b""
    """A line put in before that."""
    delay: float = 0.0
    """Seconds between the bytes of each line's first half and its second."""
    drop_bookmarks: bool = False


@dataclass(frozen=True)
class Ignored:
    """The server does not know these query parameters and does as if they were not there."""

    params: tuple[str, ...]


Action: TypeAlias = Answer | Reset | Spoiled | Ignored


@dataclass(eq=False)
class Fault:
    """One switch: which requests it concerns, how many of them, and what happens."""

    action: Action
    resource: str | None = None
    verbs: tuple[Verb, ...] = ()
    """All when empty."""
    version: str | None = None
    times: int | None = None
    """How many requests; None until it is removed."""
    hits: int = 0

    def matches(self, seen: Seen) -> bool:
        """Whether it applies to a request."""
        spent = self.times is not None and self.hits >= self.times
        mine = self.resource in {None, seen.resource} and self.version in {None, seen.version}
        return mine and (not self.verbs or seen.verb in self.verbs) and not spent


def status_body(code: int, reason: str, message: str, **more: object) -> bytes:
    """A metav1.Status as API servers write it."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return json.dumps(status | more).encode()


def refusal(code: int, reason: str = "", message: str = "", *, retry_after: float | None = None) -> Answer:
    """A refusal by the API server itself."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Answer(code, status_body(code, reason, message or reason), headers=headers)


def html(status: int) -> Answer:
    """An answer of something in between, such as a load balancer."""
    page = b"<html><head><title>Service Temporarily Unavailable</title></head></html>"
    return Answer(status, page, "text/html")


EXPIRED_EVENT: Final = (
    b'{"type":"ERROR","object":' + status_body(410, "Expired", "too old resource version: 1 (2)") + b"}\n"
)
NO_PROGRESS_EVENT: Final = (
    b'{"type":"ERROR","object":'
    + status_body(
        500,
        "InternalError",
        "a watch stream was requested by the client but the required storage feature "
        "RequestWatchProgress is disabled",
    )
    + b"}\n"
)
WATCH_LIST_REFUSALS: Final[Mapping[str, Action]] = {
    "unprocessable": refusal(
        422,
        "Invalid",
        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList "
        "feature gate is enabled",
    ),
    "bad request": refusal(400, "BadRequest", "unknown parameter sendInitialEvents"),
    "error in the stream": Spoiled(line=NO_PROGRESS_EVENT, then="end"),
    "ignored": Ignored(("sendInitialEvents", "resourceVersionMatch")),
}
"""The ways in which servers refuse a streaming list."""


class Faults:
    """The switches of one server, and the requests that it has seen."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.requests: deque[Seen] = deque(maxlen=SEEN_LIMIT)

    def add(
        self,
        action: Action,
        *,
        resource: str | None = None,
        verbs: tuple[Verb, ...] = (),
        version: str | None = None,
        times: int | None = None,
    ) -> Fault:
        """Switch a fault on."""
        fault = Fault(action, resource, verbs, version, times)
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Switch a fault off."""
        self._faults.remove(fault)

    def clear(self) -> None:
        """Switch all faults off."""
        self._faults.clear()

    def seen(self, resource: str, *verbs: Verb) -> list[Seen]:
        """Requests for a resource, the oldest first."""
        return [each for each in self.requests if each.resource == resource and each.verb in verbs]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes the request and lets a matching fault act."""
        seen = classify(request)
        self.requests.append(seen)
        fault = next((each for each in self._faults if each.matches(seen)), None)
        if fault is None:
            return await handler(request)
        fault.hits += 1
        action = fault.action
        if isinstance(action, Answer):
            return web.Response(
                status=action.status,
                body=action.body,
                content_type=action.content_type,
                headers=action.headers,
            )
        if isinstance(action, Reset):
            abort(request)
            raise ConnectionResetError
        if isinstance(action, Ignored):
            query = {name: value for name, value in request.query.items() if name not in action.params}
            request = request.clone(rel_url=request.rel_url.with_query(query))
            # A modern server, asked like this, would mark the end of the initial events all the same.
            action = Spoiled(drop_bookmarks=True)
        request[FAULT] = action
        return await handler(request)


def abort(request: web.BaseRequest) -> None:
    """Reset the connection of a request."""
    if request.transport is not None:
        request.transport.abort()


def classify(request: web.BaseRequest) -> Seen:
    """What a request asks for, from its path and query."""
    parts = request.path.strip("/").split("/")
    query = dict(request.query)
    root = 3 if parts[0] == "apis" else 2
    version, rest = ("".join(parts[root - 1 : root]), parts[root:])
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    resource = rest[0] if rest else ""
    if request.method != "GET":
        verb = Verb.WRITE
    elif not resource:
        verb = Verb.DISCOVERY
    elif len(rest) > 1:
        verb = Verb.GET
    elif query.get("watch") in {"true", "1"}:
        verb = Verb.WATCH_LIST if "sendInitialEvents" in query else Verb.WATCH
    else:
        verb = Verb.LIST
    return Seen(verb, resource, version, query, dict(request.headers))


class EventStream:
    """Lines of a watch stream on their way to the client, spoiled if a fault says so."""

    def __init__(self, request: web.Request, *, compress: bool) -> None:
        self._request = request
        action = request.get(FAULT)
        self._spoiled = action if isinstance(action, Spoiled) else Spoiled()
        headers = {"Content-Type": "application/json"}
        self._gzip = zlib.compressobj(wbits=31) if compress else None
        if compress:
            headers["Content-Encoding"] = "gzip"
        self._response = web.StreamResponse(headers=headers)
        self._sent = 0

    async def open(self) -> web.StreamResponse:
        """Send the head of the answer; what it must be spoiled with at once, too."""
        await self._response.prepare(self._request)
        await self._spoil(b"")
        return self._response

    async def send(self, line: bytes, *, bookmark: bool = False) -> None:
        """Send one line.

        Raises:
            ConnectionResetError: the stream is over.
        """
        if bookmark and self._spoiled.drop_bookmarks:
            return
        await self._spoil(line)
        if self._spoiled.delay:
            await self._write(line[: len(line) // 2])
            await asyncio.sleep(self._spoiled.delay)
            line = line[len(line) // 2 :]
        await self._write(line)
        self._sent += 1

    async def _spoil(self, line: bytes) -> None:
        spoiled = self._spoiled
        if self._sent != spoiled.after or (spoiled.after and not line):
            return
        if spoiled.line:
            await self._write(spoiled.line)
            self._spoiled = Spoiled(after=-1) if spoiled.then == "go on" else spoiled
        if spoiled.then == "reset":
            abort(self._request)
        elif spoiled.then == "silence":
            # Ended by the client or by the end of the server.
            await asyncio.Event().wait()
        elif spoiled.then == "cut":
            if not line:
                return
            await self._write(line[: len(line) // 2])
        if spoiled.then != "go on":
            await self._response.write_eof()
            raise ConnectionResetError

    async def _write(self, data: bytes) -> None:
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._response.write(data)
