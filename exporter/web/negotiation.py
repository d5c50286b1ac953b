"""Which format and encoding a client gets, by the quality values it sends (RFC 9110, section 12.5).

prometheus_client takes the first format it knows and ignores the quality values, so a client that
prefers text gets OpenMetrics; hence this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exporter.metrics.exposition import Format

_OPENMETRICS_VERSIONS: Final = ("", "1.0.0")
_TEXT_VERSIONS: Final = ("", "0.0.4")


@dataclass(frozen=True)
class _Choice:
    name: str
    params: dict[str, str]
    quality: float


def choose_format(accept: str | None) -> Format:
    """The format to answer with; text for a client that accepts neither, as every exporter does."""
    openmetrics = text = 0.0
    for choice in _choices(accept or "*/*"):
        version = choice.params.get("version", "")
        if choice.name == "application/openmetrics-text" and version in _OPENMETRICS_VERSIONS:
            openmetrics = max(openmetrics, choice.quality)
        elif choice.name in {"text/plain", "text/*", "*/*"} and version in _TEXT_VERSIONS:
            text = max(text, choice.quality)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= text else Format.TEXT


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the answer may be compressed; `gzip;q=0` says no."""
    qualities = {choice.name: choice.quality for choice in _choices(accept_encoding or "")}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _choices(header: str) -> Iterator[_Choice]:
    for part in header.split(","):
        name, *params = (piece.strip() for piece in part.split(";"))
        pairs = {
            key.strip().lower(): value.strip().strip('"')
            for key, _, value in (param.partition("=") for param in params)
        }
        if name:
            yield _Choice(name.lower(), pairs, _quality(pairs.pop("q", "1")))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
