"""Which jobs had which cards at a moment: by lease, by the Prefect run that a process belongs to, or by pid."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session, col

from api.access.owned import every_job
from api.job_ends import AT_WORK
from api.tables import Job
from tuneyard.shapes import GpuProcess, GpuSample, HostSample, JobKind, JobStatus

RECENT = 50  # claims on one host: a reading may come late, but not that late


class Ties:
    """A workspace's jobs that can have had a host's cards when a reading of it was taken."""

    def __init__(self, session: Session, workspace_id: int, sample: HostSample) -> None:
        self.moment = sample.taken_at
        run_ids = {one.flow_run_id for card in sample.gpus for one in card.processes if one.flow_run_id}
        found = _on_host(session, workspace_id, sample.host)
        found += _of_runs(session, workspace_id, run_ids)
        self._jobs = {job.pk: job for job in found}

    def holders(self, card: GpuSample) -> list[Job]:
        """The live jobs that have leased the card, and those that have a process on it."""
        had = {job.pk: job for job in self._jobs.values() if _has_leased(job, card.uuid, self.moment)}
        for process in card.processes:
            job = self.owner(process)
            if job is not None and is_live(job, self.moment):
                had[job.pk] = job
        return list(had.values())

    def owner(self, process: GpuProcess) -> Job | None:
        """The job that a process is part of, which may have ended."""
        for job in self._jobs.values():
            if process.flow_run_id is not None and process.flow_run_id == job.flow_run_id:
                return job
        line = {process.pid, *process.parents}
        live = (job for job in self._jobs.values() if is_live(job, self.moment))  # pids are given out again
        return next((job for job in live if line & {job.pid, *job.pids}), None)


def _on_host(session: Session, workspace_id: int, host: str) -> list[Job]:
    """Those that a run works on there now, and the newest claimed there, which may have ended since the reading."""
    mine = every_job(workspace_id).where(col(Job.host) == host, col(Job.claimed_at).is_not(None))
    working = mine.where(col(Job.kind).in_(list(JobKind)), col(Job.status).in_(AT_WORK))
    recent = mine.order_by(col(Job.claimed_at).desc()).limit(RECENT)
    return [*session.exec(working), *session.exec(recent)]


def _of_runs(session: Session, workspace_id: int, run_ids: Iterable[str]) -> list[Job]:
    wanted = sorted(run_ids)
    if not wanted:
        return []
    return list(session.exec(every_job(workspace_id).where(col(Job.flow_run_id).in_(wanted))))


def is_live(job: Job, moment: datetime) -> bool:
    """Whether a run worked on the job then, as far as its row tells now."""
    if job.claimed_at is None or moment < job.claimed_at:
        return False
    if JobStatus(job.status) in AT_WORK:
        return True
    over = job.ended_at or job.last_sign
    return over is not None and moment <= over


def _has_leased(job: Job, uuid: str, moment: datetime) -> bool:
    if uuid not in job.gpu_uuids or not is_live(job, moment):
        return False
    since, until = job.gpu_leased_at, job.gpu_released_at
    return (since is None or since <= moment) and (until is None or moment <= until)


def names(jobs: Sequence[Job]) -> str:
    return ", ".join(f"job {job.id}" for job in jobs)
