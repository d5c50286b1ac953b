"""`python -m bench.cluster`: the simulated cluster in a process of its own, obeying its standard input.

One command a line, one JSON object as the answer:

    events RATE SECONDS    that many MODIFIED events a second; each changes what is published of a machine
    probe on|off           one more machine that cannot migrate, or now can; answers when that was
    relist                 all connections are cut and all versions forgotten
    churn COUNT RATE       that many changes of all kinds: what is published, restarts, migrations, new names
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bench.objects import Objects, Population
from exporter.simulator.server import ApiServer
from exporter.simulator.storage import Storage

_TICK = 0.01
_TURNED = 500
"""Machines that are other than they were, while the cluster churns: their number must not drift."""
_MOVES_KEPT = 500
"""Finished migrations in the cluster while it churns."""


def _say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


class Cluster:
    """The simulated cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._storage = Storage(clock=lambda: datetime.now(UTC))
        self._server = ApiServer(self._storage)
        self._flipped: set[int] = set()
        self._churned = 0
        self._turned: deque[int] = deque()
        self._moves: deque[tuple[str, str]] = deque()
        self._newest: tuple[str, str] | None = None
        self._making: asyncio.Task[None] | None = None

    async def run(self, kubeconfig: Path) -> None:
        """Load, serve, and obey until standard input ends."""
        began = time.monotonic()
        self._storage.load(self._objects.others())
        self._storage.load(self._objects.vmis())
        url = await self._server.start()
        await asyncio.to_thread(kubeconfig.write_text, yaml.safe_dump(_kubeconfig(url)))
        _say(ready=url, seconds=round(time.monotonic() - began, 1))
        lines = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(lines)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await lines.readline():
            command, *arguments = line.decode().split()
            if command == "events":
                # Beside the commands that follow: a probe is made while events flow.
                self._making = asyncio.create_task(self._events(float(arguments[0]), float(arguments[1])))
            elif command == "probe":
                self._storage.apply(self._objects.vmi(self._objects.vms, flipped=self._probe(arguments[0])))
                _say(at=time.monotonic())
            elif command == "relist":
                await self._relist()
            elif command == "churn":
                await self._churn(int(arguments[0]), float(arguments[1]))
        if self._making is not None:
            self._making.cancel()
        await self._server.stop()

    def _probe(self, wanted: str) -> bool:
        return (wanted == "on") is not self._objects.stuck(self._objects.vms)

    async def _events(self, rate: float, seconds: float) -> None:
        began = time.monotonic()
        made = 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * rate)
            for number in range(made, due):
                # A stride that is prime to the number of machines reaches each once before any twice.
                self._flip(number * 7919 % self._objects.vms)
            made = due
            await asyncio.sleep(_TICK)
        _say(events=made, seconds=time.monotonic() - began)

    async def _churn(self, count: int, rate: float) -> None:
        began, first = time.monotonic(), self._churned
        while self._churned < first + count:
            due = min(count, int((time.monotonic() - began) * rate) + 1)
            while self._churned < first + due:
                self._change(self._churned)
                self._churned += 1
            await asyncio.sleep(_TICK)
        _say(churned=self._churned)

    def _change(self, number: int) -> None:
        machine = number * 7919 % self._objects.vms
        kind = number % 20
        if kind == 0:
            self._restart(machine, number)
        elif kind in {1, 2}:
            self._migrate(machine, number)
        elif kind == 3:
            self._newcomer(number)
        else:
            self._turn(machine)

    def _turn(self, machine: int) -> None:
        """One machine changes, and the one that did so a while ago is again what it was."""
        if machine not in self._flipped:
            self._flip(machine)
            self._turned.append(machine)
        while len(self._turned) > _TURNED:
            back = self._turned.popleft()
            if back in self._flipped:
                self._flip(back)

    def _restart(self, machine: int, number: int) -> None:
        obj = self._objects.vmi(machine)
        self._storage.delete("VirtualMachineInstance", obj["metadata"]["namespace"], obj["metadata"]["name"])
        self._storage.apply({**obj, "metadata": {**obj["metadata"], "uid": f"life-{number}"}})
        self._flipped.discard(machine)

    def _migrate(self, machine: int, number: int) -> None:
        """One migration from its beginning to its end; the one of a while ago is deleted."""
        made = next(iter(self._objects.migrations()))
        for phase in ("Pending", "Scheduling", "Failed" if number % 3 else "Succeeded"):
            self._storage.apply(
                {
                    **made,
                    "metadata": {
                        **made["metadata"],
                        "name": f"move-{number}",
                        "namespace": self._objects.namespace(machine),
                        "uid": f"move-{number}",
                    },
                    "spec": {"vmiName": self._objects.name(machine)},
                    "status": {"phase": phase},
                }
            )
        self._moves.append((self._objects.namespace(machine), f"move-{number}"))
        if len(self._moves) > _MOVES_KEPT:
            namespace, name = self._moves.popleft()
            self._storage.delete("VirtualMachineInstanceMigration", namespace, name)

    def _newcomer(self, number: int) -> None:
        """A machine of a name that nobody has had comes, and the one before goes."""
        obj = self._objects.vmi(number % self._objects.vms)
        name = f"guest-{number}"
        metadata = {**obj["metadata"], "name": name, "uid": name}
        self._storage.apply({**obj, "metadata": metadata})
        if self._newest is not None:
            self._storage.delete("VirtualMachineInstance", *self._newest)
        self._newest = (metadata["namespace"], name)

    def _flip(self, number: int) -> None:
        self._flipped ^= {number}
        self._storage.apply(self._objects.vmi(number, flipped=number in self._flipped))

    async def _relist(self) -> None:
        self._storage.compact()
        at = time.monotonic()
        await self._server.stop()
        await self._server.start()
        _say(at=at)


def _kubeconfig(url: str) -> dict[str, object]:
    context = {"cluster": "bench", "user": "bench"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": context}],
        "current-context": "bench",
    }


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--vms", type=int, required=True)
    parser.add_argument("--population", type=Population, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(Cluster(Objects(given.vms, given.population)).run(given.kubeconfig))


if __name__ == "__main__":
    main()
