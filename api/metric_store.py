"""Metric points: stored once each, whatever is sent twice, and the newest ones kept on the job's row."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, cast, exists, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Session, col, select

from api.database import insert_into
from api.tables import Job, Metric, now
from tuneyard.shapes import MetricPoint, MetricRow, Page

_NUMBERS = (
    "epoch",
    "train_loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
    "tokens_per_second",
    "gpu_memory_allocated_gb",
    "gpu_memory_reserved_gb",
    "gpu_utilization_percent",
)
_TABLE = Metric.__table__  # type: ignore[attr-defined]


def store(session: Session, job: Job, points: Sequence[MetricPoint]) -> None:
    """Store the points under the job's attempt, in the caller's transaction; the job's row is locked.

    A point for a step that is there fills in what it lacked and overwrites what both have: trainers report a
    step's training and evaluation in two calls.
    """
    owner = {"job_pk": job.pk, "attempt": job.attempt, "workspace_id": job.workspace_id}
    arrived = now()
    rows = [owner | point.model_dump() | {"timestamp": point.timestamp or arrived} for point in points]
    insert = insert_into(session, _TABLE)
    known: dict[str, Any] = {name: func.coalesce(insert.excluded[name], _TABLE.c[name]) for name in _NUMBERS}
    known["extra"] = _both(session, _TABLE.c.extra, insert.excluded.extra)
    # One statement a row, run many times: PostgreSQL refuses one statement that meets the same step twice.
    session.connection().execute(
        insert.on_conflict_do_update(index_elements=["job_pk", "step", "attempt"], set_=known), rows
    )
    if job.kind == "finetune":
        _follow(job, points)


def _both(session: Session, old: Any, new: Any) -> Any:
    """Two JSON objects as one, the new one's members first."""
    if session.get_bind().dialect.name == "sqlite":
        return func.json_patch(old, new)
    return cast(cast(old, JSONB).op("||")(cast(new, JSONB)), JSON)


def _follow(job: Job, points: Sequence[MetricPoint]) -> None:
    """Bring the job's newest values up to the points that are not behind it."""
    for point in sorted(points, key=lambda point: point.step):
        if point.eval_loss is not None and (
            job.best_eval_loss is None or point.eval_loss < job.best_eval_loss
        ):
            job.best_eval_loss, job.best_step, job.best_epoch = point.eval_loss, point.step, point.epoch
        if job.current_step is not None and point.step < job.current_step:
            continue
        job.current_step = point.step
        job.current_epoch = _newer(point.epoch, job.current_epoch)
        job.loss = _newer(point.train_loss, job.loss)
        job.eval_loss = _newer(point.eval_loss, job.eval_loss)
        job.tokens_per_second = _newer(point.tokens_per_second, job.tokens_per_second)
        job.gpu_memory_allocated_gb = _newer(point.gpu_memory_allocated_gb, job.gpu_memory_allocated_gb)


def _newer(new: float | None, old: float | None) -> float | None:
    return old if new is None else new


def history(session: Session, job_pk: int, limit: int | None, offset: int) -> Page[MetricRow]:
    """The job's points by step; all of them where `limit` is None.

    What a run had reported after its last checkpoint is reported again by the run that goes on from there: of each
    step the newest attempt's point counts.
    """
    again = _TABLE.alias()
    newer = (again.c.job_pk == job_pk, again.c.step == _TABLE.c.step, again.c.attempt > _TABLE.c.attempt)
    mine = col(Metric.job_pk) == job_pk
    total = session.exec(select(func.count(col(Metric.step).distinct())).where(mine)).one()
    query = (
        select(_TABLE)
        .where(mine, ~exists().where(*newer))
        .order_by(_TABLE.c.step, _TABLE.c.attempt)
        .offset(offset)
    )
    rows = session.execute(query if limit is None else query.limit(limit)).mappings().all()
    items = [MetricRow.model_validate(row) for row in rows]
    return Page[MetricRow](items=items, total=total, limit=limit or total, offset=offset)


def newest(session: Session, job: Job, count: int) -> list[MetricRow]:
    """The last points of the job's current attempt, the newest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.job_pk == job.pk, _TABLE.c.attempt == job.attempt)
        .order_by(_TABLE.c.step.desc())
        .limit(count)
    )
    return [MetricRow.model_validate(row) for row in session.execute(query).mappings()]
