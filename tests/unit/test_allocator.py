"""Memory that was needed for a moment goes back to the system."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from exporter import allocator
from exporter.allocator import give_back, map_large_blocks

GLIBC = platform.libc_ver()[0] == "glibc"
LARGE = 256 * 1024


def resident() -> int:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 2**20


def scatter() -> None:
    """Print how much less memory is resident when blocks between others have been freed and given back."""
    blocks = [bytes(8_000) for _ in range(10_000)]
    kept = blocks[::10]
    blocks.clear()
    before = resident()
    give_back()
    print(before - resident(), len(kept))


class Info(ctypes.Structure):
    """What mallinfo2(3) gives."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def churn(*, mapping: bool) -> None:
    """Print how many blocks are mapped one by one when a large one is made after larger ones have gone."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Info
    if mapping:
        map_large_blocks()
    for _ in range(3):
        block = bytearray(4 * LARGE)
        del block
    before = mallinfo().hblks
    block = bytearray(LARGE)
    print(mallinfo().hblks - before)
    del block


def told_by(call: str) -> list[int]:
    """What a function of this module prints in a process of its own."""
    program = f"from tests.unit.test_allocator import churn, scatter; {call}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [int(each) for each in ran.stdout.split()]


def test_pages_between_blocks_that_are_kept_are_given_back() -> None:
    given, _kept = told_by("scatter()")
    assert given > 40 if GLIBC else given == 0


def test_large_blocks_are_mapped_one_by_one_whatever_has_been_freed() -> None:
    if GLIBC:
        assert told_by("churn(mapping=False)") == [0]
        assert told_by("churn(mapping=True)") == [1]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator._glibc.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_back()
    map_large_blocks()
    allocator._glibc.cache_clear()
