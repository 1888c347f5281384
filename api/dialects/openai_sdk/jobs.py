"""OpenAI's fine-tuning jobs: every fine-tune of the workspace, whoever asked for it and in whatever words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlmodel import Session

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller
from api.access.owned import owned_job
from api.config_checks import demand_known
from api.cursor_pages import jobs_after
from api.dialects.openai_sdk.bodies import TuningBody, TuningJob
from api.dialects.openai_sdk.words import checkpoint_in_words, event_in_words, job_in_words, listed
from api.given import Open, object_in, shape_of
from api.job_asking import launch
from api.job_history import errors_of, events_after
from api.metric_reads import Wanted, points
from api.openapi_words import OWN_WORDS
from api.operation_log import OperationLogDep
from api.problems import Problem
from api.resuming import resume
from api.routes.job_life import pause
from api.routes.jobs import cancel
from api.strict_json import StrictRoute
from tuneyard.shapes import JobEventKind, JobKind, JobStatus, NewJob, Resume

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["OpenAI"], route_class=StrictRoute)

MISSING = "Could not find fine tune"
LONGEST_LABEL = 512
Reader = Annotated[Caller, needs("jobs:read")]
Writer = Annotated[Caller, needs("jobs:write")]
After = Annotated[str | None, Query(max_length=100, description="The last id of the page before.")]
Few = Annotated[int, Query(ge=1, le=100)]
READINGS = {"train_loss": "train_loss", "eval_loss": "valid_loss"}


def tuning_job(permission: str) -> Any:
    """Declares that a route is about the fine-tune that its path names; another kind of job is none."""

    def load(job: Annotated[tables.Job, owned_job(permission, missing=MISSING)]) -> tables.Job:
        if job.kind != JobKind.FINETUNE:
            raise Problem(404, MISSING)
        return job

    return Depends(load)


ReadJob = Annotated[tables.Job, tuning_job("jobs:read")]
MeasuredJob = Annotated[tables.Job, tuning_job("metrics:read")]
WrittenJob = Annotated[tables.Job, tuning_job("jobs:write")]


@contextmanager
def _in_place_of_422(status: int) -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        if problem.status != 422:
            raise
        raise Problem(status, problem.detail, field=problem.field) from None


@router.post("", **OWN_WORDS | {"responses": {400: {}, 404: {}}})
def create_job(
    caller: Writer,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    body: TuningBody = None,
) -> Open:
    """Start a fine-tune. `supervised` is our `full`, unless `tuneyard` says otherwise."""
    with _in_place_of_422(400):
        asked = shape_of(TuningJob, object_in(body))
    with _in_place_of_422(409):
        config = asked.config
    with _in_place_of_422(404), database.reading() as session:
        demand_known(session, caller.workspace_id, config)
    new = NewJob(
        name=config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        max_restarts=config.max_restarts,
        labels=asked.metadata or {},
    )
    job, _ = launch(database, launches, operations, caller, new)
    return job_in_words(job, caller.workspace_name)


@router.get("", responses={400: {}, 404: {}})
def list_jobs(
    caller: Reader, request: Request, database: DatabaseDep, after: After = None, limit: Few = 20
) -> Open:
    """The newest first. `metadata[key]=value`: those that have it; `metadata=null`: those that have none."""
    labels = _labels(request)
    with database.reading() as session:
        found, more = jobs_after(
            session, caller.workspace_id, JobKind.FINETUNE, labels, after, limit, MISSING
        )
        return listed([_shown(session, caller, job) for job in found], more)


def _labels(request: Request) -> dict[str, str] | None:
    if request.query_params.get("metadata") == "null":
        return None
    said = {
        name.removeprefix("metadata[")[:-1]: value
        for name, value in request.query_params.multi_items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    if '"' in "".join(said) or any(
        len(one) > LONGEST_LABEL or "\0" in one for one in (*said, *said.values())
    ):
        raise Problem(400, "no job has such metadata", field="metadata")
    return said


def _shown(session: Session, caller: Caller, job: tables.Job) -> Open:
    errors = errors_of(session, job) if job.status == JobStatus.FAILED else ()
    return job_in_words(job, caller.workspace_name, errors)


@router.get("/{job_id}")
def retrieve_job(caller: Reader, job: ReadJob, database: DatabaseDep) -> Open:
    """A fine-tune in OpenAI's words."""
    with database.reading() as session:
        return _shown(session, caller, job)


@router.post("/{job_id}/cancel")
def cancel_job(caller: Writer, job: WrittenJob, database: DatabaseDep) -> Open:
    """One that is under way is `running` until its work has stopped."""
    return job_in_words(cancel(database, caller, job), caller.workspace_name)


@router.post("/{job_id}/pause")
def pause_job(caller: Writer, job: WrittenJob, database: DatabaseDep) -> Open:
    """One that is under way is `running` until it has saved a checkpoint."""
    return job_in_words(pause(database, caller, job), caller.workspace_name)


@router.post("/{job_id}/resume")
def resume_job(caller: Writer, job: WrittenJob, database: DatabaseDep, launches: LaunchesDep) -> Open:
    """From the newest checkpoint; a failed or cancelled one too."""
    return job_in_words(resume(database, launches, caller, job, Resume()), caller.workspace_name)


@router.get("/{job_id}/events")
def list_events(job: ReadJob, database: DatabaseDep, after: After = None, limit: Few = 20) -> Open:
    """The newest first."""
    with database.reading() as session:
        found, more = events_after(session, job, after, limit)
    return listed([event_in_words(event) for event in found], more)


@router.get("/{job_id}/checkpoints")
def list_checkpoints(job: MeasuredJob, database: DatabaseDep, after: After = None, limit: Few = 10) -> Open:
    """The newest first."""
    with database.reading() as session:
        found, more = events_after(session, job, after, limit, JobEventKind.CHECKPOINT)
        shown = [checkpoint_in_words(one, job.id, _readings(session, job, one.step or 0)) for one in found]
    return listed(shown, more)


def _readings(session: Session, job: tables.Job, step: int) -> Open:
    """What was reported at that step, if anything was."""
    wanted = Wanted(columns=tuple(READINGS), after=step - 1, limit=1)
    columns = points(session, job, wanted).columns
    if columns["step"] != [step]:
        return {}
    return {theirs: columns[ours][0] for ours, theirs in READINGS.items()}
