"""The training platform's predictions: what a model answers while it is trained, row by row.

A row may name a job and a user: another job than the token's refuses them all, and the user decides nothing.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from api import tables
from api.access.auth import DatabaseDep, needs, token_holder
from api.access.caller import Caller, JobCaller
from api.access.owned import Offset, find, owned_job
from api.dialects.finetunelab.bodies import PlatformPrediction, PredictionsBody
from api.dialects.finetunelab.jobs import MISSING
from api.given import object_in, shape_of
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.routes.step_predictions import ManyPredictions, Step, page_of, report, steps_of
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import NewPrediction, Prediction
from tuneyard.shapes import Reported

router = APIRouter(tags=["training platform"], route_class=StrictRoute)

Open = dict[str, Any]
MOST = 1000
TrainingCaller = Annotated[Caller, needs("metrics:read", "training")]
TrainingJob = Annotated[tables.Job, owned_job("metrics:read", scope="training", missing=MISSING)]
Epoch = Annotated[float | None, Query(description="Only those of this epoch.")]
_REQUIRED = ("step", "sample_index", "prompt")


@router.post("/api/training/local/predictions", **OWN_WORDS)
def write_predictions(
    holder: Annotated[JobCaller, Depends(token_holder)], database: DatabaseDep, body: PredictionsBody = None
) -> Reported:
    """One row, a list of them, or `predictions`: a list of them. All are stored, or none."""
    rows = _rows(body)
    around = [body] if isinstance(body, dict) else []
    if any(row.get("job_id") not in (None, holder.job_id) for row in (*around, *rows)):
        raise Problem(401, "Unauthorized: Invalid token")
    return report(database, holder, [_prediction(row) for row in rows])


def _rows(body: Any) -> list[Open]:
    if isinstance(body, list):
        rows = body
    else:
        given = object_in(body)
        rows = given.get("predictions", [given])
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST:
        raise Problem(400, f"predictions must be a list of 1 to {MOST} rows")
    return [object_in(row) for row in rows]


def _prediction(row: Open) -> NewPrediction:
    """What it says besides is kept in `details`, beside the epoch."""
    missing = [name for name in _REQUIRED if row.get(name) is None]
    if missing:
        raise Problem(400, f"Missing required field: {', '.join(missing)}")
    given = shape_of(PlatformPrediction, row)
    details = {"epoch": given.epoch} | (given.model_extra or {})
    return NewPrediction(
        step=given.step,
        prompt_index=given.sample_index,
        prompt=given.prompt,
        expected=given.ground_truth,
        response=given.prediction,
        details={name: value for name, value in details.items() if value is not None},
    )


def _job_is_named(request: Request, _: TrainingCaller) -> None:
    if not request.query_params.get("job_id"):
        raise Problem(400, "job_id query parameter is required")


@router.get(
    "/api/training/local/predictions", dependencies=[Depends(_job_is_named)], responses={400: {}, 404: {}}
)
def read_predictions_of(
    caller: TrainingCaller,
    database: DatabaseDep,
    job_id: Annotated[str, Query(min_length=1)],
    step: Step = None,
    epoch: Epoch = None,
    limit: ManyPredictions = 100,
    offset: Offset = 0,
) -> Open:
    """A job's predictions by step, then sample."""
    with database.reading() as session:
        job = find(session, tables.Job, caller.workspace_id, job_id, MISSING)
    return _in_words(database, job, step, epoch, limit, offset)


@router.get("/api/training/predictions/{job_id}")
def read_predictions(
    job: TrainingJob,
    database: DatabaseDep,
    step: Step = None,
    epoch: Epoch = None,
    limit: ManyPredictions = 100,
    offset: Offset = 0,
) -> Open:
    """A job's predictions by step, then sample."""
    return _in_words(database, job, step, epoch, limit, offset)


@router.get("/api/training/predictions/{job_id}/epochs")
def read_epochs(job: TrainingJob, database: DatabaseDep) -> Open:
    """How many predictions each epoch has, where the trainer says in which one they were made."""
    with database.reading() as session:
        steps = steps_of(session, job)
    epochs: dict[Any, Open] = {}
    for step, count, details in steps:
        if isinstance(epoch := details.get("epoch"), int | float):
            found = epochs.setdefault(epoch, {"epoch": epoch, "prediction_count": 0})
            found |= {"prediction_count": found["prediction_count"] + count, "latest_step": step}
    return {"job_id": job.id, "epochs": list(epochs.values())}


def _in_words(
    database: DatabaseDep, job: tables.Job, step: int | None, epoch: float | None, limit: int, offset: int
) -> Open:
    with database.reading() as session:
        known = steps_of(session, job)
        steps = [at for at, _, told in known if step in (None, at) and epoch in (None, told.get("epoch"))]
        found = page_of(session, job, None if step is epoch is None else steps, limit, offset)
    rows = [_row(job, prediction) for prediction in found.items]
    counts = {"total": found.total, "total_count": sum(count for _, count, _ in known)}
    counts["epoch_count"] = len({str(told["epoch"]) for _, _, told in known if "epoch" in told})
    return {"job_id": job.id, "predictions": rows, "limit": limit, "offset": offset} | counts


def _row(job: tables.Job, one: Prediction) -> Open:
    own = {
        "id": one.id,
        "job_id": job.id,
        "step": one.step,
        "epoch": one.details.get("epoch"),
        "sample_index": one.prompt_index,
        "prompt": one.prompt,
        "ground_truth": one.expected,
        "prediction": one.response,
        "score": one.score,
        "passed": one.passed,
        "error": one.error,
    }
    return one.details | own
