"""`make soak`: what is too long for every day, on the simulated API server; the result is `tests/SOAK.md`.

Arguments: how many weeks to simulate, and how often to put each fault into each story.
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

from exporter.simulator.script import Story
from exporter.simulator.stories import pending
from tests.contract.simulated import simulated_backend
from tests.contract.test_faults import TROUBLES, through
from tests.contract.test_truth import some_days
from tests.contract.told import Stage

RESULT = Path(__file__).with_name("SOAK.md")
WEEKS, ROUNDS = 40, 2


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
        for story, seed in product(pending.STORIES, range(1, rounds + 1)):

            async def trial(story: Story = story, seed: int = seed, name: str = name) -> int:
                with TemporaryDirectory() as directory:
                    async with simulated_backend() as backend:
                        return await through(story, TROUBLES[name], backend, Path(directory), seed)

            times += await tried(row, f"{story.name} {seed}", trial)
        row.compared = f"{times} times in trouble, in {len(pending.STORIES)} stories"
        print(f"{row.what}: {row.trials} trials, failed {row.failed or 'none'}", flush=True)
        yield row


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
    numbers = [int(each) for each in arguments] + [WEEKS, ROUNDS][len(arguments) :]
    rows = [await weeks(numbers[0])]
    rows += [row async for row in faults(numbers[1])]
    RESULT.write_text(table(rows))
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
