"""Curves in a terminal: characters of two by four dots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

HIGH = 6  # lines of text
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EDGE = 11  # characters before a plot


@dataclass(frozen=True)
class Span:
    """What one column of dots is to show: from `low` to `high` at `step`, and the line on by way of `mean`."""

    step: int
    low: float
    high: float
    mean: float


def plot(spans: Sequence[Span], broken: Iterable[int], steps: tuple[int, int], width: int) -> list[str]:
    """Lines of text, their values at the left; `broken`: the steps where there was no finite number.

    From span to span goes a line, but over no broken step.
    """
    wide = max(10, width - _EDGE) * 2
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    gaps = sorted(broken)
    grid = [[0] * (wide // 2) for _ in range(HIGH)]

    def across(step: int) -> int:
        return round((step - steps[0]) * (wide - 1) / max(steps[1] - steps[0], 1))

    def up(value: float) -> int:
        return round((value - low) * (4 * HIGH - 1) / (high - low)) if high > low else 2 * HIGH

    def fill(x: int, one: int, other: int) -> None:
        for y in range(min(one, other), max(one, other) + 1):
            row = 4 * HIGH - 1 - y
            grid[row // 4][x // 2] |= _DOTS[row % 4][x % 2]

    for span in spans:
        fill(across(span.step), up(span.low), up(span.high))
    for one, other in pairwise(spans):
        if not any(one.step <= gap <= other.step for gap in gaps):
            _join((across(one.step), up(one.mean)), (across(other.step), up(other.mean)), fill)
    text = ["".join(chr(0x2800 + dots) for dots in line) for line in grid]
    edges = [f"{high:.4g}", *[""] * (HIGH - 2), f"{low:.4g}"]
    lines = [f"{edge:>{_EDGE - 2}} │{line}" for edge, line in zip(edges, text, strict=True)]
    return [*lines, _axis(steps, {across(gap) // 2 for gap in gaps}, wide // 2)]


def _join(one: tuple[int, int], other: tuple[int, int], fill: Callable[[int, int, int], None]) -> None:
    (x, y), (to, top) = one, other
    for at in range(x + 1, to):
        start, end = (round(y + (top - y) * (part - x) / (to - x)) for part in (at, at + 1))
        fill(at, start, end)


def _axis(steps: tuple[int, int], gaps: set[int], wide: int) -> str:
    """An x for each place where a number was not finite; under it the first and the last step."""
    line = "".join("x" if at in gaps else "─" for at in range(wide))
    first, last = (f"{step:,}" for step in steps)
    return f"{'└':>{_EDGE}}{line}\n{'':{_EDGE}}{first}{last:>{max(1, wide - len(first))}}"
