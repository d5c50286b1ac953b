"""How a story is told: a small script changes a world, and pauses.

A script is a generator. It calls `world.apply` and `world.delete`, and yields the seconds that pass before
it goes on. It knows nothing of where it is told: the embedded API server of the demo, or a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from exporter.simulator.objects import ApiObject


class Audience(Protocol):
    """A cluster that a story can be told to."""

    async def apply(self, obj: ApiObject) -> object:
        """Create or replace an object, its status and given times included."""

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        """Delete an object."""


@dataclass(frozen=True)
class Deletion:
    """An object to delete."""

    kind: str
    name: str
    namespace: str


@dataclass
class World:
    """What a script changes; times are the clock's."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    changes: list[ApiObject | Deletion] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The present, in whole seconds as the API has them."""
        return self.clock().replace(microsecond=0)

    def ago(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> datetime:
        """A moment in the past."""
        return self.now - timedelta(days=days, hours=hours, minutes=minutes)

    def apply(self, *objects: ApiObject) -> None:
        """Create or replace objects."""
        self.changes += objects

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object."""
        self.changes.append(Deletion(kind, name, namespace))


@dataclass(frozen=True)
class Story:
    """A story and what to look at while it is told."""

    name: str
    title: str
    look_at: tuple[str, ...]
    """Lines of the metrics page that show what the story is about, once it has been told."""
    script: Callable[[World], Iterator[float]]


async def tell(story: Story, audience: Audience, *, speed: float = 1.0, world: World | None = None) -> None:
    """Tell a story to its end; pauses are divided by `speed`."""
    world = world or World()
    for pause in story.script(world):
        await _carry_out(world, audience)
        await asyncio.sleep(pause / speed)
    await _carry_out(world, audience)


async def _carry_out(world: World, audience: Audience) -> None:
    changes, world.changes = world.changes, []
    for change in changes:
        if isinstance(change, Deletion):
            await audience.delete(change.kind, change.name, change.namespace)
        else:
            await audience.apply(change)
