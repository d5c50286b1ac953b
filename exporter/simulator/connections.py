"""Connections of a client whose event loop may end as soon as it is closed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet


class Connections:
    """The sockets of an aiohttp connector, which is given `open` as its `socket_factory`.

    A closed TLS connection says goodbye and waits for an answer, also when its connector is closed
    meanwhile. If the loop ends first, its socket stays open until it is found by the garbage collector.
    """

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def open(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for an address as `getaddrinfo` describes it."""
        family, kind, protocol = address[:3]
        opened = socket.socket(family, kind, protocol)
        self._sockets.add(opened)
        return opened

    async def closed(self) -> None:
        """Cut what is still open, and return when nothing is: for after the connector was closed."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        while any(each.fileno() != -1 for each in self._sockets):  # noqa: ASYNC110 - a socket tells nobody
            await asyncio.sleep(0.001)
