"""What the training platform's clients and trainers send. Members that nobody here knows are let through."""

from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.access.permissions import SCOPES
from tuneyard.shapes import LONGEST_ERROR, MetricPoint
from tuneyard.values import NO_NUL, ClientId, Count, CountFromOne, Flag, Json, JsonObject, ShownAs, Text

Anything = Annotated[Any, ShownAs(Json)]
OPEN = ConfigDict(
    extra="allow",
    protected_namespaces=(),
    allow_inf_nan=False,
    json_schema_extra={"propertyNames": {"pattern": NO_NUL}},
)


class PlatformJob(BaseModel):
    """`job_token`: what the trainer will write with, if it is 43 characters as ours are; else the answer holds one."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    model_name: Text = Field(min_length=1, max_length=1024)
    job_id: ClientId | None = None
    job_name: Text | None = Field(None, max_length=255)
    name: Text | None = Field(None, max_length=255, description="For a job without `job_name`.")
    dataset_path: Text | None = Field(None, max_length=1024)
    config: JsonObject | None = None
    total_steps: Count | None = None
    job_token: Anything = None


class PlatformStatus(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    status: Literal["running", "completed", "failed", "cancelled", "paused"]
    error: Text | None = Field(None, max_length=LONGEST_ERROR)


_NOT_BLANK: dict[str, JsonValue] = {"type": "string", "pattern": r"^[^\x00]*[^\x00\s][^\x00]*$"}


class PlatformSuite(BaseModel):
    """Beside it `expected_answers`: none, or one for each prompt (null: none for that one)."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    name: Text = Field(min_length=1, max_length=255, json_schema_extra=_NOT_BLANK)
    description: Text | None = None
    prompts: list[Text] = Field(min_length=1, max_length=100_000, json_schema_extra={"contains": _NOT_BLANK})


class PlatformAnswers(BaseModel):
    """Checked, but not described: no schema can say that two lists are of one length."""

    expected_answers: list[Text | None] | None = None


class PlatformControl(BaseModel):
    """`checkpoint_path`: where a resume begins; default: the newest."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    action: Literal["cancel", "pause", "resume"]
    checkpoint_path: Text | None = Field(None, min_length=1, max_length=1024)


class PlatformResume(BaseModel):
    """`config_adjustments`: fields of the job's config that are to be different."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    checkpoint_path: Text | None = Field(None, min_length=1, max_length=1024)
    resume_from_best: Flag = False
    config_adjustments: JsonObject | None = None


class PlatformLogs(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    logs: list[Annotated[Text, Field(max_length=10_000)]] = Field(min_length=1, max_length=1000)


class PlatformStart(BaseModel):
    """`dataset_path`: other rows than the kept config's."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    config_id: Text = Field(min_length=1, max_length=100)
    dataset_path: Text | None = Field(None, max_length=1024)
    execution_id: ClientId | None = None
    name: Text | None = Field(None, max_length=255)


class PlatformExecution(BaseModel):
    """`config`: a fine-tune's as it is here, or in the platform's sections. `user_id` and `access_token` decide
    nothing."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    config: JsonObject
    execution_id: ClientId
    dataset_path: Text | None = Field(None, max_length=1024)
    dataset_content: Annotated[Any, ShownAs(None)] = None
    name: Text | None = Field(None, max_length=255)
    job_token: Text | None = Field(None, repr=False)


class PlatformPoint(MetricPoint):
    """Numbers under names of the trainer's own are kept as well."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    epoch: float  # the platform's points need one
    extra: Anything = None


class PlatformPoints(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    metrics: list[PlatformPoint] = Field(min_length=1)


class PlatformPointsOf(PlatformPoints):
    job_id: Text


class PlatformPrediction(BaseModel):
    """What a model in training answers to one sample. `job_id`: none but the token's; `user_id` decides nothing."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    step: Count
    sample_index: Count
    prompt: Text
    epoch: Anything = None
    ground_truth: Text | None = None
    prediction: Text | None = None
    job_id: Text | None = None
    user_id: Anything = None


class PlatformPredictions(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    predictions: list[PlatformPrediction] = Field(min_length=1, max_length=1000)
    job_id: Text | None = None


class PlatformKey(BaseModel):
    """A key without scopes holds the least of them, `production`."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    name: Text = Field(min_length=1, max_length=255)
    scopes: list[Annotated[str, Field(json_schema_extra={"enum": list(SCOPES)})]] | None = None


class PlatformJudge(BaseModel):
    """`model`: `<block>[/<model>]`, an endpoint's credentials block; `criteria` are the rubric."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    enabled: Flag = Field(
        False,
        description="true is for people who are logged in: a key is refused.",
        json_schema_extra={"const": False},
    )
    model: Text | None = None
    criteria: list[Text] | None = None


# One of them, in the words of JSON Schema.
_SOURCES: list[JsonValue] = [
    {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}
    for name in ("test_suite_id", "dataset_id", "source_path")
]


class PlatformTest(BaseModel):
    """One of `test_suite_id`, `dataset_id` and `source_path`: the first that is given counts."""

    model_config = OPEN | {"json_schema_extra": {"propertyNames": {"pattern": NO_NUL}, "anyOf": _SOURCES}}
    __pydantic_extra__: dict[str, Anything]

    model_id: Text = Field(
        min_length=1,
        max_length=1024,
        description="An artifact's id, an alias, or what a config's `model` may be.",
    )
    test_suite_id: Text | None = Field(None, max_length=100)
    dataset_id: Text | None = Field(None, max_length=100)
    source_path: Text | None = Field(None, max_length=1024)
    prompt_limit: CountFromOne = 25
    concurrency: CountFromOne = Field(3, le=1000)
    delay_ms: Count = Field(1000, le=600_000)
    test_run_name: Text | None = Field(None, max_length=255)
    name: Text | None = Field(None, max_length=255, description="For a run without `test_run_name`.")
    benchmark_id: Anything = None
    judge_config: PlatformJudge | None = None


class PlatformTestRun(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    config: PlatformTest


class PlatformCancelTest(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    test_run_id: Text = Field(min_length=1)


class PlatformTestRuns(BaseModel):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]

    testRunIds: list[Text] = Field(min_length=1, max_length=1000)  # noqa: N815


_SOME = Field(min_length=1, max_length=1000)

# Taken as they come and looked at in the route: its refusals are the platform's own.
JobBody = Annotated[Any, Body(), ShownAs(PlatformJob)]
StatusBody = Annotated[Any, Body(), ShownAs(PlatformStatus)]
ControlBody = Annotated[Any, Body(), ShownAs(PlatformControl)]
ResumeBody = Annotated[Any, Body(), ShownAs(PlatformResume | None)]
LogsBody = Annotated[Any, Body(), ShownAs(PlatformLogs)]
StartBody = Annotated[Any, Body(), ShownAs(PlatformStart)]
ExecuteBody = Annotated[Any, Body(), ShownAs(PlatformExecution)]
PointsBody = Annotated[Any, Body(), ShownAs(PlatformPoint | PlatformPoints)]
KeyBody = Annotated[Any, Body(), ShownAs(PlatformKey)]
PointsOfBody = Annotated[Any, Body(), ShownAs(PlatformPointsOf)]
TestBody = Annotated[Any, Body(), ShownAs(PlatformTestRun)]
CancelTestBody = Annotated[Any, Body(), ShownAs(PlatformCancelTest)]
TestRunsBody = Annotated[Any, Body(), ShownAs(PlatformTestRuns)]
SuiteBody = Annotated[Any, Body(), ShownAs(PlatformSuite)]
PredictionsBody = Annotated[
    Any,
    Body(),
    ShownAs(PlatformPrediction | PlatformPredictions | Annotated[list[PlatformPrediction], _SOME]),
]
