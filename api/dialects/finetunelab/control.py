"""The training platform's paths that stop a job and let it go on.

The platform starts a resumed job under a new id. Here it is the same job: the answer names it twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep
from api.access.caller import Caller
from api.access.owned import owned_job
from api.database import Database
from api.dialects.finetunelab.bodies import ControlBody, PlatformControl, PlatformResume, ResumeBody
from api.dialects.finetunelab.jobs import MISSING, TrainingWriter
from api.dialects.finetunelab.words import status_in_words
from api.given import Open, object_in, shape_of
from api.launches import Launches, PrefectAway, RunRefused
from api.lifecycle import IllegalMove
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.resuming import resume
from api.routes.job_life import pause
from api.routes.jobs import cancel
from api.strict_json import StrictRoute
from tuneyard.shapes import JobStatus, Resume

router = APIRouter(tags=["training platform"], route_class=StrictRoute)

ACTIONS = ("cancel", "pause", "resume")
# The platform's own, and `paused`. The last two have a run on its way: they are answered as they are.
RESUMABLE = ("failed", "cancelled", "paused", "pending", "queued")
ON_ITS_WAY = (JobStatus.PENDING, JobStatus.QUEUED)
WrittenJob = Annotated[tables.Job, owned_job("jobs:write", scope="training", missing=MISSING)]
_WORDS: dict[str, Any] = OWN_WORDS | {"responses": {400: {}, 502: {}}}


@router.post("/api/training/local/{job_id}/control", **_WORDS)
def control(
    caller: TrainingWriter,
    job: WrittenJob,
    database: DatabaseDep,
    launches: LaunchesDep,
    body: ControlBody = None,
) -> Open:
    """Cancel, pause or resume a job."""
    given = object_in(body)
    action = given.get("action")
    if action not in ACTIONS:
        raise Problem(400, f"Invalid action; valid ones are: {', '.join(ACTIONS)}")
    asked = shape_of(PlatformControl, given)
    if action == "resume":
        moved = _resume(database, launches, caller, job, Resume(checkpoint=asked.checkpoint_path))
    else:
        moved = (cancel if action == "cancel" else pause)(database, caller, job)
    result = {"status": status_in_words(moved)}
    return {"success": True, "action": action, "job_id": moved.id, "result": result}


@router.post("/api/training/local/{job_id}/resume", responses={400: {}, 502: {}})
def resume_job(
    caller: TrainingWriter,
    job: WrittenJob,
    database: DatabaseDep,
    launches: LaunchesDep,
    body: ResumeBody = None,
) -> Open:
    """Let a job go on from a checkpoint; without a body, from the newest."""
    asked = shape_of(PlatformResume, {} if body is None else object_in(body))
    wanted = Resume(
        checkpoint=asked.checkpoint_path, from_best=asked.resume_from_best, config=asked.config_adjustments
    )
    resumed = _resume(database, launches, caller, job, wanted)
    return {
        "success": True,
        "job_id": resumed.id,
        "message": "Training resumed successfully",
        "resumed_from": job.id,
        "resumed_from_job_id": job.id,
        "checkpoint_path": resumed.resume_from,
        "resume_from_checkpoint": resumed.resume_from,
        "status": status_in_words(resumed),
    }


def _resume(
    database: Database, launches: Launches, caller: Caller, job: tables.Job, asked: Resume
) -> tables.Job:
    if job.status in ON_ITS_WAY:
        return job
    try:
        with _gone_is_502():
            return resume(database, launches, caller, job, asked)
    except IllegalMove as refusal:
        current = status_in_words(job)
        raise Problem(400, str(refusal), current_status=current, allowed_statuses=RESUMABLE) from None


@contextmanager
def _gone_is_502() -> Iterator[None]:
    """The platform's word for whoever runs the work being away."""
    try:
        yield
    except (PrefectAway, RunRefused) as away:
        raise Problem(502, away.detail) from None
