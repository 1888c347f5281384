"""Predictions that are asked for: of given rows, or of a config."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Response
from pydantic import Discriminator, Tag

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import owned
from api.askers import SEED_002
from api.config_checks import ALIAS, ARTIFACT, DATASET, MODELS, demand_known, kept_config
from api.database import Database
from api.given_rows import demand_even, keep_rows, unusable
from api.job_asking import launch, started
from api.launches import Launches
from api.openapi_words import or_again
from api.operation_log import OperationLog, OperationLogDep
from api.problems import Problem
from api.settings import Settings
from api.strict_json import StrictRoute
from tuneyard.batch_configs import PredictConfig
from tuneyard.config_words import FORM
from tuneyard.shapes import JobKind, NewJob, PredictRequest, PredictRows, Started

router = APIRouter(prefix="/api/v1/ml", tags=["ml"], route_class=StrictRoute)

ROWS = {"future", "historic", "model_artifact_id", "artifact_id", "geo"}


def _form(body: Any) -> str:
    return FORM + ("rows" if isinstance(body, dict) and ROWS & body.keys() else "config")


Asked = Annotated[
    Annotated[PredictRequest, Tag(FORM + "config")] | Annotated[PredictRows, Tag(FORM + "rows")],
    Discriminator(_form),
]


@router.post("/$predict", status_code=202, responses=or_again(Started) | {400: {}, 404: {}})
def predict(
    caller: Annotated[Caller, needs("predictions:write")],
    asked: Asked,
    database: DatabaseDep,
    settings: SettingsDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
) -> Started:
    """Have a model answer prompts, or predict a column of rows; the same `id` again answers the job that is there,
    with 200."""
    config = (
        _of_rows(database, settings, caller, asked)
        if isinstance(asked, PredictRows)
        else asked.config or _kept(database, caller, asked.config_id or "")
    )
    new = new_prediction(
        config,
        name=asked.name,
        job_id=asked.id,
        config_id=getattr(asked, "config_id", None),
        labels={"dialect": SEED_002} if isinstance(asked, PredictRows) else None,
    )
    job, is_new = start_prediction(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return started(job, "Prediction job submitted", prediction=job.artifact_id)


def _demand_kept(config: PredictConfig) -> None:
    """403 for whatever lies elsewhere than here: a path would be one on the host that runs it."""
    known = config.model.startswith((ARTIFACT, ALIAS)) and (config.dataset or DATASET).startswith(DATASET)
    if not known:
        raise Problem(
            403,
            "Without the permission jobs:write: a model is artifact:ID or alias:NAME, rows are dataset:ID",
        )


def new_prediction(
    config: PredictConfig,
    name: str | None = None,
    job_id: str | None = None,
    config_id: str | None = None,
    labels: dict[str, str] | None = None,
    start_within_seconds: int | None = None,
) -> NewJob:
    return NewJob(
        id=job_id,
        kind=JobKind.PREDICT,
        name=name or config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
        config_id=config_id,
        labels=labels or {},
        start_within_seconds=start_within_seconds,
    )


def start_prediction(
    database: Database, launches: Launches, operations: OperationLog, caller: Caller, new: NewJob
) -> tuple[tables.Job, bool]:
    """The prediction that is asked for, with its run, and whether it is new.

    Raises:
        Problem: 403 for who may only predict and names what lies elsewhere; 422 by field for what the record does not
            have; else as `launch`.
    """
    config = PredictConfig.model_validate(new.config)
    if "jobs:write" not in caller.permissions:
        _demand_kept(config)
    with database.reading() as session:
        demand_known(session, caller.workspace_id, config)
    return launch(database, launches, operations, caller, new)


def _kept(database: Database, caller: Caller, config_id: str) -> PredictConfig:
    with database.reading() as session:
        return cast(PredictConfig, kept_config(session, caller.workspace_id, config_id, JobKind.PREDICT))


def _of_rows(database: Database, settings: Settings, caller: Caller, asked: PredictRows) -> PredictConfig:
    """Raises Problem: 400 for an artifact that is not here or is no model (404 and 409 for an id that is no ULID);
    409 for rows that are no table."""
    model_id = asked.model_artifact_id or asked.artifact_id or ""
    field = "artifact_id" if asked.model_artifact_id is None else "model_artifact_id"
    with database.reading() as session:
        model = session.exec(
            owned(tables.Artifact, caller.workspace_id).where(tables.Artifact.id == model_id)
        ).first()
    if model is None:
        raise Problem(unusable(model_id, 404), f"the artifact {model_id} is not recorded here", field=field)
    if model.kind not in (*MODELS, "tabular"):
        what = f"the artifact {model_id} is a {model.kind}, not a model"
        raise Problem(unusable(model_id, 409), what, field=field)
    if asked.historic is not None:
        demand_even(asked.historic, "historic")
    rows = keep_rows(database, settings, caller, asked.future, f"rows for {model.name}"[:255], "future")
    return PredictConfig(model=ARTIFACT + model_id, dataset=rows)
