"""`make bench`: what the exporter costs, beside kube-state-metrics; the result is `bench/latest.json`.

A run of fewer machines, rounds or parts than the default is a trial: it prints its table and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from bench import real, report, simulated
from bench.objects import Objects, Population
from bench.sides import ROOT, Peer
from tests.tools.binaries import TOOLS, GoTool, ToolUnavailable, path_of

PARTS: Final = ("real", "events", "growth")
VMS: Final = 10_000
ROUNDS: Final = 3
_GROWTH: Final = (0.1, 0.5, 2.0, 5.0)
"""Sizes of the growth part, in terms of the machines of the other parts."""

RESULT: Final = Path(__file__).with_name("latest.json")
README: Final = ROOT / "README.md"

_began = time.monotonic()


def _say(line: str) -> None:
    print(f"[{time.monotonic() - _began:6.0f} s] {line}", file=sys.stderr, flush=True)


def _peer() -> Path | None:
    try:
        return path_of(Peer.name, _say)
    except ToolUnavailable as reason:
        _say(f"without the comparison: {reason}")
        return None


def main(arguments: list[str]) -> int:
    """Measure, print, and write when the run is a whole one; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--vms", type=int, default=VMS, help=f"virtual machines; default {VMS}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each side; default {ROUNDS}")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; repeatable")
    parser.add_argument("--population", type=Population, default=Population.ALL_BAD, choices=[*Population])
    parser.add_argument("--write", action="store_true", help="write the result of a trial too")
    given = parser.parse_args(arguments)
    parts = given.only or PARTS
    whole = given.vms >= VMS and given.rounds >= ROUNDS and given.only is None
    objects = Objects(given.vms, given.population)
    times = real.Times() if whole else real.Times(idle=10, settle=20, events=800)
    budgets: list[report.Budget] = []
    if "real" in parts:
        for scope in real.measure(objects, given.rounds, times, _peer(), _say):
            budgets += report.of_scope(scope)
    if "events" in parts:
        budgets += report.of_events(simulated.measure_events(objects, 30 if whole else 10, _say))
    if "growth" in parts:
        sizes = [max(1, round(given.vms * share)) for share in _GROWTH]
        idle = times.idle if whole else 3
        budgets += report.of_growth(simulated.measure_growth(sizes, given.population, idle, _say))
    print(f"{report.machine()}; {given.vms:,} virtual machines, {given.population}, {given.rounds} rounds\n")
    print(report.table(budgets))
    if whole or given.write:
        run = {"vms": given.vms, "rounds": given.rounds, "population": given.population, "peer": _version()}
        RESULT.write_text(report.document(budgets, run))
        content = f"{report.machine()}; {given.vms:,} virtual machines.\n\n{report.markdown(budgets)}"
        README.write_text(report.between_marks(README.read_text(), content))
    return int(any(each.met is False for each in budgets))


def _version() -> str:
    tool = TOOLS[Peer.name]
    return f"{tool.name} {tool.version}" if isinstance(tool, GoTool) else tool.name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
