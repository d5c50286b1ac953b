"""`make soak`: what is too long for every day, on the simulated API server; the result is `tests/SOAK.md`.

Arguments: how many weeks to simulate, how often to put each fault into each story, and how many hours of a
cluster of 10,000 VMs to let pass; with 0 weeks and 0 times only that, and the other rows stay as they are.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import day
from exporter.simulator.script import Story
from exporter.simulator.stories import pending, virtual_machines
from tests.contract.simulated import simulated_backend
from tests.contract.test_faults import TROUBLES, through
from tests.contract.test_truth import some_days
from tests.contract.told import Stage

STORIES = (*pending.STORIES, *virtual_machines.STORIES)
RESULT = Path(__file__).with_name("SOAK.md")
WEEKS, ROUNDS, HOURS = 40, 2, day.HOURS
VMS = 10_000


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
    for name in TROUBLES:
        row = Row(f"fault {name}")
        times = 0
        for story, seed in product(STORIES, range(1, rounds + 1)):

            async def trial(story: Story = story, seed: int = seed, name: str = name) -> int:
                with TemporaryDirectory() as directory:
                    async with simulated_backend() as backend:
                        return await through(story, TROUBLES[name], backend, Path(directory), seed)

            times += await tried(row, f"{story.name} {seed}", trial)
        row.compared = f"{times} times in trouble, in {len(STORIES)} stories"
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


def table(rows: list[Row]) -> str:
    """The result for a reader."""
    lines = [
        "# Soak",
        "",
        f"Made by `make soak` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}.",
        "",
        "| what | trials | compared | seconds | failed |",
        "|---|---|---|---|---|",
        *(
            f"| {row.what} | {row.trials} | {row.compared} | {row.seconds:.0f} | "
            f"{', '.join(row.failed) if row.failed else 'none'} |"
            for row in rows
        ),
    ]
    return "\n".join(lines) + "\n"


async def main(arguments: list[str]) -> int:
    """Everything; the exit status."""
    numbers = [int(each) for each in arguments] + [WEEKS, ROUNDS, HOURS][len(arguments) :]
    rows: list[Row] = []
    if numbers[0] or numbers[1]:
        rows.append(await weeks(numbers[0]))
        rows += [row async for row in faults(numbers[1])]
    if numbers[2]:
        rows.append(await memory(numbers[2]))
    text = table(rows)
    if not (numbers[0] or numbers[1]):
        text = with_others(text, RESULT.read_text())
    RESULT.write_text(text)
    return int(any(row.failed for row in rows))


def with_others(text: str, before: str) -> str:
    """A table of one row, with the other rows of an earlier one."""
    row = text.splitlines()[-1]
    kept = [line for line in before.splitlines() if "hours of churn" not in line]
    return "\n".join([*kept, row]) + "\n"


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
