"""The paths, field names and texts of the training platform in seeds 000 and 001.

Its clients poll `/api/training/local/{job_id}/status`, and its trainers PUT a metric every few steps with a job
token. Each path translates to what the canonical routes do; `cancelling` is shown as `running`, which it still is.
A body may hold fields that nobody here knows: its `user_id` in particular decides nothing.
"""

from typing import Annotated

from fastapi import APIRouter
from sqlmodel import col

from api import tables
from api.access.auth import DatabaseDep, PepperDep, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import Limit, Offset, find_any, hold_job, own_job, owned_job, page
from api.dialects.finetunelab.bodies import (
    JobBody,
    PlatformJob,
    PlatformStatus,
    StatusBody,
)
from api.dialects.finetunelab.words import listed_job, status_of
from api.given import Open, object_in, required, shape_of
from api.job_ends import apply_end
from api.lifecycle import Event
from api.metric_reads import newest
from api.moves import move
from api.openapi_words import OWN_WORDS
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.routes.jobs import StatusFilter, jobs_of, record_job
from api.strict_json import StrictRoute
from tuneyard.keys import is_job_token, mint_job_token
from tuneyard.shapes import JobEnd, JobKind, JobStatus, NewJob

router = APIRouter(tags=["training platform"], route_class=StrictRoute)

MISSING = "Training job not found"
ENDINGS = {"completed", "failed", "cancelled"}
STATUSES = ("running", "completed", "failed", "cancelled", "paused")
LOSSES_IN_TREND = 10

# The scope `training` is what older texts call it. `testing` may read jobs as well, but no metrics, which these
# paths show: so that is the permission that tells the two apart.
TrainingCaller = Annotated[Caller, needs("metrics:read", "training")]
TrainingWriter = Annotated[Caller, needs("jobs:write", "training")]
TrainingJob = Annotated[tables.Job, owned_job("metrics:read", scope="training", missing=MISSING)]
OwnJob = Annotated[JobCaller, own_job(MISSING)]


@router.post("/api/training/local/jobs", **OWN_WORDS)
def create_job(
    caller: TrainingWriter,
    database: DatabaseDep,
    pepper: PepperDep,
    operations: OperationLogDep,
    body: JobBody = None,
) -> Open:
    """Record a job with the token its trainer will write with: the client's, if it is one, else ours. The same job
    again is answered to whoever has its token."""
    given = object_in(body)
    required(given, "model_name")
    asked = shape_of(PlatformJob, given)
    new = NewJob(
        id=asked.job_id,
        name=asked.job_name or asked.name,
        model=asked.model_name,
        dataset=asked.dataset_path,
        config=asked.config or {},
        total_steps=asked.total_steps,
    )
    sent = asked.job_token
    token = sent if isinstance(sent, str) and is_job_token(sent) else mint_job_token()
    with database.writing() as session:
        known = find_any(session, tables.Job, caller.workspace_id, new.id or "")
        if known is not None and pepper.matches(token, known.token_digest or ""):
            job, is_new = known, False
        else:
            job, is_new = record_job(session, caller, new, token_digest=pepper.digest(token))
    if is_new:
        operations.add(caller, job)
    made = {"success": True, "persisted": True, "job_id": job.id}
    return made | {"user_id": caller.workspace_name, "job_token": token}


@router.get("/api/training/local/jobs")
@router.get("/api/training/jobs")
def list_jobs(
    caller: TrainingCaller,
    database: DatabaseDep,
    status: StatusFilter | None = None,
    kind: JobKind = JobKind.FINETUNE,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Open:
    """The newest first."""
    statuses = [status] if status else None
    if status is JobStatus.RUNNING:
        statuses = [JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING]
    newest = [col(tables.Job.pk).desc()]
    with database.reading() as session:
        found = page(session, jobs_of(caller, statuses, kind), newest, listed_job, limit, offset)
    return {"jobs": found.items, "total": found.total, "limit": limit, "offset": offset}


@router.get("/api/training/local/{job_id}/status")
def read_status(job: TrainingJob, database: DatabaseDep) -> Open:
    """A job as that platform words it."""
    with database.reading() as session:
        return status_of(job, newest(session, job, LOSSES_IN_TREND))


@router.patch("/api/training/local/{job_id}/status", **OWN_WORDS)
def write_status(holder: OwnJob, database: DatabaseDep, body: StatusBody = None) -> Open:
    """The trainer says what it does now; from a final status there is no way back."""
    given = object_in(body)
    status = given.get("status")
    if status not in STATUSES:
        raise Problem(400, f"Invalid status; valid ones are: {', '.join(STATUSES)}")
    error = shape_of(PlatformStatus, given).error
    with database.writing() as session:
        job = hold_job(session, holder)
        if status in ENDINGS:
            end = shape_of(JobEnd, {"status": status, "error": error, "result": job.result})
            apply_end(session, holder, job, end)
        else:
            move(job, Event.RUN if status == "running" else Event.PAUSE)
            job.last_report_at = tables.now()
    return {"success": True, "job_id": job.id, "status": job.status}
