"""What every follower of one API resource has in common: a store, a status, and how it takes refusals.

Whether the resource is watched or polled, an error of the server leads to the same states, the same
pauses and the same lines in the log.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Generic

from exporter.kube.backoff import Backoff
from exporter.kube.decoding import BadObject, ObjectDecoder, object_key
from exporter.kube.errors import ApiError, Unreachable
from exporter.kube.resource import RecordT, Resource
from exporter.kube.status import ReflectorSettings, ReflectorStatus, State
from exporter.kube.store import Delta, Key, Store

if TYPE_CHECKING:
    pass

log = logging.getLogger("exporter.kube")

_LOGGED_OBJECTS: Final = 20
"""Objects of one cause that are logged by name."""

_LOGGED_CAUSES: Final = 1000
"""Causes remembered; beyond that all others count as one."""

_UNREACHED: Final = "unreached"


class Follower(Generic[RecordT]):
    """Keeps one store equal to one API resource; how, is for a subclass to say."""

    def __init__(
        self,
        resource: Resource[RecordT],
        *,
        settings: ReflectorSettings | None = None,
        wall_clock: Callable[[], float],
        random: Random | None = None,
        on_change: Callable[[list[Delta], float | None], None] = lambda _deltas, _received: None,
        on_state: Callable[[], None] = lambda: None,
    ) -> None:
        """A follower that has not started.

        Args:
            resource: what to follow.
            settings: times and sizes.
            wall_clock: Unix time, for `last_update`.
            random: source of jitter.
            on_change: called with what changed and, for an event, the event loop's time at which its
                bytes arrived.
            on_state: called after every change of the state.
        """
        self.resource = resource
        self.store: Store[RecordT] = Store()
        self.status = ReflectorStatus()
        self._settings = settings or ReflectorSettings()
        self._wall_clock = wall_clock
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._on_change = on_change
        self._on_state = on_state
        self._decoder = ObjectDecoder(resource.record)
        self._backoff = Backoff(self._settings.backoff, self._random)
        self._versions: list[str] = []
        self._failures = 0
        self._refusals = 0
        self._logged: dict[str, set[Key | None]] = {}
        self._said = ""

    async def run(self) -> None:
        """Follow until cancelled; no error ends it."""
        raise NotImplementedError

    @property
    def fresh_seconds(self) -> float:
        """How old the last confirmation of what is held may be before it counts as stale."""
        raise NotImplementedError

    def fresh(self, now: float) -> bool:
        """What we hold of the resource, or that there is none, was confirmed within the limit."""
        status = self.status
        confirmed = status.state in {State.SYNCED, State.ABSENT} and status.last_update is not None
        return confirmed and now - (status.last_update or 0.0) <= self.fresh_seconds

    def heard(self, now: float) -> float:
        """Unix time of the last confirmation of what is held; before all times when there was none."""
        return min(now, self.status.last_update) if self.status.last_update is not None else float("-inf")

    def _key(self, namespace: str | None, name: str) -> Key:
        """The key of an object; one text for all that hold it, of which there are many.

        Of what comes and goes none is kept: the interpreter's table of such texts would only grow.
        """
        key = object_key(namespace, name)
        return key if self.resource.fleeting else sys.intern(key)

    # Reactions

    def _pause(self, error: ApiError) -> float | None:
        """Seconds that the server asks to be left alone: neither none nor for ever; None if it does not."""
        if not error.throttled or error.retry_after is None:
            return None
        settings = self._settings
        return min(max(error.retry_after, settings.backoff.initial), settings.longest_pause)

    def _refused(self, error: ApiError) -> float:
        """The resource is forbidden or absent; the seconds to wait."""
        if error.absent:
            del self._versions[:1]
            if self._versions:
                # The same resource under another API version: HyperConverged moves from v1beta1 to v1.
                return 0.0
        self._refusals += 1
        if self.status.synced_once and self._refusals < self._settings.refusals_until_believed:
            return self._backoff.next_delay(asyncio.get_running_loop().time())
        if error.forbidden:
            self._set_state(State.FORBIDDEN, str(error))
            return self._backoff.jittered(self._settings.slow_retry)
        self._gone()
        self.status.synced_once = False
        self.status.last_update = self._wall_clock()
        self._failures = 0
        self._set_state(State.ABSENT, str(error))
        self._changed(self.store.clear())
        return self._backoff.jittered(self._settings.slow_retry)

    def _gone(self) -> None:
        """The resource does not exist in the cluster."""

    def _failed(self, error: Exception) -> float:
        """Anything else went wrong; the seconds to wait."""
        self._failures += 1
        if len(self._versions) > 1 and isinstance(error, ApiError) and error.code == 500:
            # An API version can fail alone, while its conversion webhook is down during an update.
            self._versions.append(self._versions.pop(0))
        if self._failures >= self._settings.failures_until_failing:
            self._set_state(State.FAILING, str(error) or type(error).__name__, error)
        return self._backoff.next_delay(asyncio.get_running_loop().time())

    def _succeeded(self, how: str) -> None:
        self._failures = self._refusals = 0
        self.status.last_update = self._wall_clock()
        self._set_state(State.SYNCED, how)

    def _set_state(self, state: State, why: str, error: Exception | None = None) -> None:
        self.status.problem = "" if state is State.SYNCED else why
        self._say(state, why, error)
        if self.status.state is state:
            return
        self.status.state = state
        if state in {State.SYNCED, State.ABSENT, State.FORBIDDEN}:
            self.status.answer = state
        self._on_state()

    def _say(self, state: State, why: str, error: Exception | None) -> None:
        """Log a change of the state or of its cause; a server that nobody reaches is the client's to log."""
        if self.status.state is state and (state is State.SYNCED or self._said == why):
            return
        unreached = isinstance(error, Unreachable)
        back = state is State.SYNCED is self.status.answer and self._said == _UNREACHED
        self._said = _UNREACHED if unreached else why
        if not unreached and not back:
            level = logging.INFO if state in {State.SYNCED, State.ABSENT} else logging.WARNING
            log.log(level, "%s is %s: %s", self.resource.plural, state, why)

    def _bad_object(self, error: BadObject) -> Key | None:
        self.status.object_errors += 1
        cause = error.cause if error.cause in self._logged or len(self._logged) < _LOGGED_CAUSES else ""
        names = self._logged.setdefault(cause, set())
        if error.key not in names and len(names) < _LOGGED_OBJECTS:
            names.add(error.key)
            more = "; further ones are counted only" if len(names) == _LOGGED_OBJECTS else ""
            log.warning(
                "%s %s is left out: %s%s",
                self.resource.plural,
                error.key or "without a name",
                error.cause,
                more,
            )
        return error.key

    def _changed(self, deltas: list[Delta], received: float | None = None) -> None:
        if deltas:
            self._on_change(deltas, received)


class Snapshot(Generic[RecordT]):
    """A relist in the making."""

    def __init__(self) -> None:
        self.records: dict[Key, RecordT] = {}
        self.skipped: set[Key] = set()
