"""What refusals mean."""

from __future__ import annotations

import pytest

from exporter.kube.errors import ApiError, decode_status, error_from_response
from exporter.simulator.faults import status_body


@pytest.mark.parametrize(
    ("code", "body", "predicates"),
    [
        (410, status_body(410, "Expired", "too old"), {"expired"}),
        (410, b"", {"expired"}),
        (200, status_body(410, "Gone", "gone"), {"expired"}),
        (401, status_body(401, "Unauthorized", "who"), {"unauthorized"}),
        (403, status_body(403, "Forbidden", "no"), {"forbidden"}),
        (403, b"<html>login</html>", set()),
        (404, status_body(404, "NotFound", "none"), {"absent"}),
        (404, b"404 page not found\n", {"absent"}),
        (404, b"<html>no backend</html>", set()),
        (429, status_body(429, "TooManyRequests", "slow"), {"throttled"}),
        (504, status_body(504, "Timeout", "Too large resource version: 9"), {"too_large_resource_version"}),
        (
            504,
            status_body(504, "Timeout", "", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
            {"too_large_resource_version"},
        ),
        (500, status_body(500, "InternalError", "oops"), set()),
        (502, b"\xff\xfe", set()),
    ],
)
def test_a_refusal_answers_the_reflectors_questions(code: int, body: bytes, predicates: set[str]) -> None:
    error = error_from_response(code, body)
    if code == 200:
        status = decode_status(body)
        assert status is not None
        error = ApiError(status.code or 0, status.reason or "", status.message or "")
    names = (
        "expired",
        "too_large_resource_version",
        "unauthorized",
        "forbidden",
        "absent",
        "throttled",
    )
    assert {name for name in names if getattr(error, name)} == predicates
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("3", status_body(429, "TooManyRequests", ""), 3.0),
        (None, status_body(429, "TooManyRequests", "", details={"retryAfterSeconds": 5}), 5.0),
        ("2", status_body(429, "TooManyRequests", "", details={"retryAfterSeconds": 5}), 2.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", b"", None),
        ("-1", b"", None),
        ("inf", b"", None),
        (None, b"", None),
    ],
)
def test_the_pause_a_server_asks_for(header: str | None, body: bytes, seconds: float | None) -> None:
    assert error_from_response(429, body, retry_after=header).retry_after == seconds


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"kind":"Pod"}', b'{"kind":7}', b"<html>", b"[" * 100_000]
)
def test_what_is_no_status(body: bytes) -> None:
    assert decode_status(body) is None
