"""Log lines for people (text) and for collectors (JSON), on standard error, times in UTC."""

from __future__ import annotations

import json
import logging
import time
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

_TEXT: Final = "%(asctime)s %(levelname)s %(message)s"


_CONTROL: Final = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
"""What an API server or an object says must not look like a log line of ours."""


class _UtcFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time, RFC 3339."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, whatever the message holds."""
        return super().formatMessage(record).translate(_CONTROL)


class _JsonFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object, without line breaks."""
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, format_: str) -> None:
    """Send log records of this level and above to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if format_ == "json" else _UtcFormatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
