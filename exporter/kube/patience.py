"""How long a stream may be silent before it counts as dead.

One timer watches over a whole stream. Setting one for every line would cost more than reading the line, so
it is put off only now and then: a silence is noticed a little late, never early.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from exporter.kube.errors import Silence

_LATE: Final = 0.05
"""So much of the time may pass before the timer is put off."""


class Patience:
    """The timer of one stream."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._renewed = self._loop.time()
        self.limit = asyncio.timeout_at(self._renewed + seconds * (1 + _LATE))

    def renew(self) -> float:
        """Something was heard, now; the loop's time."""
        now = self._loop.time()
        if now - self._renewed > self.seconds * _LATE:
            self._put_off(now)
        return now

    def change(self, seconds: float) -> None:
        """From now on this much silence is borne."""
        self.seconds = seconds
        self._put_off(self._loop.time())

    def _put_off(self, now: float) -> None:
        self._renewed = now
        self.limit.reschedule(now + self.seconds * (1 + _LATE))


@asynccontextmanager
async def patient(seconds: float) -> AsyncIterator[Patience]:
    """What is done within has to renew the patience before so many seconds of silence have passed.

    Raises:
        Silence: it has not.
    """
    patience = Patience(seconds)
    try:
        async with patience.limit:
            yield patience
    except TimeoutError as error:
        if patience.limit.expired():
            raise Silence(f"no event and no bookmark for {patience.seconds:g} s") from error
        raise
