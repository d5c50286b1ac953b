"""Ends the servers of a test run that died without doing so itself; a script that imports nothing of ours.

Its standard input is a pipe that only the test run holds. Lines: `+ PGID FOLDER` (a server started),
`- PGID` (it ended). When the pipe closes while servers are left, their process groups are killed and their
folders removed. A process of its own, because nothing inside the test run outlives a SIGKILL.
"""

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Keep the list until the other side is gone."""
    # An interrupt from the terminal is for the test run, which then ends its servers in order.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    running: dict[int, str] = {}
    for line in sys.stdin:
        sign, group, *folder = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            running[int(group)] = folder[0]
        else:
            running.pop(int(group), None)
    for group in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for path in set(running.values()):
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
