"""A receiver of Alertmanager's notifications that remembers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

Notification = dict[str, Any]


class Webhook:
    """An HTTP server in the test's own event loop; an asynchronous context manager."""

    def __init__(self) -> None:
        self.received: list[Notification] = []
        """Everything received, oldest first."""
        self._arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """What goes into `webhook_configs`."""
        return f"http://127.0.0.1:{self._port}/"

    def receiver(self, name: str = "webhook", *, send_resolved: bool = True) -> dict[str, Any]:
        """A receiver for Alertmanager's configuration."""
        return {"name": name, "webhook_configs": [{"url": self.url, "send_resolved": send_resolved}]}

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Every alert of every notification, oldest first."""
        return [alert for notification in self.received for alert in notification["alerts"]]

    async def wait_for(
        self, predicate: Callable[[Notification], bool], timeout: float = 30.0
    ) -> Notification:
        """The first notification, received or to come, for which the predicate holds.

        Raises:
            TimeoutError: there is none in time; the message names what came instead.
        """
        seen = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._arrived.clear()
                    for notification in self.received[seen:]:
                        if predicate(notification):
                            return notification
                    seen = len(self.received)
                    await self._arrived.wait()
        except TimeoutError:
            names = [f"{each['labels'].get('alertname')} {each['status']}" for each in self.alerts]
            raise TimeoutError(f"no such notification in {timeout:.0f} s; received: {names}") from None

    async def _receive(self, request: web.Request) -> web.Response:
        self.received.append(await request.json())
        self._arrived.set()
        return web.Response()

    async def start(self) -> None:
        """Listen on a free port."""
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
