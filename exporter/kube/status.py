"""How a reflector is set, and what it tells of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.kube.backoff import BackoffSettings


class State(StrEnum):
    """What a reflector can say of its resource; the label `state` of the self-monitoring."""

    SYNCED = "synced"
    SYNCING = "syncing"
    ABSENT = "absent"
    FORBIDDEN = "forbidden"
    FAILING = "failing"


@dataclass(frozen=True)
class ReflectorSettings:
    """Times and sizes of the protocol; all durations in seconds."""

    page_size: int = 500
    """Objects a page of LIST: 500 as in client-go, 4 MB of VirtualMachineInstances."""
    request_timeout: float = 60.0
    """Without a byte for this long a LIST has failed."""
    watch_timeout: tuple[float, float] = (300.0, 600.0)
    """The server is asked to end a watch after a random time in this range, which spreads the
    reconnects of many clients over many API servers (client-go: 5 to 10 minutes)."""
    inactivity_limit: float = 70.0
    """A stream without event or bookmark for this long is dead: bookmarks come about once a minute."""
    watch_list: bool = True
    """Try the streaming list first. Pages cost us a fifth less CPU, but the server takes twice as long for
    them: 15.6 s instead of 7.1 s until 10,000 VirtualMachineInstances are synced."""
    watch_list_patience: float = 10.0
    """Silence in a streaming list after which the server is taken for one that ignores the request."""
    slow_retry: float = 30.0
    """Pace, before jitter, of looking for a forbidden or absent resource again."""
    longest_pause: float = 300.0
    """A server that is throttling is not kept waiting for longer than this, whatever it asks for."""
    shortest_watch: float = 1.0
    """A stream without an event that ends before this is counted as a failure."""
    refusals_until_believed: int = 3
    """Answers 403 or 404 in a row before a resource that was synced counts as forbidden or absent: an API
    server that has just started denies and misses everything for a second or two."""
    failures_until_failing: int = 2
    """Failures in a row from which on the state says so: one reset of a connection is daily life."""
    watch_fresh: float = 300.0
    """A watched resource that delivered nothing for longer, not even a bookmark, is not fresh."""
    poll_interval: float = 300.0
    """Between two polls, before jitter, of a resource that cannot be watched."""
    poll_missing: float = 10.0
    """The same while something that was asked for is not there."""
    poll_after_change: tuple[float, ...] = (0.0, 2.0, 5.0, 30.0)
    """When to look again once something has changed that the polled resource follows with a delay: each
    is the time since the look before."""
    slice: float = 0.005
    """Work without giving way to other tasks; buffered lines are read without a pause otherwise."""
    max_line: int = 16 * 1024 * 1024
    """Longest event in bytes."""
    backoff: BackoffSettings = field(default_factory=BackoffSettings)


@dataclass
class ReflectorStatus:
    """What the self-monitoring shows of one reflector."""

    state: State = State.SYNCING
    answer: State | None = None
    """The last state of synced, absent and forbidden: an outage takes back nothing that was settled."""
    synced_once: bool = False
    """The store has been filled, and the resource has not gone since."""
    last_update: float | None = None
    """Unix time of the last list, event, bookmark or confirmation of absence."""
    problem: str = ""
    """Why the state is not synced, for a person."""
    object_errors: int = 0
    lists: Counter[str] = field(default_factory=Counter)
    watches: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
