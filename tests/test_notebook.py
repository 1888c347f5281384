"""What a notebook shows of jobs, tests, pages and metrics."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.sdk_fixtures import NOW
from tests.sdk_fixtures import job as a_job
from tuneyard.batch_shapes import BatchTest
from tuneyard.metric_table import MetricTable
from tuneyard.shapes import GpuHost, Job, MetricBuckets, Page

EVIL = "<script>alert('x')</script> & \x1b[31m"


def table(losses: list[Any], **more: list[Any]) -> MetricTable:
    return MetricTable({"step": list(range(len(losses))), "train_loss": losses, **more})


def parsed(html: str) -> ElementTree.Element:
    """It is well-formed; HTML's void elements are closed first."""
    return ElementTree.fromstring(f"<div>{html.replace('<br>', '<br/>')}</div>")


def test_a_job_shows_its_name_state_bar_loss_and_gpu() -> None:
    job = Job.model_validate(
        a_job(progress=24.5, current_step=120, total_steps=500, loss=0.8213, gpu_memory_allocated_gb=12.1)
        | {"host": "a", "device": "cuda:0 (H200)", "gpu_uuids": ["GPU-1"]}
    )
    html = job._repr_html_()
    bar = parsed(html).find(".//progress")
    assert bar is not None
    assert (bar.get("value"), bar.get("max")) == ("24.50", "100")
    for words in (
        "dates",
        "running",
        "step 120/500",
        "0.8213 loss",
        "12.1 GiB GPU",
        "cuda:0 (H200)",
        "GPU-1",
    ):
        assert words in html


def test_whatever_a_name_or_an_error_holds_is_text() -> None:
    job = Job.model_validate(a_job(name=EVIL, status="failed", error=EVIL, device=EVIL))
    test = BatchTest(id="t", name=EVIL, status="failed", model="m", suite="s", error=EVIL, created_at=NOW)
    shown = [
        job._repr_html_(),
        test._repr_html_(),
        Page(items=[job], total=1, limit=1, offset=0)._repr_html_(),
    ]
    shown.append(table([1.0], **{EVIL: [1]})._repr_html_())
    for html in shown:
        assert "<script" not in html
        assert parsed(html).find(".//script") is None
        assert "\x1b" not in html


def test_a_page_is_a_table_that_says_what_part_it_is() -> None:
    jobs = [Job.model_validate(a_job(f"j{at}")) for at in range(3)]
    html = Page[Job](items=jobs, total=9, limit=3, offset=3)._repr_html_()
    rows = parsed(html).findall(".//tbody/tr")
    assert [[cell.text for cell in row][:2] for row in rows] == [[f"j{at}", "dates"] for at in range(3)]
    assert "4 to 6 of 9" in html
    assert "none of 0" in Page[Job](items=[], total=0, limit=3, offset=0)._repr_html_()
    host = GpuHost(host="a", taken_at=NOW)
    assert "<td>a</td><td>0</td>" in Page[GpuHost](items=[host], total=1, limit=1, offset=0)._repr_html_()


def test_a_history_is_a_curve_with_its_ends_named() -> None:
    drawn = parsed(table([2.0, 1.5, 1.0], eval_loss=[None, None, 1.25]).svg())
    kinds = [element.tag.partition("}")[2] for element in drawn.iter()]
    assert (kinds.count("polyline"), kinds.count("circle")) == (1, 1)
    said = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert said == ["train_loss", "eval_loss", "2", "1", "0", "2"]


def test_what_is_not_finite_is_a_gap_with_a_cross() -> None:
    svg = table([2.0, 1.5, math.nan, 1.0, 0.5, math.inf]).svg()
    assert svg.count("<polyline") == 2
    assert svg.count("#d9453d") == 2
    assert "nan" not in svg
    assert "no losses yet" in table([math.nan, None]).svg()
    assert "no losses yet" in MetricTable({"step": []})._repr_html_()


def test_a_long_history_stays_small_and_keeps_its_spikes() -> None:
    losses = [1.0] * 100_000
    losses[51_234] = 99.0
    svg = table(losses).svg()
    assert len(svg) < 40_000
    assert ">99</text>" in svg
    top = min(float(pair.split(",")[1]) for pair in svg.split('points="')[1].split('"')[0].split())
    assert top == pytest.approx(20)


def test_buckets_are_drawn_by_their_means() -> None:
    loss = {"n": [2, 2], "min": [1.0, 0.5], "max": [3.0, 1.5], "mean": [2.0, 1.0]}
    found = {"width": 10, "total": 20, "step": [0, 10], "points": [10, 10], "not_finite": [0, 0]}
    buckets = MetricBuckets.model_validate(found | {"columns": {"train_loss": loss}})
    assert "<polyline" in MetricTable.of_buckets(buckets)._repr_html_()
