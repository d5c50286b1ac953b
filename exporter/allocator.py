"""Gives back to the system what the C library keeps of memory that was needed for a moment.

A list of ten thousand objects is read in buffers that are freed one between the other; glibc then keeps the
pages, and a day of lists adds up to megabytes. Other C libraries do not keep them, or have no such call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Let go of free pages, wherever they lie; a millisecond or two."""
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim
