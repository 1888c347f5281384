"""The look at a fine-tune before it starts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneyard.shapes.jobs import Job
from tuneyard.shapes.shape import Shape


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
