"""A job that is asked for: recorded, then its run made; and what whoever asked is told."""

from api import tables
from api.access.caller import Caller
from api.access.owned import owned
from api.database import Database
from api.job_starts import start_or_fail
from api.launches import Launches
from api.operation_log import OperationLog
from api.problems import Problem
from api.routes.jobs import record_job
from tuneyard.shapes import Job, JobStatus, NewJob, Started


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


def started(
    job: tables.Job, message: str, *, model: str | None = None, prediction: str | None = None
) -> Started:
    """The answer to whoever asked for a job."""
    return Started(
        **Job.model_validate(job).model_dump(),
        job_id=job.id,
        message=message,
        model_artifact_id=model,
        prediction_artifact_id=prediction,
    )
