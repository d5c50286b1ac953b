"""Moments that may be unknown."""

from __future__ import annotations


def earliest(*times: float | None) -> float | None:
    """The first of those that are known; None where none is."""
    return min((each for each in times if each is not None), default=None)
