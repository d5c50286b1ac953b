"""One gzip member out of parts that were compressed at different times (RFC 1951, RFC 1952).

Each part is raw deflate that ends on a byte (a full flush), so parts can be put one after the other. The
checksum at the end is that of the whole text; it follows from the parts' checksums and lengths. Members put
one after the other would be simpler, but not every client reads on after the first (curl 7.88 does not).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final, NamedTuple

_LEVEL: Final = 1
"""The lines repeat each other so much that more effort saves little."""
_RAW: Final = -zlib.MAX_WBITS
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK: Final = b"\x03\x00"
_POLYNOMIAL: Final = 0xEDB88320
"""CRC-32, least significant bit first."""
_ONE: Final = 0x80000000


class Segment(NamedTuple):
    """Compressed text that others can follow, and what the checksum of the whole needs of it."""

    body: bytes
    crc: int
    length: int


EMPTY: Final = Segment(b"", 0, 0)


def compress(text: bytes) -> Segment:
    """A text, compressed."""
    if not text:
        return EMPTY
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    body = compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Segment(body, zlib.crc32(text), len(text))


def joined(segments: Iterable[Segment]) -> Segment:
    """Segments as one."""
    crc = length = 0
    bodies = []
    for each in segments:
        bodies.append(each.body)
        crc = _multiply(_shift(each.length), crc) ^ each.crc
        length += each.length
    return Segment(b"".join(bodies), crc, length)


def member(segments: Iterable[Segment]) -> bytes:
    """A whole gzip file."""
    whole = joined(segments)
    tail = whole.crc.to_bytes(4, "little") + (whole.length & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join((_HEADER, whole.body, _LAST_BLOCK, tail))


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo CRC-32's."""
    product = 0
    mask = _ONE
    while b and a:
        if a & mask:
            product ^= b
            a ^= mask
        mask >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@cache
def _power(byte: int, place: int) -> int:
    """x to the power of 8 x byte x 256^place."""
    if byte == 0:
        return _ONE
    if byte == 1:
        return _multiply(_power(128, place - 1), _power(128, place - 1)) if place else _ONE >> 8
    return _multiply(_power(byte - 1, place), _power(1, place))


@lru_cache(maxsize=1024)
def _shift(length: int) -> int:
    """What a checksum is multiplied with when so many bytes follow: x to the power of 8 x length."""
    result = _ONE
    for place, byte in enumerate(length.to_bytes(8, "little")):
        if byte:
            result = _multiply(result, _power(byte, place))
    return result
