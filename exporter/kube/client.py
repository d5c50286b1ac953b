"""HTTP to the API server: one session, the current credentials, and refusals as exceptions.

Requests ask for gzip: it halves the CPU of a LIST, because less has to be decrypted. Bodies are handed
on as bytes and streams, decoding belongs to the reader.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from exporter import __version__
from exporter.kube.credentials import Connection, Credentials, CredentialsError
from exporter.kube.errors import ApiError, KubeError, Unreachable, error_from_response, os_reason

log = logging.getLogger(__name__)

_ERROR_BODY_LIMIT: Final = 64 * 1024
_ACCEPT: Final = "application/json"

MERGE_PATCH: Final = "application/merge-patch+json"
"""Content type of a patch that names the fields to change (RFC 7386)."""

FAILURES: Final = (KubeError, CredentialsError, aiohttp.ClientError, TimeoutError, OSError)
"""Everything that a request may end with."""


class Client:
    """Requests to one API server, authenticated and renewed on 401."""

    def __init__(self, credentials: Credentials, *, connect_timeout: float = 30.0) -> None:
        self._credentials = credentials
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None
        self._unreached = ""

    async def close(self) -> None:
        """Close every connection; open streams end."""
        if self._session is not None:
            if self._session.connector is not None:
                # An API server that is gone answers no TLS goodbye, and the process is to end.
                await self._session.connector.close(abort_ssl=True)
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self, path: str, params: Mapping[str, str], *, read_timeout: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, its body unread.

        Args:
            path: absolute path on the API server.
            params: query parameters.
            read_timeout: seconds that may pass without a byte.

        Raises:
            ApiError: the server refused.
            Unreachable: the server could not be reached.
            aiohttp.ClientError, TimeoutError, OSError: it went away while the body was read.
            CredentialsError: there never were usable credentials.
        """
        async with self._open("GET", path, params, None, "", read_timeout) as response:
            yield response

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes | None,
        content_type: str,
        read_timeout: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        connection = await self._credentials.current()
        request = (method, path, params, body, content_type, read_timeout)
        response = await self._request(connection, *request)
        try:
            if response.status == 401:
                response.release()
                # A token can be rotated or revoked at any time: look for a new one before any back-off.
                connection = await self._credentials.renew(connection)
                response = await self._request(connection, *request)
            if response.status not in {200, 201}:
                raise await _refusal(response)
            yield response
        finally:
            # An open watch has bytes to come, so its connection cannot be used again.
            response.close()

    async def get(self, path: str, params: Mapping[str, str], *, read_timeout: float) -> bytes:
        """The whole body of a successful answer; raises as `open` does."""
        async with self.open(path, params, read_timeout=read_timeout) as response:
            body = await response.read()
            response.release()
            return body

    async def send(
        self, method: str, path: str, body: bytes, content_type: str, *, read_timeout: float
    ) -> bytes:
        """Write an object; the server's answer. Raises as `open` does."""
        async with self._open(method, path, {}, body, content_type, read_timeout) as response:
            answer = await response.read()
            response.release()
            return answer

    async def _request(
        self,
        connection: Connection,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes | None,
        content_type: str,
        read_timeout: float,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # One connection per watch: a limit would let one resource starve another.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "Accept": _ACCEPT,
                    "Accept-Encoding": "gzip",
                    "User-Agent": f"virt-upgrade-exporter/{__version__}",
                },
                # The proxy is the connection's, and a netrc knows nothing of API servers.
                trust_env=False,
            )
        try:
            response = await self._session.request(
                method,
                connection.server + path,
                params=params,
                data=body,
                headers={**connection.headers, "Content-Type": content_type}
                if content_type
                else connection.headers,
                ssl=connection.tls if connection.tls is not None else True,
                server_hostname=connection.server_hostname,
                proxy=connection.proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._connect_timeout, sock_read=read_timeout
                ),
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = f"cannot reach {connection.server}: {_reason(error)}"
            # All watches fail at once: the outage is said here, and once.
            if self._unreached != text:
                log.warning("%s", text)
            self._unreached = text
            raise Unreachable(text) from error
        if self._unreached:
            log.info("%s is reached again", connection.server)
            self._unreached = ""
        return response


def _reason(error: Exception) -> str:
    """What went wrong, without the names of Python objects that aiohttp's messages hold."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os_reason(error.os_error)
    return str(error) or type(error).__name__


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    body = await response.content.read(_ERROR_BODY_LIMIT)
    return error_from_response(response.status, body, retry_after=response.headers.get("Retry-After"))
