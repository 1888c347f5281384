"""The training platform's two ways to have a model trained: from a kept config, and as its backend asks its agent.

Both are what `POST /api/v1/ml/$train` starts. The run gets a token of its own when it claims the job: none is a
parameter of it.
"""

from typing import Any

from fastapi import APIRouter
from sqlmodel import Session

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, PepperDep, SettingsDep
from api.access.caller import Caller
from api.access.owned import find_any
from api.access.pepper import Pepper
from api.config_checks import demand_known, kept_config
from api.dialects.finetunelab.bodies import (
    ExecuteBody,
    PlatformExecution,
    PlatformStart,
    StartBody,
)
from api.dialects.finetunelab.jobs import TrainingWriter
from api.dialects.finetunelab.words import config_from_platform
from api.given import Open, object_in, required, shape_of
from api.job_starts import run_recorded
from api.openapi_words import OWN_WORDS
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.routes.ml import start_training
from api.strict_json import StrictRoute
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import JobKind, TrainRequest

router = APIRouter(prefix="/api/training", tags=["training platform"], route_class=StrictRoute)

_WORDS: dict[str, Any] = OWN_WORDS | {"responses": {400: {}, 404: {}}}


@router.post("/local/start", **_WORDS)
def start(
    caller: TrainingWriter,
    database: DatabaseDep,
    settings: SettingsDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    body: StartBody = None,
) -> Open:
    """Train with a kept config, on other data if the body names some."""
    given = object_in(body)
    required(given, "config_id")
    asked = shape_of(PlatformStart, given)
    with database.reading() as session:
        kept = kept_config(session, caller.workspace_id, asked.config_id, JobKind.FINETUNE)
    data = {"dataset": asked.dataset_path} if asked.dataset_path else {}
    config = shape_of(FinetuneConfig, kept.model_dump(mode="json") | data)
    new = TrainRequest(config=config, name=asked.name, id=asked.execution_id)
    job, _ = start_training(database, settings, launches, operations, caller, new)
    return {"success": True, "job_id": job.id, "message": "Training started successfully"}


@router.post("/execute", **_WORDS)
def execute(
    caller: TrainingWriter,
    database: DatabaseDep,
    settings: SettingsDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    pepper: PepperDep,
    body: ExecuteBody = None,
) -> Open:
    """Train, or run the job recorded as `execution_id`; `ignored` names what of the config has no meaning here."""
    given = object_in(body)
    required(given, "config", "execution_id")
    asked = shape_of(PlatformExecution, given)
    if asked.dataset_content is not None:
        raise Problem(400, "dataset_content is not taken: upload it, and name it as dataset:ID")
    fields, ignored = config_from_platform(asked.config, asked.dataset_path)
    config = _config(fields)
    with database.reading() as session:
        recorded = _recorded(session, caller, pepper, asked)
        demand_known(session, caller.workspace_id, config)
    if recorded is None:
        new = TrainRequest(config=config, name=asked.name, id=asked.execution_id)
        start_training(database, settings, launches, operations, caller, new)
    else:
        run_recorded(database, launches, caller, recorded, config.model_dump(mode="json"))
    return {"success": True, "job_id": asked.execution_id, "ignored": ignored}


def _config(fields: Open) -> FinetuneConfig:
    """The config; 409 names the field that no run takes: the body itself may be any object."""
    try:
        return shape_of(FinetuneConfig, fields)
    except Problem as problem:
        raise Problem(409, problem.detail, field=f"config.{problem.field}") from None


def _recorded(
    session: Session, caller: Caller, pepper: Pepper, asked: PlatformExecution
) -> tables.Job | None:
    job = find_any(session, tables.Job, caller.workspace_id, asked.execution_id)
    token = asked.job_token
    if token and (job is None or not pepper.matches(token, job.token_digest or "")):
        raise Problem(401, "Unauthorized: Invalid token")
    return job
