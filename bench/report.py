"""What was measured against what was set out to reach: as a table, as JSON, and in the README."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.real import Round, Scope
from bench.sides import BLIND, Ours, Peer
from bench.simulated import RATE, Events, Growth
from bench.statistics import percentile

BEGIN: Final = "<!-- bench -->"
END: Final = "<!-- /bench -->"


@dataclass(frozen=True)
class Goal:
    """The most that is accepted."""

    limit: float
    of_peer: bool = False
    """As a share of what the peer needs."""

    def text(self, unit: str) -> str:
        """`<= 0.15x`, or `<= 50 ms`."""
        return f"<= {self.limit:g}x" if self.of_peer else f"<= {self.limit:g} {unit}".rstrip()


@dataclass(frozen=True)
class Budget:
    """One thing that costs something."""

    name: str
    unit: str
    ours: float | None
    peer: float | None = None
    goal: Goal | None = None
    note: str = ""
    """Why it was not measured, or what the number lacks."""

    def __post_init__(self) -> None:
        if BLIND in self.note:
            object.__setattr__(self, "ours", None)

    @property
    def ratio(self) -> float | None:
        """Ours as a share of the peer's."""
        if self.ours is None or not self.peer:
            return None
        return self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one, and while the number lacks something."""
        measured = self.ratio if self.goal and self.goal.of_peer else self.ours
        if self.goal is None or measured is None or self.note:
            return None
        return measured <= self.goal.limit

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "ours": _rounded(self.ours),
            "peer": _rounded(self.peer),
            "unit": self.unit,
            "ratio": _rounded(self.ratio),
            "goal": self.goal.text(self.unit) if self.goal else None,
            "met": self.met,
            **({"note": self.note} if self.note else {}),
        }

    def cells(self) -> list[str]:
        """As a row of a table."""
        verdict = {True: "yes", False: "NO", None: ""}[self.met]
        if self.ours is None:
            verdict = f"not measured: {self.note}" if self.note else "not measured"
        elif self.note:
            verdict = f"preliminary: {self.note}"
        return [
            self.name,
            _amount(self.ours, self.unit),
            _amount(self.peer, self.unit),
            "" if self.ratio is None else f"{_number(self.ratio)}x",
            self.goal.text(self.unit) if self.goal else "",
            verdict,
        ]


HEAD: Final = ["", Ours.title, Peer.title, "ratio", "goal", "met"]


def of_scope(scope: Scope) -> list[Budget]:
    """The comparison on a real server."""
    note = "; ".join(scope.notes)

    def budget(
        name: str, unit: str, of: Callable[[Round], float], limit: float | None, times: float = 1.0
    ) -> Budget:
        ours, peer = (scope.median(side, of) for side in (Ours.name, Peer.name))
        return Budget(
            f"{name}, {scope.title}",
            unit,
            None if ours is None else ours * times,
            None if peer is None else peer * times,
            None if limit is None else Goal(limit, of_peer=True),
            note,
        )

    def scrape(name: str, share: float, limit: float | None) -> Budget:
        ours, peer = (scope.scrape_percentile(side, share) for side in (Ours.name, Peer.name))
        goal = None if limit is None else Goal(limit, of_peer=True)
        return Budget(f"{name}, {scope.title}", "ms", ours, peer, goal, note)

    return [
        budget("CPU until synced", "s", lambda each: each.synced.cpu, 0.15),
        budget("time until synced", "s", lambda each: each.synced.seconds, 0.35),
        budget("peak memory", "MiB", lambda each: each.peak, 0.15),
        budget("settled memory", "MiB", lambda each: each.settled.resident, 0.6),
        scrape("gzip scrape, p50", 0.5, None),
        scrape("gzip scrape, p99", 0.99, 0.1),
        budget("gzip scrape, CPU", "ms", lambda each: each.scrapes.cpu, 0.05, 1000),
        budget("CPU of one watch event", "ms", lambda each: each.event_cpu, 0.1, 1000),
        _idle(scope, note),
    ]


def _idle(scope: Scope, note: str) -> Budget:
    ours, peer = (scope.median(side, lambda each: each.settled.idle * 100) for side in (Ours.name, Peer.name))
    return Budget(f"idle, {scope.title}", "% of a core", ours, peer, Goal(0.2), note)


def of_events(events: Events) -> list[Budget]:
    """What happens at 500 events a second."""
    note = "; ".join(events.notes)
    p50, p99 = events.latency or (None, None)
    outside = events.outside
    budgets = [
        Budget(f"event to page, p50 at {RATE} events/s", "ms", _milli(p50), note=note),
        Budget(f"event to page, p99 at {RATE} events/s", "ms", _milli(p99), goal=Goal(50), note=note),
        Budget(
            "the same from outside, one scrape after the other, p99",
            "ms",
            _milli(percentile(outside, 0.99)) if outside else None,
            note=note,
        ),
        Budget(f"CPU of one event at {RATE} events/s", "ms", _milli(events.event_cpu), note=note),
    ]
    for name, stall in events.stalls.items():
        budgets += [
            Budget(f"longest stall {name}", "ms", _milli(stall.seconds), goal=Goal(50), note=note),
            Budget(f"of that computing, {name}", "ms", _milli(stall.computing), note=note),
        ]
    return budgets


def of_growth(growth: Growth) -> list[Budget]:
    """The exponents of growth, and the idle scrape itself."""
    note = "; ".join(sorted({note for each in growth.sizes for note in each.notes}))
    found = growth.exponents()
    first, last = growth.sizes[0].vms, growth.sizes[-1].vms
    budgets = []
    for name in ("sync CPU", "settled memory", "idle scrape"):
        power, smallest = found.get(name, (None, first))
        title = f"exponent of growth, {name}, {smallest:,} to {last:,} VMs"
        budgets.append(Budget(title, "", power, goal=Goal(1.05), note=note))
    budgets += [
        Budget(f"CPU of an idle gzip scrape, {each.vms:,} VMs", "ms", each.scrape_cpu * 1000, note=note)
        for each in (growth.sizes[0], growth.sizes[-1])
    ]
    return budgets


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 10 else f"{value:.1f}"


def _amount(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_number(value)} {unit}".rstrip()


def machine() -> str:
    """The machine and what runs on it, in one line."""
    model, memory = platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = " ".join(found[1].split()) if found else model
    if "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1024**3:.0f} GiB"
    return f"{os.cpu_count()} x {model}{memory}, {platform.system()}, Python {platform.python_version()}"


def table(budgets: Iterable[Budget]) -> str:
    """For a terminal."""
    rows = [HEAD, *(each.cells() for each in budgets)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for name, *numbers, verdict in rows:
        aligned = [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *aligned, verdict]).rstrip())
    return "\n".join(lines)


def markdown(budgets: Iterable[Budget]) -> str:
    """For the README."""
    rows = [HEAD, ["---", "---:", "---:", "---:", "---:", "---"], *(each.cells() for each in budgets)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def document(budgets: Sequence[Budget], run: dict[str, Any]) -> str:
    """`latest.json`."""
    whole = {"machine": machine(), "run": run, "budgets": [each.document() for each in budgets]}
    return json.dumps(whole, indent=2) + "\n"


def between_marks(text: str, content: str) -> str:
    """A text with what stands between the two marks replaced.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"
