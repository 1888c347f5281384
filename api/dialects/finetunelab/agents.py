"""The training platform's agents, which ask for work: a trainer of somebody's own takes a job that was recorded here
and that no run of Prefect's is to take. Its claim makes the token; another that the job had is dead from then on."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from api import tables
from api.access.auth import DatabaseDep, PepperDep
from api.access.caller import Caller
from api.access.owned import JobId, find, lock_job
from api.database import Database
from api.dialects.finetunelab.jobs import TrainingCaller, TrainingWriter
from api.given import Open
from api.job_starts import awaiting_trainer
from api.problems import Problem
from api.routes.jobs import take
from api.strict_json import StrictRoute
from tuneyard.shapes import Claim, JobKind, JobStatus

router = APIRouter(prefix="/api/training/agent", tags=["training platform"], route_class=StrictRoute)

POLL_SECONDS = 10
AGENT = r"^agent_[!-~]{4,200}$"
Agent = Annotated[str, Header(alias="X-Agent-ID", pattern=AGENT)]


def _is_named(request: Request) -> None:
    agent = request.headers.get("X-Agent-ID")
    if not agent:
        raise Problem(400, "Missing X-Agent-ID header")
    if not re.match(AGENT, agent):
        raise Problem(400, "Invalid X-Agent-ID format. Expected: agent_xxxxx")


def _reader_is_named(request: Request, _: TrainingCaller) -> None:
    _is_named(request)


def _writer_is_named(request: Request, _: TrainingWriter) -> None:
    _is_named(request)


@router.get("/poll", dependencies=[Depends(_reader_is_named)], responses={400: {}})
def poll(caller: TrainingCaller, agent: Agent, database: DatabaseDep) -> Open:  # noqa: ARG001
    """The oldest job that an agent may claim, without its token; null where there is none."""
    with database.reading() as session:
        job = awaiting_trainer(session, caller.workspace_id)
    found: Open = {"job": job and _offered(job), "poll_interval_seconds": POLL_SECONDS}
    return found if job else found | {"message": "No pending jobs available"}


@router.post("/claim/{job_id}", dependencies=[Depends(_writer_is_named)], responses={400: {}})
def claim(
    caller: TrainingWriter, job_id: JobId, agent: Agent, database: DatabaseDep, pepper: PepperDep
) -> Open:
    """Take a job. Of several that try one gets it; `job_token` is in this answer and in no other."""
    _demand_known(database, caller, job_id)
    with database.writing() as session:
        job = lock_job(session, caller.workspace_id, job_id)
        _demand_free(job)
        token = take(session, caller, job, Claim(host=agent, pid=0), pepper)
    return {"success": True, "job_token": token, "job": _offered(job)}


def _demand_known(database: Database, caller: Caller, job_id: str) -> None:
    missing = "Job not found"
    try:
        with database.reading() as session:
            job = find(session, tables.Job, caller.workspace_id, job_id, missing)
    except Problem:
        raise Problem(404, missing, code="JOB_NOT_FOUND") from None
    if job.kind != JobKind.FINETUNE:
        raise Problem(404, missing, code="JOB_NOT_FOUND")


def _demand_free(job: tables.Job) -> None:
    if job.claimed_at or job.run_key or job.flow_run_id:
        raise Problem(409, "Job already claimed by another agent", code="ALREADY_CLAIMED")
    if job.status != JobStatus.PENDING:
        raise Problem(409, f"Job is not pending (status: {job.status})", code="INVALID_STATUS")


def _offered(job: tables.Job) -> Open:
    shown = job.model_dump(include={"id", "config", "total_epochs", "total_steps", "created_at"})
    return shown | {"model_name": job.model, "dataset_path": job.dataset}
