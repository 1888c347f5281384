"""What a person writes to ask for batch tests, alone, during a fine-tune, and as the gate of a pipeline."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from tuneyard.config_words import DATA_PLACES, ENDPOINT_FORM, MAX_RESTARTS, MODEL_FORMS, SUITE_PLACES, Config
from tuneyard.scorers import Exact, Scorer
from tuneyard.values import CountFromOne, Gigabytes, Real, Text, Whole

Model = Annotated[Text, Field(min_length=1, max_length=1024)]
Suite = Annotated[Text, Field(min_length=1, max_length=1024)]


_BOTH_MEASURES: dict[str, JsonValue] = {
    "required": ["every_steps", "every_epochs"],
    "properties": {"every_steps": {"type": "integer"}, "every_epochs": {"type": "integer"}},
}


def _exact() -> list[Scorer]:
    return [Exact(kind="exact")]


class Scoring(Config):
    """What is asked, and how the answers are judged."""

    suite: Suite = Field(description=SUITE_PLACES)
    scorers: list[Scorer] = Field(
        default_factory=_exact,
        min_length=1,
        max_length=20,
        description="How answers are judged, by name or in full; a prompt's own scorer goes before these.",
    )
    prompt_limit: CountFromOne | None = Field(None, description="Only the first so many prompts.")
    max_new_tokens: Whole = Field(32, ge=1, le=65_536)

    @model_validator(mode="before")
    @classmethod
    def _one_scorer(cls, given: Any) -> Any:
        """`scorer: exact` is short for `scorers: [exact]`."""
        if isinstance(given, dict) and "scorer" in given and "scorers" not in given:
            rest = {name: value for name, value in given.items() if name != "scorer"}
            return {**rest, "scorers": [given["scorer"]]}
        return given


class TrainingTests(Scoring):
    """A suite that the model in training answers now and then, greedily; the answers are kept by step."""

    model_config = ConfigDict(json_schema_extra={"not": _BOTH_MEASURES})

    every_steps: CountFromOne | None = Field(None, description="Optimizer steps from one round to the next.")
    every_epochs: CountFromOne | None = Field(
        None, description="Epochs from one round to the next; default: 1."
    )
    batch_size: Whole = Field(16, ge=1, le=4096, description="Prompts answered at a time.")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.every_steps is not None and self.every_epochs is not None:
            raise ValueError("every_steps and every_epochs are two ways to the same: give one of them")
        return self


class LmEval(Config):
    """Tasks of EleutherAI's harness, run on the same model; the extra `lm-eval`."""

    tasks: list[Text] = Field(min_length=1, max_length=100)
    limit: CountFromOne | None = Field(None, description="Only the first so many samples of each task.")


class Decoding(Config):
    """How a model answers."""

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="vllm: on CUDA, with the extra `vllm`."
    )
    batch_size: CountFromOne | None = Field(
        None, description="Prompts answered at a time; default: as many as memory_gb holds."
    )
    memory_gb: Gigabytes | None = Field(
        None,
        description="What a batch may take beside the model; default: half of what is free then.",
    )
    precision: Literal["exact", "fast"] = Field(
        "exact",
        description="exact: fp32, answers that do not depend on their neighbours in the batch; "
        "fast: bf16 and the largest batches, where a batch's make-up can change an answer.",
    )
    temperature: Real = Field(0.0, ge=0, le=10, description="0: greedy.")
    top_p: Real = Field(1.0, gt=0, le=1)
    top_k: Whole = Field(0, ge=0, le=1_000_000, description="0: all tokens.")
    seed: Whole = Field(42, ge=0, lt=2**32)
    concurrency: Whole = Field(8, ge=1, le=1000, description="An endpoint's requests under way at a time.")
    delay_ms: Whole = Field(
        0, ge=0, le=600_000, description="An endpoint's pause between two requests' starts."
    )
    patience_seconds: Real = Field(
        120.0, ge=0, le=86_400, description="How long one prompt is tried again at an endpoint."
    )


class TestSettings(Decoding, Scoring):
    """All of a batch test but the model."""

    __test__ = False  # pytest: not a test class

    perplexity_on: Text | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description=f"Texts whose perplexity is measured too. {DATA_PLACES}",
    )
    lm_eval: LmEval | None = None
    gpus: Whole = Field(1, ge=0, le=1, description="0: the CPU. A host without a card uses the CPU for 1.")
    max_restarts: Whole = MAX_RESTARTS


# In the words of JSON Schema: of an endpoint, no figure that takes likelihoods.
_LIKELIHOODS_OF_AN_ENDPOINT: dict[str, JsonValue] = {
    "required": ["model"],
    "properties": {"model": {"type": "string", "pattern": "^endpoint:"}},
    "anyOf": [
        {"required": ["perplexity_on"], "properties": {"perplexity_on": {"type": "string"}}},
        {"required": ["lm_eval"], "properties": {"lm_eval": {"type": "object"}}},
    ],
}


class BatchTestConfig(TestSettings):
    """One batch test: every prompt of a suite answered by a model, and scored."""

    model_config = ConfigDict(json_schema_extra={"not": _LIKELIHOODS_OF_AN_ENDPOINT})

    __test__ = False

    model: Model = Field(description=f"The model to test. {MODEL_FORMS} {ENDPOINT_FORM}")
    name: Text | None = Field(None, max_length=255)
    compare_with: Text | None = Field(
        None, max_length=100, description="A batch test of the same suite: its id; the report compares them."
    )

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        """An endpoint gives answers, but no likelihoods of given texts."""
        for field in ("perplexity_on", "lm_eval"):
            if self.model.startswith("endpoint:") and getattr(self, field) is not None:
                raise ValueError(f"{field} needs a local model: an endpoint gives no likelihoods")
        return self


class Message(Config):
    role: Literal["system", "user", "assistant"]
    content: Text = Field(max_length=1_000_000)


Ask = Annotated[Text, Field(min_length=1)] | Annotated[list[Message], Field(min_length=1, max_length=1000)]
_PROMPTS: dict[str, JsonValue] = {
    "required": ["prompts"],
    "properties": {"prompts": {"type": "array"}, "dataset": {"type": "null"}},
}
_ROWS: dict[str, JsonValue] = {
    "required": ["dataset"],
    "properties": {"dataset": {"type": "string"}, "prompts": {"type": "null"}},
}


class PredictConfig(Decoding):
    """One prediction: what a model makes of given input."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_PROMPTS, _ROWS]})

    model: Model = Field(description=f"The model to ask. {MODEL_FORMS} {ENDPOINT_FORM}")
    prompts: list[Ask] | None = Field(
        None, min_length=1, max_length=1000, description="Of a language model: texts, or chats."
    )
    dataset: Text | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="In place of `prompts`: rows with a `prompt` or `messages`; or, of a tabular model, with the "
        f"columns that it was trained by. {DATA_PLACES}",
    )
    max_new_tokens: Whole = Field(256, ge=1, le=65_536)
    gpus: Whole = Field(1, ge=0, le=1, description="0: the CPU. A host without a card uses the CPU for 1.")
    name: Text | None = Field(None, max_length=255)
    max_restarts: Whole = MAX_RESTARTS

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if (self.prompts is None) == (self.dataset is None):
            raise ValueError("give either prompts or dataset")
        return self
