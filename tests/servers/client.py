"""Plain requests to the real API server, as tests and their helpers make them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from exporter.simulator.connections import Connections
from tests.servers.kube_apiserver import KubeApiServer

Object = dict[str, Any]

_PATIENCE: Final = 20.0
_POLL: Final = 0.05


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status
        self.message = message


class Client:
    """Requests as the administrator, or with another token.

    A server that has just started answers 429 until the watch cache of the kind is filled; that is waited
    out, as every Kubernetes client does.
    """

    def __init__(self, api: KubeApiServer) -> None:
        self.api = api
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Connections()
        self._pid = 0

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await self._sockets.closed()

    async def _connections(self) -> aiohttp.ClientSession:
        # Connections to a process that is gone would fail the first request to its successor.
        if self._session is not None and self._pid != self.api.pid:
            await self.close()
        if self._session is None:
            self._pid = self.api.pid
            connector = aiohttp.TCPConnector(ssl=self.api.ssl_context(), socket_factory=self._sockets.open)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    def _headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.api.admin.token}", "Accept": "application/json"}

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """The decoded answer.

        Raises:
            ApiError: the server refuses.
        """
        deadline = time.monotonic() + _PATIENCE
        all_headers = {**self._headers(token), **(headers or {})}
        while True:
            try:
                return await self._request(method, path, body, params, all_headers)
            except ApiError as error:
                if error.status != 429 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_POLL)

    async def _request(
        self, method: str, path: str, body: object, params: Mapping[str, str] | None, headers: dict[str, str]
    ) -> Object:
        session = await self._connections()
        async with session.request(
            method,
            self.api.url + path,
            json=body,
            params=params,
            headers=headers,
        ) as answer:
            text = await answer.text()
            try:
                content: Object = json.loads(text)
            except ValueError:
                content = {"message": text.strip()}
            if not answer.ok:
                raise ApiError(method, path, answer.status, str(content.get("message", text)))
            return content

    async def find(self, path: str, **more: Any) -> Object | None:
        """The answer to a GET, or None when it is 404."""
        try:
            return await self.request("GET", path, **more)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    @asynccontextmanager
    async def watch(
        self, path: str, version: str = "", *, token: str = "", timeout: float = 20.0, **params: str
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """Events of a WATCH from this resourceVersion on, by default from now on.

        They end with the stream; when none comes for `timeout` seconds, that is a TimeoutError. An ERROR
        event is delivered like the others.

        Raises:
            ApiError: the server refuses.
        """
        start = version or (await self.request("GET", path))["metadata"]["resourceVersion"]
        deadline = time.monotonic() + _PATIENCE
        while True:
            session = await self._connections()
            answer = await session.get(
                self.api.url + path,
                params={"watch": "1", "resourceVersion": start, **params},
                headers=self._headers(token),
                timeout=aiohttp.ClientTimeout(total=None, sock_read=timeout),
                read_bufsize=2**24,  # a line is an object, which may be megabytes
            )
            async with answer:
                if answer.ok:
                    yield _decoded(answer)
                    return
                if answer.status != 429 or time.monotonic() > deadline:
                    raise ApiError("WATCH", path, answer.status, await answer.text())
            await asyncio.sleep(_POLL)


async def _decoded(answer: aiohttp.ClientResponse) -> AsyncIterator[Object]:
    async for line in answer.content:
        yield json.loads(line)
