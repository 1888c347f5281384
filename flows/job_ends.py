"""How one attempt ends, whatever ends it, and what Prefect is to show of it.

a result                     completed
BadInput, WorkFailed         failed, for that reason
ProcessKilled                lost: put back, and run again from its last checkpoint
TerminationSignal            because the record asked the run to stop        cancelled or paused
                             because a newer attempt has the job             nothing: it is no longer ours
                             because somebody cancelled it in Prefect        cancelled
                             because its worker is being stopped             handed back, and run again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

from flows.heartbeat import Asked
from flows.lost_runs import lost_run, put_back
from flows.prefect_runs import as_state
from flows.refusal import Refused
from tuneyard import Client
from tuneyard.errors import (
    BadInput,
    Diverged,
    OutOfMemory,
    ProcessKilled,
    TuneyardError,
    Unauthorized,
)
from tuneyard.shapes import LONGEST_ERROR, Job, JobEnd, JobStatus, NewJobError

if TYPE_CHECKING:
    from flows.job_run import JobRun

WORKING_PATIENCE = 1800.0  # a night's work is not thrown away because the API was away for a while
ErrorKind = Literal["oom", "diverged", "work_failed", "surprise"]

LEAVING_PATIENCE = 6.0  # Prefect kills 30 s after it asked; trainer, cards and record must be done by then


def completed(run: JobRun, result: dict[str, Any]) -> State[Any]:
    return _end(run, JobEnd(status="completed", result=result), WORKING_PATIENCE)


def failed(run: JobRun, problem: Exception) -> State[Any]:
    """The job says why. What a run that was told to stop dies of is not its failure: the record knows."""
    return _end(run, failure(problem), WORKING_PATIENCE)


def lost(run: JobRun, killed: ProcessKilled) -> State[Any]:
    """A child was killed: by somebody, or for want of memory. The job goes on in another run, while it may."""
    _tell_rest(run, LEAVING_PATIENCE)
    words = str(killed).splitlines()[0]
    job = _put_back(run, words)
    goes_on = job.status == JobStatus.PENDING
    return Crashed(message=f"{words} Job {job.id} goes on in another run.") if goes_on else as_state(job)


def stopped(run: JobRun) -> State[Any] | None:
    """Ends the attempt as whoever stopped it wants; None where Prefect did, and will show it by itself."""
    if run.pulse.asked is Asked.CANCEL:
        return _end(run, JobEnd(status="cancelled"), LEAVING_PATIENCE)
    if run.pulse.asked is Asked.PAUSE:
        return _end(run, JobEnd(status="paused"), LEAVING_PATIENCE)
    if run.pulse.asked is Asked.LEAVE:
        return _superseded(run)
    if is_cancelled_in_prefect():
        _end(run, JobEnd(status="cancelled"), LEAVING_PATIENCE)
    else:
        _tell_rest(run, LEAVING_PATIENCE)
        _put_back(run, "its worker was stopped", handed_back=True)
    return None


def failure(problem: Exception) -> JobEnd:
    """A failed end. What is too long for the record is cut: a job must not stay open for the length of its error."""
    if isinstance(problem, Refused):
        return JobEnd(status="failed", error=str(problem)[:LONGEST_ERROR], errors=problem.errors)
    if isinstance(problem, BadInput):
        error = NewJobError(
            kind="bad_input",
            message=problem.problem[:LONGEST_ERROR],
            file=problem.file,
            line=problem.line,
            field=problem.field,
        )
        return JobEnd(status="failed", error=str(problem)[:LONGEST_ERROR], errors=[error])
    known = isinstance(problem, TuneyardError)
    text = (str(problem) if known else f"{type(problem).__name__}: {problem}")[:LONGEST_ERROR]
    return JobEnd(status="failed", error=text, errors=[NewJobError(kind=_kind(problem), message=text)])


def _kind(problem: Exception) -> ErrorKind:
    if isinstance(problem, OutOfMemory):
        return "oom"
    if isinstance(problem, Diverged):
        return "diverged"
    return "work_failed" if isinstance(problem, TuneyardError) else "surprise"


def _end(run: JobRun, end: JobEnd, patience: float) -> State[Any]:
    """End the job, however long the API needs to come back, and give the state that says the same in Prefect.

    With the token, not the service key: a run that a newer attempt has replaced must not end that one's job.
    """
    _tell_rest(run, patience)
    try:
        with Client(run.block.api_url, job_token=run.token, patience=patience) as writer:
            job = writer.jobs.end(run.job.id, end)
    except Unauthorized:
        return _superseded(run)
    run.progress.bar(job.progress, job.error or f"Job {job.id}: {job.status}")
    return as_state(job)


def _tell_rest(run: JobRun, patience: float) -> None:
    """What is left to be told is told before the job's end, with which its token dies."""
    run.pulse.close()
    if left := run.journal.send_rest(patience):
        run.log.warning("%s events and log lines were not sent; they lie in %s", left, run.folder)


def _superseded(run: JobRun) -> State[Any]:
    return as_state(run.service.jobs.get(run.job.id))


def _put_back(run: JobRun, reason: str, *, handed_back: bool = False) -> Job:
    dead = lost_run(run.job, reason).model_copy(update={"handed_back": handed_back})
    closed = put_back(run.service, run.credentials, [dead])
    return closed[0] if closed else run.service.jobs.get(run.job.id)


def is_cancelled_in_prefect() -> bool:
    """Prefect asks a run to stop for two reasons, by the same signal; its state tells which."""
    with get_client(sync_client=True) as prefect:
        run_id = runtime.flow_run.id
        state = prefect.read_flow_run(run_id).state if run_id else None
    return state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)
