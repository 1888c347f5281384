"""Metrics: steps, pages of them, buckets."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from tuneyard.shapes.jobs import JobStatus
from tuneyard.shapes.shape import Page, Request, Shape
from tuneyard.values import Count, Reading, Readings, Time, Utc


class MetricPoint(Request):
    """One step's numbers. Anything beyond the named columns goes in `extra`.

    A number that is not finite is kept: in JSON it is "NaN", "Infinity" or "-Infinity", here as in every answer.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    step: Count
    epoch: Reading = None
    train_loss: Reading = None
    eval_loss: Reading = None
    learning_rate: Reading = None
    grad_norm: Reading = None
    samples_per_second: Reading = None
    tokens_per_second: Reading = None
    gpu_memory_allocated_gb: Reading = None
    gpu_memory_reserved_gb: Reading = None
    gpu_utilization_percent: Reading = None
    timestamp: Time | None = None
    extra: Readings = Field(default_factory=dict)


class MetricBatch(Request):
    """All of them are stored, or, where one is wrong, none: the answer names it as `metrics.INDEX.FIELD`."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    metrics: list[MetricPoint] = Field(min_length=1, max_length=5000)


class MetricRow(Shape):
    """A stored point; `timestamp` is the trainer's, or the server's where the trainer sent none."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    attempt: int
    step: int
    epoch: Reading = None
    train_loss: Reading = None
    eval_loss: Reading = None
    learning_rate: Reading = None
    grad_norm: Reading = None
    samples_per_second: Reading = None
    tokens_per_second: Reading = None
    gpu_memory_allocated_gb: Reading = None
    gpu_memory_reserved_gb: Reading = None
    gpu_utilization_percent: Reading = None
    timestamp: Utc
    extra: dict[str, Reading] = Field(default_factory=dict)


class MetricPage(Page[MetricRow]):
    """`next_cursor` gives the page after this one, however many points come meanwhile; null: this is the last."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    next_cursor: str | None = None


class MetricColumns(Shape):
    """A page of points, column by column: `step` and what was asked for, each a list of the same length.

    `timestamp` is in microseconds since 1970, UTC: what charts and data frames count in.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    columns: dict[str, list[Any]]
    total: int
    limit: int
    offset: int
    next_cursor: str | None = None


class Summary(Shape):
    """One column's finite numbers, bucket by bucket; null where a bucket has none of them."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    n: list[int]
    min: list[Reading]
    max: list[Reading]
    mean: list[Reading]


class MetricBuckets(Shape):
    """A history in at most as many buckets as were asked for, each `width` steps wide, by its first step.

    `not_finite` counts the points that hold a number which is not finite.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    width: int
    total: int
    step: list[int]
    points: list[int]
    not_finite: list[int]
    columns: dict[str, Summary]


class Reported(Shape):
    """The answer to a metric or prediction write. A trainer that reads `cancelling` stops."""

    success: bool = True
    count: int
    job_status: JobStatus
