"""Waiting for a condition, the only kind of waiting there is in these tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], Awaitable[bool]],
    what: str | Callable[[], str],
    *,
    timeout: float = 20.0,
    poll: float = 0.03,
) -> None:
    """Wait until the condition holds; `what` that is, or what is so instead.

    Raises:
        TimeoutError: it does not in time.
    """
    deadline = time.monotonic() + timeout
    while not await condition():
        if time.monotonic() > deadline:
            said = what() if callable(what) else what
            raise TimeoutError(f"after {timeout:.0f} s still not: {said}")
        await asyncio.sleep(poll)
