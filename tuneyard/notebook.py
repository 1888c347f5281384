"""Shapes as a notebook shows them: pure, everything in them escaped, in colours that light and dark pages bear."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from tuneyard.display import plain, progress_line, test_line

INK, FIRST, SECOND, WRONG = "#7c7c7c", "#3b82c4", "#d0701a", "#d9453d"
ROWS_SHOWN = 100
COLUMNS = (
    *(
        "id",
        "name",
        "host",
        "kind",
        "status",
        "progress",
        "step",
        "prompt_index",
        "loss",
        "train_loss",
        "eval_loss",
    ),
    *(
        "score",
        "passed",
        "model",
        "version",
        "size_bytes",
        "gpus",
        "created_at",
        "at",
        "message",
        "text",
        "response",
    ),
)
LINES = (("train_loss", FIRST), ("eval_loss", SECOND))
WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 640, 200, 60, 8, 20, 22
MOST = 2 * (WIDE - LEFT - RIGHT)  # points a line: more than two to a pixel cannot be seen

Point = tuple[float, float]


def work_html(work: Any) -> str:
    """A job or a batch test: name, status, a bar, its newest numbers, where it runs, and why it failed."""
    done = f"{work.progress:.2f}"
    words = progress_line(work) if hasattr(work, "current_step") else test_line(work)
    place = [getattr(work, name, None) for name in ("host", "device")]
    where = " · ".join(plain(part) for part in place if part)
    cards = ", ".join(getattr(work, "gpu_uuids", []))
    rows = [f"<b>{_text(work.name)}</b> <code>{_text(work.id)}</code> <i>{_text(work.status)}</i>"]
    rows.append(f'<progress max="100" value="{done}"></progress> {done}% {_text(words)}')
    rows += [f'<span style="color:{INK}">{_text(part)}</span>' for part in (where, cards) if part]
    rows += [f'<span style="color:{WRONG}">{_text(work.error)}</span>'] if work.error else []
    return f"<div>{'<br>'.join(rows)}</div>"


def page_html(items: Sequence[Any], total: int, offset: int) -> str:
    """A table of what its items have in common with other shapes; nothing of what is long."""
    known = type(items[0]).model_fields if items else {}
    names = [
        name for name in COLUMNS if name in known and any(getattr(one, name) is not None for one in items)
    ]
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(f"<tr>{_cells(one, names)}</tr>" for one in items[:ROWS_SHOWN])
    shown = min(len(items), ROWS_SHOWN)
    note = f"{offset + 1} to {offset + shown} of {total}" if shown else f"none of {total}"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{caption(note)}"


def _cells(item: Any, names: Iterable[str]) -> str:
    return "".join(f"<td>{_text(_cell(getattr(item, name)))}</td>" for name in names)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(len(value)) if isinstance(value, list) else plain(value)[:200]


def caption(words: str) -> str:
    return f"<small>{_text(words)}</small>"


def _text(value: object) -> str:
    return escape(plain(value))


# The loss curve


def chart_svg(columns: dict[str, list[Any]]) -> str:
    """Training and evaluation loss by step; what is not finite is a gap and a cross."""
    lines = {name: _points(columns, name) for name, _ in LINES}
    finite = [point for points in lines.values() for point in points if math.isfinite(point[1])]
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" font-size="11"'
    )
    begin += ' font-family="sans-serif" fill="none" role="img" aria-label="loss by step">'
    if not finite:
        return f'{begin}<text x="{LEFT}" y="{HIGH // 2}" fill="{INK}">no losses yet</text></svg>'
    frame = _Frame(finite)
    drawn = [part for name, color in LINES for part in frame.line(lines[name], color)]
    titles = [
        f'<text x="{LEFT + 90 * at}" y="13" fill="{color}">{name}</text>'
        for at, (name, color) in enumerate(LINES)
        if lines[name]
    ]
    return "".join([begin, *titles, *frame.axes(), *drawn, "</svg>"])


def _points(columns: dict[str, list[Any]], name: str) -> list[Point]:
    """Of a history, or of its buckets; thinned to what can be seen, each stretch's lowest and highest kept."""
    values = columns.get(name) or columns.get(f"{name}.mean") or []
    found = sorted(
        (float(x), float(y)) for x, y in zip(columns["step"], values, strict=False) if y is not None
    )
    size = math.ceil(2 * len(found) / MOST)
    if size <= 2:
        return found
    return [point for at in range(0, len(found), size) for point in _ends(found[at : at + size])]


def _ends(stretch: list[Point]) -> list[Point]:
    odd = [point for point in stretch if not math.isfinite(point[1])]
    even = [point for point in stretch if math.isfinite(point[1])]
    ends = {min(even, key=_height), max(even, key=_height)} if even else set()
    return sorted([*ends, *odd[:1]])


def _height(point: Point) -> float:
    return point[1]


class _Frame:
    """Where steps and values lie in the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._left, self._right = min(x for x, _ in points), max(x for x, _ in points)
        self._low, self._high = min(y for _, y in points), max(y for _, y in points)

    def axes(self) -> Iterator[str]:
        bottom, end = HIGH - BOTTOM, WIDE - RIGHT
        yield f'<path d="M{LEFT} {TOP}V{bottom}H{end}" stroke="{INK}" stroke-width="0.6"/>'
        for y, value in ((TOP + 8, self._high), (bottom, self._low)):
            yield f'<text x="{LEFT - 4}" y="{y}" fill="{INK}" text-anchor="end">{value:.4g}</text>'
        for x, value, anchor in ((LEFT, self._left, "start"), (end, self._right, "end")):
            yield f'<text x="{x}" y="{HIGH - 7}" fill="{INK}" text-anchor="{anchor}">{value:,.0f}</text>'

    def line(self, points: Sequence[Point], color: str) -> Iterator[str]:
        runs: list[list[str]] = [[]]
        for x, y in points:
            if math.isfinite(y):
                runs[-1].append(f"{self._x(x):.1f},{self._y(y):.1f}")
            else:
                runs.append([])
                at = self._x(x)
                yield f'<path d="M{at - 3:.1f} {TOP}l6 6m0 -6l-6 6" stroke="{WRONG}"/>'
        for run in runs:
            if len(run) == 1:
                cx, cy = run[0].split(",")
                yield f'<circle cx="{cx}" cy="{cy}" r="2" fill="{color}"/>'
            elif run:
                yield f'<polyline points="{" ".join(run)}" stroke="{color}" stroke-width="1.3"/>'

    def _x(self, step: float) -> float:
        wide = WIDE - LEFT - RIGHT
        return LEFT + wide * (step - self._left) / ((self._right - self._left) or 1)

    def _y(self, value: float) -> float:
        high = HIGH - TOP - BOTTOM
        part = (value - self._low) / (self._high - self._low) if self._high > self._low else 0.5
        return HIGH - BOTTOM - high * part
