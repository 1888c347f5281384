"""Jobs, and what happens in them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

from api.tables.columns import (
    BIG,
    OPEN,
    ROW_NUMBER,
    UtcTime,
    count_from,
    flag,
    link_to,
    list_column,
    new_id,
    open_column,
    pk_column,
    time_column,
)
from tuneyard.shapes import MAX_RESTARTS


class Job(SQLModel, table=True):
    """The newest values of the current attempt are kept here, so that a list of jobs reads no metrics.
    `metrics_version` changes with every write of metrics.

    `run_key` is new each time that a run is awaited, and `flow_run_id` null until Prefect has made it. `end_asked` is
    the end that the run itself asked for. A cancelling job that asked to be `completed` is stored as cancelled; asked
    again, because the answer was lost, it is answered the same.
    """

    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "flow_run_id"),
        Index(None, "workspace_id", "pk"),  # without it a page of the newest sorts all of them
        Index(None, "workspace_id", "kind", "status"),
        Index(None, "workspace_id", "host", "claimed_at"),
    )

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=100)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    status: str = Field(default="pending", max_length=20)
    stage: str | None = Field(default=None, max_length=500)
    model: str = Field(max_length=1024)
    dataset: str | None = Field(default=None, max_length=1024)
    config: dict[str, Any] = open_column()
    attempt: int = 0
    token_digest: str | None = Field(default=None, max_length=64, unique=True, repr=False)
    host: str | None = Field(default=None, max_length=255)
    pid: int | None = Field(default=None, sa_type=BIG)
    device: str | None = Field(default=None, max_length=255)
    flow_run_id: str | None = Field(default=None, max_length=64)
    current_step: int | None = Field(default=None, sa_type=BIG)
    total_steps: int | None = Field(default=None, sa_type=BIG)
    current_epoch: float | None = None
    total_epochs: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    diverged: bool = flag()
    best_eval_loss: float | None = None
    best_step: int | None = Field(default=None, sa_type=BIG)
    best_epoch: float | None = None
    tokens_per_second: float | None = None
    gpu_memory_allocated_gb: float | None = None
    error: str | None = None
    result: dict[str, Any] = open_column()
    end_asked: str | None = Field(default=None, max_length=20)
    created_at: datetime = time_column(required=True)
    claimed_at: datetime | None = time_column()
    started_at: datetime | None = time_column()
    ended_at: datetime | None = time_column()
    last_report_at: datetime | None = time_column()
    heartbeat_at: datetime | None = time_column()
    wait_reason: str | None = Field(default=None, max_length=500)
    gpu_uuids: list[str] = list_column()
    gpu_leased_at: datetime | None = time_column()
    gpu_released_at: datetime | None = time_column()
    pids: list[int] = list_column()
    restarts: int = count_from(0)
    max_restarts: int = count_from(MAX_RESTARTS)
    resumed_at: datetime | None = time_column()
    resume_from: str | None = Field(default=None, max_length=1024)
    last_checkpoint: int | None = Field(default=None, sa_type=BIG)
    best_checkpoint: int | None = Field(default=None, sa_type=BIG)
    checkpoint_at: datetime | None = time_column()
    run_key: str | None = Field(default=None, max_length=26)
    launched_at: datetime | None = time_column()
    metrics_version: int = Field(default=0, sa_type=BIG, sa_column_kwargs={"server_default": "0"})
    artifact_id: str | None = Field(default=None, max_length=100)
    config_id: str | None = Field(default=None, max_length=100)
    labels: dict[str, str] = Field(default_factory=dict, sa_type=OPEN, nullable=True)  # added later
    expires_at: datetime | None = time_column()
    deleted_at: datetime | None = time_column()

    @property
    def last_sign(self) -> datetime | None:
        """When its run was last heard of; None for one that never was."""
        signs = (self.heartbeat_at, self.last_report_at, self.claimed_at)
        return max((sign for sign in signs if sign is not None), default=None)

    @property
    def has_checkpoint_since_resume(self) -> bool:
        return self.checkpoint_at is not None and (
            self.resumed_at is None or self.checkpoint_at > self.resumed_at
        )

    @property
    def progress(self) -> float:
        return progress_of(self.status, self.total_steps, self.current_step)


def progress_of(status: str, total_steps: int | None, current_step: int | None) -> float:
    """Percent, two decimals. A completed job is at 100 wherever its steps ended."""
    if status == "completed":
        return 100.0
    if not total_steps or current_step is None:
        return 0.0
    return min(100.0, round(100.0 * current_step / total_steps, 2))


class JobEvent(SQLModel, table=True):
    """`key` is the run's own name for it, so that an event sent twice is one."""

    __tablename__ = "job_event"
    __table_args__ = (UniqueConstraint("job_pk", "attempt", "key"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    job_pk: int = link_to("job.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    at: datetime = time_column(required=True)
    attempt: int
    kind: str = Field(max_length=20)
    message: str
    step: int | None = Field(default=None, sa_type=BIG)
    details: dict[str, Any] = open_column()
    key: str | None = Field(default=None, max_length=100)


class JobLog(SQLModel, table=True):
    """One line of one attempt. The key's order is the order in which a log is read."""

    __tablename__ = "job_log"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = link_to("workspace.pk")
    at: datetime = Field(sa_type=UtcTime)
    level: str = Field(max_length=10)
    text: str
