"""A server on the loopback interface that can be stopped and started again on the same port."""

from __future__ import annotations

import ssl
from typing import Self

from aiohttp import web

from exporter.simulator.faults import Faults, Handler


class LoopbackServer:
    """Hands every request to one handler, through the faults; an asynchronous context manager."""

    def __init__(self, handler: Handler, faults: Faults, *, tls: ssl.SSLContext | None = None) -> None:
        self.faults = faults
        self._handler = handler
        self._tls = tls
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base address, once it has been started."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def start(self) -> str:
        """Listen; the base address."""
        app = web.Application(middlewares=[self.faults.middleware])
        app.router.add_route("*", "/{path:.*}", self._handler)
        # A watch that waits must end when its client goes, and must not hold up the end of the server.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self.url

    async def stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
