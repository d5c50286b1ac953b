"""Requests that get no answer are described for a person."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from exporter.kube.client import Client
from exporter.kube.credentials import Connection, StaticCredentials
from exporter.kube.errors import Unreachable
from exporter.simulator.faults import Faults
from exporter.simulator.listening import LoopbackServer
from tests.unit.kube.test_credentials import certificates


async def silent(_request: web.Request) -> web.StreamResponse:
    """Accepts a request and never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def reason(connection: Connection) -> str:
    client = Client(StaticCredentials(connection), connect_timeout=5)
    try:
        with pytest.raises(Unreachable) as caught:
            await client.get("/version", {}, read_timeout=1)
    finally:
        await client.close()
    return str(caught.value)


async def test_a_netrc_is_nothing_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    async with LoopbackServer(answer, Faults()) as server:
        client = Client(StaticCredentials(Connection(server.url, authorization="Bearer ours")))
        assert await client.get("/version", {}, read_timeout=5) == b"{}"
        await client.close()
    assert seen == ["Bearer ours"]


async def test_nobody_listens() -> None:
    text = await reason(Connection("http://127.0.0.1:1"))
    assert text == "cannot reach http://127.0.0.1:1: Connection refused"


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with LoopbackServer(silent, Faults(), tls=context) as server:
        text = await reason(Connection(server.url))
    assert "its certificate is not trusted" in text
    assert "self-signed certificate" in text
    assert "object at" not in text


async def test_a_server_that_says_nothing() -> None:
    async with LoopbackServer(silent, Faults()) as server:
        text = await reason(Connection(server.url))
    assert "Timeout on reading data" in text
