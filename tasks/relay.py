"""Rounds of readings that follow one another on a host, without a gap and without two readings of one moment."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4


def marks(interval: float, most: int) -> Iterator[datetime]:
    """Waits for each moment at which the clock shows a multiple of `interval` seconds, and gives it.

    Whoever waits on this host waits for the same moments; one that goes by meanwhile is left out.
    """
    last = None
    for _ in range(most):
        now = time.time()
        number = math.floor(now / interval) + 1
        if number == last:  # a sleep may end a little early
            number += 1
        time.sleep(max(0.0, number * interval - now))
        last = number
        yield datetime.fromtimestamp(number * interval, UTC)


class Relay:
    """A file that says which round is the newest: each goes on until the next one has begun.

    Args:
        file: The same for all rounds of a host.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._mine = str(uuid4())
        self._began = False

    def begin(self) -> None:
        """Relieve the round before; to be called once the first reading is stored."""
        if self._began:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        beside.write_text(self._mine)
        beside.replace(self._file)
        self._began = True

    @property
    def is_over(self) -> bool:
        """Whether a later round has begun."""
        return self._began and self._file.read_text() != self._mine
