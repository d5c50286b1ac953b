"""What an API server answers when it does not answer: Status objects, and bodies that are none.

The predicates are named after the questions that client-go's reflector asks
(`apimachinery/pkg/api/errors`, `client-go/tools/cache/reflector.go`), because the reactions differ:
an expired version means relist, a throttled request means wait, a forbidden one means degrade.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

_BODY_EXCERPT: Final = 200


class StatusCause(msgspec.Struct, gc=False):
    """One entry of `Status.details.causes`."""

    reason: str | None = None


class StatusDetails(msgspec.Struct, gc=False, rename="camel"):
    """`Status.details`: the server's own hint when to come back, and machine readable causes."""

    retry_after_seconds: float | None = None
    causes: list[StatusCause] | None = None


class Status(msgspec.Struct, gc=False):
    """metav1.Status, the object behind every refusal of an API server."""

    kind: str
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: StatusDetails | None = None


_STATUS_DECODER: Final = msgspec.json.Decoder(Status)


class KubeError(Exception):
    """Anything that keeps a LIST or WATCH from delivering."""


class Unreachable(KubeError):
    """No answer: nobody listens, the certificate is not trusted, the connection broke."""


class ProtocolError(KubeError):
    """The peer did not speak the Kubernetes API: HTML, a truncated page, an event without an object."""


class StreamEnded(KubeError):
    """A watch stream that was worth nothing: it ended at once, or fell silent."""


class Silence(StreamEnded):
    """A stream on which neither event nor bookmark came for too long."""


class ApiError(KubeError):
    """A refusal, from the HTTP status or from an ERROR event inside a stream."""

    def __init__(
        self,
        code: int,
        reason: str = "",
        message: str = "",
        *,
        retry_after: float | None = None,
        causes: tuple[str, ...] = (),
        from_api: bool = True,
    ) -> None:
        super().__init__(message or reason or f"HTTP status {code}")
        self.code = code
        self.reason = reason
        self.retry_after = retry_after
        self.causes = causes
        self.from_api = from_api

    def __str__(self) -> str:
        name = f"{self.code} {self.reason}".strip()
        return f"{name}: {self.args[0]}"

    @property
    def expired(self) -> bool:
        """The resourceVersion or page token is older than what the server still holds."""
        return self.code == 410 or self.reason in {"Expired", "Gone"}

    @property
    def too_large_resource_version(self) -> bool:
        """This server has not yet seen the resourceVersion that another one gave us."""
        return "ResourceVersionTooLarge" in self.causes or "Too large resource version" in self.args[0]

    @property
    def unauthorized(self) -> bool:
        """The credentials were not accepted."""
        return self.code == 401

    @property
    def forbidden(self) -> bool:
        """The credentials are known and may not do this."""
        return self.code == 403 and self.from_api

    @property
    def absent(self) -> bool:
        """The resource does not exist in this cluster, said by the API and not by something before it."""
        return self.code == 404 and self.from_api

    @property
    def throttled(self) -> bool:
        """The server asks for a pause; nothing is wrong with the request or its resourceVersion."""
        return self.code == 429 or (self.code == 503 and self.retry_after is not None)


def os_reason(error: OSError) -> str:
    """The operating system's word for an error; asyncio puts sentences of its own around it."""
    number = error.errno or 0
    # A name that is not found has a negative number of another table.
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def decode_status(body: bytes) -> Status | None:
    """The Status object in a body, or None when the body holds anything else."""
    try:
        status = _STATUS_DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return status if status.kind == "Status" else None


def error_from_status(status: Status, code: int | None = None) -> ApiError:
    """An exception that says what a Status object says."""
    details = status.details or StatusDetails()
    return ApiError(
        code or status.code or 500,
        status.reason or "",
        status.message or "",
        retry_after=details.retry_after_seconds,
        causes=tuple(cause.reason or "" for cause in details.causes or ()),
    )


def error_from_response(code: int, body: bytes, *, retry_after: str | None = None) -> ApiError:
    """An exception for an HTTP answer other than 200, whatever its body is.

    A Kubernetes API server answers with a Status or, for a path it does not know, with the plain text
    `404 page not found`. Anything else comes from a proxy or load balancer in between: its 403 says
    nothing about our permissions and its 404 nothing about the cluster.
    """
    status = decode_status(body)
    pause = _seconds(retry_after)
    if status is not None:
        error = error_from_status(status, code)
        error.retry_after = pause if pause is not None else error.retry_after
        return error
    text = body[:_BODY_EXCERPT].decode(errors="replace").strip()
    plain_not_found = text == "404 page not found"
    return ApiError(
        code,
        message=text.splitlines()[0] if text else "",
        retry_after=pause,
        from_api=plain_not_found or not text,
    )


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header) if header else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None
