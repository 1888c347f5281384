"""From a Prefect run to a job in the record, and back: recorded, claimed, worked on, and always ended.

    as_job ── record ── claim ── work(JobRun) ── end          a result            -> completed
                                   │
                                   ├── BadInput, WorkFailed   the job says why    -> failed
                                   ├── JobCancelled           the record said so  -> cancelled
                                   └── TerminationSignal      Prefect cancels, or the worker is being stopped

A run that is killed outright ends its job from a hook, in a new process: `close_job`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import TerminationSignal
from prefect.flows import Flow
from prefect.states import Cancelled, Completed, Failed

from blocks.credentials import TuneyardCredentials
from flows.progress import Progress
from tuneyard import Client
from tuneyard.errors import BadInput, TuneyardError, Unavailable, Unreachable
from tuneyard.home import home
from tuneyard.shapes import LONGEST_ERROR, LONGEST_STAGE, Claim, Claimed, Job, JobEnd, JobFacts, JobStatus

DEFAULT_CREDENTIALS = "tuneyard"
WORKING_PATIENCE = 1800.0  # a night's work is not thrown away because the API was away for a while
LEAVING_PATIENCE = 8.0  # Prefect kills 30 s after it asked; trainer and record must be done by then

Work = Callable[["JobRun"], dict[str, Any]]


class JobCancelled(Exception):
    """The record says that the job is to stop."""


class JobRun:
    """One attempt at one job: what the verbs of a flow work with. Its repr shows no key and no token.

    Attributes:
        block: The credentials.
        job: The job as it was last read.
        service: Reads and records with the service key.
        writer: Writes this job, with its token.
        folder: This job's own folder on this host.
        progress: What Prefect's page of the run shows while it goes on.
    """

    def __init__(
        self,
        block: TuneyardCredentials,
        claimed: Claimed,
        log: Any,
        *,
        service: Client,
        writer: Client,
        glance: Client,
    ) -> None:
        self.block = block
        self._glance = glance
        self.service = service
        self.writer = writer
        self.job = claimed.job
        self.token = claimed.job_token
        self.log = log
        self.folder = home() / "jobs" / claimed.job.id
        self.folder.mkdir(parents=True, exist_ok=True)
        self.progress = Progress(claimed.job.kind.replace("_", "-"))

    def __repr__(self) -> str:
        return f"<JobRun {self.job.id} attempt {self.job.attempt}>"

    def at(self, stage: str) -> None:
        """Say what is being done now: in the log, in the record and on Prefect's page."""
        self.log.info(stage)
        self.progress.bar(0.0, stage)
        self.writer.jobs.update(self.job.id, JobFacts(stage=stage[:LONGEST_STAGE]))

    def kept_file(self, name: str) -> Path:
        """A file of the job's folder that a child process adds lines to; there from now on, to be read along."""
        file = self.folder / name
        file.touch()
        return file

    def heed_cancel(self) -> None:
        """Raise JobCancelled when somebody cancelled the job; an API that is away changes nothing."""
        try:
            self.job = self._glance.jobs.get(self.job.id)
        except (Unreachable, Unavailable):
            return  # the trainer goes on, and keeps its own points until the API is back
        if self.job.status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            raise JobCancelled


def as_job(credentials: str, record: Callable[[Client, str | None], str], work: Work) -> State[Any]:
    """Record and claim a job, do its work and end it; the answer is the state Prefect is to show.

    Args:
        credentials: Name of the TuneyardCredentials block.
        record: Records the job and gives its id; asked again for the same run it gives the same id.
        work: The work; what it returns becomes the job's result.
    """
    log = get_run_logger()
    run_id = runtime.flow_run.id
    try:
        block = load(credentials)
        with block.client() as service:
            job_id = record(service, run_id)
            claim = Claim(host=socket.gethostname(), pid=os.getpid(), flow_run_id=run_id)
            claimed = service.jobs.claim(job_id, claim)
        log.info("Job %s, attempt %s, on %s.", job_id, claimed.attempt, claimed.job.host)
        with (
            block.client(WORKING_PATIENCE) as service,
            Client(block.api_url, job_token=claimed.job_token, patience=WORKING_PATIENCE) as writer,
            block.client(0) as glance,
        ):
            run = JobRun(block, claimed, log, service=service, writer=writer, glance=glance)
            return _carry_out(run, work)
    except TuneyardError as problem:
        log.error("%s", problem)
        return Failed(message=str(problem))


def load(credentials: str) -> TuneyardCredentials:
    """The credentials block of that name, or BadInput that says how to store one."""
    try:
        # _sync is taken by the wrapper around it: a hook may run inside a loop
        found = TuneyardCredentials.load(credentials, _sync=True)  # type: ignore[call-arg]
        return cast(TuneyardCredentials, found)
    except ValueError:
        raise BadInput(
            f"there is no Tuneyard credentials block called {credentials!r} in Prefect: "
            "store one with `python -m deployments store-key`"
        ) from None


def _carry_out(run: JobRun, work: Work) -> State[Any]:
    try:
        result = work(run)
    except JobCancelled:
        return _end(run, JobEnd(status="cancelled"))
    except TuneyardError as problem:
        return _end(run, failure(str(problem)))
    except TerminationSignal:
        with Client(run.block.api_url, job_token=run.token, patience=LEAVING_PATIENCE) as writer:
            writer.jobs.end(run.job.id, _why_stopped())
        raise
    except Exception as surprise:
        _end(run, failure(f"{type(surprise).__name__}: {surprise}"))
        raise
    return _end(run, JobEnd(status="completed", result=result))


def _end(run: JobRun, end: JobEnd) -> State[Any]:
    """End the job, however long the API needs to come back, and give the state that says the same in Prefect.

    With the token, not the service key: a run that a newer attempt has replaced must not end that one's job.
    """
    job = run.writer.jobs.end(run.job.id, end)
    run.progress.bar(job.progress, job.error or f"Job {job.id}: {job.status}")
    return _as_state(job)


def _as_state(job: Job) -> State[Any]:
    """What Prefect shows for an ended job. The record decides: it may say cancelled to a run that had finished."""
    if job.status == JobStatus.COMPLETED:
        return Completed(message=f"Job {job.id} completed.")
    if job.status == JobStatus.CANCELLED:
        return Cancelled(message=f"Job {job.id} was cancelled.")
    return Failed(message=f"Job {job.id} failed: {job.error}")


def _why_stopped() -> JobEnd:
    """Prefect asks a run to stop for two reasons, by the same signal; its state tells which."""
    with get_client(sync_client=True) as prefect:
        run_id = runtime.flow_run.id
        state = prefect.read_flow_run(run_id).state if run_id else None
    if state and state.type in (StateType.CANCELLING, StateType.CANCELLED):
        return JobEnd(status="cancelled")
    return failure("The worker was stopped while the job ran. Run it again.")


def failure(reason: str) -> JobEnd:
    """A failed end. What is too long for the record is cut: a job must not stay open for the length of its error."""
    return JobEnd(status="failed", error=reason[:LONGEST_ERROR])


def close_job(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Hook for cancelled and crashed runs: end the job that the run left open.

    It runs in a process of its own and knows only the run's id. The trainer needs no stopping: the kernel ends
    it with its parent.
    """
    credentials = (flow_run.parameters or {}).get("credentials", DEFAULT_CREDENTIALS)
    if state.type == StateType.CANCELLED:
        end = JobEnd(status="cancelled")
    else:
        end = failure(f"The run ended without a word: {state.message or state.name}")
    with load(credentials).client() as service:
        for job in service.jobs.list(flow_run_id=str(flow_run.id)).items:
            if not job.status.is_final:
                service.jobs.end(job.id, end)
