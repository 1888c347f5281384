"""Work that is asked for here: the job is recorded first, then Prefect is asked for its run."""

from typing import Annotated, cast

from fastapi import APIRouter, Response

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import owned
from api.askers import SEED_002
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
from api.given_rows import keep_rows, unknown
from api.job_asking import launch, started
from api.launches import Launches
from api.openapi_words import or_again
from api.operation_log import OperationLog, OperationLogDep
from api.problems import Problem
from api.routes.batch_tests import Run, find_run, shown_test
from api.settings import Settings
from api.strict_json import StrictRoute
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import BatchTest, PipelineRequest, TestRequest
from tuneyard.config_faults import read_form
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.shapes import (
    Job,
    JobKind,
    MergeRequest,
    NewJob,
    Started,
    TrainRequest,
    ValidateRequest,
    Validation,
)

router = APIRouter(prefix="/api/v1/ml", tags=["ml"], route_class=StrictRoute)

Writer = Annotated[Caller, needs("jobs:write")]
Tester = Annotated[Caller, needs("tests:write")]


@router.post("/$train", status_code=202, responses=or_again(Started) | {400: {}, 404: {}})
def train(
    caller: Writer,
    asked: TrainRequest,
    database: DatabaseDep,
    settings: SettingsDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Started:
    """Record a fine-tune, or a fit of a table, and have it run; the same `id` again answers the job that is there,
    with 200.

    Rows in `data` are kept as a data set, and take the place of the config's own. Where Prefect cannot run it, no job
    stays open.
    """
    by_rows = asked.config_id is not None and asked.data is not None
    labels = {"dialect": SEED_002} if by_rows else None
    job, is_new = start_training(database, settings, launches, operations, caller, asked, labels)
    if not is_new:
        response.status_code = 200
    return started(job, "Training job submitted", model=job.artifact_id)


def start_training(
    database: Database,
    settings: Settings,
    launches: Launches,
    operations: OperationLog,
    caller: Caller,
    asked: TrainRequest,
    labels: dict[str, str] | None = None,
) -> tuple[tables.Job, bool]:
    """The job of what is asked for, with its run, and whether it is new.

    Raises:
        Problem: 400, 404 or 422 by field for what the record does not have; 409 for rows that are no table; else as
            `launch`.
    """
    config = _trained(database, caller, asked)
    name = asked.name or config.name or _kept_name(database, caller, asked.config_id)
    if asked.data is not None:
        rows = keep_rows(database, settings, caller, asked.data, name or "rows", "data")
        config = config.model_copy(update={"dataset": rows})
    if config.dataset is None:
        raise Problem(409, "there are no rows: give them as data, or name a data set", field="config.dataset")
    with database.reading() as session:
        demand_known(session, caller.workspace_id, config)
    is_table = isinstance(config, TabularConfig)
    new = _new_job(JobKind.TABULAR if is_table else JobKind.FINETUNE, config, name, asked.id)
    new = new.model_copy(update={"config_id": asked.config_id, "labels": labels or {}})
    return launch(database, launches, operations, caller, new)


def _trained(database: Database, caller: Caller, asked: TrainRequest) -> FinetuneConfig | TabularConfig:
    if asked.config is not None:
        return asked.config
    kinds = (JobKind.FINETUNE, JobKind.TABULAR)
    try:
        with database.reading() as session:
            kept = kept_config(session, caller.workspace_id, asked.config_id or "", *kinds)
    except Problem as problem:
        if problem.status == 404 and asked.data is not None:
            raise Problem(unknown(asked.config_id or ""), problem.detail, field="config_id") from None
        raise
    return cast(FinetuneConfig | TabularConfig, kept)


def _kept_name(database: Database, caller: Caller, config_id: str | None) -> str | None:
    with database.reading() as session:
        kept = session.exec(
            owned(tables.Config, caller.workspace_id).where(tables.Config.id == config_id)
        ).first()
        return kept.name if kept is not None else None


@router.post("/$merge", status_code=202, responses=or_again(Started) | {404: {}})
def merge(
    caller: Writer,
    asked: MergeRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Started:
    """Have an adapter added into its base model; the same `id` again answers the job that is there, with 200."""
    with database.reading() as session:
        config = asked.config or cast(
            MergeConfig, kept_config(session, caller.workspace_id, asked.config_id or "", JobKind.MERGE)
        )
        demand_adapter(session, caller.workspace_id, config)
    new = NewJob(
        id=asked.id,
        kind=JobKind.MERGE,
        name=asked.name or config.name,
        model=ARTIFACT + config.artifact_id,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
        config_id=asked.config_id,
    )
    job, is_new = launch(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return started(job, "Merge job submitted", model=job.artifact_id)


@router.post("/$pipeline", status_code=202, responses=or_again(Started) | {404: {}})
def pipeline(
    caller: Annotated[Caller, needs("aliases:write")],
    asked: PipelineRequest,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Started:
    """Have a model fine-tuned, tested beside what it came from, and promoted where it is better; the same `id` again
    answers the job that is there, with 200."""
    with database.reading() as session:
        config = asked.config or cast(
            PipelineConfig, kept_config(session, caller.workspace_id, asked.config_id or "", JobKind.PIPELINE)
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
        config_id=asked.config_id,
    )
    job, is_new = launch(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return started(job, "Pipeline job submitted")


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
            kept = kept_config(session, caller.workspace_id, asked.config_id or "", JobKind.BATCH_TEST)
        config = cast(BatchTestConfig, kept)
    run, is_new = start_test(
        database, launches, operations, caller, config, asked.name, asked.id, asked.config_id
    )
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
    config_id: str | None = None,
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
        config_id=config_id,
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
            kept = kept_config(session, caller.workspace_id, asked.config_id or "", kind)
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
    kind: JobKind,
    config: FinetuneConfig | TabularConfig,
    name: str | None = None,
    job_id: str | None = None,
) -> NewJob:
    return NewJob(
        id=job_id,
        kind=kind,
        name=name or config.name,
        model=config.model if isinstance(config, FinetuneConfig) else config.method,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
    )
