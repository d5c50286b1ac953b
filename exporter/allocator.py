"""Keeps the C library from holding on to memory that was needed for a moment.

A scrape's page and a page of a list are blocks of hundreds of kilobytes that live for milliseconds. glibc
takes them from its heap once it has seen a few of them come and go; what is allocated in their place then
pins the pages, and a day of scrapes adds up to megabytes. So such blocks are mapped one by one, for good,
and after a list the rest of the free pages is given back. Other C libraries do not do this, or have no such
calls.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_MAPPED_FROM: Final = 128 * 1024
"""Bytes; glibc's own, until it adapts."""


def map_large_blocks() -> None:
    """Have blocks from 128 KiB on mapped one by one, whatever has been freed before."""
    if libc := _glibc():
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)


def give_back() -> None:
    """Let go of free pages, wherever they lie; a few milliseconds."""
    if libc := _glibc():
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
