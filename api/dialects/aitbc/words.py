"""Jobs and refusals in the coordinator's words. Pure."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator
from sqlalchemy import ColumnElement
from sqlmodel import and_, col, not_, or_

from api.given import Open
from api.job_ends import EXPIRED, is_overdue
from api.tables import Job, now
from tuneyard.shapes import JobStatus
from tuneyard.submission_shapes import Submission, SubmissionState

_S = SubmissionState
_STATES = {
    JobStatus.PENDING: _S.QUEUED,
    JobStatus.QUEUED: _S.QUEUED,
    JobStatus.PAUSED: _S.QUEUED,
    JobStatus.RUNNING: _S.RUNNING,
    JobStatus.PAUSING: _S.RUNNING,
    JobStatus.CANCELLING: _S.CANCELED,  # however it ends now, that is its end
    JobStatus.CANCELLED: _S.CANCELED,
    JobStatus.COMPLETED: _S.COMPLETED,
    JobStatus.FAILED: _S.FAILED,
}
StateFilter = Annotated[
    SubmissionState,
    BeforeValidator(lambda word: {"pending": "queued", "cancelled": "canceled"}.get(word, word)),
]


def in_state(state: SubmissionState) -> ColumnElement[bool]:
    """What `state_of` says, in SQL."""
    status, expires_at, end_asked = (
        col(Job.status),
        col(Job.expires_at),
        col(Job.end_asked),
    )
    waits = and_(status == JobStatus.PENDING, col(Job.attempt) == 0)
    overdue = and_(waits, expires_at.is_not(None), expires_at <= now())
    expired = or_(overdue, and_(end_asked.is_not(None), end_asked == EXPIRED))
    if state is SubmissionState.EXPIRED:
        return expired
    return and_(status.in_([name for name, shown in _STATES.items() if shown is state]), not_(expired))


def state_of(job: Job) -> SubmissionState:
    if is_overdue(job) or job.end_asked == EXPIRED:
        return SubmissionState.EXPIRED
    return _STATES[JobStatus(job.status)]


def submission(job: Job) -> Submission:
    prompts = job.config.get("prompts") or [None]
    payload = {"type": job.labels.get("type", "inference"), "prompt": prompts[0], "model": job.model}
    return Submission(
        job_id=job.id,
        state=state_of(job),
        assigned_miner_id=job.host,
        requested_at=job.created_at,
        expires_at=job.expires_at,
        started_at=job.started_at,
        completed_at=job.ended_at,
        error=job.error,
        payload=payload,
        result=answer_of(job),
    )


def answer_of(job: Job) -> Open | None:
    """A completed job's first answer in the client's words, and all of them in ours."""
    if job.status != JobStatus.COMPLETED:
        return None
    answers = job.result.get("predictions")
    if not isinstance(answers, list) or not answers:
        return dict(job.result)  # of a table, which was asked for elsewhere, or too much of it
    first = answers[0]
    read, written = first.get("input_tokens") or 0, first.get("output_tokens") or 0
    return {
        "text": first.get("response"),
        "output": first.get("response"),
        "model": job.model,
        "error": first.get("error"),
        "finish_reason": first.get("finish_reason"),
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        "predictions": answers,
    }


def no_model(named: str | None, aliases: list[str]) -> str:
    what = (
        f"There is no model {named!r} here" if named else "No model is named, and none is called production"
    )
    there = f"the aliases are {', '.join(aliases)}" if aliases else "there are no aliases yet"
    return (
        f"{what}: {there}; an artifact's id or a hub id (org/name) will do as well. `tuneyard models promote` "
        f"names a model, `tuneyard models list` shows them"
    )


def _refused(problem: Open) -> Open:
    return problem | ({"detail": "invalid api key"} if problem["status"] == 401 else {})


# What the coordinator has besides, and we have under other names, is missing in the words for every unknown path.
ERROR_WORDS: dict[str, Callable[[Open], Open]] = dict.fromkeys(
    ("/v1/jobs", "/v1/agents", "/v1/swarm"), _refused
)
