"""What a model in training answers to a suite, by step: written by the run that holds the job's token, read with a
key. A batch test's answers are its own resource's."""

from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import and_, func
from sqlmodel import Session, col, select

from api import tables
from api.access.auth import DatabaseDep
from api.access.caller import JobCaller
from api.access.owned import Offset, hold_job, own_job, owned_job
from api.database import insert_into
from api.lifecycle import Event
from api.moves import move
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import NewPrediction, Prediction, PredictionBatch
from tuneyard.shapes import JobKind, JobStatus, Page, Reported
from tuneyard.values import LARGEST, JsonObject

router = APIRouter(prefix="/api/v1/jobs/{job_id}/predictions", tags=["metrics"], route_class=StrictRoute)

ManyPredictions = Annotated[int, Query(ge=1, le=1000)]
Step = Annotated[int | None, Query(ge=0, le=LARGEST, description="Only those of this step.")]
ELSEWHERE = "A batch test's answers are under /api/v1/batch-tests"
_KEY = ("step", "prompt_index")
_TABLE = tables.Prediction.__table__  # type: ignore[attr-defined]


@router.post("")
def report_step_predictions(
    holder: Annotated[JobCaller, own_job()], body: PredictionBatch, database: DatabaseDep
) -> Reported:
    """Store answers, one row a step and prompt however often it is sent."""
    return report(database, holder, body.predictions)


def report(database: DatabaseDep, holder: JobCaller, predictions: Sequence[NewPrediction]) -> Reported:
    """Store a run's answers. The first turn its job running; those that come late, once it has ended, do not."""
    with database.writing() as session:
        job = hold_job(session, holder)
        if job.kind == JobKind.BATCH_TEST:
            raise Problem(409, ELSEWHERE)
        move(job, Event.REPORT)
        insert = insert_into(session, _TABLE)
        replaced = {name: insert.excluded[name] for name in NewPrediction.model_fields if name not in _KEY}
        rows = [prediction.model_dump() for prediction in predictions]
        owner = {"job_pk": job.pk, "workspace_id": job.workspace_id}
        session.connection().execute(
            insert.on_conflict_do_update(index_elements=["job_pk", *_KEY], set_=replaced),
            [owner | row | {"id": tables.new_id()} for row in rows],
        )
        job.last_report_at = tables.now()
    return Reported(count=len(predictions), job_status=JobStatus(job.status))


@router.get("")
def read_step_predictions(
    job: Annotated[tables.Job, owned_job("metrics:read")],
    database: DatabaseDep,
    step: Step = None,
    limit: ManyPredictions = 100,
    offset: Offset = 0,
) -> Page[Prediction]:
    """By step, then prompt."""
    with database.reading() as session:
        return page_of(session, job, None if step is None else [step], limit, offset)


def page_of(
    session: Session, job: tables.Job, steps: Collection[int] | None, limit: int, offset: int
) -> Page[Prediction]:
    if job.kind == JobKind.BATCH_TEST:
        raise Problem(404, ELSEWHERE)
    wanted = [col(tables.Prediction.job_pk) == job.pk]
    if steps is not None:
        wanted.append(col(tables.Prediction.step).in_(steps))
    total = session.exec(select(func.count()).select_from(tables.Prediction).where(*wanted)).one()
    order = (col(tables.Prediction.step), col(tables.Prediction.prompt_index))
    query = select(tables.Prediction).where(*wanted).order_by(*order).limit(limit).offset(offset)
    items = [Prediction.model_validate(row) for row in session.exec(query)]
    return Page[Prediction](items=items, total=total, limit=limit, offset=offset)


def steps_of(session: Session, job: tables.Job) -> list[tuple[int, int, JsonObject]]:
    """Each step with answers, how many it has, and the details of its first: what the run says of the whole step."""
    one, own = tables.Prediction, col(tables.Prediction.job_pk) == job.pk
    first, count = func.min(one.prompt_index).label("first"), func.count().label("count")
    steps = select(col(one.step).label("step"), first, count).where(own).group_by(col(one.step)).subquery()
    same = and_(steps.c.step == col(one.step), steps.c.first == col(one.prompt_index))
    query = select(col(one.step), steps.c.count, col(one.details)).join(steps, same).where(own)
    return [(step, n, details) for step, n, details in session.exec(query.order_by(col(one.step)))]
