"""Jobs: recorded, claimed, ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal

from pydantic import Field, computed_field, field_validator

from tuneyard.shapes.shape import Item, Request, Shape
from tuneyard.values import (
    Amount,
    ArtifactId,
    ClientId,
    Count,
    CountFromOne,
    JsonObject,
    Labels,
    Restarts,
    Text,
    UpToAYear,
    Utc,
)


class JobKind(StrEnum):
    FINETUNE = "finetune"
    BATCH_TEST = "batch_test"
    CHECK = "check"
    MERGE = "merge"
    PIPELINE = "pipeline"
    TABULAR = "tabular"
    PREDICT = "predict"


class JobStatus(StrEnum):
    """pending: recorded. queued: claimed by a run that is still preparing. pausing: asked to pause, until its run
    has saved a checkpoint. The last three are final, but for a resume of a failed or cancelled one."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)

    @classmethod
    def _missing_(cls, value: object) -> JobStatus | None:
        """Seed 002 spells it so."""
        return cls.CANCELLED if value == "canceled" else None


LONGEST_ERROR = 20_000  # characters


LONGEST_STAGE = 500


MAX_RESTARTS = 2


class NumberedPage(Shape, Generic[Item]):
    """The same where `page` and `size` were asked for: `page` counts from 1 to `pages`."""

    items: list[Item]
    total: int
    page: int
    size: int

    @computed_field
    def pages(self) -> int:
        return -(-self.total // self.size)


class NewJob(Request):
    """`flow_run_id` makes creation safe to repeat: the same run records one job."""

    id: ClientId | None = None
    kind: JobKind = JobKind.FINETUNE
    name: Text | None = Field(None, max_length=255)
    model: Text = Field(min_length=1, max_length=1024)
    dataset: Text | None = Field(None, max_length=1024)
    config: JsonObject = Field(default_factory=dict)
    total_steps: Count | None = None
    flow_run_id: Text | None = Field(None, max_length=64)
    max_restarts: Restarts = Field(
        MAX_RESTARTS, description="How often it is started again by itself after its run was lost."
    )
    artifact_id: ArtifactId | None = Field(
        None, description="The id that what it makes is to have; default: one of ours."
    )
    config_id: ClientId | None = Field(None, description="The kept config that it was asked for with.")
    labels: Labels = Field(default_factory=dict)
    start_within_seconds: UpToAYear | None = Field(
        None, description="It expires where no run has taken it by then."
    )


SEED_002_TIMES = {"submitted_at": "created_at", "finished_at": "ended_at"}


SIGNS = (
    "created_at",
    "claimed_at",
    "launched_at",
    "started_at",
    "last_report_at",
    "heartbeat_at",
    "resumed_at",
    "ended_at",
)


def traceback_in(error: str | None) -> str | None:
    return error if error and "Traceback" in error else None


class Job(Shape):
    id: str
    kind: JobKind
    name: str
    status: JobStatus
    stage: str | None = Field(None, description="What the run is doing now, in words.")
    model: str
    dataset: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    attempt: int = Field(0, description="How many runs have claimed it; 0: none yet.")
    host: str | None = None
    pid: int | None = None
    device: str | None = None
    flow_run_id: str | None = None
    current_step: int | None = None
    total_steps: int | None = None
    current_epoch: float | None = None
    total_epochs: float | None = None
    progress: float = Field(0.0, description="Percent of the steps, two decimals; a completed job is at 100.")
    loss: float | None = None
    eval_loss: float | None = None
    diverged: bool = Field(False, description="The newest loss that it reported is not finite.")
    tokens_per_second: float | None = None
    gpu_memory_allocated_gb: float | None = None
    error: str | None = None
    result: dict[str, Any] = Field(default_factory=dict)
    created_at: Utc
    claimed_at: Utc | None = None
    started_at: Utc | None = None
    ended_at: Utc | None = None
    last_report_at: Utc | None = None
    heartbeat_at: Utc | None = Field(None, description="When its run last said that it is alive.")
    wait_reason: str | None = Field(None, description="What it waits for, in words; null: it does not wait.")
    queue_position: int | None = Field(
        None, description="Of one that waits: how many of the workspace's jobs are before it."
    )
    gpu_uuids: list[str] = Field(default_factory=list, description="The cards of the newest attempt.")
    gpu_leased_at: Utc | None = Field(None, description="Since when it has had them.")
    gpu_released_at: Utc | None = Field(None, description="When those cards were seen to be free again.")
    pids: list[int] = Field(default_factory=list, description="The processes of its run, on `host`.")
    restarts: int = Field(0, description="How often it was started again after its run was lost.")
    max_restarts: int = MAX_RESTARTS
    resumed_at: Utc | None = None
    resume_from: str | None = Field(
        None, description="Where the next run begins: a checkpoint, or `best`; null: the newest whole one."
    )
    last_checkpoint: int | None = Field(None, description="The step of the newest checkpoint.")
    best_checkpoint: int | None = Field(None, description="The step of the best one, by its evaluation.")
    checkpoint_at: Utc | None = None
    run_key: str | None = Field(
        None, description="The idempotency key of the Prefect run that is to take the job: one key, one run."
    )
    launched_at: Utc | None = Field(None, description="Since when it waits for that run.")
    artifact_id: str | None = Field(
        None, description="The id that what it makes will have; there is such an artifact once it is made."
    )
    config_id: str | None = Field(None, description="The kept config that it was asked for with.")
    labels: dict[str, str] = Field(default_factory=dict, description="The asker's own words about it.")
    expires_at: Utc | None = Field(None, description="Until when a run has to take it.")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from tuneyard.notebook import work_html

        return work_html(self)

    @field_validator("result", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        """A job that was asked for in another system's words may be shown with a sentence, or with nothing."""
        return {"message": value} if isinstance(value, str) else {} if value is None else value

    # The same once more, under the names that seed 002's clients know.

    @computed_field
    def submitted_at(self) -> Utc:
        return self.created_at

    @computed_field
    def finished_at(self) -> Utc | None:
        return self.ended_at

    @computed_field
    def updated_at(self) -> Utc:
        """When something was last heard of it."""
        newest: datetime = max(time for name in SIGNS if (time := getattr(self, name)))
        return newest

    @computed_field
    def error_traceback(self) -> str | None:
        """`error`, where it has a traceback in it."""
        return traceback_in(self.error)


class Claim(Request):
    """Who takes the job: shown to whoever asks where it runs."""

    host: Text = Field(max_length=255)
    pid: Count
    flow_run_id: Text | None = Field(None, max_length=64)


class Claimed(Shape):
    """The answer to a claim. `job_token` (43 characters) is shown here and nowhere else."""

    job: Job
    attempt: int
    job_token: str = Field(repr=False)


class JobFacts(Request):
    """What a run learns as it goes; a field left out stays as it is."""

    stage: Text | None = Field(None, max_length=LONGEST_STAGE)
    device: Text | None = Field(None, max_length=255)
    model: Text | None = Field(
        None, min_length=1, max_length=1024, description="The artifact that an alias stood for."
    )
    current_step: Count | None = None
    total_steps: Count | None = None
    total_epochs: Amount | None = None
    suite_id: Text | None = Field(None, description="Of a batch test only: the suite, once it has been read.")


class JobEnd(Request):
    """How an attempt ended. `paused` leaves the job open: it goes on when somebody resumes it."""

    status: Literal["completed", "failed", "cancelled", "paused"]
    error: Text | None = Field(None, max_length=LONGEST_ERROR)
    errors: list[NewJobError] = Field(
        default_factory=list, max_length=200, description="The same for programs, each fault by itself."
    )
    result: JsonObject = Field(default_factory=dict)


class NewJobError(Request):
    """One thing that went wrong, where it can be put right, and how."""

    kind: Literal["bad_input", "work_failed", "lost", "oom", "diverged", "cancelled", "surprise"]
    message: Text = Field(min_length=1, max_length=LONGEST_ERROR)
    file: Text | None = Field(None, max_length=2048)
    line: CountFromOne | None = None
    field: Text | None = Field(None, max_length=255)
    hint: Text | None = Field(None, max_length=2000, description="What to do about it.")
