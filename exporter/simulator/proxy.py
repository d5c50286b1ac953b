"""The faults of the simulated API server, in front of a real one."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp
from aiohttp import web

from exporter.simulator.faults import FAULT, EventStream, Faults, Spoiled, Verb, classify

_HOP_BY_HOP: Final = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "upgrade"})


@dataclass
class FaultyProxy:
    """Forwards everything to `upstream` and lets faults act on the way."""

    upstream: str
    faults: Faults = field(default_factory=Faults)
    tls: ssl.SSLContext | None = None
    """How to verify the upstream server."""
    port: int = 0
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> str:
        """Listen; the base address."""
        # Bodies pass as they are: a compressed answer stays compressed.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        app = web.Application(middlewares=[self.faults.middleware], client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self.url

    async def stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            raise web.HTTPServiceUnavailable
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        spoiled = isinstance(request.get(FAULT), Spoiled)
        if spoiled:
            # Lines have to be told apart to be spoiled.
            headers["Accept-Encoding"] = "identity"
        try:
            upstream = await self._session.request(
                request.method,
                self.upstream + request.path_qs,
                headers=headers,
                data=await request.read(),
                ssl=self.tls if self.tls is not None else True,
                timeout=aiohttp.ClientTimeout(total=None),
                allow_redirects=False,
            )
        except aiohttp.ClientError:
            return web.Response(
                status=502, text="<html>the server is not there</html>", content_type="text/html"
            )
        async with upstream:
            if spoiled and upstream.status == 200 and classify(request).verb in {Verb.WATCH, Verb.WATCH_LIST}:
                return await _spoil_lines(request, upstream)
            return await _copy(request, upstream)


async def _copy(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = {name: value for name, value in upstream.headers.items() if name.lower() not in _HOP_BY_HOP}
    response = web.StreamResponse(status=upstream.status, headers=kept)
    with suppress(ConnectionResetError):
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    return response


async def _spoil_lines(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    stream = EventStream(request, compress=False)
    response = web.StreamResponse()
    with suppress(ConnectionResetError):
        response = await stream.open()
        while line := await upstream.content.readline(max_line_length=2**24):
            await stream.send(line, bookmark=line.startswith(b'{"type":"BOOKMARK"'))
        await response.write_eof()
    return response
