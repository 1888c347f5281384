"""The jobs that a job is made of: started under ids that follow from its own, waited for, cancelled with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from prefect.exceptions import TerminationSignal

from flows.heartbeat import Asked
from flows.job_ends import is_cancelled_in_prefect
from flows.job_run import JobRun
from tuneyard.errors import Conflict, NotFound, TuneyardError, WorkFailed
from tuneyard.shapes import Job, JobStatus

LOOK_SECONDS = 2.0


class Started(Protocol):
    @property
    def id(self) -> str: ...


class Parts:
    """A run that dies leaves its parts running: the next one finds them by their ids and goes on waiting.

    Left by an exception, whatever it is, it cancels the parts that go on, unless another run is to go on with them.
    """

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._open: dict[str, Job] = {}

    def __enter__(self) -> Self:
        return self

    def start(self, name: str, ask: Callable[[str], Started]) -> None:
        """Have a part run, or go on with the one that is there; one that had failed is resumed.

        Args:
            ask: Asks for a job under an id; asked again it is the same job.
        """
        job_id = f"{self._run.job.id}-{name}"
        try:
            job = self._run.service.jobs.get(job_id)
        except NotFound:
            job = self._run.service.jobs.get(ask(job_id).id)
        if job.status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PAUSED):
            self._run.log.info("The part %s had %s: it is resumed", name, job.status)
            job = self._run.service.jobs.resume(job_id)
        self._open[name] = job

    def wait(self, *names: str) -> dict[str, Job]:
        """The parts, completed. Raises WorkFailed for one that ended otherwise."""
        while True:
            for name in names:
                self._open[name] = self._run.service.jobs.get(self._open[name].id)
                _demand_well(name, self._open[name])
            found = {name: self._open[name] for name in names}
            if all(job.status is JobStatus.COMPLETED for job in found.values()):
                return found
            self._run.pulse.stage("; ".join(_words(name, job) for name, job in found.items()))
            time.sleep(LOOK_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not self._is_for_good(error):
            return
        for name, job in self._open.items():
            if not job.status.is_final:
                self._cancel(name, job)

    def _is_for_good(self, error: BaseException) -> bool:
        """Whether no other run goes on with the parts: the job fails or is cancelled, and is not put back or paused."""
        if not isinstance(error, TerminationSignal):
            return True
        asked = self._run.pulse.asked
        return is_cancelled_in_prefect() if asked is None else asked is Asked.CANCEL

    def _cancel(self, name: str, job: Job) -> None:
        try:
            self._run.service.jobs.cancel(job.id)
        except Conflict:
            return  # it has ended meanwhile
        except TuneyardError as problem:
            self._run.log.warning("The part %s (%s) could not be cancelled: %s", name, job.id, problem)


def _demand_well(name: str, job: Job) -> None:
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        raise WorkFailed(f"The part {name} ({job.id}) {job.status}: {job.error or 'no reason was given'}")


def _words(name: str, job: Job) -> str:
    waits = job.wait_reason or job.stage or ""
    return f"{name}: {job.status} {job.progress:.0f} %{', ' + waits if waits else ''}"
