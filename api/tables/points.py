"""Metrics, and their buckets."""

from datetime import datetime, timedelta

from sqlalchemy import Column, ForeignKey, Integer
from sqlmodel import Field, SQLModel

from api.tables.columns import BIG, ROW_NUMBER, START, link_to, open_column, reading


class Metric(SQLModel, table=True):
    """One step of one attempt. The key's order is the order in which a history is read.

    `timestamp` is in microseconds since 1970, UTC.
    """

    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    step: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: int = link_to("workspace.pk")
    epoch: float | None = reading()
    train_loss: float | None = reading()
    eval_loss: float | None = reading()
    learning_rate: float | None = reading()
    grad_norm: float | None = reading()
    samples_per_second: float | None = reading()
    tokens_per_second: float | None = reading()
    gpu_memory_allocated_gb: float | None = reading()
    gpu_memory_reserved_gb: float | None = reading()
    gpu_utilization_percent: float | None = reading()
    timestamp: int = Field(sa_type=BIG)
    extra: dict[str, float | str] = open_column()

    @property
    def at(self) -> datetime:
        return START + self.timestamp * timedelta(microseconds=1)


class MetricBucket(SQLModel, table=True):
    """The points of `width` steps, from `bucket * width` on, in one row: of each step the newest attempt's point.

    `columns` is JSON: {name: [n, min, max, sum]} of the finite numbers; `not_finite` counts the points with another.
    """

    __tablename__ = "metric_bucket"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    width: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    bucket: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = link_to("workspace.pk")
    points: int = Field(sa_type=BIG)
    not_finite: int = Field(sa_type=BIG)
    columns: str
