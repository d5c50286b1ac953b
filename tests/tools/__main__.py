"""`python -m tests.tools [NAME...]`: has the tools of the tests built or fetched, and says where they are."""

from __future__ import annotations

import argparse
import sys
import time

from tests.tools.binaries import FOR_TESTS, TOOLS, ToolUnavailable, path_of


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str]) -> int:
    """Obtain the named tools, or those of the tests; 1 when one of them cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools", description=__doc__)
    parser.add_argument(
        "name", nargs="*", help=f"one of {', '.join(TOOLS)}; all that tests need when none is named"
    )
    names = parser.parse_args(arguments).name
    unknown = sorted(set(names) - set(TOOLS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TOOLS)}")
    missing = False
    for name in names or FOR_TESTS:
        began = time.monotonic()
        try:
            path = path_of(name, _say)
        except ToolUnavailable as reason:
            missing = True
            _say(f"{name}: {reason}")
        else:
            _say(f"{name}: {path} ({time.monotonic() - began:.1f} s)")
    return int(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
