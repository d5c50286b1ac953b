"""The faults of the simulated API server, in front of a real one."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp import web

from exporter.simulator.connections import Connections
from exporter.simulator.faults import FAULT, EventStream, Faults, Spoiled, Verb, classify
from exporter.simulator.listening import LoopbackServer

_HOP_BY_HOP: Final = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "upgrade"})


class FaultyProxy(LoopbackServer):
    """Forwards everything to `upstream` and lets faults act on the way."""

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None) -> None:
        """A proxy before the server at `upstream`, which is verified by `tls`."""
        super().__init__(self._forward, Faults())
        self._upstream = upstream
        self._upstream_tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._connections = Connections()

    async def start(self) -> str:
        """Listen; the base address."""
        # Bodies pass as they are: a compressed answer stays compressed.
        connector = aiohttp.TCPConnector(limit=0, socket_factory=self._connections.open)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return await super().start()

    async def stop(self) -> None:
        """Close all connections."""
        await super().stop()
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._connections.closed()

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
                self._upstream + request.path_qs,
                headers=headers,
                data=await request.read(),
                ssl=self._upstream_tls if self._upstream_tls is not None else True,
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
