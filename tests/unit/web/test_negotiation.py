"""Which format and encoding a client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import Format
from exporter.web.negotiation import accepts_gzip, choose_format

OM, TEXT = Format.OPENMETRICS, Format.TEXT


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("application/openmetrics-text", OM),
        ("application/openmetrics-text;version=1.0.0", OM),
        ("APPLICATION/OpenMetrics-Text ; version=1.0.0", OM),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OM,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OM,
        ),
        ("text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.1", TEXT),
        ("application/openmetrics-text;q=0.2,text/*;q=0.3", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        ("application/openmetrics-text;q=7", TEXT),
        ('application/openmetrics-text;version="1.0.0"', OM),
        (",,;q=1,", TEXT),
    ],
)
def test_the_format_with_the_highest_quality(accept: str | None, format_: Format) -> None:
    assert choose_format(accept) is format_


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("br", False),
    ],
)
def test_gzip_only_for_those_who_take_it(accept_encoding: str | None, gzip: bool) -> None:
    assert accepts_gzip(accept_encoding) is gzip


@given(st.text())
def test_no_header_is_too_strange(text: str) -> None:
    assert choose_format(text) in Format
    assert accepts_gzip(text) in {True, False}
