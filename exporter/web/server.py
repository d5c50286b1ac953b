"""The HTTP server: routes, probes and an orderly end."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final

from aiohttp import web

from exporter.pipeline import Pipeline
from exporter.web.negotiation import accepts_gzip, choose_format
from exporter.web.status_json import status_json
from exporter.web.status_page import status_page

SHUTDOWN_SECONDS: Final = 3.0
"""How long running scrapes may take to finish after SIGTERM; the whole end takes less than 5 s."""


class WebServer:
    """Serves one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._stopping = False
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._status),
                web.get("/metrics", self._metrics),
                web.get("/api/v1/status", self._status_json),
                web.get("/healthz", self._healthz),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which is a free one where 0 was asked for.

        Raises:
            OSError: the address cannot be listened on.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host or None, port)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def stop(self, linger: float = 0.0) -> None:
        """Say not ready, go on serving for `linger` seconds, finish running scrapes, close.

        The time to linger lets probes and load balancers learn that this one is going.
        """
        self._stopping = True
        await asyncio.sleep(linger)
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        format_ = choose_format(request.headers.get("Accept"))
        headers = {"Content-Type": format_.value, "Vary": "Accept, Accept-Encoding"}
        body = await self._pipeline.scrape_gzip(format_)
        if accepts_gzip(request.headers.get("Accept-Encoding")):
            headers["Content-Encoding"] = "gzip"
        else:
            # Kept compressed, it takes no longer to unpack than to put together anew.
            body = gzip.decompress(body)
        return web.Response(body=body, headers=headers)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.Response(text=status_page(self._pipeline), content_type="text/html")

    async def _status_json(self, _request: web.Request) -> web.Response:
        return web.Response(body=status_json(self._pipeline), content_type="application/json")

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _livez(self, _request: web.Request) -> web.Response:
        if self._pipeline.alive:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="a watch has ended that never should\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._stopping:
            return web.Response(status=503, text="stopping\n")
        if missing := self._pipeline.missing():
            return web.Response(status=503, text=f"not yet synced: {', '.join(missing)}\n")
        return web.Response(text="ok\n")
