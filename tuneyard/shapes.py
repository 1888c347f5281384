"""Every shape that crosses the wire, used by the API and by the SDK alike.

Times are UTC and carry their zone. Sizes named `_gb` are GiB (2**30 bytes), as every GPU tool prints them.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class JobKind(StrEnum):
    FINETUNE = "finetune"
    BATCH_TEST = "batch_test"


class JobStatus(StrEnum):
    """pending: recorded. queued: claimed by a run that is still preparing. The last three are final."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


def _finite_or_none(value: Any) -> Any:
    """JSON has no NaN or infinity: a loss that is neither finite nor absent is stored as absent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_utc(value: datetime) -> datetime:
    """A time without a zone is taken as UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time between the years 1 and 9999 in UTC") from None


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]
Utc = Annotated[datetime, AfterValidator(_as_utc)]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Shape(BaseModel):
    """What is read. A field that a newer server adds is ignored by an older client."""

    model_config = ConfigDict(protected_namespaces=(), from_attributes=True)


class Request(BaseModel):
    """What is sent. An unknown field is refused by name."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid", allow_inf_nan=False)


LONGEST_ERROR = 20_000  # characters
LONGEST_STAGE = 500

Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """One page of a list, and how many there are in all."""

    items: list[Item]
    total: int
    limit: int
    offset: int


# Jobs


class NewJob(Request):
    """`flow_run_id` makes creation safe to repeat: the same run records one job."""

    id: ClientId | None = None
    kind: JobKind = JobKind.FINETUNE
    name: str | None = Field(None, max_length=255)
    model: str = Field(min_length=1, max_length=1024)
    dataset: str | None = Field(None, max_length=1024)
    config: dict[str, Any] = Field(default_factory=dict)
    total_steps: int | None = Field(None, ge=0)
    flow_run_id: str | None = Field(None, max_length=64)


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
    tokens_per_second: float | None = None
    gpu_memory_allocated_gb: float | None = None
    error: str | None = None
    result: dict[str, Any] = Field(default_factory=dict)
    created_at: Utc
    claimed_at: Utc | None = None
    started_at: Utc | None = None
    ended_at: Utc | None = None
    last_report_at: Utc | None = None


class Claim(Request):
    """Who takes the job: shown to whoever asks where it runs."""

    host: str = Field(max_length=255)
    pid: int = Field(ge=0)
    flow_run_id: str | None = Field(None, max_length=64)


class Claimed(Shape):
    """The answer to a claim. `job_token` (43 characters) is shown here and nowhere else."""

    job: Job
    attempt: int
    job_token: str


class JobFacts(Request):
    """What a run learns as it goes; a field left out stays as it is."""

    stage: str | None = Field(None, max_length=LONGEST_STAGE)
    device: str | None = Field(None, max_length=255)
    current_step: int | None = Field(None, ge=0)
    total_steps: int | None = Field(None, ge=0)
    total_epochs: float | None = Field(None, ge=0)
    suite_id: str | None = Field(None, description="Of a batch test only: the suite, once it has been read.")


class JobEnd(Request):
    status: Literal["completed", "failed", "cancelled"]
    error: str | None = Field(None, max_length=LONGEST_ERROR)
    result: dict[str, Any] = Field(default_factory=dict)


# Metrics


class MetricPoint(Request):
    """One step's numbers. Anything beyond the named columns goes in `extra`."""

    step: int = Field(ge=0, le=2**53)
    epoch: Number = None
    train_loss: Number = None
    eval_loss: Number = None
    learning_rate: Number = None
    grad_norm: Number = None
    samples_per_second: Number = None
    tokens_per_second: Number = None
    gpu_memory_allocated_gb: Number = None
    gpu_memory_reserved_gb: Number = None
    gpu_utilization_percent: Number = None
    timestamp: Utc | None = None
    extra: dict[str, Number] = Field(default_factory=dict)


class MetricBatch(Request):
    metrics: list[MetricPoint] = Field(min_length=1, max_length=5000)


class MetricRow(Shape):
    """A stored point; `timestamp` is the trainer's, or the server's where the trainer sent none."""

    attempt: int
    step: int
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
    timestamp: Utc
    extra: dict[str, float | None] = Field(default_factory=dict)


class Reported(Shape):
    """The answer to a metric or prediction write. A trainer that reads `cancelling` stops."""

    success: bool = True
    count: int
    job_status: JobStatus


# Data sets, artifacts


class NewDataset(Request):
    name: str = Field(min_length=1, max_length=255)
    uri: str = Field(max_length=2048)
    sha256: Sha256
    rows: int = Field(ge=0)


class Dataset(Shape):
    id: str
    name: str
    uri: str
    sha256: str
    rows: int
    created_at: Utc


class NewArtifact(Request):
    kind: Literal["model", "report"] = "model"
    name: str = Field(min_length=1, max_length=255)
    uri: str = Field(max_length=2048, description="Where it lies: a path on the host that made it, or a URL.")
    sha256: Sha256 | None = None
    size_bytes: int = Field(ge=0)
    base_model: str | None = Field(None, max_length=1024)
    parent_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Artifact(Shape):
    id: str
    kind: str
    name: str
    uri: str
    sha256: str | None = None
    size_bytes: int
    base_model: str | None = None
    parent_id: str | None = None
    job_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    created_at: Utc


# Batch tests


class Prompt(Request):
    prompt: str = Field(min_length=1)
    expected: str
    tags: list[str] = Field(default_factory=list)


class NewSuite(Request):
    """Recording the same content under the same name again answers the suite that is there."""

    name: str = Field(min_length=1, max_length=255)
    description: str | None = None
    prompts: list[Prompt] = Field(min_length=1, max_length=100_000)


class Suite(Shape):
    """`prompts` is left out (null) in lists."""

    id: str
    name: str
    description: str | None = None
    sha256: str
    prompt_count: int
    prompts: list[Prompt] | None = None
    created_at: Utc


class NewBatchTest(Request):
    """`suite` is the suite as the caller wrote it: a file or an id. A run that has read it says which by `JobFacts`."""

    suite: str = Field(min_length=1, max_length=1024)
    suite_id: str | None = None
    model: str = Field(min_length=1, max_length=1024)
    name: str | None = Field(None, max_length=255)
    config: dict[str, Any] = Field(default_factory=dict)
    total_prompts: int | None = Field(None, ge=1)
    flow_run_id: str | None = Field(None, max_length=64)


class BatchTest(Shape):
    """A batch test is a job of kind `batch_test` with the same id: claim, cancel and end it as a job."""

    id: str
    name: str
    status: JobStatus
    stage: str | None = None
    model: str
    suite: str = Field(description="The suite as it was asked for: a file or an id.")
    suite_id: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    total_prompts: int | None = None
    completed_prompts: int = Field(0, description="Answered without an error.")
    failed_prompts: int = Field(0, description="Ended with their own error.")
    passed_prompts: int = Field(0, description="Answered, and scored as right.")
    score: float | None = Field(None, description="Mean score of the prompts that have an outcome, 0 to 1.")
    error: str | None = None
    flow_run_id: str | None = None
    created_at: Utc
    started_at: Utc | None = None
    ended_at: Utc | None = None


class NewPrediction(Request):
    prompt_index: int = Field(ge=0)
    prompt: str
    expected: str
    response: str | None = None
    score: float | None = Field(None, ge=0, le=1)
    passed: bool | None = None
    error: str | None = None
    input_tokens: int | None = Field(None, ge=0)
    output_tokens: int | None = Field(None, ge=0)
    latency_ms: float | None = Field(None, ge=0)
    finish_reason: str | None = Field(None, max_length=40)


class PredictionBatch(Request):
    predictions: list[NewPrediction] = Field(min_length=1, max_length=1000)


class Prediction(Shape):
    id: str
    prompt_index: int
    prompt: str
    expected: str
    response: str | None = None
    score: float | None = None
    passed: bool | None = None
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    finish_reason: str | None = None


# GPUs and hosts


class GpuSample(Request):
    """One reading of one card; a counter that the card does not have is null."""

    uuid: str = Field(max_length=100)
    index: int = Field(ge=0)
    name: str | None = None
    utilization_percent: Number = None
    memory_used_gb: Number = None
    memory_total_gb: Number = None
    temperature_c: Number = None
    power_w: Number = None
    process_pids: list[int] = Field(default_factory=list)
    error: str | None = Field(None, description="Why the card could not be read, if it could not.")


class HostSample(Request):
    """One reading of one host and every card in it. `no_gpu` says why `gpus` is empty."""

    host: str = Field(min_length=1, max_length=255)
    taken_at: Utc
    cpu_percent: Number = None
    memory_used_gb: Number = None
    memory_total_gb: Number = None
    driver_version: str | None = None
    no_gpu: str | None = None
    gpus: list[GpuSample] = Field(default_factory=list)


class HostSampleBatch(Request):
    samples: list[HostSample] = Field(min_length=1, max_length=1000)


class Stored(Shape):
    count: int


# Keys, system


class NewApiKey(Request):
    """`scopes` are names of permission sets: training, testing, production, worker, all, admin."""

    name: str = Field(min_length=1, max_length=255)
    scopes: list[str] = Field(min_length=1)
    expires_in_days: int | None = Field(90, gt=0, le=3650, description="null: never.")


class ApiKey(Shape):
    id: str = Field(description="The key's public id: the 12 characters after `wak_`; what logs show.")
    name: str
    scopes: list[str]
    permissions: list[str]
    is_active: bool
    created_at: Utc
    expires_at: Utc | None = None
    revoked_at: Utc | None = None


class CreatedApiKey(ApiKey):
    """The only answer that ever holds `key`."""

    key: str


class Health(Shape):
    status: Literal["healthy", "unhealthy"]
    checks: dict[str, str]


class System(Shape):
    current_time: Utc
    timezone: str
    python_version: str
    platform: str
    hostname: str
    tuneyard_version: str
