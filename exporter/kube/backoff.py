"""Jittered exponential backoff with the constants of client-go's reflector.

`client-go/tools/cache/reflector.go` NewReflectorWithOptions: 800 ms doubled up to 30 s with a jitter of
1.0, so that an API server which comes back is not met by all clients at once, and a reset after two
healthy minutes, so that a rare hiccup is retried quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

INITIAL_SECONDS: Final = 0.8
FACTOR: Final = 2.0
CAP_SECONDS: Final = 30.0
JITTER: Final = 1.0
RESET_SECONDS: Final = 120.0


@dataclass(frozen=True)
class BackoffSettings:
    """The curve of the delays; all durations in seconds."""

    initial: float = INITIAL_SECONDS
    factor: float = FACTOR
    cap: float = CAP_SECONDS
    jitter: float = JITTER
    reset_after: float = RESET_SECONDS


class Backoff:
    """The next delay after a failure, in seconds."""

    def __init__(self, settings: BackoffSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._next = settings.initial
        self._last_failure = float("-inf")

    def next_delay(self, now: float) -> float:
        """Delay after a failure at the monotonic time `now`; a long healthy spell before it starts over."""
        settings = self._settings
        if now - self._last_failure > settings.reset_after:
            self._next = settings.initial
        self._last_failure = now
        delay = self._next
        self._next = min(self._next * settings.factor, settings.cap)
        return self.jittered(delay)

    def jittered(self, delay: float) -> float:
        """A delay stretched by a random share, for waits that many clients begin at once."""
        return delay * (1 + self._random.random() * self._settings.jitter)
