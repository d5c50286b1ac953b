"""A day of a large cluster: does the exporter's memory grow?

As many changes as a day brings at five a second go through the simulated API server as fast as the exporter
takes them, among them restarts, migrations and machines of names that nobody has had, with a scrape for
every half minute of the day, and a relist in the first hour and every six hours. After the first hour a line
is fitted through the resident memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import linear_regression
from typing import Final

from bench.objects import Objects, Population
from bench.sides import Ours, prepare_environment
from bench.simulated import Simulator, exporting, relisted, simulated

HOURS: Final = 24
_CHANGES_AN_HOUR: Final = 18_000
_LOOKS_AN_HOUR: Final = 6
_SCRAPES_AN_HOUR: Final = 120
_RELIST_HOURS: Final = 6
_RATE: Final = 1500.0
"""Changes a second, at most."""

GROWTH: Final = 1.0
"""MiB over the rest of the day that count as no growth: allocators breathe that much."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Day:
    """What a day did."""

    resident: tuple[tuple[float, float], ...]
    """Hour of the day, and MiB."""
    changes: int
    scrapes: int
    seconds: float

    @property
    def growth(self) -> float:
        """MiB from the end of the first hour to the end of the day, by the line that fits best."""
        later = [(hour, size) for hour, size in self.resident if hour > 1]
        slope = linear_regression([hour for hour, _ in later], [size for _, size in later]).slope
        return slope * (later[-1][0] - 1)

    @property
    def grows(self) -> bool:
        """The memory grows."""
        return self.growth > GROWTH


def a_day(vms: int, hours: int, say: Say) -> Day:
    """Let a day of so many hours pass."""
    prepare_environment()
    began = time.monotonic()
    objects = Objects(vms, Population.HEALTHY_MIXED)
    with simulated(objects) as simulator, exporting(simulator) as (ours, _):
        resident, scrapes = _pass(simulator, ours, hours, say)
    return Day(tuple(resident), hours * _CHANGES_AN_HOUR, scrapes, time.monotonic() - began)


def _wait(simulator: Simulator, done: threading.Event) -> None:
    simulator.answer("churned")
    done.set()


def _pass(simulator: Simulator, ours: Ours, hours: int, say: Say) -> tuple[list[tuple[float, float]], int]:
    resident: list[tuple[float, float]] = []
    scrapes = 0
    count = _CHANGES_AN_HOUR // _LOOKS_AN_HOUR
    for look in range(1, hours * _LOOKS_AN_HOUR + 1):
        simulator.tell(f"churn {count} {_RATE}")
        done = threading.Event()
        waiting = threading.Thread(target=_wait, args=(simulator, done))
        waiting.start()
        due = _SCRAPES_AN_HOUR // _LOOKS_AN_HOUR
        while due > 0 or not done.is_set():
            if due > 0:
                ours.get("/metrics", compressed=True)
                scrapes, due = scrapes + 1, due - 1
            done.wait(count / _RATE / (_SCRAPES_AN_HOUR // _LOOKS_AN_HOUR))
        waiting.join()
        hour = look / _LOOKS_AN_HOUR
        resident.append((hour, ours.resident()))
        if look % _LOOKS_AN_HOUR == 0:
            say(f"hour {hour:.0f}: {resident[-1][1]:.1f} MiB")
        if look % (_RELIST_HOURS * _LOOKS_AN_HOUR) == _LOOKS_AN_HOUR // 2:
            # A relist takes a second or two; at five changes a second it meets a handful of them.
            relisted(simulator, ours)
    return resident, scrapes
