"""A coroutine in a thread of its own, watched from this one.

Prefect delivers SIGTERM as an exception in the main thread, at any instruction: an event loop there could swallow it.
No lock is waited for, as such an exception could leave it locked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

TICK = 0.05
LEAVING = 5.0  # seconds; then it is left behind, and ends with the process

Work = Callable[[], Coroutine[Any, Any, None]]


def run_alongside(work: Work, watch: Callable[[], None], interval: float = 1.0) -> None:
    """Run it to its end, or raise what it raised; `watch` is called about every `interval` seconds.

    An exception here, out of `watch` or a signal, cancels it and goes on.
    """
    beside = _Beside(work)
    try:
        beside.start()
        while not beside.ends_within(interval):
            watch()
    finally:
        beside.stop()
    if beside.error is not None:
        raise beside.error


class _Beside:
    def __init__(self, work: Work) -> None:
        self.error: BaseException | None = None
        self._work = work
        self._is_over = False
        self._is_stopped = False
        self._cancel: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="alongside", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._is_over and time.monotonic() < deadline:
            time.sleep(min(TICK, seconds))
        return self._is_over

    def stop(self) -> None:
        """Cancel it, if it still runs."""
        self._is_stopped = True
        if self._cancel is not None:
            with suppress(RuntimeError):  # its loop is closed: it has just ended
                self._cancel()
        if self._thread.ident is not None:
            self.ends_within(LEAVING)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
            self.error = error
        finally:
            self._is_over = True

    async def _main(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if not self._is_stopped:
            await self._work()
