"""How long to wait before the next try, and when to give up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 8.0


def backoff(tries: int, longest: float = LONGEST_PAUSE) -> float:
    """Seconds to wait after `tries` failed tries: doubling, and spread so that clients come back apart."""
    full = min(longest, FIRST_PAUSE * 2.0 ** min(tries - 1, 30))
    return full * random.uniform(0.5, 1.0)


class Patience:
    """Counts one call's tries against the seconds it may spend on them.

    The seconds bound the pauses and the start of a new try; a try that is under way ends by its own time-out.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._tries = 0

    def next_pause(self, asked: float | None) -> float | None:
        """Seconds to wait before trying again, or None: give up.

        Args:
            asked: What the server asked for (`Retry-After`), in seconds, if it did.
        """
        left = self._end - self._clock()
        if left <= 0:
            return None
        self._tries += 1
        # "0" means now: answered with a pause of our own, or a busy server would be hammered until the end.
        return min(left, asked or backoff(self._tries))


def seconds_asked(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date; None where it is missing or means nothing."""
    if not retry_after:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())
