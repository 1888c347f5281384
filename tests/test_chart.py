"""A run's chart is one small, repeatable SVG, which hides no spike and no gap."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from tasks.chart import BUCKETS, FIRST, INK, SECOND, WRONG, Curves, thinned
from tuneyard.shapes import MetricPoint

POINTS = [MetricPoint(step=step, train_loss=1 / (step + 1), learning_rate=1e-4) for step in range(0, 50, 10)]


def test_the_same_points_in_any_order_give_the_same_svg() -> None:
    chart = Curves(POINTS).svg()
    assert chart == Curves(POINTS[::-1]).svg()
    assert ElementTree.fromstring(chart).tag.endswith("svg")
    assert len(chart) < 40_000


def test_what_is_measured_has_a_panel_and_nothing_else_has() -> None:
    chart = Curves(POINTS).svg()
    assert "learning rate" in chart
    assert not [title for title in ("tokens/s", "test score", "GPU", "eval") if title in chart]
    gpu = {"gpu_utilization_percent": 90, "gpu_memory_allocated_gb": 3, "tokens_per_second": 500}
    all_of_it = Curves([*POINTS, MetricPoint(step=9, eval_loss=1, extra={"test_score": 0.5}, **gpu)]).svg()
    for title in ("learning rate", "tokens/s", "test score", "GPU utilisation", "GPU memory", "eval"):
        assert title in all_of_it
    assert "no points yet" in Curves().svg()


def test_a_loss_that_is_not_finite_is_a_gap_with_a_cross() -> None:
    assert WRONG not in Curves(POINTS).svg()
    broken = Curves([*POINTS, MetricPoint(step=60, train_loss=math.nan)]).svg()
    ElementTree.fromstring(broken)
    assert WRONG in broken
    ElementTree.fromstring(Curves([MetricPoint(step=1, train_loss=math.inf)]).svg())


def test_a_long_run_is_drawn_small_with_its_spikes_and_gaps() -> None:
    values = [2.0] * 100_000
    values[31_415], values[27_182], values[99_000] = 900.0, -5.0, math.nan
    steps, kept = thinned(range(100_000), values)
    known = dict(zip(steps.tolist(), kept.tolist(), strict=True))
    assert (known[31_415], known[27_182]) == (900.0, -5.0)
    assert math.isnan(known[99_000])
    assert len(steps) <= 2 * BUCKETS + 1
    assert sorted(steps) == list(steps)
    points = [MetricPoint(step=at, train_loss=value) for at, value in enumerate(values[:40_000])]
    assert len(Curves(points).svg()) < 100_000


@pytest.mark.parametrize("page", ["#ffffff", "#15161a"])
def test_it_can_be_read_on_a_light_and_on_a_dark_page(page: str) -> None:
    assert contrast(INK, page) >= 4
    assert min(contrast(color, page) for color in (FIRST, SECOND, WRONG)) >= 3
    assert not [fill for fill in ("#ffffff", "white", "#000000") if f"fill: {fill}" in Curves(POINTS).svg()]


def contrast(one: str, other: str) -> float:
    """WCAG 2's."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
