"""Work that is asked for here: the job is recorded first, then Prefect is asked for its run."""

from typing import Annotated, cast

from fastapi import APIRouter, Response

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller
from api.access.owned import owned
from api.config_checks import (
    ARTIFACT,
    CONFIGS,
    demand_adapter,
    demand_known,
    kept_config,
    look_up,
    startable,
    suite_size,
)
from api.database import Database
from api.job_starts import start_or_fail
from api.launches import Launches
from api.openapi_words import or_again
from api.operation_log import OperationLog, OperationLogDep
from api.problems import Problem
from api.routes.batch_tests import Run, find_run, shown_test
from api.routes.jobs import record_job
from api.strict_json import StrictRoute
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import BatchTest, PipelineRequest, TestRequest
from tuneyard.config_faults import read_form
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig
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

router = APIRouter(prefix="/api/v1/ml", tags=["ml"], route_class=StrictRoute)

Writer = Annotated[Caller, needs("jobs:write")]
Tester = Annotated[Caller, needs("tests:write")]


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
        demand_known(session, caller.workspace_id, config)
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


@router.post("/$pipeline", status_code=202, responses=or_again(Job) | {404: {}})
def pipeline(
    caller: Annotated[Caller, needs("aliases:write")],
    asked: PipelineRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Job:
    """Have a model fine-tuned, tested beside what it came from, and promoted where it is better; the same `id` again
    answers the job that is there, with 200."""
    with database.reading() as session:
        config = asked.config or cast(
            PipelineConfig, kept_config(session, caller.workspace_id, JobKind.PIPELINE, asked.config_id or "")
        )
        demand_known(session, caller.workspace_id, config)
    new = NewJob(
        id=asked.id,
        kind=JobKind.PIPELINE,
        name=asked.name or config.name,
        model=config.finetune.model,
        dataset=config.finetune.dataset,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
    )
    job, is_new = launch(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return Job.model_validate(job)


@router.post("/$test", status_code=202, responses=or_again(BatchTest) | {404: {}})
def test(
    caller: Tester,
    asked: TestRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> BatchTest:
    """Record a batch test and have it run; the same `id` again answers the one that is there, with 200."""
    config = asked.config
    if config is None:
        with database.reading() as session:
            kept = kept_config(session, caller.workspace_id, JobKind.BATCH_TEST, asked.config_id or "")
        config = cast(BatchTestConfig, kept)
    run, is_new = start_test(database, launches, operations, caller, config, asked.name, asked.id)
    if not is_new:
        response.status_code = 200
    return shown_test(run)


def start_test(
    database: Database,
    launches: Launches,
    operations: OperationLog,
    caller: Caller,
    config: BatchTestConfig,
    name: str | None = None,
    test_id: str | None = None,
) -> tuple[Run, bool]:
    """The batch test that was asked for, with its run, and whether it is new.

    Raises:
        Problem: 404 or 422 by field for what the record does not have; else as `launch`.
    """
    with database.reading() as session:
        demand_known(session, caller.workspace_id, config)
        size = suite_size(session, caller.workspace_id, config.suite)
    new = NewJob(
        id=test_id,
        kind=JobKind.BATCH_TEST,
        name=name or config.name,
        model=config.model,
        config=config.model_dump(mode="json"),
        total_steps=size and min(size, config.prompt_limit or size),
        max_restarts=config.max_restarts,
    )
    job, is_new = launch(database, launches, operations, caller, new)
    with database.reading() as session:
        return find_run(session, caller.workspace_id, job.id), is_new


@router.post("/$validate", responses={404: {}})
def validate(
    caller: Writer,
    asked: ValidateRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
) -> Validation:
    """Look at a config without running it. The rest of a fine-tune's, which only a host with the model can see, is
    looked at by `run`."""
    kind = JobKind(asked.kind)
    if asked.run and kind is not JobKind.FINETUNE:
        raise Problem(409, "only a fine-tune's config is looked at by a run", field="run")
    with database.reading() as session:
        given = asked.config
        if given is None:
            kept = kept_config(session, caller.workspace_id, kind, asked.config_id or "")
            given = kept.model_dump(mode="json")
        config, found = read_form(CONFIGS[kind], given)
        if config is not None:
            found += look_up(session, caller.workspace_id, config)
    found += startable(launches, kind)
    valid = not any(one.severity == "error" for one in found)
    job = None
    if asked.run and valid and isinstance(config, FinetuneConfig):
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
