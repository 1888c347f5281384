"""Jobs: recorded, read, claimed, followed, cancelled, ended."""

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator
from sqlmodel import Session, col
from sqlmodel.sql.expression import SelectOfScalar

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, PepperDep, needs
from api.access.caller import Caller, JobCaller
from api.access.door import Door
from api.access.owned import (
    JobId,
    Offset,
    find,
    hold_job,
    job_or_own,
    lock_job,
    own_job,
    owned,
    owned_job,
    record,
)
from api.access.pepper import Pepper
from api.askers import AskedJob, listed, words_of
from api.job_ends import EXPIRED, apply_end, ask_cancel, end_overdue
from api.job_history import note
from api.job_rows import explained, find_job, jobs_page
from api.lifecycle import Event
from api.moves import await_run, begin_attempt, move
from api.numbered_pages import NumbersDep
from api.openapi_words import or_again
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.strict_json import StrictRoute
from api.waiting import WAITING
from tuneyard.keys import mint_job_token
from tuneyard.shapes import (
    Claim,
    Claimed,
    Job,
    JobEnd,
    JobEventKind,
    JobFacts,
    JobKind,
    JobStatus,
    NewJob,
    NumberedPage,
    Page,
)

MOST_JOBS = 1000  # on one page
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=StrictRoute)

StatusFilter = Annotated[JobStatus, BeforeValidator(lambda text: "cancelled" if text == "canceled" else text)]
RunId = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]


@router.post("", status_code=201, responses=or_again(Job))
def create_job(
    caller: Annotated[Caller, needs("jobs:write")],
    new: NewJob,
    database: DatabaseDep,
    operations: OperationLogDep,
    response: Response,
) -> Job:
    """Record a job. The same `flow_run_id` again answers the job that is there, with 200."""
    with database.writing() as session:
        job, is_new = record_job(session, caller, new)
    if is_new:
        operations.add(caller, job)
    else:
        response.status_code = 200
    return Job.model_validate(job)


def record_job(
    session: Session,
    caller: Caller,
    new: NewJob,
    *,
    same: SelectOfScalar[tables.Job] | None = None,
    token_digest: str | None = None,
    awaits_run: bool = False,
) -> tuple[tables.Job, bool]:
    """The job's row, and whether it is new; 409 where its id is another job's.

    Args:
        same: Finds the job that this is, if it is there; else the one of the same flow run is.
        awaits_run: Prefect is to be asked for a run that takes it.
    """
    named = new.model_dump(exclude={"id", "name", "artifact_id", "start_within_seconds"})
    named |= {"name": new.name or new.model[:255], "artifact_id": new.artifact_id or tables.new_id()}
    if new.start_within_seconds is not None:
        named["expires_at"] = tables.now() + timedelta(seconds=new.start_within_seconds)
    job = tables.Job(
        **named, id=new.id or tables.new_id(), workspace_id=caller.workspace_id, token_digest=token_digest
    )
    if awaits_run:
        await_run(job)
    # Without a run to recognise, nothing is "the same": only a clash can be found.
    of_run = owned(tables.Job, caller.workspace_id).where(
        col(tables.Job.flow_run_id).is_not(None), tables.Job.flow_run_id == new.flow_run_id
    )
    taken = f"There is a job with the id {new.id} already"
    job, is_new = record(session, job, of_run if same is None else same, taken=taken)
    if job.kind != new.kind:
        raise Problem(409, f"It is recorded as a {job.kind} job already, {job.id}")
    if is_new and new.artifact_id is not None:
        _demand_free(session, job)
    is_test = job.kind == JobKind.BATCH_TEST
    if is_new and is_test:
        session.add(_test_run(session, job))
    if is_new:
        action = "test.created" if is_test else "job.created"
        record_event(session, caller, action, "job", job.id, name=job.name)
    return job, is_new


def _demand_free(session: Session, job: tables.Job) -> None:
    """409 where what the job is to make would be what is there, or what another job is to make."""
    promised, artifact = owned(tables.Job, job.workspace_id), owned(tables.Artifact, job.workspace_id)
    others = promised.where(tables.Job.artifact_id == job.artifact_id, tables.Job.pk != job.pk)
    there = artifact.where(tables.Artifact.id == job.artifact_id)
    if session.exec(others).first() or session.exec(there).first():
        raise Problem(409, f"The artifact id {job.artifact_id} is taken", field="artifact_id")


def _test_run(session: Session, job: tables.Job) -> tables.TestRun:
    """What a batch test has beside its job, however it was asked for."""
    said = job.config.get("suite")
    suite = said[:1024] if isinstance(said, str) else ""
    recorded = owned(tables.TestSuite, job.workspace_id).where(tables.TestSuite.id == suite)
    suite_id = session.execute(recorded.with_only_columns(col(tables.TestSuite.id))).scalar()
    return tables.TestRun(job_pk=job.pk, workspace_id=job.workspace_id, suite=suite, suite_id=suite_id)


@router.get("", response_model=Page[Job] | NumberedPage[AskedJob] | list[AskedJob], responses={400: {}})
def list_jobs(
    request: Request,
    caller: Annotated[Caller, needs("jobs:read")],
    database: DatabaseDep,
    numbers: NumbersDep,
    status: StatusFilter | None = None,
    status_filter: Annotated[StatusFilter | None, Query(description="Of the newest 1000.")] = None,
    kind: JobKind | None = None,
    flow_run_id: RunId | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 50,
    offset: Offset = 0,
) -> Any:
    """The newest first. `page` and `size`, or `status_filter` alone, are answered as seed 002's clients read it."""
    wanted = {"status": status or status_filter, "kind": kind, "flow_run_id": flow_run_id}
    if numbers is not None:
        limit, offset = numbers.size, numbers.offset
    elif status_filter is not None:
        limit, offset = MOST_JOBS, 0
    found = jobs_page(database, caller.workspace_id, limit, offset, **wanted)
    if numbers is None and status_filter is None:
        return _json(found)
    return listed(request, Page[Job].model_validate_json(found), numbers, bare=status_filter is not None)


def jobs_of(
    caller: Caller, statuses: Collection[JobStatus] | None, kind: JobKind
) -> SelectOfScalar[tables.Job]:
    """What the caller's workspace holds of that kind."""
    query = owned(tables.Job, caller.workspace_id).where(tables.Job.kind == kind.value)
    if statuses is not None:
        query = query.where(col(tables.Job.status).in_([status.value for status in statuses]))
    return query


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


@router.get("/{job_id}", response_model=Job | AskedJob)
async def get_job(
    request: Request,
    job_id: JobId,
    caller: Annotated[Caller, needs("jobs:read", instead="predictions:write")],
) -> Response:
    """One that waits says why, and how many are before it. Who may ask for predictions alone sees those alone."""
    door: Door = request.app.state.door
    job = await door.look_up(find_job, door.database, caller.workspace_id, job_id)
    if job["kind"] != JobKind.PREDICT and "jobs:read" not in caller.permissions:
        raise Problem(404, "Job not found")
    waits = job["status"] in WAITING
    shown = (
        await run_in_threadpool(explained, door.database, job, caller.workspace_id)
        if waits
        else explained(door.database, job, caller.workspace_id)
    )
    if b'"dialect":' in shown:
        read = Job.model_validate_json(shown)
        if words := words_of(request, read.labels):
            shown = words.shown(read).model_dump_json().encode()
    return _json(shown)


@router.post("/{job_id}/claim")
def claim_job(
    caller: Annotated[Caller, needs("jobs:claim")],
    found: Annotated[tables.Job, owned_job("jobs:claim")],
    claim: Claim,
    database: DatabaseDep,
    pepper: PepperDep,
) -> Claimed:
    """Take the job for a run. The token in the answer is shown once; the one before it is dead from now on."""
    ended = end_overdue(database, caller, found)
    if ended.end_asked == EXPIRED:
        raise Problem(409, ended.error or EXPIRED)
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        token = take(session, caller, job, claim, pepper)
    return Claimed(job=Job.model_validate(job), attempt=job.attempt, job_token=token)


def take(session: Session, caller: Caller, job: tables.Job, claim: Claim, pepper: Pepper) -> str:
    """Claim a locked job: the token of its new attempt, which is shown once."""
    token = mint_job_token()
    move(job, Event.CLAIM)
    begin_attempt(job)
    job.token_digest = pepper.digest(token)
    job.host, job.pid = claim.host, claim.pid
    job.flow_run_id = claim.flow_run_id or job.flow_run_id
    message = f"Claimed by process {job.pid} on {job.host}"
    note(session, job, JobEventKind.CLAIMED, message, flow_run_id=job.flow_run_id)
    record_event(session, caller, "job.claimed", "job", job.id, attempt=job.attempt, host=job.host)
    return token


@router.patch("/{job_id}")
def update_job(holder: Annotated[JobCaller, own_job()], facts: JobFacts, database: DatabaseDep) -> Job:
    """What the run has learnt; a step never moves back, and an ended job is changed no more."""
    with database.writing() as session:
        job = hold_job(session, holder)
        if JobStatus(job.status).is_final:
            raise Problem(409, f"A {job.status} job cannot be changed")
        _learn(session, job, facts)
        job.last_report_at = tables.now()
    return Job.model_validate(job)


def _learn(session: Session, job: tables.Job, facts: JobFacts) -> None:
    learnt = facts.model_dump(exclude_unset=True, exclude={"suite_id", "current_step"})
    if facts.model not in (None, job.model) and not job.model.startswith("alias:"):
        raise Problem(409, "only what an alias stood for is learnt: the job names its model", field="model")
    for name, value in learnt.items():
        if value is not None or name != "model":
            setattr(job, name, value)
    is_test = job.kind == JobKind.BATCH_TEST
    if (
        facts.current_step is not None and not is_test
    ):  # a batch test's steps are counted from its predictions
        job.current_step = max(job.current_step or 0, facts.current_step)
    if facts.suite_id is not None:
        if not is_test:
            raise Problem(422, "only a batch test has a suite", field="suite_id")
        suite = find(session, tables.TestSuite, job.workspace_id, facts.suite_id, "Test suite not found")
        run = session.get_one(tables.TestRun, job.pk)
        run.suite_id = suite.id


@router.post("/{job_id}/cancel")
def cancel_job(
    caller: Annotated[Caller, needs("jobs:write")],
    found: Annotated[tables.Job, owned_job("jobs:write")],
    database: DatabaseDep,
) -> Job:
    """A job that nobody works on is cancelled at once; a run reads `cancelling` in its next answer and stops."""
    return Job.model_validate(cancel(database, caller, found))


def cancel(database: DatabaseDep, caller: Caller, found: tables.Job) -> tables.Job:
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        ask_cancel(session, caller, job)
    return job


@router.post("/{job_id}/end")
def end_job(
    who: Annotated[Caller | JobCaller, job_or_own("jobs:claim")],
    job_id: str,
    end: JobEnd,
    database: DatabaseDep,
) -> Job:
    """End the job, once, or its attempt with `paused`. However a cancelling job ends, it becomes `cancelled`: read
    the answer's status."""
    with database.writing() as session:
        job = (
            hold_job(session, who)
            if isinstance(who, JobCaller)
            else lock_job(session, who.workspace_id, job_id)
        )
        apply_end(session, who, job, end)
    return Job.model_validate(job)
