"""Watches one run from outside: notices what is wrong with it while it goes on, and says what is to be done about it.

Pure: it is told the points, the time and the free disk.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from tuneyard.configs import WatchdogAction, WatchdogConfig
from tuneyard.shapes import MetricPoint

WINDOW = 50  # points that a loss is measured against
FEWEST = 10  # before so many there is nothing to measure against
SPREAD = 1.4826  # the standard deviation of a normal distribution, in median absolute deviations
LEAST_RISE = (
    0.1  # in the loss's own unit, and as part of the median: less is no spike, however calm it was before
)
RECOVERED = 1.1  # so many times the limit must be free again: a disk at its limit does not fire at each look


@dataclass(frozen=True)
class Firing:
    """Something is wrong: `action` is what the config wants done about it."""

    kind: Literal["nan", "spike", "stall", "disk"]
    action: WatchdogAction
    message: str
    step: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Watchdog:
    """One for an attempt. Each fault fires once, when it begins; after it has passed it can fire again."""

    def __init__(self, config: WatchdogConfig, now: float) -> None:
        """Begin to watch at `now`, in seconds of any steady clock."""
        self._config = config
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._step: int | None = None
        self._moved = now
        self._going_on: set[str] = set()

    def see(self, point: MetricPoint, now: float) -> list[Firing]:
        """What a new point of the run shows. One that is told again, after a restart, is no progress; one that says
        nothing of the loss, but a suite's score, shows nothing else."""
        if self._step is None or point.step > self._step:
            self._step, self._moved = point.step, now
            self._going_on.discard("stall")
        if "train_loss" not in point.model_fields_set:
            return []
        fired = [self._nan(point), self._spike(point)]
        if point.train_loss is not None and math.isfinite(point.train_loss):
            self._losses.append(point.train_loss)
        return [firing for firing in fired if firing]

    def look(self, now: float, free_gb: float) -> list[Firing]:
        """What the clock and the disk show.

        Args:
            free_gb: GiB free where the checkpoints go.
        """
        return [firing for firing in (self._stall(now), self._disk(free_gb)) if firing]

    def _begins(self, kind: str, *, wrong: bool) -> bool:
        """Whether a fault of that kind begins here."""
        before = kind in self._going_on
        (self._going_on.add if wrong else self._going_on.discard)(kind)
        return wrong and not before

    def _nan(self, point: MetricPoint) -> Firing | None:
        """A point with a loss has both numbers; its shape has None for one that is not finite."""
        numbers = {"loss": point.train_loss, "gradient's norm": point.grad_norm}
        bad = [name for name, value in numbers.items() if value is None or not math.isfinite(value)]
        if not self._begins("nan", wrong=bool(bad)):
            return None
        message = f"At step {point.step} the {' and the '.join(bad)} is not a finite number"
        return Firing("nan", self._config.nan, message, point.step)

    def _spike(self, point: MetricPoint) -> Firing | None:
        loss = point.train_loss
        if loss is None or not math.isfinite(loss) or len(self._losses) < FEWEST:
            return None
        middle = median(self._losses)
        deviation = SPREAD * median(abs(other - middle) for other in self._losses)
        limit = middle + max(self._config.spike_deviations * deviation, LEAST_RISE, LEAST_RISE * abs(middle))
        if not self._begins("spike", wrong=loss > limit):
            return None
        message = (
            f"The loss leapt to {loss:.4f} at step {point.step}; the median of the {len(self._losses)} points "
            f"before it is {middle:.4f}"
        )
        details = {"loss": loss, "median": middle, "limit": limit}
        return Firing("spike", self._config.spike, message, point.step, details)

    def _stall(self, now: float) -> Firing | None:
        still = now - self._moved
        if not self._begins("stall", wrong=still > self._config.stall_seconds):
            return None
        since = "the start" if self._step is None else f"step {self._step}"
        message = f"No point has come for {still:.0f} s, since {since}"
        return Firing("stall", self._config.stall, message, self._step, {"seconds": round(still, 1)})

    def _disk(self, free_gb: float) -> Firing | None:
        enough = self._config.disk_gb * (RECOVERED if "disk" in self._going_on else 1.0)
        if not self._begins("disk", wrong=free_gb < enough):
            return None
        message = (
            f"{free_gb:.1f} GB of disk are left for checkpoints; the config wants {self._config.disk_gb:g}"
        )
        return Firing("disk", self._config.disk, message, self._step, {"free_gb": round(free_gb, 2)})
