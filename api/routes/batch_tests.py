"""Batch tests: a job of kind batch_test, and its predictions. Claim, cancel and end it as a job."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from sqlmodel import Session, col, select

from api import tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import NOT_DELETED, JobId, Limit, Offset, find, hold_job, own_job, page
from api.lifecycle import Event
from api.moves import move
from api.openapi_words import or_again
from api.operation_log import OperationLogDep
from api.prediction_store import Sought, predictions_of, store
from api.problems import Problem
from api.routes.jobs import StatusFilter, record_job
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import BatchTest, NewBatchTest, NewPrediction, Prediction, PredictionBatch
from tuneyard.shapes import JobKind, JobStatus, NewJob, Page, Reported
from tuneyard.values import NO_NUL

router = APIRouter(prefix="/api/v1/batch-tests", tags=["batch tests"], route_class=StrictRoute)

MISSING = "Batch test not found"
ManyPredictions = Annotated[int, Query(ge=1, le=1000)]
Run = tuple[tables.Job, tables.TestRun]


def find_run(session: Session, workspace_id: int, run_id: str, missing: str = MISSING) -> Run:
    """A batch test's two rows; a job of another kind is no batch test."""
    job = find(session, tables.Job, workspace_id, run_id, missing)
    run = session.get(tables.TestRun, job.pk)
    if run is None:
        raise Problem(404, missing)
    return job, run


def owned_run(permission: str, scope: str | None = None, missing: str = MISSING) -> Any:
    """Declares that a route is about the batch test its path names."""

    def load(
        job_id: JobId, caller: Annotated[Caller, needs(permission, scope)], database: DatabaseDep
    ) -> Run:
        with database.reading() as session:
            return find_run(session, caller.workspace_id, job_id, missing)

    return Depends(load)


def own_run(holder: Annotated[JobCaller, own_job(MISSING)], database: DatabaseDep) -> JobCaller:
    """The run that holds the batch test's token."""
    with database.reading() as session:
        if session.get(tables.TestRun, holder.job_pk) is None:
            raise Problem(404, MISSING)
    return holder


def shown_test(pair: Run) -> BatchTest:
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
        run = session.get_one(tables.TestRun, row.pk)
        if is_new:
            run.suite, run.suite_id = new.suite, new.suite_id
    if is_new:
        operations.add(caller, row)
    else:
        response.status_code = 200
    return shown_test((row, run))


@router.get("")
def list_tests(
    caller: Annotated[Caller, needs("tests:read")],
    database: DatabaseDep,
    status: StatusFilter | None = None,
    suite_id: Annotated[str | None, Query(max_length=26, pattern=NO_NUL)] = None,
    model: Annotated[str | None, Query(max_length=1024, pattern=NO_NUL)] = None,
    archived: bool = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[BatchTest]:
    """The newest first; those that are archived by themselves."""
    put_away = col(tables.TestRun.archived_at)
    query = (
        select(tables.Job, tables.TestRun)
        .join(tables.TestRun)
        .where(tables.Job.workspace_id == caller.workspace_id, NOT_DELETED)
        .where(put_away.is_not(None) if archived else put_away.is_(None))
    )
    sought = ((tables.Job.status, status), (tables.TestRun.suite_id, suite_id), (tables.Job.model, model))
    for column, value in sought:
        if value is not None:
            query = query.where(column == value)
    with database.reading() as session:
        return page(session, query, [col(tables.Job.pk).desc()], shown_test, limit, offset)


@router.get("/{job_id}")
def get_test(run: Annotated[Run, owned_run("tests:read")]) -> BatchTest:
    """A batch test; its answers are under `predictions`."""
    return shown_test(run)


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
        store(session, job, run, body.predictions)
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


@router.get("/{job_id}/predictions")
def read_predictions(
    run: Annotated[Run, owned_run("tests:read")],
    database: DatabaseDep,
    passed: Annotated[bool | None, Query(description="false: wrong, or failed with an error.")] = None,
    failed: Annotated[bool | None, Query(description="true: those that failed with an error.")] = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=100, pattern=NO_NUL)] = None,
    limit: ManyPredictions = 100,
    offset: Offset = 0,
) -> Page[Prediction]:
    """By prompt."""
    with database.reading() as session:
        return predictions_of(session, run[0].pk, limit, offset, Sought(passed, failed, tag))
