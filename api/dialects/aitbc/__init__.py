"""The coordinator in seed 004: prompts submitted as jobs, and what became of them.

A submitted prompt is a `predict` job, started as `POST /api/v1/ml/$predict` starts one; its labels hold what was asked
for. Only such jobs are shown here.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from sqlmodel import Session, col

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller
from api.access.owned import JobId, Limit, Offset, find, owned, page
from api.config_checks import ALIAS, ARTIFACT, MODELS
from api.dialects.aitbc.bodies import AnySubmission, SubmissionBody
from api.dialects.aitbc.words import ERROR_WORDS as ERROR_WORDS
from api.dialects.aitbc.words import StateFilter, answer_of, in_state, no_model, state_of, submission
from api.given import Open, object_in, shape_of
from api.job_ends import end_overdue
from api.lifecycle import IllegalMove
from api.openapi_words import OWN_WORDS, or_again
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.routes.jobs import cancel
from api.routes.predicting import new_prediction, start_prediction
from api.strict_json import StrictRoute, read_json
from tuneyard.batch_configs import PredictConfig
from tuneyard.shapes import JobKind
from tuneyard.submission_shapes import History, NewSubmission, Submission, SubmissionResult, SubmissionState
from tuneyard.values import NO_NUL, Time

router = APIRouter(prefix="/v1/jobs", tags=["coordinator"], route_class=StrictRoute)

Client = Annotated[Caller, needs("predictions:write")]
MISSING = "job not found"
PRODUCTION = "production"
PREFIXES = (ALIAS, ARTIFACT, "endpoint:", "pypi:")
ALIASES_NAMED = 10


def _submitted(job_id: JobId, caller: Client, database: DatabaseDep) -> tables.Job:
    with database.reading() as session:
        job = find(session, tables.Job, caller.workspace_id, job_id, MISSING)
    if job.kind != JobKind.PREDICT:
        raise Problem(404, MISSING)
    return job


_WORDS: dict[str, Any] = OWN_WORDS | {"responses": or_again(Submission) | {400: {}}}
Submitted = Annotated[tables.Job, Depends(_submitted)]


@router.post("", status_code=201, **_WORDS)
def submit(
    caller: Client,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    response: Response,
    body: SubmissionBody = None,
) -> Submission:
    """Have a model answer a prompt. JSON is read whatever the request calls it; a bare `{"prompt": …}` is enough."""
    asked = _asked(object_in(read_json(body) if isinstance(body, bytes) else body))
    payload = asked.payload
    with database.reading() as session:
        model = _model(session, caller, payload.model)
    fields = {"model": model, "prompts": [payload.prompt], "max_new_tokens": payload.max_tokens}
    config = shape_of(PredictConfig, fields)
    new = new_prediction(
        config,
        job_id=asked.job_id,
        labels={"dialect": "aitbc", "type": payload.type},
        start_within_seconds=asked.ttl_seconds,
    )
    job, is_new = start_prediction(database, launches, operations, caller, new)
    if not is_new:
        response.status_code = 200
    return submission(job)


def _asked(given: Open) -> NewSubmission:
    if "payload" not in given:
        given = {name: given[name] for name in ("ttl_seconds", "job_id") if name in given} | {
            "payload": given
        }
    return shape_of(AnySubmission, given)


def _model(session: Session, caller: Caller, named: str | None) -> str:
    """What a config's `model` says for it. A model's tag, as in `gemma3:1b`, has no place in an alias: `gemma3-1b`."""
    wanted = named or PRODUCTION
    alias = owned(tables.ModelAlias, caller.workspace_id).where(
        col(tables.ModelAlias.artifact_id).is_not(None)
    )
    for name in (wanted, wanted.replace(":", "-")):
        if session.exec(alias.where(tables.ModelAlias.name == name)).first() is not None:
            return ALIAS + name
    if named and (named.startswith(PREFIXES) or "/" in named or named.endswith(".gguf")):
        return named
    artifact = owned(tables.Artifact, caller.workspace_id).where(tables.Artifact.id == wanted)
    if session.exec(artifact.where(col(tables.Artifact.kind).in_(MODELS))).first() is not None:
        return ARTIFACT + wanted
    there = session.exec(alias.order_by(col(tables.ModelAlias.name)).limit(ALIASES_NAMED)).all()
    raise Problem(409, no_model(named, [row.name for row in there]))


@router.get("/history")
def read_history(
    caller: Client,
    database: DatabaseDep,
    status: StateFilter | None = None,
    type: Annotated[str | None, Query(max_length=100, pattern=NO_NUL)] = None,  # noqa: A002 - the client's word
    from_time: Annotated[Time | None, Query(description="Submitted at this time or later.")] = None,
    to_time: Annotated[Time | None, Query(description="Submitted before this time.")] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> History:
    """The newest first."""
    job = tables.Job
    query = owned(job, caller.workspace_id).where(job.kind == JobKind.PREDICT)
    if status is not None:
        query = query.where(in_state(status))
    if type is not None:
        query = query.where(col(job.labels)["type"].as_string() == type)
    if from_time is not None:
        query = query.where(job.created_at >= from_time)
    if to_time is not None:
        query = query.where(job.created_at < to_time)
    with database.reading() as session:
        found = page(session, query, [col(job.pk).desc()], submission, limit, offset)
    return History(**dict(found), from_time=from_time, to_time=to_time)


@router.get("/{job_id}")
def read_job(job: Submitted) -> Submission:
    """A submission, and how far it is."""
    return submission(job)


@router.get("/{job_id}/result", responses={425: {}})
def read_result(job: Submitted) -> SubmissionResult:
    """What the model answered, once the job has ended; until then 425."""
    state = state_of(job)
    if state in (SubmissionState.QUEUED, SubmissionState.RUNNING):
        raise Problem(425, "job not ready")
    answer = answer_of(job) or {}
    return SubmissionResult(
        job_id=job.id,
        state=state,
        text=answer.get("text"),
        usage=answer.get("usage"),
        result=answer or None,
        error=job.error or answer.get("error"),
    )


@router.post("/{job_id}/cancel")
def cancel_job(caller: Client, job: Submitted, database: DatabaseDep) -> Submission:
    """Shown as canceled at once; its run, if it has one, stops within seconds."""
    job = end_overdue(database, caller, job)
    if state_of(job) not in (SubmissionState.QUEUED, SubmissionState.RUNNING):
        raise Problem(409, "job not cancelable")
    try:
        return submission(cancel(database, caller, job))
    except IllegalMove:  # it has ended since it was read
        raise Problem(409, "job not cancelable") from None
