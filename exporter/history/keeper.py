"""Keeps what is remembered in a store, so that a restarted or a second replica knows it as well.

The rule: what only this process has seen is stored before anybody is shown it. So `stored` is the memory
that facts may rest on, and it grows when the store has taken what was seen. A store that cannot be
written must not hide the cluster's state: after a failed write what was seen counts all the same, the
failure is counted and logged, and the write is tried again.

Content that is no history, or one of a newer format, is never overwritten: it is set aside under another
name, in the same store, and merged once a release finds it that understands it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from exporter.history.stores import ENTRY, SIZE_LIMIT, Conflict, Kept, Store, StoreError
from exporter.history.value import History, Name

log = logging.getLogger(__name__)

FORMAT: Final = 2
"""Number of the format that is written."""

READABLE: Final = {1, FORMAT}
"""Formats that are read: 1 knew nothing of upgrades."""

SET_ASIDE: Final = "set-aside-"
"""Begins the names of texts that were found in the place of the history and are none."""

_READ_SECONDS: Final = 60.0
"""What another replica has written is looked for this often."""
_PAUSE_SECONDS: Final = 2.0
"""Between two writes."""
_FIRST_RETRY_SECONDS: Final = 1.0
"""The same while the store has never been read."""
_PATIENCE: Final = 60
"""Reads that may fail in a row at the start before we go on without memory."""
_CONFLICTS: Final = 8
"""In a row; more of them are no accident."""
_RETRY_SECONDS: Final = 10.0
"""Between two attempts at a store that cannot be read or written."""


class _Document(msgspec.Struct, frozen=True):
    """How a history is written down."""

    format: int
    history: msgspec.Raw


_DOCUMENT: Final = msgspec.json.Decoder(_Document)
_HISTORY: Final = msgspec.json.Decoder(History)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class NotOurs(Exception):
    """A text that is no history of a format we know; the text says why."""


def encode(history: History) -> str:
    """A history as text; equal histories are equal texts."""
    text = msgspec.json.encode({"format": FORMAT, "history": history}, order="deterministic")
    return text.decode()


def decode(text: str) -> History:
    """A history from its text.

    Raises:
        NotOurs: it is none, or of another format.
    """
    try:
        document = _DOCUMENT.decode(text)
        if document.format not in READABLE:
            raise NotOurs(f"it has format {document.format}, known is {FORMAT}")
        # Merged with nothing, a history has the one form that equal ones have.
        return History().merge(_HISTORY.decode(document.history))
    except _UNREADABLE as error:
        raise NotOurs(str(error)) from error


class Keeper:
    """One process's memory and its store."""

    def __init__(
        self,
        store: Store | None,
        *,
        on_stored: Callable[[], None] = lambda: None,
        pause: float = _PAUSE_SECONDS,
    ) -> None:
        """A keeper that has not read anything yet.

        Args:
            store: where to keep it; None keeps it in this process alone.
            on_stored: called when `stored` has changed.
            pause: seconds between two writes.
        """
        self._store = store
        self.on_stored = on_stored
        self.loaded = store is None
        """The store has been read once, or could not be; until then nothing can be said."""
        self.memory = History()
        """Everything that has been seen or read."""
        self.stored = History()
        """What facts may rest on: what the store has taken or given."""
        self.saved = True
        """The store holds everything that has been seen; without a store there is nothing to save."""
        self.set_aside = 0
        """Texts in the store that stood in the history's place and are none."""
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self._kept: Kept | None = None
        self._pause = pause
        self._needless: set[Name] = set()
        self._wake = asyncio.Event()
        self._busy = asyncio.Lock()
        self._problem = ""
        self._aside = ""

    @property
    def stores(self) -> bool:
        """There is a store."""
        return self._store is not None

    @property
    def place(self) -> str:
        """Where it is kept, for a person."""
        return str(self._store) if self._store is not None else "memory"

    def remember(self, history: History) -> None:
        """Take over what has been seen; `history` has grown from `memory`."""
        if history is self.memory or history == self.memory:
            return
        # What was forgotten must not come back from the store.
        self._needless |= self.memory.names() - history.names()
        self._needless -= history.names()
        self.memory = history
        if self._store is None:
            self.stored = history
        else:
            self._wake.set()

    async def run(self) -> None:
        """Read, then write what changes and read what others write, until cancelled."""
        if self._store is None:
            await asyncio.Event().wait()
        while True:
            await self.synchronize()
            retry = _RETRY_SECONDS if self.loaded else _FIRST_RETRY_SECONDS
            await asyncio.sleep(retry if self._problem else self._pause)
            if self._problem:
                continue
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._kept = None

    async def synchronize(self) -> None:
        """Read if need be, merge, and write if that is more than the store holds."""
        store = self._store
        if store is None:
            return
        async with self._busy:
            self._wake.clear()
            try:
                merged = await self._merged(store)
            except StoreError as error:
                self._failed(str(error))
                read = self.loaded or self.reads["success"]
                if not read and error.passing and self.reads["error"] < _PATIENCE:
                    # What the store holds is older than what we see: nothing is said before it was read.
                    return
                merged = self.memory
            else:
                self._succeeded()
            self._take_over(merged)

    async def finish(self) -> None:
        """Store what has not been stored yet: the process is about to end."""
        if self.loaded and not (self.saved and self.memory == self.stored):
            await self.synchronize()

    async def _merged(self, store: Store) -> History:
        """What we and the store know, once the store holds it."""
        for _ in range(_CONFLICTS):
            if self._kept is None:
                self._kept = await self._read(store)
            aside, found = self._understood(self._kept)
            # What was read counts although it may not be possible to write it back.
            merged = self.memory = self.memory.merge(found).without(self._needless)
            texts = {**aside, ENTRY: encode(merged)}
            if merged == found and texts.keys() == self._kept.texts.keys() | {ENTRY}:
                return merged
            if await self._written(store, texts):
                return merged
        raise StoreError(f"{store} is written by others all the time")

    async def _read(self, store: Store) -> Kept:
        try:
            kept = await store.read()
        except StoreError:
            self.reads["error"] += 1
            raise
        self.reads["success"] += 1
        return kept

    async def _written(self, store: Store, texts: Mapping[str, str]) -> bool:
        """Whether the store has taken the texts; if not, somebody else was faster."""
        version = self._kept.version if self._kept else ""
        size = sum(len(name) + len(text.encode(errors="replace")) for name, text in texts.items())
        if size > SIZE_LIMIT:
            self.writes["error"] += 1
            raise StoreError(f"{store} would hold {size} bytes, more than {SIZE_LIMIT}")
        try:
            version = await store.write(texts, version)
        except Conflict:
            self.writes["conflict"] += 1
            self._kept = None
            return False
        except StoreError:
            self.writes["error"] += 1
            # It may have been written all the same.
            self._kept = None
            raise
        self.writes["success"] += 1
        self._kept = Kept(texts, version)
        return True

    def _understood(self, kept: Kept) -> tuple[dict[str, str], History]:
        """The texts that are not the history, and the history."""
        aside = {name: text for name, text in kept.texts.items() if name != ENTRY}
        history = History()
        for name, put_aside in list(aside.items()):
            # An earlier release has set aside what it did not know.
            with suppress(NotOurs):
                history = history.merge(decode(put_aside))
                del aside[name]
        text = kept.texts.get(ENTRY)
        if text is not None:
            try:
                history = history.merge(decode(text))
            except NotOurs as error:
                digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
                name = f"{SET_ASIDE}{digest}"
                aside[name] = text
                # It stays there, and is found again, until it can be written.
                if name != self._aside:
                    log.error("%s holds no history of ours, set aside as %s: %s", self._store, name, error)
                self._aside = name
        self.set_aside = sum(name.startswith(SET_ASIDE) for name in aside)
        return aside, history

    def _take_over(self, merged: History) -> None:
        # What was seen while the store was busy is still to be stored.
        self.memory = self.memory.merge(merged).without(self._needless)
        self.saved = not self._problem and self.memory == merged
        if self.memory != merged:
            self._wake.set()
        if merged != self.stored or not self.loaded:
            self.stored = merged
            self.loaded = True
            self.on_stored()

    def _failed(self, problem: str) -> None:
        self._kept = None
        if problem != self._problem:
            log.warning("what is remembered is not stored: %s", problem)
        self._problem = problem

    def _succeeded(self) -> None:
        if self._problem:
            log.info("what is remembered is stored again in %s", self._store)
        self._problem = ""
