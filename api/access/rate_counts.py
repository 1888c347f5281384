"""The counts of the rate limits in this process.

`limits` has such a kind of its own, which starts a thread for each count that comes 10 ms after the one before: 0.2 ms
of every request, and 7 ms with 100,000 counts.
"""

import threading
import time

from limits.storage import Storage

SWEEP_EVERY = 60.0
_Ends = float  # seconds since the epoch


class CountsInMemory(Storage):
    """Counts of this process alone; those whose window is over are dropped once a minute."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, _Ends]] = {}
        self._swept = time.time()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        with self._lock:
            self._sweep(now)
            count, ends = self._counts.get(key, (0, 0.0))
            if ends <= now:
                count, ends = 0, now + expiry
            self._counts[key] = count + amount, ends
            return count + amount

    def _sweep(self, now: float) -> None:
        if now - self._swept > SWEEP_EVERY:
            self._counts = {key: known for key, known in self._counts.items() if known[1] > now}
            self._swept = now

    def get(self, key: str) -> int:
        count, ends = self._counts.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return max(self._counts.get(key, (0, 0.0))[1], time.time())

    def clear(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            count = len(self._counts)
            self._counts.clear()
        return count
