"""Jobs: recorded, read, claimed, followed, cancelled, ended."""

from collections.abc import Callable, Collection
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator
from sqlmodel import Session, col

from api import tables
from api.access.auth import Caller, DatabaseDep, JobCaller, PepperDep, needs
from api.access.owned import (
    Limit,
    Offset,
    Shown,
    find,
    hold_job,
    job_or_own,
    lock_job,
    own_job,
    owned,
    owned_job,
    page,
    record,
)
from api.lifecycle import ENDINGS, Event
from api.moves import begin_attempt, move
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.keys import mint_job_token
from tuneyard.shapes import Claim, Claimed, Job, JobEnd, JobFacts, JobKind, JobStatus, NewJob, Page

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=StrictRoute)

StatusFilter = Annotated[JobStatus, BeforeValidator(lambda text: "cancelled" if text == "canceled" else text)]
RunId = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]


@router.post("", status_code=201)
def create_job(
    caller: Annotated[Caller, needs("jobs:write")], new: NewJob, database: DatabaseDep, response: Response
) -> Job:
    """Record a job. The same `flow_run_id` again answers the job that is there, with 200."""
    with database.writing() as session:
        job, is_new = record_job(session, caller, new)
    if not is_new:
        response.status_code = 200
    return Job.model_validate(job)


def record_job(
    session: Session, caller: Caller, new: NewJob, *, token_digest: str | None = None
) -> tuple[tables.Job, bool]:
    """The job's row, and whether it is new; 409 where its id is another job's."""
    named = new.model_dump(exclude={"id", "name"}) | {"name": new.name or new.model[:255]}
    job = tables.Job(
        **named, id=new.id or tables.new_id(), workspace_id=caller.workspace_id, token_digest=token_digest
    )
    # Without a run to recognise, nothing is "the same": only a clash can be found.
    same = owned(tables.Job, caller.workspace_id).where(
        col(tables.Job.flow_run_id).is_not(None), tables.Job.flow_run_id == new.flow_run_id
    )
    job, is_new = record(session, job, same, taken=f"There is a job with the id {new.id} already")
    if job.kind != new.kind:
        raise Problem(409, f"The flow run {new.flow_run_id} has recorded a {job.kind} job already")
    return job, is_new


@router.get("")
def list_jobs(
    caller: Annotated[Caller, needs("jobs:read")],
    database: DatabaseDep,
    status: StatusFilter | None = None,
    kind: JobKind | None = None,
    flow_run_id: RunId | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Job]:
    """The newest first."""
    statuses = [status] if status else None
    return jobs_page(database, caller, statuses, kind, flow_run_id, limit, offset, show=Job.model_validate)


def jobs_page(
    database: DatabaseDep,
    caller: Caller,
    statuses: Collection[JobStatus] | None,
    kind: JobKind | None,
    flow_run_id: str | None,
    limit: int,
    offset: int,
    *,
    show: Callable[[tables.Job], Shown],
) -> Page[Shown]:
    """What the caller's workspace holds, narrowed by whatever is not None."""
    query = owned(tables.Job, caller.workspace_id)
    if statuses is not None:
        query = query.where(col(tables.Job.status).in_([status.value for status in statuses]))
    if kind is not None:
        query = query.where(tables.Job.kind == kind.value)
    if flow_run_id is not None:
        query = query.where(tables.Job.flow_run_id == flow_run_id)
    with database.reading() as session:
        return page(session, query, [col(tables.Job.pk).desc()], show, limit, offset)


@router.get("/{job_id}")
def get_job(job: Annotated[tables.Job, owned_job("jobs:read")]) -> Job:
    return Job.model_validate(job)


@router.post("/{job_id}/claim")
def claim_job(
    found: Annotated[tables.Job, owned_job("jobs:claim")],
    claim: Claim,
    database: DatabaseDep,
    pepper: PepperDep,
) -> Claimed:
    """Take the job for a run. The token in the answer is shown once; the one before it is dead from now on."""
    token = mint_job_token()
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        move(job, Event.CLAIM)
        begin_attempt(job)
        job.token_digest = pepper.digest(token)
        job.host, job.pid = claim.host, claim.pid
        job.flow_run_id = claim.flow_run_id or job.flow_run_id
    return Claimed(job=Job.model_validate(job), attempt=job.attempt, job_token=token)


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
    for name, value in learnt.items():
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
def cancel_job(found: Annotated[tables.Job, owned_job("jobs:write")], database: DatabaseDep) -> Job:
    """A job that nobody has claimed is cancelled at once; a run reads `cancelling` in its next answer and stops."""
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        move(job, Event.CANCEL)
    return Job.model_validate(job)


@router.post("/{job_id}/end")
def end_job(
    who: Annotated[Caller | JobCaller, job_or_own("jobs:claim")],
    job_id: str,
    end: JobEnd,
    database: DatabaseDep,
) -> Job:
    """End the job, once. However a cancelling job ends, it becomes `cancelled`: read the answer's status."""
    with database.writing() as session:
        job = (
            hold_job(session, who)
            if isinstance(who, JobCaller)
            else lock_job(session, who.workspace_id, job_id)
        )
        apply_end(job, end)
    return Job.model_validate(job)


def apply_end(job: tables.Job, end: JobEnd) -> None:
    """End a locked job; the same end again changes nothing.

    Raises:
        IllegalMove: It has ended otherwise.
    """
    if JobStatus(job.status).is_final and end.status in (job.status, job.end_asked):
        return
    move(job, ENDINGS[end.status])
    job.end_asked = end.status
    job.error = end.error
    job.result = end.result
