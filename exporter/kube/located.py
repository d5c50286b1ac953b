"""Keeps a store equal to a resource in one namespace that others tell, and that may be another tomorrow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from exporter.kube.reflector import Reflector
from exporter.kube.resource import RecordT


class Located(Reflector[RecordT]):
    """Lists and watches wherever it is told to; what it held elsewhere goes with the first list."""

    def __init__(self, *args: Any, where: Callable[[], str | None], **more: Any) -> None:
        """A reflector that has not started.

        Args:
            where: tells the namespace; empty when there is none, and so nothing to read; None as long as
                nobody knows.
            args: as a `Reflector`.
            more: as a `Reflector`.
        """
        super().__init__(*args, **more)
        self._where = where
        self._moved = asyncio.Event()

    def look(self) -> None:
        """Go elsewhere if that is where it is by now."""
        where = self._where()
        if where is not None and where != self._namespace:
            self._moved.set()

    async def run(self) -> None:
        """Follow until cancelled; no error ends it."""
        while True:
            self._moved.clear()
            where = self._where()
            if where is not None and where != self._namespace:
                self._namespace = where
                # Nothing is known of that place yet.
                self._gone()
            if self._namespace:
                await self._until_moved(super().run())
            elif self._namespace is None:
                await self._moved.wait()
            else:
                self._nowhere()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll_interval):
                        await self._moved.wait()

    async def _until_moved(self, following: Coroutine[Any, Any, None]) -> None:
        tasks = asyncio.create_task(following), asyncio.create_task(self._moved.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _nowhere(self) -> None:
        self.status.synced_once = True
        self._succeeded("no namespace to read it in")
        self._changed(self.store.clear())
