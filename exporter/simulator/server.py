"""The simulated API server over HTTP: discovery, LIST, WATCH and GET, as Kubernetes does them.

It is honest where the exporter could tell the difference: one resourceVersion over all kinds, pages of
one snapshot whose tokens expire, resuming watches, both forms of 410, bookmarks, streaming lists,
selectors with their transitions, metadata-only answers. The same contract tests run on it and on a real
kube-apiserver. What it holds is changed through its storage; over HTTP, ConfigMaps alone.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiohttp import web

from exporter.simulator import discovery
from exporter.simulator.faults import EventStream, Faults, status_body
from exporter.simulator.listening import LoopbackServer
from exporter.simulator.requests import (
    Refusal,
    Target,
    expired,
    json_answer,
    matcher_of,
    raw_answer,
    shown,
    takes_gzip,
    wants_metadata,
    whole_number,
)
from exporter.simulator.storage import NotFound, Storage, Stored
from exporter.simulator.watching import Watch
from exporter.simulator.writing import write

_COMPRESS_FROM: Final = 128 * 1024
"""kube-apiserver compresses answers from this size on."""

_HEALTH: Final = frozenset({"/healthz", "/livez", "/readyz"})


@dataclass
class _Pages:
    """The rest of a snapshot that is handed out in pages."""

    revision: int
    rest: list[Stored]
    expires: float


@dataclass
class ServerSettings:
    """What an administrator of a real API server would set, and times, in seconds."""

    bookmark_interval: float = 60.0
    page_token_lifetime: float = 300.0
    tokens: set[str] | None = None
    """Bearer tokens that are accepted; None accepts everybody."""
    expired_watch_as_status: bool = False
    """Answer an expired watch with HTTP status 410 instead of an event in the stream."""
    tls: ssl.SSLContext | None = None


class ApiServer(LoopbackServer):
    """Serves a storage, which stays what it is while the server is stopped."""

    def __init__(
        self,
        storage: Storage,
        settings: ServerSettings | None = None,
        *,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.storage = storage
        self.settings = settings or ServerSettings()
        self._monotonic = monotonic
        self._pages: dict[str, _Pages] = {}
        super().__init__(self._handle, Faults(), tls=self.settings.tls)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
            return await self._answer(request)
        except Refusal as refusal:
            return web.Response(status=refusal.code, body=refusal.body, content_type="application/json")
        except NotFound as missing:
            body = status_body(404, "NotFound", str(missing))
            return web.Response(status=404, body=body, content_type="application/json")

    def _authenticate(self, request: web.Request) -> None:
        tokens = self.settings.tokens
        if tokens is None or request.path in _HEALTH:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in _HEALTH:
            return web.Response(text="ok")
        if request.path == "/version":
            return json_answer({"major": "1", "minor": "34", "gitVersion": "v1.34.0+simulated"})
        document = discovery.document(self.storage.kinds, request.path)
        if document is not None:
            return json_answer(document)
        target = discovery.target(self.storage.kinds, request.path)
        if target is None:
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "GET":
            status, written = await write(self.storage, request, target)
            return json_answer(written, status)
        if target.name:
            stored = self.storage.get(target.kind.plural, target.namespace, target.name)
            return raw_answer(shown(stored, target, metadata_only=wants_metadata(request)))
        if request.query.get("watch") in {"1", "true"}:
            return await self._watch(request, target)
        return await self._list(request, target)

    # LIST

    async def _list(self, request: web.Request, target: Target) -> web.Response:
        query = request.query
        limit = whole_number(query.get("limit", ""), "limit")
        if token := query.get("continue", ""):
            revision, objects = self._continued(token, query.get("resourceVersion", ""))
        else:
            revision, objects = self._snapshot(request, target)
        page, rest = (objects[:limit], objects[limit:]) if limit else (objects, [])
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if rest:
            metadata["continue"] = self._token(revision, rest)
            metadata["remainingItemCount"] = len(rest)
        metadata_only = wants_metadata(request)
        kind = "PartialObjectMetadataList" if metadata_only else f"{target.kind.kind}List"
        api_version = "meta.k8s.io/v1" if metadata_only else target.kind.api_version(target.version)
        head = msgspec.json.encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
        items = b",".join(shown(stored, target, metadata_only=metadata_only) for stored in page)
        body = head[:-1] + b',"items":[' + items + b"]}\n"
        headers = {"Content-Type": "application/json"}
        if len(body) >= _COMPRESS_FROM and takes_gzip(request):
            body = await asyncio.to_thread(gzip.compress, body, 1)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    def _snapshot(self, request: web.Request, target: Target) -> tuple[int, list[Stored]]:
        query = request.query
        wanted = whole_number(query.get("resourceVersion", ""), "resourceVersion")
        match = query.get("resourceVersionMatch", "")
        revision = self.storage.revision
        if match and not query.get("resourceVersion"):
            message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            raise Refusal(422, "Invalid", message)
        if wanted > revision:
            raise Refusal(
                504,
                "Timeout",
                f"Timeout: Too large resource version: {wanted}, current: {revision}",
                details={
                    "causes": [
                        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
                    ],
                    "retryAfterSeconds": 1,
                },
            )
        if match == "Exact" and wanted < revision:
            raise expired(wanted, self.storage.compacted)
        matches = matcher_of(request, target)
        return revision, [each for each in self.storage.objects(target.kind.plural) if matches(each)]

    def _token(self, revision: int, rest: list[Stored]) -> str:
        now = self._now()
        self._pages = {key: pages for key, pages in self._pages.items() if pages.expires > now}
        key = uuid4().hex
        self._pages[key] = _Pages(revision, rest, now + self.settings.page_token_lifetime)
        return base64.urlsafe_b64encode(key.encode()).decode()

    def _continued(self, token: str, revision: str) -> tuple[int, list[Stored]]:
        if revision:
            message = "resourceVersion is forbidden when continue is provided"
            raise Refusal(400, "BadRequest", message)
        try:
            key = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refusal(400, "BadRequest", "continue key is not valid") from None
        pages = self._pages.get(key)
        if pages is None or pages.expires <= self._now() or pages.revision < self.storage.compacted:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise Refusal(410, "Expired", message, metadata={"continue": token})
        return pages.revision, pages.rest

    def _now(self) -> float:
        return (self._monotonic or asyncio.get_running_loop().time)()

    # WATCH

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        query = request.query
        if not target.kind.watchable:
            raise Refusal(405, "MethodNotAllowed", f"watch is not supported on {target.kind.plural}")
        bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        initial = query.get("sendInitialEvents") in {"1", "true"}
        if initial and not (bookmarks and query.get("resourceVersionMatch") == "NotOlderThan"):
            raise Refusal(
                422,
                "Invalid",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan and bookmarks",
            )
        if not initial and "resourceVersionMatch" in query:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise Refusal(422, "Invalid", message)
        wanted = whole_number(query.get("resourceVersion", ""), "resourceVersion")
        matches = matcher_of(request, target)
        if not initial and 0 < wanted < self.storage.compacted and self.settings.expired_watch_as_status:
            raise expired(wanted, self.storage.compacted)
        stream = Watch(
            self.storage,
            target,
            matches,
            # A kube-apiserver compresses streaming lists, and the watches that they go on as, only.
            EventStream(request, compress=initial and takes_gzip(request)),
            bookmark_interval=self.settings.bookmark_interval if bookmarks else None,
            metadata_only=wants_metadata(request),
        )
        timeout = whole_number(query.get("timeoutSeconds", ""), "timeoutSeconds") or 1800
        response = web.StreamResponse()
        # The client, or a fault, may end the stream at any moment.
        with suppress(ConnectionResetError):
            response = await stream.events.open()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await stream.run(0 if initial else wanted, mark_end=initial)
            await response.write_eof()
        return response
