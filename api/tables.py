"""Every table. Whatever belongs to somebody has `workspace_id`; read it through `api/access/owned.py`.

`pk` is the database's own number and never leaves it; `id` is what the world sees, unique in its workspace.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from ulid import ULID

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A time that carries its zone, UTC, on both databases; SQLite keeps no zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Clients count in 64 bits; SQLite numbers rows by themselves only in a column called INTEGER.
BIG = BigInteger()
ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# PostgreSQL's JSON, not its JSONB: that one writes 1e308 out in digits and forgets the order of a config's fields.
OPEN = JSON()


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    """A ULID: 26 characters that sort by time."""
    return str(ULID())


def _pk() -> Any:
    return Field(default=None, primary_key=True, sa_type=ROW_NUMBER)


def _link(target: str) -> Any:
    return Field(sa_type=ROW_NUMBER, foreign_key=target)


def _open() -> Any:
    return Field(default_factory=dict, sa_type=OPEN)


def _time(*, required: bool = False) -> Any:
    return Field(default_factory=now, sa_type=UtcTime) if required else Field(default=None, sa_type=UtcTime)


class Workspace(SQLModel, table=True):
    pk: int = _pk()
    name: str = Field(max_length=255, unique=True)
    created_at: datetime = _time(required=True)


class ApiKey(SQLModel, table=True):
    """`permissions` is what the scopes stood for when the key was made: a later table does not widen old keys."""

    __tablename__ = "api_key"

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(max_length=12, unique=True)
    digest: str = Field(max_length=64, repr=False)
    name: str = Field(max_length=255)
    scopes: list[str] = Field(sa_type=OPEN)
    permissions: list[str] = Field(sa_type=OPEN)
    created_at: datetime = _time(required=True)
    expires_at: datetime | None = _time()
    revoked_at: datetime | None = _time()

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now())


class Job(SQLModel, table=True):
    """The newest values of the current attempt are kept here, so that a list of jobs reads no metrics.

    `end_asked` is the end that the run itself asked for. A cancelling job that asked to be `completed` is stored
    as cancelled; asked again, because the answer was lost, it is answered the same.
    """

    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "flow_run_id"),
        Index(None, "workspace_id", "kind", "status"),
    )

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=100)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    status: str = Field(default="pending", max_length=20)
    stage: str | None = Field(default=None, max_length=500)
    model: str = Field(max_length=1024)
    dataset: str | None = Field(default=None, max_length=1024)
    config: dict[str, Any] = _open()
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
    best_eval_loss: float | None = None
    best_step: int | None = Field(default=None, sa_type=BIG)
    best_epoch: float | None = None
    tokens_per_second: float | None = None
    gpu_memory_allocated_gb: float | None = None
    error: str | None = None
    result: dict[str, Any] = _open()
    end_asked: str | None = Field(default=None, max_length=20)
    created_at: datetime = _time(required=True)
    claimed_at: datetime | None = _time()
    started_at: datetime | None = _time()
    ended_at: datetime | None = _time()
    last_report_at: datetime | None = _time()

    @property
    def progress(self) -> float:
        """Percent, two decimals. A completed job is at 100 wherever its steps ended."""
        if self.status == "completed":
            return 100.0
        if not self.total_steps or self.current_step is None:
            return 0.0
        return min(100.0, round(100.0 * self.current_step / self.total_steps, 2))


class Metric(SQLModel, table=True):
    """One step of one attempt. The key's order is the order in which a history is read."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    step: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: int = _link("workspace.pk")
    epoch: float | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    gpu_memory_allocated_gb: float | None = None
    gpu_memory_reserved_gb: float | None = None
    gpu_utilization_percent: float | None = None
    timestamp: datetime = Field(sa_type=UtcTime)
    extra: dict[str, float | None] = _open()


class Dataset(SQLModel, table=True):
    """`identity` is a digest of name, uri and sha256: together they are too long for an index."""

    __table_args__ = (UniqueConstraint("workspace_id", "id"), UniqueConstraint("workspace_id", "identity"))

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    identity: str = Field(max_length=64)
    name: str = Field(max_length=255)
    uri: str = Field(max_length=2048)
    sha256: str = Field(max_length=64)
    rows: int = Field(sa_type=BIG)
    created_at: datetime = _time(required=True)


class Artifact(SQLModel, table=True):
    """`identity` is a digest of everything that was said of it, and of its job: a repeated request stores one row."""

    __table_args__ = (UniqueConstraint("workspace_id", "id"), UniqueConstraint("workspace_id", "identity"))

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    identity: str = Field(max_length=64)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    uri: str = Field(max_length=2048)
    sha256: str | None = Field(default=None, max_length=64)
    size_bytes: int = Field(sa_type=BIG)
    base_model: str | None = Field(default=None, max_length=1024)
    parent_id: str | None = Field(default=None, max_length=26)
    job_id: str | None = Field(default=None, max_length=100)
    details: dict[str, Any] = _open()
    created_at: datetime = _time(required=True)


class TestSuite(SQLModel, table=True):
    """`sha256` is of the prompts, as canonical JSON."""

    __tablename__ = "test_suite"
    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "name", "sha256"),
    )
    __test__ = False  # pytest: not a test class

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    name: str = Field(max_length=255)
    description: str | None = None
    sha256: str = Field(max_length=64)
    prompt_count: int = Field(sa_type=BIG)
    prompts: list[dict[str, Any]] = Field(sa_type=OPEN)
    created_at: datetime = _time(required=True)


class TestRun(SQLModel, table=True):
    """What a job of kind batch_test has beside its job row. The counts follow the predictions."""

    __tablename__ = "test_run"
    __test__ = False

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = _link("workspace.pk")
    suite: str = Field(max_length=1024)
    suite_id: str | None = Field(default=None, max_length=26)
    completed_prompts: int = Field(default=0, sa_type=BIG)
    failed_prompts: int = Field(default=0, sa_type=BIG)
    passed_prompts: int = Field(default=0, sa_type=BIG)
    scored_prompts: int = Field(default=0, sa_type=BIG)
    score_sum: float = 0.0

    @property
    def score(self) -> float | None:
        """Mean over the prompts that have an outcome; one that failed counts as 0. None before the first."""
        return round(self.score_sum / self.scored_prompts, 6) if self.scored_prompts else None


class Prediction(SQLModel, table=True):
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    prompt_index: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    prompt: str
    expected: str
    response: str | None = None
    score: float | None = None
    passed: bool | None = None
    error: str | None = None
    input_tokens: int | None = Field(default=None, sa_type=BIG)
    output_tokens: int | None = Field(default=None, sa_type=BIG)
    latency_ms: float | None = None
    finish_reason: str | None = Field(default=None, max_length=40)


class HostSample(SQLModel, table=True):
    """One reading of a host; its cards as JSON, since they are only ever read together."""

    __tablename__ = "host_sample"
    __table_args__ = (UniqueConstraint("workspace_id", "host", "taken_at"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    host: str = Field(max_length=255)
    taken_at: datetime = Field(sa_type=UtcTime)
    cpu_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    driver_version: str | None = None
    no_gpu: str | None = None
    gpus: list[dict[str, Any]] = Field(sa_type=OPEN)
