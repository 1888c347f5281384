"""Answers in and out, and the counts of the batch test that they belong to."""

from typing import Any, NamedTuple

from sqlalchemy import case, exists, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from api import tables
from api.database import insert_into
from tuneyard.batch_shapes import NewPrediction, Prediction
from tuneyard.shapes import Page

_ORDER = (col(tables.Prediction.step), col(tables.Prediction.prompt_index))
_KEY = ("step", "prompt_index")
_TABLE = tables.Prediction.__table__  # type: ignore[attr-defined]
# Floats that are whole multiples of this add up exactly, whatever their order: the counts never drift.
_GRAIN = 2.0**-30


class Sought(NamedTuple):
    """Which answers are wanted; None: it does not matter. Whether one passed is not known before it is scored; one
    that failed with an error has not."""

    passed: bool | None = None
    failed: bool | None = None
    tag: str | None = None


def store(session: Session, job: tables.Job, run: tables.TestRun, predictions: list[NewPrediction]) -> None:
    """Upsert the rows, and move the run's counts by what that changed."""
    touched = [prediction.prompt_index for prediction in predictions]
    before = _tally(session, job.pk, touched)
    insert = insert_into(session, _TABLE)
    replaced = {name: insert.excluded[name] for name in NewPrediction.model_fields if name not in _KEY}
    owner = {"job_pk": job.pk, "workspace_id": job.workspace_id}
    rows = [owner | prediction.model_dump() | {"id": tables.new_id()} for prediction in predictions]
    session.connection().execute(
        insert.on_conflict_do_update(index_elements=["job_pk", "step", "prompt_index"], set_=replaced), rows
    )
    for name, value in _tally(session, job.pk, touched).items():
        setattr(run, name, getattr(run, name) + value - before[name])


def _tally(session: Session, job_pk: int, indices: list[int]) -> dict[str, Any]:
    """The counts over some prompts of a batch test, under the names that the run keeps them by."""
    failed = _TABLE.c.error.is_not(None)
    scored = failed | _TABLE.c.score.is_not(None)

    def count(condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    def total(value: Any, counted: Any) -> Any:
        grains = func.round(value / _GRAIN) * _GRAIN
        return func.coalesce(func.sum(case((counted, grains), else_=0.0)), 0.0)

    query = select_columns(
        count(~failed).label("completed_prompts"),
        count(failed).label("failed_prompts"),
        count(~failed & _TABLE.c.passed.is_(True)).label("passed_prompts"),
        count(scored).label("scored_prompts"),
        total(_TABLE.c.score * _TABLE.c.weight, scored & ~failed).label("score_sum"),
        total(_TABLE.c.weight, scored).label("weight_sum"),
    ).where(_TABLE.c.job_pk == job_pk, _TABLE.c.step == 0, _TABLE.c.prompt_index.in_(indices))
    return dict(session.execute(query).mappings().one())


def predictions_of(
    session: Session, job_pk: int, limit: int | None, offset: int, sought: Sought | None = None
) -> Page[Prediction]:
    """A run's predictions by prompt; all of them where `limit` is None."""
    wanted = [_TABLE.c.job_pk == job_pk, *_conditions(session, sought or Sought())]
    total = session.exec(select(func.count()).select_from(tables.Prediction).where(*wanted)).one()
    query = select(tables.Prediction).where(*wanted).order_by(*_ORDER).offset(offset)
    rows = session.exec(query if limit is None else query.limit(limit))
    items = [Prediction.model_validate(row) for row in rows]
    return Page[Prediction](items=items, total=total, limit=limit or total, offset=offset)


def _conditions(session: Session, sought: Sought) -> list[Any]:
    failed = _TABLE.c.error.is_not(None)
    right = ~failed & _TABLE.c.passed.is_(True)
    conditions: list[Any] = []
    if sought.passed is not None:
        conditions.append(right if sought.passed else failed | _TABLE.c.passed.is_(False))
    if sought.failed is not None:
        conditions.append(failed if sought.failed else ~failed)
    if sought.tag is not None:
        conditions.append(_has_tag(session, sought.tag))
    return conditions


def _has_tag(session: Session, tag: str) -> Any:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    split = func.json_each if is_sqlite else func.json_array_elements_text
    tags = split(_TABLE.c.tags).table_valued("value")
    return exists(select_columns(tags.c.value).where(tags.c.value == tag))
