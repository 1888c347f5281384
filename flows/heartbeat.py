"""Says every few seconds that a run is alive, and hears in the answer whether it is to go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tuneyard import Client
from tuneyard.errors import TuneyardError, Unauthorized
from tuneyard.shapes import LONGEST_STAGE, Heartbeat, JobStatus

BEAT_SECONDS = 5.0  # also the longest that a cancel or a pause goes unheard


class Asked(StrEnum):
    """What the record wants of a run that is to stop."""

    CANCEL = "cancel"
    PAUSE = "pause"
    LEAVE = "leave"  # a newer attempt has the job, or somebody has ended it


_ASKED = MappingProxyType(
    {
        JobStatus.CANCELLING: Asked.CANCEL,
        JobStatus.CANCELLED: Asked.CANCEL,
        JobStatus.PAUSING: Asked.PAUSE,
        JobStatus.PAUSED: Asked.PAUSE,
    }
)


class Pulse:
    """A thread of its own: it beats while the run waits for a card, downloads a model or trains.

    Attributes:
        asked: Why the run is to stop; None while it is to go on.
    """

    def __init__(self, writer: Client, job_id: str, stop: Callable[[], None]) -> None:
        """Begin to beat.

        Args:
            writer: Holds the job token, tries once; stays the caller's to close, after this is closed.
            stop: Called once, from the thread, when `asked` is set.
        """
        self.asked: Asked | None = None
        self._writer = writer
        self._job_id = job_id
        self._stop = stop
        self._facts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"pulse of {job_id}", daemon=True)
        self._thread.start()

    def tell(self, **facts: Any) -> None:
        """Fields of Heartbeat, said with this beat and all that follow."""
        with self._lock:
            self._facts |= facts
        self._news.set()

    def stage(self, words: str) -> None:
        self.tell(stage=words[:LONGEST_STAGE])

    def waits(self, reason: str | None) -> None:
        """Say what the run waits for; None: for nothing any more."""
        self.tell(wait_reason=reason and reason[:LONGEST_STAGE])

    def close(self) -> None:
        """The last of what was told is sent; afterwards nothing asks the run to stop any more."""
        self._closing.set()
        self._news.set()
        self._thread.join(BEAT_SECONDS)

    def _beat_on(self) -> None:
        while True:
            closing = self._closing.is_set()
            self._news.clear()
            asked = self._beat()
            if closing:
                return
            if asked is not None and self.asked is None:
                self.asked = asked
                self._stop()
            if self.asked is Asked.LEAVE:
                return
            self._news.wait(BEAT_SECONDS)

    def _beat(self) -> Asked | None:
        with self._lock:
            beat = Heartbeat(**self._facts)
        try:
            return _ASKED.get(self._writer.jobs.heartbeat(self._job_id, beat).job_status)
        except Unauthorized:
            return Asked.LEAVE
        except TuneyardError:
            return None  # an API that is away changes nothing: the next beat tries again
