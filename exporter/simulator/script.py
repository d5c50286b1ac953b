"""How a story is told: a small script changes a world, says what is true, and pauses.

A script is a generator. It calls `world.apply` and `world.delete`, sets `world.truth`, and yields the
seconds that pass before it goes on. It knows nothing of where it is told: the embedded API server of the
demo, or a real one; nor of how fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
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


@dataclass(frozen=True)
class Waiting:
    """An update that is pending."""

    from_version: str
    to_version: str
    kind: str
    cause: str
    since: datetime


@dataclass(frozen=True)
class Machines:
    """What an exporter has to say of the running VMs; what is 0 is left out."""

    running: int
    reasons: Mapping[str, int]
    causes: Mapping[str, int]
    outcomes: Mapping[str, int]
    workaround: Mapping[str, int]
    outdated: Mapping[str, int]
    workload: Mapping[str, int]
    blocking: frozenset[tuple[str, str, str, str]]
    """Namespace, VM, node, cause."""
    nodes: Mapping[str, int]
    """Blockers of nodes with any, and of every cordoned node."""
    cordoned: Mapping[str, datetime | None]
    """Since when; None where nothing tells."""
    draining: frozenset[str]
    migrations: Mapping[tuple[str, str], int]
    """Unfinished ones by origin and phase."""
    finished: Mapping[tuple[str, str], int]
    """By origin and outcome."""
    failing: Mapping[str, int]
    findings: frozenset[str] | None
    """Those about VMs, nodes and pools that hold; None while one of them has only just gone."""


@dataclass(frozen=True)
class Course:
    """How one update of the operator really went; None is what has not happened."""

    from_version: str
    to_version: str
    offered: datetime
    """A."""
    started: datetime
    """S."""
    held: bool = False
    """The gate has held it."""
    opened: datetime | None = None
    """G, of one that was held."""
    installed: datetime | None = None
    """O."""
    completed: datetime | None = None
    """E."""
    workloads: datetime | None = None
    """W."""
    gone: datetime | None = None
    """It ended like this without E."""
    superseded: bool = False
    failures: int = 0
    hopeless: bool = False
    """It has failed, and does not go on by itself."""


@dataclass(frozen=True)
class Plane:
    """An update of OpenShift as one plane goes through it."""

    running: bool = False
    began: datetime | None = None
    completed: datetime | None = None


@dataclass(frozen=True)
class OpenShift:
    """OpenShift's own updates."""

    control: Plane
    workers: Plane | None
    wanted: tuple[str, ...] = ()
    """Kinds."""
    blocked: tuple[str, ...] = ()
    """By whom the next minor is."""


@dataclass(frozen=True)
class Truth:
    """What an exporter that watches has to say from this moment on."""

    update: Waiting | None = None
    stale: bool = False
    behind: int | None = None
    """None where nobody can tell."""
    lost: bool | None = None
    waits_for_openshift: bool | None = None
    head: str = ""
    machines: Machines | None = None
    """None in stories without any."""
    courses: tuple[Course, ...] | None = None
    """Updates of the operator, the latest last; None where the story does not say."""
    openshift: OpenShift | None = None
    """None in stories that are not about it."""
    waiting: Mapping[str, int] | None = None
    """Pods of the operator by what they wait for; None in stories without any."""


@dataclass
class World:
    """What a script changes; times are the clock's."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    changes: list[ApiObject | Deletion] = field(default_factory=list)
    truth: Truth | None = None
    """None where the story does not say."""

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
    lead: float = 0.0
    """Seconds of the story that are over when it is told to a person."""
    at_lead: bool = False
    """What to look at is there from that moment on, and gone at the end."""

    @property
    def length(self) -> float:
        """Seconds that the story takes."""
        return sum(self.script(World(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))))


@dataclass
class StoryClock:
    """The present, less what is still to be skipped of a story."""

    behind: float = 0.0
    present: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self) -> datetime:
        """The present of the story."""
        return self.present() - timedelta(seconds=self.behind)


async def tell(
    story: Story,
    audience: Audience,
    *,
    speed: float = 1.0,
    skip: float | None = None,
    only: float = float("inf"),
    present: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Tell a story to its end, up to the present.

    Args:
        story: what to tell.
        audience: whom to tell it.
        speed: pauses are divided by it.
        skip: seconds of the story that are told at once, as being over; the story's lead if not given.
        only: seconds of the story that are told at all.
        present: when that is.
    """
    clock = StoryClock(story.lead if skip is None else skip, present)
    world = World(clock)
    told = 0.0
    for pause in story.script(world):
        await carry_out(world, audience)
        told += pause
        if told > only:
            return
        skipped = min(pause, clock.behind)
        clock.behind -= skipped
        await asyncio.sleep((pause - skipped) / speed)
    await carry_out(world, audience)


async def carry_out(world: World, audience: Audience) -> None:
    """Make the changes that a script has asked for."""
    changes, world.changes = world.changes, []
    for change in changes:
        if isinstance(change, Deletion):
            await audience.delete(change.kind, change.name, change.namespace)
        else:
            await audience.apply(change)
