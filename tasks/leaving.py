"""SIGTERM while training: the step in hand is finished and a checkpoint written, if both can be done in time."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from tasks.child import STOPPED


class Leaving:
    """While in it, SIGTERM sets `asked` instead of ending the process; after `patience` seconds it ends it.

    The process that sent it waits a little longer than that before it sends SIGKILL.
    """

    def __init__(self, patience: float) -> None:
        self.asked = False
        self._patience = patience
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._ask),
            signal.SIGALRM: signal.signal(signal.SIGALRM, self._give_up),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            signal.setitimer(signal.ITIMER_REAL, self._patience)
        self.asked = True

    def _give_up(self, _number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(STOPPED)
