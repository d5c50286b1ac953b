"""The simulated API server over HTTP: discovery, LIST, WATCH, GET and writes, as Kubernetes does them.

It is honest where the exporter could tell the difference: one resourceVersion over all kinds, pages of
one snapshot whose tokens expire, resuming watches, both forms of 410, bookmarks, streaming lists,
selectors with their transitions, metadata-only answers. The same contract tests run on it and on a real
kube-apiserver.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import uuid4

import msgspec
from aiohttp import web

from exporter.simulator.faults import EventStream, Faults, status_body
from exporter.simulator.kinds import Kind
from exporter.simulator.selectors import BadSelector, Matcher, matcher
from exporter.simulator.storage import ApiObject, Event, Forgotten, NotFound, Storage, Stored

_COMPRESS_FROM: Final = 128 * 1024
"""kube-apiserver compresses answers from this size on."""

_METADATA_KINDS: Final = ("as=PartialObjectMetadataList", "as=PartialObjectMetadata")


class Refusal(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.code = code
        self.body = status_body(code, reason, message, **more)


@dataclass(frozen=True)
class _Target:
    """What a path names."""

    kind: Kind
    version: str
    namespace: str
    name: str
    subresource: str


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


@dataclass
class ApiServer:
    """Serves a storage; start it or use it as an asynchronous context manager."""

    storage: Storage
    settings: ServerSettings = field(default_factory=ServerSettings)
    faults: Faults = field(default_factory=Faults)
    monotonic: Callable[[], float] | None = None
    port: int = 0
    """0 takes a free one, which is kept when the server is started again."""
    _runner: web.AppRunner | None = None
    _pages: dict[str, _Pages] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Base address."""
        return f"{'https' if self.settings.tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> str:
        """Listen; the base address."""
        app = web.Application(middlewares=[self.faults.middleware], client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A watch that waits must end when its client goes, and must not hold up the end of the server.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.settings.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self.url

    async def stop(self) -> None:
        """Close all connections; the storage stays."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

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
        if tokens is None or request.path in {"/healthz", "/livez", "/readyz"}:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in {"/healthz", "/livez", "/readyz"}:
            return web.Response(text="ok")
        if request.path == "/version":
            return _json({"major": "1", "minor": "34", "gitVersion": "v1.34.0+simulated"})
        document = self._discovery(request.path)
        if document is not None:
            return _json(document)
        target = self._target(request.path)
        if target is None:
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "GET":
            return await self._write(request, target)
        if target.name:
            stored = self.storage.get(target.kind.plural, target.namespace, target.name)
            return _raw(_shown(stored, target, metadata_only=_metadata_only(request)))
        if request.query.get("watch") in {"1", "true"}:
            return await self._watch(request, target)
        return await self._list(request, target)

    # Discovery

    def _discovery(self, path: str) -> dict[str, Any] | None:
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        groups: dict[str, list[str]] = {}
        for kind in self.storage.kinds:
            if kind.group:
                versions = groups.setdefault(kind.group, [])
                versions += [version for version in kind.versions if version not in versions]
        if parts == ["apis"]:
            listed = [_group(group, versions) for group, versions in groups.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        if len(parts) == 2 and parts[0] == "apis" and parts[1] in groups:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], groups[parts[1]])}
        if parts == ["api", "v1"] or (len(parts) == 3 and parts[0] == "apis"):
            group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
            found = [each for each in self.storage.kinds if each.group == group and version in each.versions]
            if found:
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": f"{group}/{version}".lstrip("/"),
                    "resources": [_resource(each) for each in found],
                }
        return None

    def _target(self, path: str) -> _Target | None:
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        for kind in self.storage.kinds:
            if (kind.group, kind.plural) == (group, rest[0]) and version in kind.versions and len(rest) < 4:
                name, subresource = [*rest[1:], "", ""][:2]
                return _Target(kind, version, namespace, name, subresource)
        return None

    # LIST

    async def _list(self, request: web.Request, target: _Target) -> web.Response:
        query = request.query
        limit = _whole_number(query.get("limit", ""), "limit")
        if token := query.get("continue", ""):
            revision, objects = self._continued(token, query.get("resourceVersion", ""))
        else:
            revision, objects = self._snapshot(request, target)
        page, rest = (objects[:limit], objects[limit:]) if limit else (objects, [])
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if rest:
            metadata["continue"] = self._token(revision, rest)
            metadata["remainingItemCount"] = len(rest)
        metadata_only = _metadata_only(request)
        kind = "PartialObjectMetadataList" if metadata_only else f"{target.kind.kind}List"
        api_version = "meta.k8s.io/v1" if metadata_only else target.kind.api_version(target.version)
        head = msgspec.json.encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
        items = b",".join(_shown(stored, target, metadata_only=metadata_only) for stored in page)
        body = head[:-1] + b',"items":[' + items + b"]}\n"
        headers = {"Content-Type": "application/json"}
        if len(body) >= _COMPRESS_FROM and _takes_gzip(request):
            body = await asyncio.to_thread(gzip.compress, body, 1)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    def _snapshot(self, request: web.Request, target: _Target) -> tuple[int, list[Stored]]:
        query = request.query
        wanted = _whole_number(query.get("resourceVersion", ""), "resourceVersion")
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
            raise _expired(wanted, self.storage.compacted)
        matches = _matcher(request, target)
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
            key = base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refusal(400, "BadRequest", "continue key is not valid") from None
        pages = self._pages.get(key)
        if pages is None or pages.expires <= self._now() or pages.revision < self.storage.compacted:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise Refusal(410, "Expired", message, metadata={"continue": token})
        return pages.revision, pages.rest

    def _now(self) -> float:
        return (self.monotonic or asyncio.get_running_loop().time)()

    # WATCH

    async def _watch(self, request: web.Request, target: _Target) -> web.StreamResponse:
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
        wanted = _whole_number(query.get("resourceVersion", ""), "resourceVersion")
        matches = _matcher(request, target)
        if not initial and 0 < wanted < self.storage.compacted and self.settings.expired_watch_as_status:
            raise _expired(wanted, self.storage.compacted)
        stream = _Watch(
            self.storage,
            target,
            matches,
            EventStream(request, compress=_takes_gzip(request)),
            bookmark_interval=self.settings.bookmark_interval if bookmarks else None,
            metadata_only=_metadata_only(request),
        )
        timeout = _whole_number(query.get("timeoutSeconds", ""), "timeoutSeconds") or 1800
        response = web.StreamResponse()
        # The client, or a fault, may end the stream at any moment.
        with suppress(ConnectionResetError):
            response = await stream.events.open()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await stream.run(0 if initial else wanted, mark_end=initial)
            await response.write_eof()
        return response

    # Writes

    async def _write(self, request: web.Request, target: _Target) -> web.Response:
        plural = target.kind.plural
        if request.method == "DELETE":
            self.storage.delete(target.kind.kind, target.namespace, target.name)
            return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        try:
            given: ApiObject = msgspec.json.decode(await request.read())
        except msgspec.MsgspecError:
            raise Refusal(400, "BadRequest", "the body is no JSON") from None
        if request.method == "POST":
            return self._create(target, given)
        stored = self.storage.get(plural, target.namespace, target.name)
        present: ApiObject = msgspec.json.decode(stored.body)
        changed = merge_patch(present, given) if request.method == "PATCH" else given
        wanted = (given.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != str(stored.revision):
            raise Refusal(409, "Conflict", "the object has been modified; please apply your changes again")
        if target.subresource == "status":
            changed = {**present, "status": changed.get("status")}
        elif target.kind.status_subresource:
            changed = {key: value for key, value in changed.items() if key != "status"}
            if "status" in present:
                changed["status"] = present["status"]
        changed["metadata"] = {
            **changed.get("metadata", {}),
            "name": target.name,
            "namespace": target.namespace,
        }
        return _json(self.storage.apply({**changed, "kind": target.kind.kind}))

    def _create(self, target: _Target, given: ApiObject) -> web.Response:
        metadata = dict(given.get("metadata") or {})
        if target.namespace:
            metadata["namespace"] = target.namespace
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid4().hex[:5]
        if not metadata.get("name"):
            raise Refusal(422, "Invalid", "metadata.name: Required value: name or generateName is required")
        with suppress(NotFound):
            self.storage.get(target.kind.plural, metadata.get("namespace", ""), metadata["name"])
            raise Refusal(409, "AlreadyExists", f'{target.kind.plural} "{metadata["name"]}" already exists')
        # The server alone gives these.
        for own in ("uid", "creationTimestamp", "resourceVersion", "generation"):
            metadata.pop(own, None)
        kept = {
            key: value
            for key, value in given.items()
            if key != "status" or not target.kind.status_subresource
        }
        created = self.storage.apply({**kept, "kind": target.kind.kind, "metadata": metadata})
        return _json(created, status=201)


@dataclass
class _Watch:
    """One open watch."""

    storage: Storage
    target: _Target
    matches: Matcher
    events: EventStream
    bookmark_interval: float | None
    metadata_only: bool

    async def run(self, after: int, *, mark_end: bool) -> None:
        """Send events after a revision, for ever; from revision 0 first everything as added."""
        plural = self.target.kind.plural
        life = self.storage.incarnation(plural)
        flag = self.storage.subscribe(plural)
        try:
            if after == 0:
                after = await self._initial(mark_end)
            elif after < self.storage.compacted:
                await self._expire(after)
                return
            while True:
                flag.clear()
                after = await self._catch_up(after)
                if self.storage.incarnation(plural) != life:
                    return
                after = await self._wait(flag, after)
        except Forgotten:
            await self._expire(after)
        finally:
            self.storage.unsubscribe(plural, flag)

    async def _initial(self, mark_end: bool) -> int:
        revision = self.storage.revision
        for stored in self.storage.objects(self.target.kind.plural):
            if self.matches(stored):
                await self._send("ADDED", stored)
        if mark_end:
            await self._bookmark(revision, {"k8s.io/initial-events-end": "true"})
        return revision

    async def _catch_up(self, after: int) -> int:
        for event in self.storage.events(self.target.kind.plural, after):
            type_ = self._seen_as(event)
            if type_:
                await self._send(type_, event.object)
            after = event.revision
        return after

    def _seen_as(self, event: Event) -> str:
        """The event's type to a client with a selector; empty when it concerns nothing selected."""
        before = event.before is not None and self.matches(event.before)
        now = event.type != "DELETED" and self.matches(event.object)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    async def _wait(self, flag: asyncio.Event, after: int) -> int:
        if self.bookmark_interval is None:
            await flag.wait()
            return after
        try:
            async with asyncio.timeout(self.bookmark_interval):
                await flag.wait()
        except TimeoutError:
            if not flag.is_set():
                # The log holds nothing after it, so this watch has seen everything up to now.
                after = self.storage.revision
                await self._bookmark(after, None)
        return after

    async def _expire(self, after: int) -> None:
        body = _expired(after, self.storage.compacted).body
        await self.events.send(b'{"type":"ERROR","object":' + body + b"}\n")

    async def _bookmark(self, revision: int, annotations: dict[str, str] | None) -> None:
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind, api_version = self.target.kind.kind, self.target.kind.api_version(self.target.version)
        if self.metadata_only:
            kind, api_version = "PartialObjectMetadata", "meta.k8s.io/v1"
        mark = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
        line = b'{"type":"BOOKMARK","object":' + msgspec.json.encode(mark) + b"}\n"
        await self.events.send(line, bookmark=True)

    async def _send(self, type_: str, stored: Stored) -> None:
        body = _shown(stored, self.target, metadata_only=self.metadata_only)
        await self.events.send(b'{"type":"%b","object":%b}\n' % (type_.encode(), body))


def merge_patch(present: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(present) if isinstance(present, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _shown(stored: Stored, target: _Target, *, metadata_only: bool) -> bytes:
    """An object as a client asked for it."""
    if metadata_only:
        metadata = msgspec.json.decode(stored.body)["metadata"]
        whole = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return msgspec.json.encode(whole)
    if target.version == target.kind.versions[0]:
        return stored.body
    other = msgspec.json.decode(stored.body)
    return msgspec.json.encode({**other, "apiVersion": target.kind.api_version(target.version)})


def _matcher(request: web.Request, target: _Target) -> Matcher:
    query = request.query
    try:
        matches = matcher(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    except BadSelector as error:
        raise Refusal(400, "BadRequest", str(error)) from error
    namespace = target.namespace
    return (lambda stored: stored.namespace == namespace and matches(stored)) if namespace else matches


def _expired(wanted: int, compacted: int) -> Refusal:
    return Refusal(410, "Expired", f"too old resource version: {wanted} ({compacted})")


def _whole_number(text: str, name: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise Refusal(400, "BadRequest", f"{name}: Invalid value: {text}")
    return int(text or 0)


def _metadata_only(request: web.Request) -> bool:
    accept = request.headers.get("Accept", "")
    return any(kind in accept for kind in _METADATA_KINDS)


def _takes_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def _group(group: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: Kind) -> dict[str, Any]:
    writes = ["create", "delete", "patch", "update"]
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": [*writes, "get", "list", *(["watch"] if kind.watchable else [])],
    }


def _json(document: object, *, status: int = 200) -> web.Response:
    return _raw(msgspec.json.encode(document), status=status)


def _raw(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
