"""What a person writes to ask for work: the typed parameters of the flows.

Prefect draws its form from these and refuses bad input before a run exists; the CLI and the API use the same.
An unknown field is refused by name.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tuneyard.batch_configs import TestSettings, TrainingTests
from tuneyard.config_words import DATA_PLACES, MAX_RESTARTS, MODEL_FORMS, Config
from tuneyard.values import Alias, CountFromOne, Flag, Rate, Real, Text, Whole


class LoraConfig(Config):
    """The adapter that every method but `full` trains beside the frozen base model."""

    rank: Whole = Field(16, ge=1, le=1024)
    alpha: Whole = Field(32, ge=1, description="The adapter's part counts alpha / rank times.")
    dropout: Real = Field(0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | list[Text] = Field(
        "all-linear",
        description="Which layers get one: all linear ones but the head, or layers by name, such as q_proj.",
    )


WatchdogAction = Literal["warn", "pause", "stop"]


class WatchdogConfig(Config):
    """What is done about a run with which something is wrong: warn, pause it with a checkpoint, or stop it."""

    nan: WatchdogAction = Field("stop", description="A loss or gradient that is not a finite number.")
    spike: WatchdogAction = Field("warn", description="A loss far above those before it.")
    spike_deviations: Real = Field(
        8.0, gt=0, description="How far: standard deviations above the median of the last 50 reports."
    )
    stall: WatchdogAction = Field("warn", description="No report for stall_seconds.")
    stall_seconds: Real = Field(600.0, gt=0)
    disk: WatchdogAction = Field("pause", description="Less than disk_gb free where the checkpoints go.")
    disk_gb: Real = Field(5.0, ge=0)


# An adapter wants about ten times the rate of a full fine-tune ("LoRA Without Regret", Thinking Machines 2025);
# preference pairs, a much smaller one, or the model drifts from what it could already do.
PEAK_LEARNING_RATES = {"full": 1e-4, "lora": 1e-3, "qlora": 1e-3, "dpo": 2e-5}


class FinetuneConfig(Config):
    """One fine-tune. `model` and `dataset` alone are a complete config."""

    model: Text = Field(min_length=1, max_length=1024, description=f"The base model. {MODEL_FORMS}")
    dataset: Text = Field(min_length=1, max_length=1024, description=f"The training rows. {DATA_PLACES}")
    name: Text | None = Field(
        None, max_length=255, description="What to call the job; default: the model's name."
    )
    method: Literal["full", "lora", "qlora", "dpo"] = Field(
        "full",
        description="full: every weight; lora: an adapter beside the frozen base; qlora: the same over a base in 4 "
        "bits (CUDA only); dpo: an adapter from preference data. Plain text continues the pre-training.",
    )
    lora: LoraConfig = Field(default_factory=LoraConfig)
    dpo_beta: Real = Field(
        0.1, gt=0, le=10, description="How strongly dpo holds the model to what it was; higher is stronger."
    )
    loss_on: Literal["completion", "all"] = Field(
        "completion", description="What is learnt of a row: the assistant's turns, or every token."
    )
    format: Literal["auto", "prompt_completion", "chat", "alpaca", "sharegpt", "text", "preference"] = Field(
        "auto",
        description="The form of every row: {prompt, completion}; {messages: [{role, content}]}; "
        "{instruction, input, output}; {conversations: [{from, value}]}; {text}, for continued pre-training; "
        "{prompt, chosen, rejected}, for preference. auto: that of the first row.",
    )
    eval_dataset: Text | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description=f"Rows to evaluate on, of the same form. {DATA_PLACES}",
    )
    eval_fraction: Real = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Part of the training rows to hold back and evaluate on, chosen by seed and content.",
    )
    long_rows: Literal["refuse", "truncate", "split"] = Field(
        "refuse",
        description="What becomes of rows longer than max_length: refused by line, their end cut off, or (plain "
        "text only) split into several.",
    )
    epochs: Real = Field(1.0, gt=0, le=1000)
    max_steps: CountFromOne | None = Field(
        None, description="Stop after so many optimizer steps, whatever the epochs."
    )
    batch_size: Whole = Field(8, ge=1, le=4096, description="Rows a step on one device.")
    gradient_accumulation: Whole = Field(1, ge=1, le=4096)
    learning_rate: Rate | None = Field(
        None,
        description="The peak learning rate; default: 1e-4 for full, 1e-3 for lora and qlora, 2e-5 for dpo.",
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How it falls after warm-up."
    )
    warmup_ratio: Real = Field(
        0.1, ge=0, lt=1, description="Part of the steps in which the learning rate rises."
    )
    weight_decay: Real = Field(0.0, ge=0, le=1)
    max_grad_norm: Real = Field(1.0, gt=0)
    max_length: Whole = Field(
        1024, ge=8, le=1_048_576, description="Tokens a row; `long_rows` says what becomes of longer ones."
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 autocast where the hardware multiplies it natively, else fp32."
    )
    attention: Literal["auto", "sdpa", "flash", "eager"] = Field(
        "auto",
        description="auto: FlashAttention where it is installed and fits, else what the model prefers.",
    )
    packing: Flag = Field(
        False,
        description="Fill blocks of max_length tokens with several rows, which do not see one another; batch_size "
        "counts blocks then. Saves memory where rows differ much in length.",
    )
    activation_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Compute activations twice instead of keeping them; auto: on a GPU that they would not fit.",
    )
    eval_every: CountFromOne | None = Field(
        None,
        description="Steps between evaluations, where there are rows for it; default: ten times a run.",
    )
    early_stopping: CountFromOne | None = Field(
        None, description="Stop after so many evaluations in a row that bring no better loss."
    )
    keep_best: Flag = Field(
        True,
        description="Where there are evaluations: the result is the model of the best one, not of the last step.",
    )
    seed: Whole = Field(42, ge=0, lt=2**32)
    gpus: Whole = Field(
        1, ge=0, le=64, description="Cards of one host; 0: the CPU. A host without a card uses the CPU for 1."
    )
    distributed: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="With several GPUs: ddp has the whole model on each; fsdp a part of it, for one that fits on none.",
    )
    watchdog: WatchdogConfig = Field(default_factory=WatchdogConfig)
    tests: TrainingTests | None = Field(None, description="A suite to answer now and then while it trains.")
    max_restarts: Whole = MAX_RESTARTS
    report_every: Whole = Field(10, ge=1, description="Steps between metric reports.")
    checkpoint_every: CountFromOne | None = Field(
        500, description="Steps between checkpoints; null: none but the final model."
    )
    keep_checkpoints: Whole = Field(
        2, ge=1, description="So many of the newest; the best one is kept besides."
    )

    @model_validator(mode="after")
    def _one_source_of_evaluation(self) -> Self:
        if self.eval_dataset is not None and self.eval_fraction > 0:
            raise ValueError("eval_dataset and eval_fraction are two ways to the same: give one of them")
        return self

    @model_validator(mode="after")
    def _only_text_is_split(self) -> Self:
        if self.long_rows == "split" and self.format not in ("auto", "text"):
            raise ValueError("long_rows: split is for plain text; half a conversation teaches half an answer")
        return self

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate, or the method's own where none is given."""
        return PEAK_LEARNING_RATES[self.method] if self.learning_rate is None else self.learning_rate


class TabularConfig(Config):
    """A linear model of one column of a table by the others: least squares, with an intercept."""

    method: Literal["tabular"] = "tabular"
    dataset: Text | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description=f"The rows; a request to train may bring its own. {DATA_PLACES}",
    )
    target: Text | None = Field(
        None, min_length=1, max_length=255, description="The column to model; default: the last one."
    )
    features: list[Text] | None = Field(
        None, min_length=1, max_length=1000, description="The columns to model it by; default: all others."
    )
    name: Text | None = Field(None, max_length=255)
    max_restarts: Whole = MAX_RESTARTS


class MergeConfig(Config):
    """One merge: an adapter added into its base's weights, which makes a model that needs no base."""

    artifact: Text = Field(
        min_length=1, max_length=100, description="The adapter: the id of an artifact that a fine-tune made."
    )
    name: Text | None = Field(
        None, max_length=255, description="What to call the job and the model; default: the adapter's name."
    )
    max_restarts: Whole = MAX_RESTARTS

    @property
    def artifact_id(self) -> str:
        """The id, also where it was written as a config's `model` has it."""
        return self.artifact.removeprefix("artifact:")


Requirement = Literal["better", "not_worse"]


class PipelineConfig(Config):
    """Fine-tune, batch-test the base and the tuned model, and move an alias to the tuned one where it is better."""

    finetune: FinetuneConfig
    test: TestSettings
    alias: Alias = Field("production", description="What stands for the model in use.")
    require: Requirement = Field(
        "better",
        description="What the tuned model has to be, beside the model that the alias stands for, or else the base.",
    )
    alpha: Real = Field(0.05, gt=0, lt=0.5, description="The significance level.")
    margin: Real = Field(
        0.1, gt=0, le=1, description="Models whose scores differ by less for certain are the same."
    )
    name: Text | None = Field(None, max_length=255)
    max_restarts: Whole = MAX_RESTARTS


class CollectConfig(Config):
    """One round of metric collection on the host that runs it."""

    readings: Whole = Field(3, ge=1, le=10_000)
    interval_seconds: Real = Field(
        5.0, ge=0.05, le=3600, description="They are taken where the clock shows a multiple of it."
    )
    relay: bool = Field(
        False,
        description="For the schedule: go on until the next round on this host has begun, with up to twice as many.",
    )

    @property
    def most(self) -> int:
        """How many readings at most."""
        return self.readings * (2 if self.relay else 1)

    @property
    def seconds(self) -> float:
        """How long the round takes, at most."""
        return self.most * self.interval_seconds


class LookConfig(Config):
    """One round of looks at the jobs whose runs may be dead."""

    looks: Whole = Field(4, ge=1, le=1000)
    interval_seconds: Real = Field(15.0, ge=0.05, le=3600)
    silent_seconds: Real = Field(
        45.0, ge=15, le=86_400, description="After so long without a sign of life a run counts as lost."
    )

    @property
    def seconds(self) -> float:
        """How long the round takes."""
        return self.looks * self.interval_seconds
