"""The shapes of suites, batch tests, what comes of comparing two of them, and aliases."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from tuneyard.batch_configs import BatchTestConfig
from tuneyard.configs import PipelineConfig, Requirement
from tuneyard.scorers import Scorer
from tuneyard.shapes import JobStatus, Request, Shape, StartRequest
from tuneyard.values import (
    Alias,
    Amount,
    Count,
    CountFromOne,
    JsonObject,
    Real,
    Sha256,
    Share,
    Text,
    Utc,
    Weight,
)

Tag = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
TestId = Annotated[Text, Field(min_length=1, max_length=100)]


# Suites


class ChatTurn(Request):
    role: Literal["system", "user", "assistant"]
    content: Text


# A prompt or a chat, in the words of JSON Schema.
_PLAIN: dict[str, JsonValue] = {
    "required": ["prompt"],
    "properties": {"prompt": {"type": "string"}, "messages": {"type": "null"}},
}
_CHAT: dict[str, JsonValue] = {
    "required": ["messages"],
    "properties": {"messages": {"type": "array"}, "prompt": {"type": "null"}},
}


class Prompt(Request):
    """A `prompt`, or the `messages` of a chat that ends with the user's turn; what is expected, where a scorer needs
    it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_PLAIN, _CHAT]})

    prompt: Text | None = Field(None, min_length=1)
    messages: list[ChatTurn] | None = Field(None, min_length=1, max_length=1000)
    expected: Text | None = None
    choices: list[Text] | None = Field(None, min_length=2, max_length=26)
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    scorer: Scorer | None = Field(None, description="In place of the batch test's own scorers.")
    weight: Weight | None = Field(None, description="How much it counts in the score; default: 1.")

    @model_validator(mode="after")
    def _asked_one_way(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    @property
    def text(self) -> str:
        """What is asked, for people to read: the prompt, or the chat's turns with their roles."""
        if self.messages is None:
            return self.prompt or ""
        return "\n".join(f"{turn.role}: {turn.content}" for turn in self.messages)

    @property
    def question(self) -> str:
        """The user's last words."""
        return self.messages[-1].content if self.messages is not None else self.prompt or ""


class NewSuite(Request):
    """Recording the same content under the same name again answers the suite that is there; other content under a
    name is its next version."""

    name: Text = Field(min_length=1, max_length=255)
    description: Text | None = None
    prompts: list[Prompt] = Field(min_length=1, max_length=100_000)


class SuiteEdit(Request):
    """What is to be different; a suite keeps its name."""

    description: Text | None = None
    prompts: list[Prompt] | None = Field(None, min_length=1, max_length=100_000)


class Suite(Shape):
    """One version of a suite. Its prompts never change: other prompts are another version. They are left out (null)
    in lists."""

    id: str
    name: str
    version: int = 1
    description: str | None = None
    sha256: str
    prompt_count: int
    prompts: list[Prompt] | None = None
    created_at: Utc


# Batch tests


class NewBatchTest(Request):
    """`suite` is the suite as the caller wrote it: a file or an id. A run that has read it says which by `JobFacts`."""

    suite: Text = Field(min_length=1, max_length=1024)
    suite_id: Text | None = None
    model: Text = Field(min_length=1, max_length=1024)
    name: Text | None = Field(None, max_length=255)
    config: JsonObject = Field(default_factory=dict)
    total_prompts: CountFromOne | None = None
    flow_run_id: Text | None = Field(None, max_length=64)


class TestRequest(StartRequest):
    """Have a batch test run."""

    __test__ = False  # pytest: not a test class

    config: BatchTestConfig | None = None


class PipelineRequest(StartRequest):
    """Have a fine-tune run, tested and promoted."""

    config: PipelineConfig | None = None


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
    score: float | None = Field(
        None, description="Mean score of the prompts that have an outcome by their weights, 0 to 1."
    )
    error: str | None = None
    flow_run_id: str | None = None
    created_at: Utc
    started_at: Utc | None = None
    ended_at: Utc | None = None
    archived_at: Utc | None = None

    @property
    def progress(self) -> float:
        """Percent of the prompts that have an answer or their own error; a completed test is at 100."""
        if self.status == JobStatus.COMPLETED:
            return 100.0
        done = self.completed_prompts + self.failed_prompts
        return min(100.0, 100.0 * done / self.total_prompts) if self.total_prompts else 0.0

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from tuneyard.notebook import work_html

        return work_html(self)


class NewPrediction(Request):
    """One answer. `step` is the optimizer step of a model in training, 0 in a batch test. A scorer that is not
    through yet has no entry in `scores`, and then the answer has no `score`."""

    prompt_index: Count
    step: Count = 0
    prompt: Text
    expected: Text | None = None
    response: Text | None = None
    rendered: Text | None = Field(None, description="What the model read: the prompt in its chat template.")
    template_sha256: Sha256 | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    weight: Weight = 1.0
    scores: dict[Tag, Share] = Field(default_factory=dict, description="By scorer.")
    score: Share | None = None
    passed: bool | None = Field(None, strict=True)
    details: JsonObject = Field(default_factory=dict, description="What scorers say beside the score.")
    error: Text | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    latency_ms: Amount | None = None
    finish_reason: Text | None = Field(None, max_length=40)


class PredictionBatch(Request):
    predictions: list[NewPrediction] = Field(min_length=1, max_length=1000)


class Prediction(Shape):
    id: str
    prompt_index: int
    step: int = 0
    prompt: str
    expected: str | None = None
    response: str | None = None
    rendered: str | None = None
    template_sha256: str | None = None
    tags: list[str] = Field(default_factory=list)
    weight: float = 1.0
    scores: dict[str, float] = Field(default_factory=dict)
    score: float | None = None
    passed: bool | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    finish_reason: str | None = None


# What comes of them


class Interval(Shape):
    """An estimate and its bootstrap interval (95 % unless `alpha` says otherwise)."""

    value: float
    low: float
    high: float


class GroupFigures(Shape):
    """The prompts of one tag, or all of them."""

    prompts: int
    passed: int
    score: Interval | None = None


class TestSummary(Shape):
    """What one batch test says; the same answers give the same summary, but for `latency_ms`."""

    __test__ = False

    test: BatchTest
    overall: GroupFigures
    tags: dict[str, GroupFigures] = Field(default_factory=dict)
    scorers: dict[str, Interval] = Field(default_factory=dict)
    latency_ms: dict[str, float] = Field(default_factory=dict, description="p50, p90, p99, mean.")
    input_tokens: int = 0
    output_tokens: int = 0
    finish_reasons: dict[str, int] = Field(default_factory=dict)


class CompareRequest(Request):
    """Two batch tests of one suite with the same scorers."""

    baseline: TestId
    candidate: TestId
    alpha: Real = Field(0.05, gt=0, lt=0.5, description="The significance level.")
    margin: Real = Field(0.1, gt=0, le=1, description="Scores that differ by less for certain are the same.")


Verdict = Literal["better", "worse", "same", "insufficient_data"]


class McNemar(Shape):
    """Both passed, only the candidate (gained), only the baseline (lost), neither; the exact two-sided p."""

    both: int
    gained: int
    lost: int
    neither: int
    p_value: float


class TagComparison(Shape):
    prompts: int
    baseline_score: float
    candidate_score: float
    gained: int
    lost: int


class ChangedPrompt(Shape):
    """A prompt that one of the two got right and the other did not, or whose score differs."""

    prompt_index: int
    prompt: str
    expected: str | None = None
    tags: list[str] = Field(default_factory=list)
    baseline: str | None = None
    candidate: str | None = None
    baseline_score: float | None = None
    candidate_score: float | None = None


class Comparison(Shape):
    """`verdict` is of the candidate. `no_effect`: it was made from the baseline's model, and every greedy answer is
    the same as before: its training changed nothing that shows, and nothing should be decided on it."""

    baseline: BatchTest
    candidate: BatchTest
    verdict: Verdict
    reason: str = Field(description="Why, in words.")
    no_effect: bool = False
    notes: list[str] = Field(default_factory=list, description="What else one should know before deciding.")
    alpha: float
    margin: float
    pairs: int = Field(description="Prompts that both have an outcome for.")
    baseline_errors: int = 0
    candidate_errors: int = 0
    same_answers: int = 0
    baseline_score: float | None = None
    candidate_score: float | None = None
    difference: Interval | None = Field(None, description="Candidate's score less the baseline's.")
    mcnemar: McNemar | None = None
    tags: dict[str, TagComparison] = Field(default_factory=dict)
    changed: list[ChangedPrompt] = Field(
        default_factory=list, description="At most 1000, the lost ones first."
    )


# Aliases


class Promotion(Request):
    """The evidence on which an alias may move: two batch tests of one suite, the candidate's of the artifact itself.
    Where the alias stands for another artifact already, the baseline's is of that one."""

    artifact_id: Text = Field(min_length=1, max_length=100)
    baseline: TestId
    candidate: TestId
    require: Requirement = "better"
    alpha: Real = Field(0.05, gt=0, lt=0.5)
    margin: Real = Field(0.1, gt=0, le=1)
    reason: Text | None = Field(None, max_length=2000)


class Undo(Request):
    """Take an alias's newest move back."""

    move_id: Text | None = Field(
        None, max_length=26, description="Only if this is the newest one that stands."
    )
    reason: Text | None = Field(None, max_length=2000)


class ModelAlias(Shape):
    """A name that stands for an artifact."""

    name: Alias
    artifact_id: str | None = Field(None, description="null: its first move was undone.")
    updated_at: Utc


class AliasMove(Shape):
    """One move of an alias; an undo is a move too."""

    id: str
    alias: str
    from_artifact_id: str | None = None
    to_artifact_id: str | None = None
    undoes: str | None = Field(None, description="The id of the move that it takes back.")
    evidence: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None
    actor: str
    at: Utc
