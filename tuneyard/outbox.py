"""Sends what lies in a spool, from a background thread, until all of it is taken.

Who writes never waits and never sees the network. A server that is away is tried again for as long as it takes;
an entry that it calls invalid is set aside, so that it holds up no other; a dead token ends the sending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import ValidationError

from tuneyard.errors import Invalid, TuneyardError, Unauthorized
from tuneyard.patience import backoff
from tuneyard.spool import Line, Spool

MOST_AT_ONCE = 500
LONGEST_PAUSE = 30.0
TELL_EVERY = 2.0  # seconds, of what is left at the end

Entry = TypeVar("Entry")

log = logging.getLogger(__name__)


class Outbox(Generic[Entry]):
    """One spool's way to the server; one `Outbox` a process and spool.

    Attributes:
        refused: Why the server will take nothing more from this run, once it has said so.
    """

    def __init__(
        self,
        spool: Spool,
        read: Callable[[bytes], Entry],
        push: Callable[[list[Entry]], None] | None,
        what: str,
        on_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Begin to send what lies in the spool.

        Args:
            spool: Closed by `close`.
            read: One line -> what `push` takes; a ValueError sets the line aside.
            push: Sends some entries, or raises a TuneyardError. None: nothing is ever sent.
            what: What is sent, for the log: "metrics of job 01K9…".
            on_refusal: Called once, with the reason, where the token is dead.
        """
        self.refused: str | None = None
        self._spool = spool
        self._read = read
        self._push = push
        self._what = what
        self._on_refusal = on_refusal
        self._batch = MOST_AT_ONCE
        self._news = threading.Event()
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name=f"outbox: {what}", daemon=True)
        if push is not None:
            self._news.set()
            self._thread.start()

    def put(self, text: bytes) -> None:
        """Write one entry down and return at once.

        Raises:
            OSError: The spool's disk does not take it. Never anything for the network.
        """
        self._spool.append(text)
        self._news.set()

    def look(self) -> None:
        """Another process has written into the spool."""
        self._news.set()

    def close(self, patience: float) -> int:
        """Send what is left, for at most `patience` seconds; how many entries stay in the spool."""
        self._closing.set()
        self._news.set()
        end = time.monotonic() + patience
        while self._thread.is_alive() and (left := end - time.monotonic()) > 0:
            self._thread.join(min(left, TELL_EVERY))
            if self._thread.is_alive():
                self._tell(end - time.monotonic())
        self._abandoned.set()
        self._spool.close()
        return self._spool.count_waiting()

    def _tell(self, left: float) -> None:
        """A warning is shown also where nobody has set up a log."""
        waiting = self._spool.count_waiting()
        log.warning("Sending the %s: %s are left, for %.0f s more", self._what, waiting, max(0.0, left))

    def _send_all(self) -> None:
        """The thread: until closed and empty, given up on, or refused for good."""
        failures = 0
        while not (self._abandoned.is_set() or self.refused):
            # Asked before looking: between the look and the question a last entry and the close may come.
            closing = self._closing.is_set()
            try:
                sent = self._send_some()
            except (TuneyardError, OSError) as error:
                failures += 1
                self._pause(failures, error)
                continue
            except RuntimeError:
                if self._abandoned.is_set():  # the owner has closed the client under a push that hung
                    return
                raise
            if failures:
                log.info("The %s are being sent again", self._what)
            failures = 0
            if not sent and closing:
                return
            if not (sent or self._closing.is_set()):
                self._news.wait()

    def _send_some(self) -> bool:
        """Send the oldest lines; False where there are none."""
        self._news.clear()
        lines = self._spool.waiting(self._batch)
        entries = {line: entry for line in lines if (entry := self._entry_in(line)) is not None}
        refusal = self._try([*entries.values()]) if entries else None
        if self.refused:
            return True
        if refusal and len(lines) > 1:
            # One entry that the server refuses must not hold up the rest: halve until it stands alone.
            self._batch = len(lines) // 2
            return True
        for line in lines:
            if refusal or line not in entries:
                self._set_aside(line, refusal or "not a whole entry: its process was killed while writing it")
        if lines:
            self._spool.acknowledge(lines[-1].end)
        return bool(lines)

    def _try(self, entries: list[Entry]) -> str | None:
        """Send; the reason where the server calls an entry invalid, None where it took them all."""
        assert self._push is not None
        try:
            self._push(entries)
        except Invalid as refusal:
            return str(refusal)
        except Unauthorized as refusal:
            self.refused = str(refusal)
            self._on_refusal(self.refused)
            return None
        self._batch = min(MOST_AT_ONCE, self._batch * 2)
        return None

    def _entry_in(self, line: Line) -> Entry | None:
        try:
            return self._read(line.text)
        except ValidationError:
            return None

    def _set_aside(self, line: Line, reason: str) -> None:
        self._spool.set_aside(line.text, reason)
        log.warning("One of the %s is set aside in %s: %s", self._what, self._spool.rejected, reason)

    def _pause(self, failures: int, error: Exception) -> None:
        if failures == 1:
            log.warning("The %s wait in %s: %s", self._what, self._spool.path, error)
        if self._closing.is_set():
            self._abandoned.wait(backoff(failures, longest=1.0))
        else:
            self._closing.wait(backoff(failures, LONGEST_PAUSE))
