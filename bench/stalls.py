"""`python -m bench.stalls FILE COMMAND...`: the exporter's command line with a witness in its event loop.

A task that wants to wake every 2 ms notes in FILE, one JSON object a line, every time it wakes later than
5 ms: when that was on the machine's monotonic clock, for how long the loop stood still, and how much of that
the thread spent computing. What is not computing is the machine's doing: others had the processor.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, Any, Final

from exporter.cli import main

PERIOD: Final = 0.002
WORTH_NOTING: Final = 0.005


async def _witness(out: IO[str]) -> None:
    while True:
        before, computed = time.monotonic(), time.thread_time()
        await asyncio.sleep(PERIOD)
        stall = time.monotonic() - before - PERIOD
        if stall >= WORTH_NOTING:
            computing = time.thread_time() - computed
            out.write(json.dumps({"at": before, "stall": stall, "computing": computing}) + "\n")


def watched(file: Path, arguments: list[str]) -> int:
    """Run the command line; its exit status."""
    run = asyncio.run
    with file.open("w", buffering=1) as out:

        async def beside_the_witness(command: Coroutine[Any, Any, Any]) -> Any:
            witness = asyncio.create_task(_witness(out))
            try:
                return await command
            finally:
                witness.cancel()

        def run_watched(command: Coroutine[Any, Any, Any], **settings: Any) -> Any:
            return run(beside_the_witness(command), **settings)

        # The command line starts its own loop, and nothing else is of a benchmark's concern there.
        asyncio.run = run_watched  # type: ignore[assignment]
        return main(arguments)


if __name__ == "__main__":
    sys.exit(watched(Path(sys.argv[1]), sys.argv[2:]))
