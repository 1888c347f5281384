"""Draws a run's loss and learning rate as one small SVG."""

from __future__ import annotations

import io
import math

from tuneyard.shapes import MetricPoint

LOSS, RATE, INK, GRID = "#0b57a4", "#c46a00", "#333333", "#dddddd"


def loss_chart(points: list[MetricPoint]) -> str:
    """SVG text, readable on white: loss (left axis) and learning rate (right axis) against the step.

    The same points give the same text. Steps without a number leave a gap; no points, an empty chart that says so.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Text as text keeps the file small; a fixed salt keeps the ids the same from run to run.
    with matplotlib.rc_context({"svg.hashsalt": "tuneyard", "svg.fonttype": "none", "text.color": INK}):
        figure = Figure(figsize=(7, 3.2), layout="constrained", facecolor="white")
        loss = figure.add_subplot()
        points = sorted(points, key=lambda point: point.step)
        marker = "o" if len(points) < 40 else ""
        steps = [point.step for point in points]
        values = [_gap(point.train_loss) for point in points]
        loss.plot(steps, values, color=LOSS, marker=marker, markersize=3, label="loss")
        loss.set_xlabel("step")
        loss.set_ylabel("loss", color=LOSS)
        loss.grid(color=GRID, linewidth=0.6)
        loss.set_ylim(bottom=0)
        rate = loss.twinx()
        rates = [_gap(point.learning_rate) for point in points]
        rate.plot(steps, rates, color=RATE, linewidth=1, linestyle="--", label="learning rate")
        rate.set_ylabel("learning rate", color=RATE)
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        rate.set_ylim(bottom=0)
        if not points:
            loss.text(0.5, 0.5, "no points yet", transform=loss.transAxes, ha="center")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _gap(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan
