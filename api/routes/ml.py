"""Work that is asked for here: the job is recorded first, then Prefect is asked for its run."""

from typing import Annotated, cast

from fastapi import APIRouter, Response

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller
from api.access.owned import owned
from api.config_checks import ARTIFACT, demand_adapter, kept_config, look_up, startable
from api.database import Database
from api.job_starts import start_or_fail
from api.launches import Launches
from api.openapi_words import or_again
from api.operation_log import OperationLog, OperationLogDep
from api.problems import Problem
from api.routes.jobs import record_job
from api.strict_json import StrictRoute
from tuneyard.config_faults import read_finetune
from tuneyard.configs import FinetuneConfig, MergeConfig
from tuneyard.shapes import (
    Job,
    JobKind,
    JobStatus,
    MergeRequest,
    NewJob,
    TrainRequest,
    ValidateRequest,
    Validation,
)

router = APIRouter(prefix="/ml", tags=["ml"], route_class=StrictRoute)

Writer = Annotated[Caller, needs("jobs:write")]


@router.post("/$train", status_code=202, responses=or_again(Job) | {404: {}})
def train(
    caller: Writer,
    asked: TrainRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Job:
    """Record a fine-tune and have it run; the same `id` again answers the job that is there, with 200.

    Where Prefect cannot run it, no job stays open.
    """
    with database.reading() as session:
        config = asked.config or cast(
            FinetuneConfig,
            kept_config(session, caller.workspace_id, JobKind.FINETUNE, asked.config_id or ""),
        )
        faults = look_up(session, caller.workspace_id, config)
    for fault in faults:
        raise Problem(422, fault.message, field=f"config.{fault.field}")
    new = _new_job(JobKind.FINETUNE, config, asked.name, asked.id)
    job, is_new = launch(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return Job.model_validate(job)


@router.post("/$merge", status_code=202, responses=or_again(Job) | {404: {}})
def merge(
    caller: Writer,
    asked: MergeRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Job:
    """Have an adapter added into its base model; the same `id` again answers the job that is there, with 200."""
    with database.reading() as session:
        config = asked.config or cast(
            MergeConfig, kept_config(session, caller.workspace_id, JobKind.MERGE, asked.config_id or "")
        )
        demand_adapter(session, caller.workspace_id, config)
    new = NewJob(
        id=asked.id,
        kind=JobKind.MERGE,
        name=asked.name or config.name,
        model=ARTIFACT + config.artifact_id,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
    )
    job, is_new = launch(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return Job.model_validate(job)


@router.post("/$validate", responses={404: {}})
def validate(
    caller: Writer,
    asked: ValidateRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
) -> Validation:
    """Look at a config without training. The rest, which only a host with the model can see, is looked at by `run`."""
    with database.reading() as session:
        given = asked.config
        if given is None:
            kept = kept_config(session, caller.workspace_id, JobKind.FINETUNE, asked.config_id or "")
            given = kept.model_dump(mode="json")
        config, found = read_finetune(given)
        if config is not None:
            found += look_up(session, caller.workspace_id, config)
    found += startable(launches)
    valid = not any(one.severity == "error" for one in found)
    job = None
    if asked.run and valid and config is not None:
        row, _ = launch(database, launches, operations, caller, _new_job(JobKind.CHECK, config))
        job = Job.model_validate(row)
    return Validation(valid=valid, diagnostics=found, job=job)


def _new_job(
    kind: JobKind, config: FinetuneConfig, name: str | None = None, job_id: str | None = None
) -> NewJob:
    return NewJob(
        id=job_id,
        kind=kind,
        name=name or config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
    )


def launch(
    database: Database, launches: Launches, operations: OperationLog, caller: Caller, new: NewJob
) -> tuple[tables.Job, bool]:
    """The job, with the run that Prefect made for it, and whether it is new.

    Raises:
        Problem: 503 where there can be no run: nothing was recorded, or the job has failed; 409 where the id is that of
            another job, or of one that failed so.
    """
    launches.demand(new.kind)
    same = owned(tables.Job, caller.workspace_id).where(tables.Job.id == new.id)
    with database.writing() as session:
        job, is_new = record_job(session, caller, new, same=same, awaits_run=True)
    if not is_new:
        _demand_same(job, new)
        return job, False
    operations.add(caller, job)
    return start_or_fail(database, launches, caller, job), True


def _demand_same(job: tables.Job, new: NewJob) -> None:
    if job.config != new.config:
        raise Problem(409, f"There is a job with the id {job.id} already, with another config")
    if job.status == JobStatus.FAILED and job.attempt == 0:
        raise Problem(409, f"The job {job.id} has failed: {job.error}")
