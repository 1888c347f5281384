"""The loss chart is one small, repeatable SVG."""

from __future__ import annotations

from xml.etree import ElementTree

from tasks.chart import loss_chart
from tuneyard.shapes import MetricPoint

POINTS = [MetricPoint(step=step, train_loss=1 / (step + 1), learning_rate=1e-4) for step in range(0, 50, 10)]


def test_the_same_points_in_any_order_give_the_same_svg() -> None:
    chart = loss_chart(POINTS)
    assert chart == loss_chart(POINTS[::-1])
    assert ElementTree.fromstring(chart).tag.endswith("svg")
    assert "learning rate" in chart
    assert len(chart) < 40_000


def test_steps_without_a_loss_and_no_points_at_all_still_make_a_chart() -> None:
    ElementTree.fromstring(loss_chart([*POINTS, MetricPoint(step=60)]))
    assert "no points yet" in loss_chart([])
