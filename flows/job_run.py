"""From a Prefect run to a job in the record, and back: recorded, claimed, worked on, and always ended.

    as_job ── record ── claim ── work(JobRun) ── end          a result            -> completed
                                   │
                                   ├── BadInput, WorkFailed   the job says why    -> failed
                                   ├── ProcessKilled          a child was killed  -> lost: put back, and run again
                                   └── TerminationSignal      somebody wants it to stop

`flows.job_ends` has the ends. A run that is killed outright ends nothing: `flows.lost_runs` finds its job.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect import get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Failed

from blocks.credentials import TuneyardCredentials
from flows.heartbeat import Pulse
from flows.job_ends import WORKING_PATIENCE, completed, failed, lost, stopped
from flows.journal import Journal
from flows.prefect_runs import as_state, name_job
from flows.progress import Progress
from flows.service_key import load
from tasks.tenancy import only_tenant, this_process
from tuneyard import Client
from tuneyard.errors import Conflict, NotFound, ProcessKilled, TuneyardError, Unavailable, Unreachable
from tuneyard.home import home
from tuneyard.shapes import Claim, Claimed, Job, JobStatus

Work = Callable[["JobRun"], dict[str, Any]]


class JobRun:
    """One attempt at one job: what the verbs of a flow work with. Its repr shows no key and no token.

    Attributes:
        block: The credentials.
        credentials: Their name, for a run that is to go on with this job.
        job: The job as it was last read.
        service: Reads and records with the service key.
        writer: Writes this job, with its token.
        folder: This job's own folder on this host.
        progress: What Prefect's page of the run shows while it goes on.
        pulse: Tells the record that the run is alive, and hears whether it is to stop.
        journal: What happens, for the record.
    """

    def __init__(
        self,
        block: TuneyardCredentials,
        credentials: str,
        claimed: Claimed,
        log: Any,
        *,
        service: Client,
        writer: Client,
        pulse: Pulse,
        journal: Journal,
    ) -> None:
        self.block = block
        self.credentials = credentials
        self.job = claimed.job
        self.token = claimed.job_token
        self.log = log
        self.service = service
        self.writer = writer
        self.pulse = pulse
        self.journal = journal
        self.folder = job_folder(claimed.job)
        self.progress = Progress(claimed.job.kind.replace("_", "-"))

    def __repr__(self) -> str:
        return f"<JobRun {self.job.id} attempt {self.job.attempt}>"

    def at(self, stage: str) -> None:
        """Say what is being done now: in the log, in the record and on Prefect's page."""
        self.log.info(stage)
        self.progress.bar(0.0, stage)
        self.pulse.stage(stage)

    def total_steps(self) -> int | None:
        """How many there will be, asked of the record until the trainer has said so."""
        if self.job.total_steps is None:
            with suppress(Unreachable, Unavailable), self.block.client(0) as glance:
                self.job = glance.jobs.get(self.job.id)
        return self.job.total_steps

    def kept_file(self, name: str) -> Path:
        """A file of the job's folder that a child process adds lines to; there from now on, to be read along."""
        file = self.folder / name
        file.touch()
        return file


def job_folder(job: Job) -> Path:
    """Where a job's runs on this host work; what one leaves there, the next one goes on with."""
    return home() / "jobs" / job.id


def as_job(
    credentials: str, record: Callable[[Client, str | None], str], work: Work, job_id: str | None = None
) -> State[Any]:
    """Record and claim a job, do its work and end it; the answer is the state Prefect is to show.

    Args:
        credentials: Name of the TuneyardCredentials block.
        record: Records the job and gives its id; asked again for the same run it gives the same id.
        work: The work; what it returns becomes the job's result.
        job_id: A job that is recorded already and waits for this run.
    """
    log = get_run_logger()
    try:
        block = load(credentials)
        with block.client() as service:
            job = service.jobs.get(job_id or record(service, runtime.flow_run.id))
            name_job(job)
            if not _is_mine(job):
                return as_state(job)
            claimed = _claim(service, job)
        if isinstance(claimed, Job):
            return as_state(claimed)
        log.info("Job %s, attempt %s, on %s.", job.id, claimed.attempt, claimed.job.host)
        with _at_work(block, credentials, claimed, log) as run:
            return _carry_out(run, work)
    except NotFound as gone:
        log.error("%s", gone)
        is_deleted = job_id is not None and gone.detail == "Job not found"
        return Cancelled(message=f"Job {job_id} was deleted.") if is_deleted else Failed(message=str(gone))
    except TuneyardError as problem:
        log.error("%s", problem)
        return Failed(message=str(problem))


def _is_mine(job: Job) -> bool:
    """Whether this run may take the job: it waits for one, or this run had it before (Prefect's own retry)."""
    return job.status == JobStatus.PENDING or job.flow_run_id == runtime.flow_run.id


def _claim(service: Client, job: Job) -> Claimed | Job:
    """The claim; or the job where it has ended, or was paused, meanwhile."""
    claim = Claim(host=socket.gethostname(), pid=os.getpid(), flow_run_id=runtime.flow_run.id)
    try:
        return service.jobs.claim(job.id, claim)
    except Conflict:
        return service.jobs.get(job.id)


@contextmanager
def _at_work(block: TuneyardCredentials, credentials: str, claimed: Claimed, log: Any) -> Iterator[JobRun]:
    """All that a run has while it is at work; the record hears of it from the first moment."""
    job, token = claimed.job, claimed.job_token
    job_folder(job).mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        service = held.enter_context(block.client(WORKING_PATIENCE))
        writer = held.enter_context(Client(block.api_url, job_token=token, patience=WORKING_PATIENCE))
        quick = held.enter_context(Client(block.api_url, job_token=token, patience=0.0, timeout=10.0))
        pulse = Pulse(quick, job.id, stop_this_process)
        held.callback(pulse.close)
        tenant = this_process(claimed.attempt, job.flow_run_id)
        held.enter_context(only_tenant(job_folder(job), tenant))
        journal = Journal(quick, job.id, job_folder(job))
        held.callback(journal.send_rest, 0.0)
        held.enter_context(journal.hearing())
        yield JobRun(
            block, credentials, claimed, log, service=service, writer=writer, pulse=pulse, journal=journal
        )


def stop_this_process() -> None:
    """Raise TerminationSignal in the main thread, whatever it is doing: as Prefect does when it cancels."""
    os.kill(os.getpid(), signal.SIGTERM)


def _carry_out(run: JobRun, work: Work) -> State[Any]:
    try:
        result = work(run)
        run.pulse.close()  # nothing asks a run to stop that has come to its end
    except TerminationSignal:
        state = stopped(run)
        if state is None:
            raise
        return state
    except ProcessKilled as killed:
        return lost(run, killed)
    except TuneyardError as problem:
        return failed(run, problem)
    except Exception as surprise:
        failed(run, surprise)
        raise
    return completed(run, result)
