"""A job that stopped goes on: the same job, a changed config perhaps, a new run."""

from typing import Any

from pydantic import ValidationError

from api.access.audit import record_event
from api.access.caller import Caller
from api.access.owned import lock_job
from api.config_checks import CONFIGS
from api.database import Database
from api.job_history import note
from api.job_starts import start_or_fail
from api.launches import Launches
from api.lifecycle import Event, after
from api.moves import await_run, move
from api.problems import Problem
from api.tables import Job, now
from tuneyard.shapes import JobEventKind, JobKind, JobStatus, Resume

# What of a batch test's or prediction's config no answer and no score hangs on.
NOT_IN_ANSWERS = {
    "batch_size",
    "memory_gb",
    "concurrency",
    "delay_ms",
    "patience_seconds",
    "gpus",
    "max_restarts",
    "compare_with",
}


def resume(database: Database, launches: Launches, who: Caller, found: Job, asked: Resume) -> Job:
    """Let a stopped job go on, from where it is told or its newest whole checkpoint.

    Raises:
        IllegalMove: Its status is another than paused, failed or cancelled.
        Problem: 409 for a config that no run takes; 503 where no run can be started: nothing was changed then, unless
            Prefect went away in between, when the job has failed for that reason.
    """
    after(JobStatus(found.status), Event.RESUME)
    if found.kind in (JobKind.BATCH_TEST, JobKind.PREDICT):
        _keep_answers(asked, "batch test" if found.kind == JobKind.BATCH_TEST else "prediction")
    config = changed_config(found, asked.config or {})
    launches.demand(JobKind(found.kind))
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        move(job, Event.RESUME)
        await_run(job)
        job.config = config
        job.resume_from = asked.checkpoint or ("best" if asked.from_best else None)
        job.restarts, job.resumed_at, job.expires_at = 0, now(), None
        if asked.max_restarts is not None:
            job.max_restarts = asked.max_restarts
        told = {"resume_from": job.resume_from, "changes": asked.config or {}}
        note(session, job, JobEventKind.RESUMED, f"Resumed by {who.name}", **told)
        record_event(session, who, "job.resumed", "job", job.id, resume_from=job.resume_from)
    return start_or_fail(database, launches, who, job)


def _keep_answers(asked: Resume, what: str) -> None:
    """It goes on behind its last answer, and its answers are of one model, asked in one way.

    Raises:
        Problem: 409 naming the field.
    """
    if asked.checkpoint is not None or asked.from_best:
        field = "from_best" if asked.checkpoint is None else "checkpoint"
        raise Problem(
            409,
            f"a {what} has no checkpoints: it goes on with the prompts that have no answer",
            field=field,
        )
    for name in asked.config or {}:
        if name not in NOT_IN_ANSWERS:
            words = f"the answers that are here were given with another one: start a new {what}"
            raise Problem(409, f"config.{name}: {words}", field=f"config.{name}")


def changed_config(job: Job, changes: dict[str, Any]) -> dict[str, Any]:
    """The job's config with some fields changed, as a run of its kind takes it.

    Raises:
        Problem: 409 naming the field.
    """
    try:
        config = CONFIGS[JobKind(job.kind)].model_validate(job.config | changes)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
    else:
        return config.model_dump(mode="json")
    field = ".".join(str(part) for part in ("config", *first["loc"]))
    named = first["loc"][:1]
    recorded = "" if named and named[0] in changes else ", as the job was recorded: give it here"
    raise Problem(409, f"{field}: {first['msg']}{recorded}", field=field)
