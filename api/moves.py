"""A lifecycle event applied to a job's row: its status, and the times that go with it."""

from api.lifecycle import Event, after
from api.tables import Job, new_id, now
from tuneyard.shapes import JobStatus


def move(job: Job, event: Event) -> None:
    """Change a locked job as the state machine says.

    Raises:
        IllegalMove: Its status does not allow the event; nothing was changed.
    """
    status = after(JobStatus(job.status), event)
    if status == job.status:
        return
    job.status = status.value
    if status is JobStatus.RUNNING and job.started_at is None:
        job.started_at = now()
    if status.is_final:
        job.ended_at = now()
    if status.is_final or status is JobStatus.PAUSED:
        job.stage = job.wait_reason = None


def begin_attempt(job: Job) -> None:
    """Count a new attempt, which starts from nothing: what the one before it had reached is in its metrics.

    A batch test keeps its count: the prompts that were answered stay answered.
    """
    job.attempt += 1
    job.claimed_at = now()
    job.stage = job.error = job.wait_reason = None
    job.gpu_uuids, job.pids = [], []
    job.gpu_leased_at = job.gpu_released_at = None
    if job.kind == "finetune":
        job.current_step = job.current_epoch = job.loss = job.eval_loss = None
        job.best_eval_loss = job.best_step = job.best_epoch = None
        job.diverged = False
    job.tokens_per_second = job.gpu_memory_allocated_gb = None
    if job.has_checkpoint_since_resume:
        job.resume_from = None  # it has been there, and got further


def await_run(job: Job) -> None:
    """A pending job's row for the run that is to come: whatever the one before it still sends is refused."""
    job.run_key, job.launched_at = new_id(), now()
    job.flow_run_id = job.token_digest = None
    job.ended_at = job.end_asked = job.error = None
    job.stage = job.wait_reason = None
    job.result = {}
