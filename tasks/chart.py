"""Draws a run as one small SVG: a panel for each thing that it measures, over the same steps."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tuneyard.shapes import MetricPoint

# Each stands out from white and from near-black: nobody knows what Prefect's page lies on.
INK, FIRST, SECOND, WRONG = "#7c7c7c", "#3b82c4", "#d0701a", "#d9453d"
BUCKETS = 250  # as many as a panel is pixels wide, with two points in each


@dataclass(frozen=True)
class _Panel:
    title: str
    columns: tuple[str, ...]
    top: float | None = None
    bottom: float | None = 0.0


PANELS = (
    _Panel("loss", ("train_loss", "eval_loss"), bottom=None),
    _Panel("learning rate", ("learning_rate",)),
    _Panel("tokens/s", ("tokens_per_second",)),
    _Panel("test score", ("test_score",), top=1.02),
    _Panel("GPU utilisation (%)", ("gpu_utilization_percent",), top=102),
    _Panel("GPU memory (GiB)", ("gpu_memory_allocated_gb", "gpu_memory_reserved_gb")),
)
_LABELS = {"train_loss": "train", "eval_loss": "eval", "gpu_memory_allocated_gb": "allocated"}


@dataclass
class _Line:
    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Curves:
    """What a run has reported: two numbers in memory for each that it measured, whatever else its points hold."""

    def __init__(self, points: Iterable[MetricPoint] = ()) -> None:
        self._lines = {name: _Line() for panel in PANELS for name in panel.columns}
        self.add(points)

    def add(self, points: Iterable[MetricPoint]) -> None:
        for point in points:
            for name, line in self._lines.items():
                value = getattr(point, name, None) if name in _FIELDS else point.extra.get(name)
                if value is not None:
                    line.steps.append(point.step)
                    line.values.append(value)

    def svg(self) -> str:
        """The same points give the same text, in whatever order. A value that is not finite leaves a gap and a red
        cross; what is never measured has no panel."""
        import matplotlib
        from matplotlib.figure import Figure

        panels = [panel for panel in PANELS if any(self._lines[name].steps for name in panel.columns)]
        rows = max(1, (len(panels) + 1) // 2)
        # Text as text keeps the file small; a fixed salt keeps the ids the same from run to run.
        with matplotlib.rc_context({"svg.hashsalt": "tuneyard", "svg.fonttype": "none", "font.size": 8}):
            figure = Figure(figsize=(8, 0.4 + 1.8 * rows), layout="constrained", facecolor="none")
            for at, panel in enumerate(panels):
                axes = figure.add_subplot(rows, min(2, len(panels)), at + 1)
                self._draw(axes, panel)
            if not panels:
                figure.text(0.5, 0.5, "no points yet", color=INK, ha="center")
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        return text.getvalue()

    def _draw(self, axes: Any, panel: _Panel) -> None:
        axes.set_title(panel.title, color=INK, loc="left", fontsize=9)
        axes.tick_params(colors=INK)
        axes.grid(color=INK, linewidth=0.4, alpha=0.35)
        for name, edge in axes.spines.items():
            edge.set_visible(name in ("left", "bottom"))
            edge.set_color(INK)
        for name, color in zip(panel.columns, (FIRST, SECOND), strict=False):
            if self._lines[name].steps:
                self._line(axes, name, color)
        low, high = axes.get_ylim()
        bottom = low if panel.bottom is None else panel.bottom
        axes.set_ylim(bottom, panel.top or high + 0.05 * (high - bottom))
        if sum(bool(self._lines[name].steps) for name in panel.columns) > 1:
            axes.legend(frameon=False, labelcolor=INK, fontsize=7)

    def _line(self, axes: Any, name: str, color: str) -> None:
        import numpy

        steps, values = thinned(self._lines[name].steps, self._lines[name].values)
        finite = numpy.isfinite(values)
        marker = "o" if len(steps) < 40 else ""
        shown = numpy.where(finite, values, numpy.nan)
        label = _LABELS.get(name, name.split("_")[-2])
        axes.plot(steps, shown, color=color, linewidth=1.1, marker=marker, markersize=2.5, label=label)
        if len(gaps := steps[~finite]):
            bottom = axes.get_xaxis_transform()
            axes.plot(gaps, [0.05] * len(gaps), "x", color=WRONG, markersize=4, transform=bottom)


_FIELDS = frozenset(MetricPoint.model_fields)


def thinned(steps: Any, values: Any, buckets: int = BUCKETS) -> tuple[Any, Any]:
    """By step; of many points each bucket's lowest, its highest and its first that is not finite."""
    import numpy

    x, y = numpy.array(steps), numpy.array(values)
    order = numpy.lexsort((y, x))
    x, y = x[order], y[order]
    if len(x) <= 2 * buckets:
        return x, y
    bucket = ((x - x[0]) * (buckets / (x[-1] - x[0] + 1))).astype(int)
    finite = numpy.flatnonzero(numpy.isfinite(y))
    by_value = finite[numpy.lexsort((y[finite], bucket[finite]))]
    begins = numpy.flatnonzero(numpy.diff(bucket[by_value], prepend=-1))
    ends = numpy.append(begins[1:], len(by_value))[: len(begins)] - 1
    odd = numpy.flatnonzero(~numpy.isfinite(y))
    first_odd = odd[numpy.flatnonzero(numpy.diff(bucket[odd], prepend=-1))]
    kept = numpy.unique(numpy.concatenate([by_value[begins], by_value[ends], first_odd]))
    return x[kept], y[kept]
