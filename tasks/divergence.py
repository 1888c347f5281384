"""Notices a run that has diverged: from a number that is not finite no later step comes back.

The run ends there, unless its config only wants to be warned of it. Then it goes on without another checkpoint: those
from before are the last of any worth.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from tasks.child import say
from tuneyard.errors import Diverged


class FiniteNumbers:
    """Looks at every loss without making a GPU wait for it, and at other numbers.

    There, reading a number waits until all that was asked for is computed, and the card idles while Python
    prepares the next step. So a loss is copied over in the background and looked at when the next one comes.
    """

    def __init__(self, *, warn_only: bool) -> None:
        self.were_all = True
        self._warn_only = warn_only
        self._pending: tuple[torch.Tensor, Any, int] | None = None

    def demand(self, what: str, value: float, step: int) -> None:
        """Raises Diverged where `value` is not finite, or says so."""
        if math.isfinite(value):
            return
        if not self._warn_only:
            raise Diverged(
                f"Training diverged: the {what} at step {step} is {value}. Nothing was saved of it; try a lower "
                "learning_rate, more warm-up, or look at the rows"
            )
        if self.were_all:
            say(f"The {what} at step {step} is {value}: no checkpoint is written any more")
        self.were_all = False

    def saw(self, loss: torch.Tensor, step: int) -> None:
        """Demands that this loss is finite, or on a GPU the one before it."""
        if loss.device.type != "cuda":
            self.demand("loss", loss.item(), step)
            return
        self.settle()
        copy = torch.empty(loss.shape, dtype=loss.dtype, pin_memory=True)
        copy.copy_(loss, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        self._pending = (copy, done, step)

    def settle(self) -> None:
        """Looks at the last loss too: before anything is saved."""
        if self._pending is not None:
            copy, done, step = self._pending
            self._pending = None
            done.synchronize()
            self.demand("loss", copy.item(), step)
