"""Every shape that crosses the wire, used by the API and by the SDK alike.

Times are UTC and carry their zone. Sizes named `_gb` are GiB (2**30 bytes), as every GPU tool prints them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    computed_field,
    field_validator,
    model_validator,
)

from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.config_words import FORM
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.values import (
    Amount,
    ArtifactId,
    Cell,
    ClientId,
    Column,
    Count,
    Counter,
    CountFromOne,
    Days,
    Flag,
    GpuUuid,
    Grace,
    InnerPath,
    Interval,
    JsonObject,
    Labels,
    Number,
    Quota,
    Reading,
    Readings,
    Restarts,
    Seconds,
    Sha256,
    Text,
    Time,
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


class Shape(BaseModel):
    """What is read. A field that a newer server adds is ignored by an older client."""

    model_config = ConfigDict(protected_namespaces=(), from_attributes=True)


class Request(BaseModel):
    """What is sent. An unknown field is refused by name."""

    model_config = ConfigDict(
        protected_namespaces=(), extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


LONGEST_ERROR = 20_000  # characters
LONGEST_STAGE = 500
MAX_RESTARTS = 2

Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """One page of a list, and how many there are in all."""

    items: list[Item]
    total: int
    limit: int
    offset: int

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from tuneyard.notebook import page_html

        return page_html(self.items, self.total, self.offset)


class NumberedPage(Shape, Generic[Item]):
    """The same where `page` and `size` were asked for: `page` counts from 1 to `pages`."""

    items: list[Item]
    total: int
    page: int
    size: int

    @computed_field
    def pages(self) -> int:
        return -(-self.total // self.size)


# Exactly one of a request's `config` and `config_id`, in the words of JSON Schema.
_GIVEN: dict[str, JsonValue] = {
    "required": ["config"],
    "properties": {"config": {"type": "object"}, "config_id": {"type": "null"}},
}
_KEPT: dict[str, JsonValue] = {
    "required": ["config_id"],
    "properties": {"config_id": {"type": "string"}, "config": {"type": "null"}},
}

_OLDER: dict[str, JsonValue] = {
    "required": ["model_artifact_id"],
    "properties": {"model_artifact_id": {"type": "string"}, "artifact_id": {"type": "null"}},
}
_NEWER: dict[str, JsonValue] = {
    "required": ["artifact_id"],
    "properties": {"artifact_id": {"type": "string"}, "model_artifact_id": {"type": "null"}},
}


# Jobs


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
        times = (self.claimed_at, self.launched_at, self.started_at, self.last_report_at, self.heartbeat_at)
        return max(time for time in (self.created_at, *times, self.resumed_at, self.ended_at) if time)

    @computed_field
    def error_traceback(self) -> str | None:
        """`error`, where it has a traceback in it."""
        return self.error if self.error and "Traceback" in self.error else None


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


# A job's life


class Heartbeat(Request):
    """Sent every 10 s while a run is alive, also while it waits. Without `wait_reason` it does not wait; what else is
    left out stays as it is."""

    stage: Text | None = Field(None, max_length=LONGEST_STAGE)
    wait_reason: Text | None = Field(None, max_length=LONGEST_STAGE)
    gpu_uuids: list[GpuUuid] | None = Field(
        None, max_length=64, description="The cards it holds; none: it has let them go."
    )
    pids: list[Count] | None = Field(None, max_length=1000)


class Beat(Shape):
    """A run that reads `cancelling` or `pausing` stops; one that is answered with 401 has been replaced."""

    job_status: JobStatus
    at: Utc


class JobEventKind(StrEnum):
    """The first are a run's to tell; the others are added where they happen, in the record."""

    WAITING = "waiting"
    LEASED = "leased"
    STARTED = "started"
    CHECKPOINT = "checkpoint"
    OOM_BACKOFF = "oom_backoff"
    WATCHDOG = "watchdog"
    EVALUATED = "evaluated"
    GPU_RELEASED = "gpu_released"
    RESUMED = "resumed"
    CLAIMED = "claimed"
    PAUSE_ASKED = "pause_asked"
    PAUSED = "paused"
    CANCEL_ASKED = "cancel_asked"
    LOST = "lost"
    REQUEUED = "requeued"
    ENDED = "ended"


RunEventKind = Literal[
    "waiting",
    "leased",
    "started",
    "checkpoint",
    "oom_backoff",
    "watchdog",
    "evaluated",
    "gpu_released",
    "resumed",
]


class NewJobEvent(Request):
    """`key`: sent again under the same key, by the same attempt, it is one event.

    A `checkpoint` names its `step`; `details: {"best": true}` marks the best one so far.
    """

    kind: RunEventKind
    message: Text = Field(min_length=1, max_length=2000)
    step: Count | None = None
    details: JsonObject = Field(default_factory=dict)
    at: Time | None = Field(None, description="When it happened; default: now.")
    key: Text | None = Field(None, min_length=1, max_length=100)


class JobEventBatch(Request):
    events: list[NewJobEvent] = Field(min_length=1, max_length=500)


class JobEvent(Shape):
    id: str
    at: Utc
    attempt: int
    kind: JobEventKind
    message: str
    step: int | None = None
    details: dict[str, Any] = Field(default_factory=dict)


LogLevel = Literal["debug", "info", "warning", "error"]


class NewLogLine(Request):
    """`number` counts the attempt's lines: sent again under the same number, it is one line."""

    number: Count
    at: Time
    level: LogLevel = "info"
    text: Text = Field(max_length=10_000)


class LogBatch(Request):
    lines: list[NewLogLine] = Field(min_length=1, max_length=1000)


class LogLine(Shape):
    attempt: int
    number: int
    at: Utc
    level: LogLevel
    text: str


class NewJobError(Request):
    """One thing that went wrong, where it can be put right, and how."""

    kind: Literal["bad_input", "work_failed", "lost", "oom", "diverged", "cancelled", "surprise"]
    message: Text = Field(min_length=1, max_length=LONGEST_ERROR)
    file: Text | None = Field(None, max_length=2048)
    line: CountFromOne | None = None
    field: Text | None = Field(None, max_length=255)
    hint: Text | None = Field(None, max_length=2000, description="What to do about it.")


class JobError(Shape):
    at: Utc
    attempt: int
    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    hint: str | None = None


class Resume(Request):
    """Where to begin and what to change; with nothing said it goes on from the newest whole checkpoint, as it was.
    A `checkpoint` that is named decides, whatever `from_best` says."""

    checkpoint: Text | None = Field(
        None, min_length=1, max_length=1024, description="For example checkpoint-500."
    )
    from_best: Flag = False
    config: JsonObject | None = Field(None, description="Fields of the config that are to be different.")
    max_restarts: Restarts | None = None


class LostRun(Request):
    """A run that somebody knows to be dead. It is named by its attempt; one that died before it took its job, by the
    `flow_run_id` that the job still has. What is not the job's newest changes nothing."""

    job_id: Text = Field(min_length=1, max_length=100)
    attempt: Count
    flow_run_id: Text | None = Field(None, max_length=64)
    reason: Text = Field(min_length=1, max_length=1000)
    handed_back: Flag = Field(
        False, description="It let go in good order, its worker being stopped: the restart does not count."
    )


class CloseLost(Request):
    """`silent_seconds`: how long nothing may be heard of a job's run; null: only the `runs` that are named."""

    silent_seconds: Seconds | None = 60
    runs: list[LostRun] = Field(default_factory=list, max_length=1000)


class Launched(Request):
    """The run that Prefect made for the job's `run_key`."""

    run_key: Text = Field(max_length=26)
    flow_run_id: Text = Field(min_length=1, max_length=64)


class Asking(Request):
    """What is to be done stands in `config`, or is kept under `config_id`: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_GIVEN, _KEPT]})

    config_id: ClientId | None = Field(None, description="In place of `config`: one that is kept.")

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (getattr(self, "config", None) is None) == (self.config_id is None):
            raise ValueError("give either config or config_id")
        return self


class StartRequest(Asking):
    """`id`: asked again under the same id, it is one job."""

    name: Text | None = Field(None, min_length=1, max_length=255, description="In place of the config's own.")
    id: ClientId | None = None


class Table(Request):
    """Rows of equally many cells, in the order of `columns`."""

    columns: list[Column] = Field(min_length=1, max_length=1000)
    data: list[list[Cell]] = Field(max_length=100_000)


def _trained_form(config: Any) -> str:
    method = config.get("method") if isinstance(config, dict) else getattr(config, "method", None)
    return FORM + ("tabular" if method == "tabular" else "finetune")


# What is trained says `method: tabular`, or is a fine-tune.
TrainConfig = Annotated[
    Annotated[FinetuneConfig, Tag(FORM + "finetune")]
    | Annotated[TabularConfig, Tag(FORM + "tabular"), Field(json_schema_extra={"required": ["method"]})],
    Discriminator(_trained_form),
]
Geo = Annotated[
    JsonObject | None, Field(description="GeoJSON of the places that rows are about; nothing here reads it.")
]


class TrainRequest(StartRequest):
    """`data`: the rows to train on, in place of the config's `dataset`; they are kept as a data set."""

    config: TrainConfig | None = None
    data: Table | None = None
    geo: Geo = None


class PredictRequest(StartRequest):
    config: PredictConfig | None = None


class PredictRows(Request):
    """Rows for a model that is an artifact: the columns that it was trained by or, for a language model, `prompt`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_NEWER, _OLDER]})

    model_artifact_id: ClientId | None = None
    artifact_id: ClientId | None = Field(None, description="The same as `model_artifact_id`.")
    historic: Table | None = Field(None, description="What came before; a model of rows has no use for it.")
    future: Table = Field(description="What is predicted from; it may be empty.")
    geo: Geo = None
    name: Text | None = Field(None, min_length=1, max_length=255)
    id: ClientId | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model_artifact_id is None) == (self.artifact_id is None):
            raise ValueError("give either model_artifact_id or artifact_id")
        return self


class Started(Job):
    """A job that has been asked for. `artifact_id` is what it makes, once it is completed."""

    job_id: str
    message: str
    model_artifact_id: str | None = None
    prediction_artifact_id: str | None = None


class MergeRequest(StartRequest):
    config: MergeConfig | None = None


class ValidateRequest(Asking):
    config: JsonObject | None = None
    kind: Literal["finetune", "batch_test", "tabular", "predict"] = "finetune"
    run: Flag = Field(
        False,
        description="Of a fine-tune's: also start the `check` flow, which looks at the model and the data.",
    )


# Metrics


class MetricPoint(Request):
    """One step's numbers. Anything beyond the named columns goes in `extra`.

    A number that is not finite is kept: in JSON it is "NaN", "Infinity" or "-Infinity", here as in every answer.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    step: Count
    epoch: Reading = None
    train_loss: Reading = None
    eval_loss: Reading = None
    learning_rate: Reading = None
    grad_norm: Reading = None
    samples_per_second: Reading = None
    tokens_per_second: Reading = None
    gpu_memory_allocated_gb: Reading = None
    gpu_memory_reserved_gb: Reading = None
    gpu_utilization_percent: Reading = None
    timestamp: Time | None = None
    extra: Readings = Field(default_factory=dict)


class MetricBatch(Request):
    """All of them are stored, or, where one is wrong, none: the answer names it as `metrics.INDEX.FIELD`."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    metrics: list[MetricPoint] = Field(min_length=1, max_length=5000)


class MetricRow(Shape):
    """A stored point; `timestamp` is the trainer's, or the server's where the trainer sent none."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    attempt: int
    step: int
    epoch: Reading = None
    train_loss: Reading = None
    eval_loss: Reading = None
    learning_rate: Reading = None
    grad_norm: Reading = None
    samples_per_second: Reading = None
    tokens_per_second: Reading = None
    gpu_memory_allocated_gb: Reading = None
    gpu_memory_reserved_gb: Reading = None
    gpu_utilization_percent: Reading = None
    timestamp: Utc
    extra: dict[str, Reading] = Field(default_factory=dict)


class MetricPage(Page[MetricRow]):
    """`next_cursor` gives the page after this one, however many points come meanwhile; null: this is the last."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    next_cursor: str | None = None


class MetricColumns(Shape):
    """A page of points, column by column: `step` and what was asked for, each a list of the same length.

    `timestamp` is in microseconds since 1970, UTC: what charts and data frames count in.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    columns: dict[str, list[Any]]
    total: int
    limit: int
    offset: int
    next_cursor: str | None = None


class Summary(Shape):
    """One column's finite numbers, bucket by bucket; null where a bucket has none of them."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    n: list[int]
    min: list[Reading]
    max: list[Reading]
    mean: list[Reading]


class MetricBuckets(Shape):
    """A history in at most as many buckets as were asked for, each `width` steps wide, by its first step.

    `not_finite` counts the points that hold a number which is not finite.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    width: int
    total: int
    step: list[int]
    points: list[int]
    not_finite: list[int]
    columns: dict[str, Summary]


class Reported(Shape):
    """The answer to a metric or prediction write. A trainer that reads `cancelling` stops."""

    success: bool = True
    count: int
    job_status: JobStatus


# Data sets, artifacts


class NewDataset(Request):
    name: Text = Field(min_length=1, max_length=255)
    uri: Text = Field(max_length=2048)
    sha256: Sha256
    rows: Count


class Dataset(Shape):
    id: str
    name: str
    uri: str
    sha256: str
    rows: int = Field(
        description="Of an uploaded one: its lines that are not blank; 0 for JSON, Parquet and what is packed, "
        "which nobody counted."
    )
    version: int = Field(1, description="Counts what was uploaded under one name.")
    file_name: str | None = Field(None, description="Of an uploaded one, which `$download` gives back.")
    size_bytes: int | None = None
    created_at: Utc


class KeptFile(Request):
    """One file of a folder that is kept; `path` is relative to the folder, with `/` between its parts."""

    path: InnerPath
    size_bytes: Count
    sha256: Sha256


class NewArtifact(Request):
    """`kind`: base, a model that others are made from and that nobody here trained; model, a whole fine-tuned one;
    adapter, which needs its base; merged, an adapter added into its base; tabular, a model of a table's columns;
    predictions, what a model made of given input. What is small enough lies in `details`."""

    id: ArtifactId | None = Field(
        None, description="Default: what the run's job was given for it, if that is free; or one of ours."
    )
    kind: Literal["base", "model", "adapter", "merged", "tabular", "predictions", "report"] = "model"
    name: Text = Field(min_length=1, max_length=255)
    uri: Text = Field(
        max_length=2048, description="Where it lies: a path on the host that made it, or a URL."
    )
    sha256: Sha256 | None = None
    size_bytes: Count
    base_model: Text | None = Field(None, max_length=1024)
    parent_id: Text | None = None
    details: JsonObject = Field(default_factory=dict)
    files: list[KeptFile] = Field(
        default_factory=list,
        max_length=10_000,
        description="What lies under `uri`, and can be downloaded: each path once; `size_bytes` is their sum.",
    )


class NewArtifactData(Request):
    """An artifact that is nothing but what is said of it, in seed 002's words."""

    id: ArtifactId | None = None
    data: JsonObject
    parent_id: Text | None = None
    level: Count | None = Field(None, description="Is counted here, whatever is said.")


class Artifact(Shape):
    """Lists and trees leave `predictions` out of `details` and `data`."""

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
    level: int = Field(0, description="How many ancestors it has.")
    created_at: Utc

    @computed_field
    def data(self) -> dict[str, Any]:
        """`details`, under the name that seed 002's clients know."""
        return self.details

    @computed_field
    def updated_at(self) -> Utc:
        """An artifact does not change."""
        return self.created_at

    def without_content(self) -> Self:
        """For lists."""
        light = {name: value for name, value in self.details.items() if name != "predictions"}
        return self.model_copy(update={"details": light})


class ArtifactMetadata(Shape):
    """How an artifact was made."""

    status: Literal["success"] = "success"
    config_id: str | None = None
    started_at: Utc | None = None
    completed_at: Utc | None = None
    duration_seconds: float | None = Field(None, description="Two decimals.")
    model_type: str | None = None
    model_size_bytes: int | None = None


class ArtifactTree(Artifact):
    """An artifact and all that was made from it, oldest first."""

    children: list[ArtifactTree] = Field(default_factory=list)


class LinkedArtifact(Request):
    artifact_id: ClientId


# Configs that are kept

ConfigKind = Literal["finetune", "batch_test", "merge", "pipeline", "tabular", "predict"]
ConfigTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,99}$")]


class _Keeping(Request):
    id: ClientId | None = Field(None, description="Sent again under the same id, it is one config.")
    name: Text = Field(min_length=1, max_length=255)
    tags: list[ConfigTag] = Field(default_factory=list, max_length=50)


class NewFinetuneConfig(_Keeping):
    kind: Literal["finetune"] = "finetune"
    data: FinetuneConfig


class NewBatchTestConfig(_Keeping):
    kind: Literal["batch_test"]
    data: BatchTestConfig


class NewMergeConfig(_Keeping):
    kind: Literal["merge"]
    data: MergeConfig


class NewPipelineConfig(_Keeping):
    kind: Literal["pipeline"]
    data: PipelineConfig


class NewTabularConfig(_Keeping):
    """Also what says no `kind`, and in `data` nothing but fields of this kind: seed 002's clients write `{}`."""

    kind: Literal["tabular"] = "tabular"
    data: TabularConfig


class NewPredictConfig(_Keeping):
    kind: Literal["predict"]
    data: PredictConfig


NewConfig = (
    NewFinetuneConfig
    | NewBatchTestConfig
    | NewMergeConfig
    | NewPipelineConfig
    | NewTabularConfig
    | NewPredictConfig
)


class KeptConfig(Shape):
    """`data` as it was given: what it leaves out is whatever the default is when work is asked for."""

    id: str
    kind: ConfigKind
    name: str
    data: dict[str, Any]
    tags: list[str] = Field(default_factory=list)
    created_at: Utc
    updated_at: Utc


class ExpandedArtifact(Artifact):
    """An artifact, and the config that its oldest ancestor was made with, if that is kept."""

    level_label: str
    hierarchy: str | None = None
    children: None = None
    config: KeptConfig | None = None


# GPUs and hosts


class GpuProcess(Request):
    """A process on a card, as seen from the host that the card is in; a container does not see those of others."""

    pid: Count
    memory_gb: Counter = None
    name: Text | None = Field(None, max_length=255)
    parents: list[Count] = Field(
        default_factory=list, max_length=100, description="Its parent's pid, that one's parent's, and so on."
    )
    flow_run_id: Text | None = Field(
        None, max_length=64, description="The Prefect run that it says to be a part of."
    )


ThrottleReason = Literal[
    "idle",
    "clocks_setting",
    "power_cap",
    "hw_slowdown",
    "sync_boost",
    "thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clock",
]


class GpuCounters(BaseModel):
    """What one card says of itself; a counter that it does not have is null."""

    utilization_percent: Counter = None
    memory_utilization_percent: Counter = Field(
        None, description="Part of the time in which memory was read or written."
    )
    memory_used_gb: Counter = None
    memory_total_gb: Counter = None
    temperature_c: Counter = None
    power_w: Counter = None
    power_limit_w: Counter = None
    energy_j: Counter = Field(None, description="All that it has used since its driver was loaded.")
    sm_clock_mhz: Counter = None
    memory_clock_mhz: Counter = None
    throttle: list[ThrottleReason] | None = Field(None, description="What holds its clocks down.")
    ecc_corrected: Counter = Field(None, description="Errors in its memory since its driver was loaded.")
    ecc_uncorrected: Counter = None
    pcie_sent_mb_s: Counter = None
    pcie_received_mb_s: Counter = None
    error: Text | None = Field(
        None, description="Why the card, or some of its counters, could not be read, if so."
    )


class GpuSample(GpuCounters, Request):
    """One reading of one card, or of one MIG slice of it: a slice has memory and processes of its own alone."""

    uuid: GpuUuid
    index: Count
    name: Text | None = None
    card_uuid: GpuUuid | None = Field(None, description="Of a slice: the card that it is a part of.")
    mig: Flag = Field(False, description="In MIG mode: its slices do the work.")
    processes: list[GpuProcess] = Field(default_factory=list, max_length=1000)


class HostSample(Request):
    """One reading of one host and every card in it. `no_gpu` says why `gpus` is empty."""

    host: Text = Field(min_length=1, max_length=255)
    taken_at: Time
    interval_seconds: Interval | None = Field(
        None, description="How far apart this host's readings are meant to be."
    )
    cpu_percent: Number = None
    memory_used_gb: Number = None
    memory_total_gb: Number = None
    driver_version: Text | None = None
    no_gpu: Text | None = None
    gpus: list[GpuSample] = Field(default_factory=list, max_length=256)


class HostSampleBatch(Request):
    samples: list[HostSample] = Field(min_length=1, max_length=1000)


class GpuFinding(Shape):
    """What somebody should look at. idle: no use, leased or free. zombie: memory that no live job accounts for.
    foreign: processes of no job. lost: it can no longer be read. silent: nobody reads it."""

    kind: Literal["idle", "zombie", "foreign", "lost", "silent"]
    since: Utc
    message: str


class Gpu(GpuCounters, Shape):
    """A card, or a MIG slice of one, as it was when it was last read."""

    uuid: str
    index: int
    name: str | None = None
    card_uuid: str | None = None
    mig: bool = False
    taken_at: Utc
    processes: list[GpuProcess] = Field(default_factory=list)
    jobs: list[str] = Field(
        default_factory=list, description="The jobs that have it, by lease or by process."
    )
    findings: list[GpuFinding] = Field(default_factory=list)


class GpuHost(Shape):
    """A host as it was when it was last read, and its cards."""

    host: str
    taken_at: Utc
    interval_seconds: float | None = None
    cpu_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    driver_version: str | None = None
    no_gpu: str | None = None
    gpus: list[Gpu] = Field(default_factory=list)


class GpuReading(GpuCounters, Shape):
    """One reading out of a card's history, or five minutes' worth of them: then use, power, clocks and PCIe are
    means, memory and temperature are the highest, `samples` says of how many."""

    taken_at: Utc
    samples: int = 1
    jobs: list[str] = Field(default_factory=list)


class GpuUse(Shape):
    """What a job had of cards. Shared by several jobs, a card's time and energy are parted among them; a MIG slice
    counts as its part of the card's memory."""

    gpu_hours: float = 0.0
    utilization_percent: float | None = Field(None, description="Mean over the time.")
    energy_wh: float | None = None
    energy_source: Literal["counter", "power", "both"] | None = Field(
        None, description="The card's own counter, or its power over the time."
    )
    peak_memory_gb: float | None = Field(None, description="The most on one card.")
    cost: float | None = Field(
        None, description="By the API's tariff, if it has one and what it prices is known."
    )


class CardUse(GpuUse):
    """One attempt's use of one card."""

    attempt: int
    host: str
    uuid: str
    name: str | None = None
    first_at: Utc
    last_at: Utc


class JobGpu(GpuUse):
    """All that a job had, and each card of each attempt by itself."""

    job_id: str
    currency: str | None = None
    cards: list[CardUse] = Field(default_factory=list)


class Stored(Shape):
    count: int


# Keys


class NewApiKey(Request):
    """What the key may do is named by any of `permission_set`, `permissions` and `scopes`; at least one is needed.

    With a `permission_set`, `permissions` is ignored. `GET /api-keys/permission-sets` lists every name.
    """

    name: Text = Field(min_length=1, max_length=255)
    description: Text | None = Field(None, max_length=2000)
    permission_set: Text | None = Field(None, min_length=1, max_length=100)
    permissions: list[Text] | None = Field(None, max_length=100)
    scopes: list[Text] | None = Field(None, max_length=100)
    expires_in_days: Days | None = Field(90, description="null: never.")
    rate_limit: Quota | None = Field(
        None, description="Requests in one window; null: the server's own limit."
    )


class KeyChanges(Request):
    """A field left out stays as it is. What the key may do is replaced as a whole by what is named here."""

    name: Text | None = Field(None, min_length=1, max_length=255)
    description: Text | None = Field(None, max_length=2000)
    permission_set: Text | None = Field(None, min_length=1, max_length=100)
    permissions: list[Text] | None = Field(None, max_length=100)
    scopes: list[Text] | None = Field(None, max_length=100)
    rate_limit: Quota | None = None


class KeyExtension(Request):
    expires_in_days: Days = Field(90, description="Counted from now.")


class KeyRotation(Request):
    """`grace` is how long the old key goes on beside the new one: a number and s, m, h or d; at most 30 days."""

    grace: Grace = "24h"
    expires_in_days: Days | None = Field(
        None, description="Of the new key; null: as long as the old one was given."
    )


class ApiKey(Shape):
    id: str = Field(description="The key's public id: the 12 characters after `wak_`; what logs show.")
    key_prefix: str = Field(description="The public id, under the name that older clients know.")
    name: str
    description: str | None = None
    permissions: list[str]
    scopes: list[str]
    rate_limit: int | None = None
    is_active: bool = Field(description="Not revoked.")
    is_expired: bool
    is_valid: bool = Field(description="Neither revoked nor expired: it opens the door.")
    usage_count: int = Field(0, description="Requests that were let in; written every few seconds.")
    last_used_at: Utc | None = None
    created_by: str | None = Field(
        None, description="The person's name, or the public id of the key, that made it."
    )
    created_at: Utc
    updated_at: Utc
    expires_at: Utc | None = None
    revoked_at: Utc | None = None
    successor_id: str | None = Field(None, description="The key that replaced it.")


class CreatedApiKey(ApiKey):
    """The only answer that ever holds `key`."""

    key: str = Field(repr=False)


class RevokedApiKey(ApiKey):
    message: str = "API key revoked successfully"


class RotatedApiKey(CreatedApiKey):
    """The new key. The old one, `replaces`, is refused from `old_key_expires_at` on."""

    replaces: str
    old_key_expires_at: Utc


class PermissionSet(Shape):
    """`members` are the names it is made of, `permissions` what those stand for."""

    members: list[str]
    permissions: list[str]


class PermissionSets(Shape):
    """Every name that a key's making understands."""

    permission_sets: dict[str, PermissionSet]
    scopes: dict[str, list[str]]
    permissions: dict[str, str] = Field(description="Each permission, and what it allows.")


# People

UserName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,99}$")]
Password = Annotated[Text, Field(min_length=1, max_length=1000, repr=False)]


class Role(StrEnum):
    """viewer reads; member also works; admin also manages people and keys; owner also makes owners."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class NewUser(Request):
    name: UserName
    role: Role = Role.MEMBER


class User(Shape):
    id: str
    name: str
    role: Role
    workspace: str
    is_active: bool
    must_change_password: bool = Field(description="Has only the one-time password that an admin passed on.")
    created_at: Utc
    created_by: str | None = None
    last_login_at: Utc | None = None
    disabled_at: Utc | None = None


class CreatedUser(User):
    """The only answer that ever holds the one-time password; it opens one log-in, to choose another."""

    one_time_password: str = Field(repr=False)


class UserChanges(Request):
    role: Role


class Disabling(Request):
    """`keys`: what becomes of the person's own live keys. Needed when there are any."""

    keys: Literal["keep", "revoke"] | None = None


class Login(Request):
    name: Text = Field(min_length=1, max_length=100)
    password: Password


class NewPassword(Request):
    current: Password
    new: Text = Field(min_length=12, max_length=1000, repr=False)


class LoginSession(Shape):
    id: str
    created_at: Utc
    expires_at: Utc
    last_used_at: Utc | None = None
    address: str | None = None
    agent: str | None = Field(None, description="The browser or program that opened it, as it calls itself.")
    is_current: bool = False


class OpenedSession(Shape):
    """`token` is shown here and nowhere else: send it as `Authorization: Bearer`. Browsers get it as a cookie."""

    token: str = Field(repr=False)
    expires_at: Utc
    user: User


class WhoAmI(Shape):
    """Who the server takes the caller for."""

    mode: Literal["session", "apiKey"]
    user_id: str | None = None
    key_id: str | None = None
    name: str
    workspace: str
    role: str | None = None
    scopes: list[str]
    permissions: list[str]
    must_change_password: bool = False
    expires_at: Utc | None = None


class AuditEvent(Shape):
    """Who did what to which object. Rows are only ever added."""

    id: str
    at: Utc
    actor_kind: Literal["person", "key", "job", "host"]
    actor_id: str
    actor_name: str
    action: str = Field(description="For example key.created, session.opened, job.cancelled.")
    object_kind: str
    object_id: str
    details: dict[str, Any] = Field(default_factory=dict)
    request_id: str | None = None
    address: str | None = None


# System


class FieldProblem(Shape):
    field: str = Field(description="The part of the request, for example metrics.0.step.")
    message: str


class Endpoint(Shape):
    method: str
    path: str


class Problem(Shape):
    """Every error answer: RFC 9457's members, which request it was, and `errors` where fields are refused."""

    type: str = Field(
        description="A URN that ends in the title, as urn:chapkit:error:not-found; the same for the same kind of error."
    )
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="As in X-Request-ID, and in the server's log.")
    error: str | dict[str, Any] = Field(
        description="The same as `detail`; an object where clients of another system read one."
    )
    errors: list[FieldProblem] | None = None
    nearest: list[Endpoint] | None = Field(
        None, description="Where there is no such path: those most like it."
    )


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


# The look at a fine-tune before it starts


class Diagnostic(Shape):
    """One thing that was found. Any `error` makes the whole config invalid."""

    severity: Literal["error", "warning", "info"]
    code: str = Field(description="What it is, in one word that does not change.")
    message: str = Field(description="What it is and what to do about it.")
    field: str | None = Field(None, description="The config's field, or the rows', that it is about.")
    file: str | None = None
    lines: list[int] = Field(default_factory=list, description="Where in the file; the first 20.")
    count: int = Field(1, description="How many rows, or things, it is true of.")


class PreflightFigures(Shape):
    """What a fine-tune will be like. Sizes are GiB; lengths are tokens; nulls are what could not be known."""

    rows: int | None = None
    eval_rows: int | None = None
    tokens: int | None = Field(None, description="Of one epoch, before padding.")
    learnt_tokens: int | None = None
    length_p50: int | None = None
    length_p90: int | None = None
    length_p99: int | None = None
    length_max: int | None = None
    padding_percent: float | None = Field(
        None, description="Of a batch's tokens, with rows of like length together."
    )
    steps_per_epoch: int | None = None
    total_steps: int | None = None
    parameters: int | None = None
    trainable_parameters: int | None = None
    memory_needed_gb: float | None = Field(
        None, description="A high estimate of the peak, with the longest rows."
    )
    memory_gb: float | None = Field(None, description="The card's, or the host's where no card is used.")
    disk_needed_gb: float | None = Field(None, description="Checkpoints and the model.")
    disk_free_gb: float | None = None
    device: str | None = None
    seconds: float | None = Field(
        None, description="What the look itself took, once the tokenizer was loaded."
    )


class Preflight(Shape):
    """Whether a fine-tune may start, and everything that was found."""

    valid: bool
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    figures: PreflightFigures = Field(default_factory=PreflightFigures)


class Validation(Shape):
    """What the record can see of a config. `job`: the check that looks at the rest; its result is a Preflight."""

    valid: bool
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    job: Job | None = None
