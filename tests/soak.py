"""`make soak`: what is too long for every day, on the simulated API server; the result is `tests/SOAK.md`.

Arguments: how many weeks to simulate, how often to put each fault into each story, how many hours of a large
cluster to let pass, and how many random lives of an operator to live, which go on where an earlier result
stopped; rows of what is asked for 0 times stay as they are. `again` lives once more, after a repair, the
lives that failed when the result was written.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import re
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import day
from exporter.simulator.script import Story
from tests.contract.lives import live
from tests.contract.simulated import simulated_backend
from tests.contract.test_faults import STORIES, TROUBLES, through
from tests.contract.test_truth import some_days
from tests.contract.told import Stage

RESULT = Path(__file__).with_name("SOAK.md")
WEEKS, ROUNDS, HOURS, HISTORIES = 40, 2, day.HOURS, 20_000
VMS = 10_000
_AT_EVERY_STEP = "updates, each of their instants and outcomes at every step"
LIVES = "random lives of an operator, the exporter killed, away or cut off"


@dataclass
class Row:
    """One kind of trial."""

    what: str
    trials: int = 0
    compared: str = ""
    seconds: float = 0.0
    failed: list[str] | None = None


async def tried(row: Row, name: str, trial: Callable[[], Awaitable[int]]) -> int:
    """One trial; what it compared, 0 when it failed."""
    row.trials += 1
    began = time.monotonic()
    try:
        return await trial()
    except (AssertionError, OSError) as error:
        traceback.print_exception(error)
        row.failed = [*(row.failed or []), name]
        return 0
    finally:
        row.seconds += time.monotonic() - began


async def weeks(count: int) -> Row:
    """Two replicas on one store, killed at random, for a week of each seed."""
    row = Row("a week of random events, two replicas on one store killed at random")
    steps = 0
    for seed in range(1000, 1000 + count):

        async def trial(seed: int = seed) -> int:
            async with simulated_backend() as backend:
                return await some_days(seed, 7.0, Stage(backend))

        steps += await tried(row, f"seed {seed}", trial)
        print(f"week {seed}: {steps} steps so far", flush=True)
    row.compared = f"what both say, three times in each of {steps} steps; whole pages at the end"
    return row


async def faults(rounds: int) -> AsyncIterator[Row]:
    """Every fault at random moments of every story."""
    every = [story for stories in STORIES.values() for story in stories]
    for name in TROUBLES:
        row = Row(f"fault {name}")
        times = 0
        for story, seed in product(every, range(1, rounds + 1)):

            async def trial(story: Story = story, seed: int = seed, name: str = name) -> int:
                with TemporaryDirectory() as directory:
                    async with simulated_backend() as backend:
                        return await through(story, TROUBLES[name], backend, Path(directory), seed)

            times += await tried(row, f"{story.name} {seed}", trial)
        row.compared = f"{times} times in trouble, in {len(every)} stories"
        print(f"{row.what}: {row.trials} trials, failed {row.failed or 'none'}", flush=True)
        yield row


async def memory(hours: int) -> Row:
    """A day of churn in a large cluster, and what the exporter's memory does."""
    row = Row(f"{hours} hours of churn at {VMS:,} VMs: resident memory", trials=1)
    passed = await asyncio.to_thread(day.a_day, VMS, hours, lambda line: print(line, flush=True))
    first = next(size for hour, size in passed.resident if hour > 1)
    row.compared = (
        f"{passed.changes:,} changes, {passed.scrapes:,} scrapes; {first:.0f} MiB after the first hour, "
        f"{passed.resident[-1][1]:.0f} MiB at the end, fitted growth {passed.growth:+.2f} MiB"
    )
    row.seconds = passed.seconds
    row.failed = ["it grows"] if passed.grows else None
    return row


def _collected_rarely() -> None:
    """Looking for garbage at every turn would take an eighth of the time."""
    gc.set_threshold(200_000, 50, 50)


def histories(count: int, before: str) -> Iterator[Row]:
    """Random lives of an operator, and an exporter that is killed, away or cut off.

    They go on where an earlier result stopped, if it had fewer; the row is given after each thousand.
    """
    row, updates, spent = _lived(before)
    if row.trials >= count:
        row, updates, spent = Row(LIVES), 0, 0.0
    began, first = time.monotonic(), row.trials
    with ProcessPoolExecutor(initializer=_collected_rarely) as processes:
        lives = {seed: processes.submit(live, seed) for seed in range(first, count)}
        for seed, life in lives.items():
            if failure := life.exception():
                # Whatever was raised, the other lives go on, and this one can be lived again.
                print(f"life {seed}:", *traceback.format_exception(failure), flush=True)
                row.failed = [*(row.failed or []), f"seed {seed}"]
            else:
                updates += life.result()
            row.trials = seed + 1
            row.seconds = spent + time.monotonic() - began
            row.compared = f"{updates} {_AT_EVERY_STEP}"
            if row.trials % 1000 == 0 or row.trials == count:
                print(f"{row.trials} lives: {row.compared}", flush=True)
                yield row


def _lived(before: str) -> tuple[Row, int, float]:
    """The lives of an earlier result, with their updates and seconds."""
    cells = _cells(before)
    if cells is None:
        return Row(LIVES), 0, 0.0
    _, trials, compared, seconds, failed = cells
    names = [] if failed == "none" else failed.split(", ")
    return Row(LIVES, int(trials), failed=names or None), int(compared.split(" ", 1)[0]), float(seconds)


def _cells(before: str) -> list[str] | None:
    line = next((each for each in before.splitlines() if each.startswith(f"| {LIVES} |")), None)
    return line.strip("| ").split(" | ") if line else None


def lived_again(before: str) -> tuple[str, bool]:
    """The result with its failed lives lived once more, and whether all are well now."""
    cells = _cells(before)
    if cells is None:
        return before, True
    what, trials, compared, seconds, failed = cells
    line = " | ".join(cells)
    seeds = [int(each) for each in re.findall(r"seed (\d+)", failed)]
    still = []
    for seed in seeds:
        try:
            live(seed)
        except AssertionError as error:
            traceback.print_exception(error)
            still.append(f"seed {seed}")
    well = len(seeds) - len(still)
    compared += f"; {well} failed at first, and were lived again after a repair" if well else ""
    now = what, trials, compared, seconds, ", ".join(still) or "none"
    return before.replace(line, " | ".join(now)), not still


def table(rows: list[Row], before: str) -> str:
    """The result for a reader, with the rows of an earlier one that have not been made anew."""
    made = {row.what: row for row in rows}
    kept = [
        line for line in before.splitlines() if line.startswith("| ") and line.split(" | ")[0][2:] not in made
    ]
    lines = [
        "# Soak",
        "",
        f"Made by `make soak` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}.",
        "",
        *(kept[:1] or ["| what | trials | compared | seconds | failed |"]),
        "|---|---|---|---|---|",
        *kept[1:],
        *(
            f"| {row.what} | {row.trials} | {row.compared} | {row.seconds:.0f} | "
            f"{', '.join(row.failed) if row.failed else 'none'} |"
            for row in rows
        ),
    ]
    return "\n".join(lines) + "\n"


async def main(arguments: list[str]) -> int:
    """Everything; the exit status."""
    if arguments == ["again"]:
        text, well = lived_again(RESULT.read_text())
        RESULT.write_text(text)
        return int(not well)
    numbers = [int(each) for each in arguments] + [WEEKS, ROUNDS, HOURS, HISTORIES][len(arguments) :]
    rows: list[Row] = []
    if numbers[0]:
        rows.append(await weeks(numbers[0]))
    if numbers[1]:
        rows += [row async for row in faults(numbers[1])]
    if numbers[2]:
        rows.append(await memory(numbers[2]))
    if numbers[3]:
        for row in histories(numbers[3], RESULT.read_text()):
            RESULT.write_text(table([*rows, row], RESULT.read_text()))
        rows.append(row)
    RESULT.write_text(table(rows, RESULT.read_text()))
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
