"""Every table. Whatever belongs to somebody has `workspace_id`; read it through `api/access/owned.py`.

`pk` is the database's own number and never leaves it; `id` is what the world sees, unique in its workspace.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    UniqueConstraint,
    false,
)
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from ulid import ULID

from tuneyard.shapes import MAX_RESTARTS
from tuneyard.values import NOT_FINITE

GRACE = timedelta(minutes=10)  # how long after its end a job's late points are still taken

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


class AnyNumber(TypeDecorator[float]):
    """A float that need not be finite. SQLite stores NaN as NULL: there, what is not finite is its word in JSON."""

    impl = Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> Any:
        if value is None or math.isfinite(value) or dialect.name != "sqlite":
            return value
        return next(word for word, number in NOT_FINITE.items() if repr(number) == repr(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:  # noqa: ARG002
        return None if value is None else float(value)


# Clients count in 64 bits; SQLite numbers rows by themselves only in a column called INTEGER.
BIG = BigInteger()
ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# PostgreSQL's JSON, not its JSONB: that one writes 1e308 out in digits and forgets the order of a config's fields.
OPEN = JSON()


START = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def token_is_over(ended_at: datetime | None) -> bool:
    """Whether a job ended so long ago that its token is dead."""
    return ended_at is not None and now() > ended_at + GRACE


def new_id() -> str:
    """A ULID: 26 characters that sort by time."""
    return str(ULID())


def _pk() -> Any:
    return Field(default=None, primary_key=True, sa_type=ROW_NUMBER)


def _link(target: str) -> Any:
    return Field(sa_type=ROW_NUMBER, foreign_key=target)


def _open() -> Any:
    return Field(default_factory=dict, sa_type=OPEN)


def _reading() -> Any:
    return Field(default=None, sa_type=AnyNumber)


def _flag() -> Any:
    return Field(default=False, sa_column_kwargs={"server_default": false()})


def _list() -> Any:
    """A list in a column that was added later, which is why the database itself would let it be null."""
    return Field(default_factory=list, sa_type=OPEN, nullable=True)


def _count(start: int) -> Any:
    return Field(default=start, sa_column_kwargs={"server_default": str(start)})


def _time(*, required: bool = False) -> Any:
    return Field(default_factory=now, sa_type=UtcTime) if required else Field(default=None, sa_type=UtcTime)


class Workspace(SQLModel, table=True):
    pk: int = _pk()
    name: str = Field(max_length=255, unique=True)
    created_at: datetime = _time(required=True)


class User(SQLModel, table=True):
    """A person. `password_hash` is argon2's. A one-time password must be changed, and opens one log-in at most:
    from `password_expires_at` on it opens none."""

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    name: str = Field(max_length=100, unique=True)
    role: str = Field(max_length=20)
    password_hash: str = Field(max_length=255, repr=False)
    must_change_password: bool = True
    password_expires_at: datetime | None = _time()
    created_by: str | None = Field(default=None, max_length=100)
    created_at: datetime = _time(required=True)
    last_login_at: datetime | None = _time()
    disabled_at: datetime | None = _time()

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None


class LoginSession(SQLModel, table=True):
    """One log-in of one person. Its token is opaque, and stored as a digest."""

    __tablename__ = "session"

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    user_pk: int = Field(sa_column=Column(ROW_NUMBER, ForeignKey("user.pk"), index=True, nullable=False))
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    digest: str = Field(max_length=64, unique=True, repr=False)
    address: str | None = Field(default=None, max_length=100)
    agent: str | None = Field(default=None, max_length=255)
    created_at: datetime = _time(required=True)
    expires_at: datetime = Field(sa_type=UtcTime)
    last_used_at: datetime | None = _time()
    ended_at: datetime | None = _time()


class ApiKey(SQLModel, table=True):
    """`permissions` is what the names stood for when the key was made: a later table does not widen old keys.

    Keys that replaced one another are a line: `successor_id` is the next in it.
    """

    __tablename__ = "api_key"

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(max_length=12, unique=True)
    digest: str = Field(max_length=64, repr=False)
    name: str = Field(max_length=255)
    description: str | None = Field(default=None, max_length=2000)
    scopes: list[str] = Field(sa_type=OPEN)
    permissions: list[str] = Field(sa_type=OPEN)
    rate_limit: int | None = None
    successor_id: str | None = Field(default=None, max_length=12, unique=True)
    created_by: str | None = Field(default=None, max_length=100)
    created_by_id: str | None = Field(default=None, max_length=26)
    created_at: datetime = _time(required=True)
    updated_at: datetime = _time(required=True)
    expires_at: datetime | None = _time()
    revoked_at: datetime | None = _time()
    last_used_at: datetime | None = _time()
    usage_count: int = Field(default=0, sa_type=BIG)

    @property
    def key_prefix(self) -> str:
        return self.id

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    @property
    def is_valid(self) -> bool:
        return self.is_active and not self.is_expired


class AuditEvent(SQLModel, table=True):
    """Only ever added to: the database itself refuses to change or remove a row."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "workspace_id", "object_kind", "object_id"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    at: datetime = _time(required=True)
    actor_kind: str = Field(max_length=20)
    actor_id: str = Field(max_length=100)
    actor_name: str = Field(max_length=255)
    action: str = Field(max_length=50)
    object_kind: str = Field(max_length=30)
    object_id: str = Field(max_length=100)
    details: dict[str, Any] = _open()
    request_id: str | None = Field(default=None, max_length=26)
    address: str | None = Field(default=None, max_length=100)


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
    diverged: bool = _flag()
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
    heartbeat_at: datetime | None = _time()
    wait_reason: str | None = Field(default=None, max_length=500)
    gpu_uuids: list[str] = _list()
    gpu_leased_at: datetime | None = _time()
    gpu_released_at: datetime | None = _time()
    pids: list[int] = _list()
    restarts: int = _count(0)
    max_restarts: int = _count(MAX_RESTARTS)
    resumed_at: datetime | None = _time()
    resume_from: str | None = Field(default=None, max_length=1024)
    last_checkpoint: int | None = Field(default=None, sa_type=BIG)
    best_checkpoint: int | None = Field(default=None, sa_type=BIG)
    checkpoint_at: datetime | None = _time()
    run_key: str | None = Field(default=None, max_length=26)
    launched_at: datetime | None = _time()
    metrics_version: int = Field(default=0, sa_type=BIG, sa_column_kwargs={"server_default": "0"})
    artifact_id: str | None = Field(default=None, max_length=100)
    config_id: str | None = Field(default=None, max_length=100)
    labels: dict[str, str] = Field(
        default_factory=dict, sa_type=OPEN, sa_column_kwargs={"server_default": "{}"}
    )
    expires_at: datetime | None = _time()
    deleted_at: datetime | None = _time()

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

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    job_pk: int = _link("job.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    at: datetime = _time(required=True)
    attempt: int
    kind: str = Field(max_length=20)
    message: str
    step: int | None = Field(default=None, sa_type=BIG)
    details: dict[str, Any] = _open()
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
    workspace_id: int = _link("workspace.pk")
    at: datetime = Field(sa_type=UtcTime)
    level: str = Field(max_length=10)
    text: str


class Metric(SQLModel, table=True):
    """One step of one attempt. The key's order is the order in which a history is read.

    `timestamp` is in microseconds since 1970, UTC.
    """

    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    step: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: int = _link("workspace.pk")
    epoch: float | None = _reading()
    train_loss: float | None = _reading()
    eval_loss: float | None = _reading()
    learning_rate: float | None = _reading()
    grad_norm: float | None = _reading()
    samples_per_second: float | None = _reading()
    tokens_per_second: float | None = _reading()
    gpu_memory_allocated_gb: float | None = _reading()
    gpu_memory_reserved_gb: float | None = _reading()
    gpu_utilization_percent: float | None = _reading()
    timestamp: int = Field(sa_type=BIG)
    extra: dict[str, float | str] = _open()

    @property
    def at(self) -> datetime:
        return START + self.timestamp * timedelta(microseconds=1)


class MetricBucket(SQLModel, table=True):
    """The points of `width` steps, from `bucket * width` on, in one row: of each step the newest attempt's point.

    `columns` is JSON: {name: [n, min, max, sum]} of the finite numbers; `not_finite` counts the points with another.
    """

    __tablename__ = "metric_bucket"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    width: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    bucket: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = _link("workspace.pk")
    points: int = Field(sa_type=BIG)
    not_finite: int = Field(sa_type=BIG)
    columns: str


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
    version: int = _count(1)
    file_name: str | None = Field(default=None, max_length=255)
    size_bytes: int | None = Field(default=None, sa_type=BIG)
    created_at: datetime = _time(required=True)


class Config(SQLModel, table=True):
    """What a person keeps to ask for work with, again and again."""

    __table_args__ = (UniqueConstraint("workspace_id", "id"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=100)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    data: dict[str, Any] = _open()
    tags: list[str] = _list()
    created_at: datetime = _time(required=True)
    updated_at: datetime = _time(required=True)


class ConfigArtifact(SQLModel, table=True):
    """That an artifact belongs to a config: it was made with it, or somebody said so."""

    __tablename__ = "config_artifact"
    __table_args__ = ({"sqlite_with_rowid": False},)

    config_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("config.pk"), primary_key=True, autoincrement=False)
    )
    artifact_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("artifact.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = _link("workspace.pk")


class Artifact(SQLModel, table=True):
    """`identity` is a digest of everything that was said of it, and of its job: a repeated request stores one row."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "identity"),
        Index(None, "workspace_id", "parent_id"),
    )

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
    files: list[dict[str, Any]] = _list()
    created_at: datetime = _time(required=True)


class TestSuite(SQLModel, table=True):
    """One version of a suite; it never changes. `sha256` is of the prompts, as canonical JSON."""

    __tablename__ = "test_suite"
    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "name", "sha256"),
        Index(None, "workspace_id", "name", "version"),
    )
    __test__ = False  # pytest: not a test class

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    name: str = Field(max_length=255)
    description: str | None = None
    sha256: str = Field(max_length=64)
    version: int = _count(1)
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
    weight_sum: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    archived_at: datetime | None = _time()

    @property
    def score(self) -> float | None:
        """Mean over the prompts that have an outcome, by weight; one that failed counts as 0. None before the first."""
        return round(self.score_sum / self.weight_sum, 6) if self.weight_sum else None


class Prediction(SQLModel, table=True):
    """One answer: a batch test's at step 0, a model's in training at the step it was given at."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    step: int = Field(default=0, sa_column=Column(BIG, primary_key=True, autoincrement=False))
    prompt_index: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = _link("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    prompt: str
    expected: str | None = None
    response: str | None = None
    rendered: str | None = None
    template_sha256: str | None = Field(default=None, max_length=64)
    tags: list[str] = _list()
    weight: float = 1.0
    scores: dict[str, float] = _open()
    details: dict[str, Any] = _open()
    score: float | None = None
    passed: bool | None = None
    error: str | None = None
    input_tokens: int | None = Field(default=None, sa_type=BIG)
    output_tokens: int | None = Field(default=None, sa_type=BIG)
    latency_ms: float | None = None
    finish_reason: str | None = Field(default=None, max_length=40)


class ModelAlias(SQLModel, table=True):
    """A name that stands for an artifact; None once its first move was undone."""

    __tablename__ = "model_alias"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    name: str = Field(max_length=63)
    artifact_id: str | None = Field(default=None, max_length=26)
    updated_at: datetime = _time(required=True)


class AliasMove(SQLModel, table=True):
    """One move of an alias, and on what evidence; only ever added to."""

    __tablename__ = "alias_move"
    __table_args__ = (UniqueConstraint("workspace_id", "id"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    alias_pk: int = _link("model_alias.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    from_artifact_id: str | None = Field(default=None, max_length=26)
    to_artifact_id: str | None = Field(default=None, max_length=26)
    undoes: str | None = Field(default=None, max_length=26)
    evidence: dict[str, Any] = _open()
    reason: str | None = Field(default=None, max_length=2000)
    actor: str = Field(max_length=255)
    at: datetime = _time(required=True)


class HostSample(SQLModel, table=True):
    """One reading of a host; those of its cards are GpuSamples."""

    __tablename__ = "host_sample"
    __table_args__ = (UniqueConstraint("workspace_id", "host", "taken_at"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    host: str = Field(max_length=255)
    taken_at: datetime = Field(sa_type=UtcTime)
    interval_seconds: float | None = None
    cpu_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    driver_version: str | None = None
    no_gpu: str | None = None


class Gpu(SQLModel, table=True):
    """A host's card, or a MIG slice of one, and what its newest reading said.

    `holders` are [{"id", "attempt"}] of the jobs that had it then, `seen` says by pid whose its processes are, and
    `conditions` says by kind since when it is idle, lost, …, and in what words. What was read before `rolled_until`
    is summed up.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "host", "uuid"),)

    pk: int = _pk()
    workspace_id: int = _link("workspace.pk")
    host: str = Field(max_length=255)
    uuid: str = Field(max_length=100)
    taken_at: datetime | None = _time()
    reading: dict[str, Any] = _open()
    holders: list[dict[str, Any]] = Field(default_factory=list, sa_type=OPEN)
    seen: dict[str, str] = _open()
    conditions: dict[str, dict[str, str]] = _open()
    rolled_until: datetime | None = _time()


class GpuSample(SQLModel, table=True):
    """One reading of one card, or `samples` of them summed up."""

    __tablename__ = "gpu_sample"
    __table_args__ = ({"sqlite_with_rowid": False},)

    gpu_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("gpu.pk"), primary_key=True, autoincrement=False)
    )
    taken_at: datetime = Field(sa_column=Column(UtcTime, primary_key=True))
    workspace_id: int = _link("workspace.pk")
    samples: int = 1
    utilization_percent: float | None = None
    memory_utilization_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    ecc_corrected: float | None = None
    ecc_uncorrected: float | None = None
    pcie_sent_mb_s: float | None = None
    pcie_received_mb_s: float | None = None
    throttle: list[str] | None = Field(default=None, sa_type=OPEN)
    jobs: list[str] = Field(default_factory=list, sa_type=OPEN)
    error: str | None = None


class GpuUse(SQLModel, table=True):
    """What one attempt at a job has had of one card, added up as the readings come in: it outlives them."""

    __tablename__ = "gpu_use"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    gpu_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("gpu.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = _link("workspace.pk")
    name: str | None = None
    first_at: datetime = Field(sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime)
    seconds: float = 0.0
    measured_seconds: float = 0.0
    busy_seconds: float = 0.0
    counted_j: float | None = None
    integrated_j: float | None = None
    peak_memory_gb: float | None = None
