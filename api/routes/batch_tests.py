"""Batch tests: a job of kind batch_test, and its predictions. Claim, cancel and end it as a job."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import case, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from api import tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import JobId, Limit, Offset, find, hold_job, own_job, page
from api.database import insert_into
from api.lifecycle import Event
from api.moves import move
from api.openapi_words import or_again
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.routes.jobs import record_job
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import BatchTest, NewBatchTest, NewPrediction, Prediction, PredictionBatch
from tuneyard.shapes import JobKind, JobStatus, NewJob, Page, Reported

router = APIRouter(prefix="/batch-tests", tags=["batch tests"], route_class=StrictRoute)

MISSING = "Batch test not found"
ManyPredictions = Annotated[int, Query(ge=1, le=1000)]
Run = tuple[tables.Job, tables.TestRun]
_ORDER = (col(tables.Prediction.step), col(tables.Prediction.prompt_index))
_KEY = ("step", "prompt_index")
_TABLE = tables.Prediction.__table__  # type: ignore[attr-defined]


def find_run(session: Session, workspace_id: int, run_id: str) -> Run:
    """A batch test's two rows; a job of another kind is no batch test."""
    job = find(session, tables.Job, workspace_id, run_id, MISSING)
    run = session.get(tables.TestRun, job.pk)
    if run is None:
        raise Problem(404, MISSING)
    return job, run


def owned_run(permission: str, scope: str | None = None) -> Any:
    """Declares that a route is about the batch test its path names."""

    def load(
        job_id: JobId, caller: Annotated[Caller, needs(permission, scope)], database: DatabaseDep
    ) -> Run:
        with database.reading() as session:
            return find_run(session, caller.workspace_id, job_id)

    return Depends(load)


def own_run(
    job_id: JobId, holder: Annotated[JobCaller, own_job(MISSING)], database: DatabaseDep
) -> JobCaller:
    """The run that holds the batch test's token."""
    with database.reading() as session:
        find_run(session, holder.workspace_id, job_id)
    return holder


def _shown(pair: Run) -> BatchTest:
    job, run = pair
    counts = run.model_dump(
        include={"suite", "suite_id", "completed_prompts", "failed_prompts", "passed_prompts", "archived_at"}
    )
    shared = job.model_dump(exclude={"kind", "host", "result"})
    return BatchTest.model_validate(shared | counts | {"score": run.score, "total_prompts": job.total_steps})


@router.post("", status_code=201, responses=or_again(BatchTest) | {404: {}})
def create_test(
    caller: Annotated[Caller, needs("tests:write")],
    new: NewBatchTest,
    database: DatabaseDep,
    operations: OperationLogDep,
    response: Response,
) -> BatchTest:
    """Record a batch test. The same `flow_run_id` again answers the one that is there, with 200."""
    job = NewJob(
        kind=JobKind.BATCH_TEST,
        name=new.name,
        model=new.model,
        config=new.config,
        total_steps=new.total_prompts,
        flow_run_id=new.flow_run_id,
    )
    with database.writing() as session:
        if new.suite_id is not None:
            find(session, tables.TestSuite, caller.workspace_id, new.suite_id, "Test suite not found")
        row, is_new = record_job(session, caller, job)
        if is_new:
            run = tables.TestRun(
                job_pk=row.pk, workspace_id=caller.workspace_id, suite=new.suite, suite_id=new.suite_id
            )
            session.add(run)
        else:
            response.status_code = 200
            run = session.get_one(tables.TestRun, row.pk)
    if is_new:
        operations.add(caller, row)
    return _shown((row, run))


@router.get("")
def list_tests(
    caller: Annotated[Caller, needs("tests:read")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[BatchTest]:
    """The newest first."""
    query = (
        select(tables.Job, tables.TestRun)
        .join(tables.TestRun)
        .where(tables.Job.workspace_id == caller.workspace_id)
    )
    with database.reading() as session:
        return page(session, query, [col(tables.Job.pk).desc()], _shown, limit, offset)


@router.get("/{job_id}")
def get_test(run: Annotated[Run, owned_run("tests:read")]) -> BatchTest:
    return _shown(run)


@router.post("/{job_id}/predictions")
def report_predictions(
    holder: Annotated[JobCaller, Depends(own_run)], body: PredictionBatch, database: DatabaseDep
) -> Reported:
    """Store answers, one row a prompt however often it is sent; the first turns the test running."""
    with database.writing() as session:
        job = hold_job(session, holder)
        run = session.get_one(tables.TestRun, job.pk)
        _within(job, body.predictions)
        move(job, Event.REPORT)
        _store(session, job, run, body.predictions)
        job.current_step = run.completed_prompts + run.failed_prompts
        job.last_report_at = tables.now()
    return Reported(count=len(body.predictions), job_status=JobStatus(job.status))


def _within(job: tables.Job, predictions: list[NewPrediction]) -> None:
    last = max(prediction.prompt_index for prediction in predictions)
    if any(prediction.step for prediction in predictions):
        raise Problem(409, "a batch test's answers have no step: leave it out", field="predictions")
    if job.total_steps is not None and last >= job.total_steps:
        raise Problem(
            422, f"there are {job.total_steps} prompts, and none of index {last}", field="predictions"
        )


def _store(session: Session, job: tables.Job, run: tables.TestRun, predictions: list[NewPrediction]) -> None:
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
    """The counts over some prompts, under the names that the run keeps them by."""
    failed = _TABLE.c.error.is_not(None)
    scored = failed | _TABLE.c.score.is_not(None)

    def count(condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    def total(value: Any) -> Any:
        return func.coalesce(func.sum(value), 0.0)

    query = select_columns(
        count(~failed).label("completed_prompts"),
        count(failed).label("failed_prompts"),
        count(_TABLE.c.passed.is_(True)).label("passed_prompts"),
        count(scored).label("scored_prompts"),
        total(case((failed, 0.0), else_=_TABLE.c.score * _TABLE.c.weight)).label("score_sum"),
        total(case((scored, _TABLE.c.weight), else_=0.0)).label("weight_sum"),
    ).where(_TABLE.c.job_pk == job_pk, _TABLE.c.prompt_index.in_(indices))
    return dict(session.execute(query).mappings().one())


@router.get("/{job_id}/predictions")
def read_predictions(
    run: Annotated[Run, owned_run("tests:read")],
    database: DatabaseDep,
    limit: ManyPredictions = 100,
    offset: Offset = 0,
) -> Page[Prediction]:
    """By prompt."""
    with database.reading() as session:
        return predictions_of(session, run[0].pk, limit, offset)


def predictions_of(session: Session, job_pk: int, limit: int | None, offset: int) -> Page[Prediction]:
    """A run's predictions by prompt; all of them where `limit` is None."""
    mine = col(tables.Prediction.job_pk) == job_pk
    total = session.exec(select(func.count()).select_from(tables.Prediction).where(mine)).one()
    query = select(tables.Prediction).where(mine).order_by(*_ORDER).offset(offset)
    rows = session.exec(query if limit is None else query.limit(limit))
    items = [Prediction.model_validate(row) for row in rows]
    return Page[Prediction](items=items, total=total, limit=limit or total, offset=offset)
