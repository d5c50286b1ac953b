"""What requests to the simulated API server say, and how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from exporter.simulator.faults import status_body
from exporter.simulator.kinds import Kind
from exporter.simulator.selectors import BadSelector, Matcher, matcher
from exporter.simulator.storage import Stored

_METADATA_KINDS: Final = ("as=PartialObjectMetadataList", "as=PartialObjectMetadata")


class Refusal(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.code = code
        self.body = status_body(code, reason, message, **more)


@dataclass(frozen=True)
class Target:
    """What a path names."""

    kind: Kind
    version: str
    namespace: str
    name: str
    subresource: str


def shown(stored: Stored, target: Target, *, metadata_only: bool) -> bytes:
    """An object as a client asked for it."""
    if metadata_only:
        metadata = msgspec.json.decode(stored.body)["metadata"]
        whole = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return msgspec.json.encode(whole)
    if target.version == target.kind.versions[0]:
        return stored.body
    other = msgspec.json.decode(stored.body)
    return msgspec.json.encode({**other, "apiVersion": target.kind.api_version(target.version)})


def matcher_of(request: web.Request, target: Target) -> Matcher:
    """Whether an object is one that the request asks for.

    Raises:
        Refusal: 400, a selector is not understood.
    """
    query = request.query
    try:
        matches = matcher(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    except BadSelector as error:
        raise Refusal(400, "BadRequest", str(error)) from error
    namespace = target.namespace
    return (lambda stored: stored.namespace == namespace and matches(stored)) if namespace else matches


def expired(wanted: int, compacted: int) -> Refusal:
    """The refusal of a version that is not held any more."""
    return Refusal(410, "Expired", f"too old resource version: {wanted} ({compacted})")


def whole_number(text: str, name: str) -> int:
    """The value of a query parameter; 0 when it is not given.

    Raises:
        Refusal: 400, it is no whole number.
    """
    if text and not (text.isascii() and text.isdigit()):
        raise Refusal(400, "BadRequest", f"{name}: Invalid value: {text}")
    return int(text or 0)


def wants_metadata(request: web.Request) -> bool:
    """Whether the client asks for metadata alone."""
    accept = request.headers.get("Accept", "")
    return any(kind in accept for kind in _METADATA_KINDS)


def takes_gzip(request: web.Request) -> bool:
    """Whether the client takes a compressed answer."""
    return "gzip" in request.headers.get("Accept-Encoding", "")


def json_answer(document: object, status: int = 200) -> web.Response:
    """A document as JSON."""
    return raw_answer(msgspec.json.encode(document), status)


def raw_answer(body: bytes, status: int = 200) -> web.Response:
    """JSON as it is held."""
    return web.Response(body=body, status=status, content_type="application/json")
