"""The training loop: HF Trainer with our collator, whole checkpoints and reports. For the child process only."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tasks.checkpoint import STAGING, clear_staging, keep_checkpoint
from tasks.child import say
from tasks.collate import Collator, as_items, can_narrow
from tasks.gpu import GIB, CardMeter
from tasks.hardware import Device, Precision
from tasks.render import TokenRow
from tasks.report import RunReport
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import WorkFailed
from tuneyard.shapes import MetricPoint

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
STOPPED = {
    "cancelled": "the job was cancelled",
    "superseded": "the API no longer takes this run's token: a newer attempt has the job, or it ended",
}


def planned_steps(config: FinetuneConfig, rows: int) -> tuple[int, float]:
    """(optimizer steps, epochs) of the whole run."""
    per_epoch = math.ceil(math.ceil(rows / config.batch_size) / config.gradient_accumulation)
    steps = config.max_steps or math.ceil(config.epochs * per_epoch)
    return steps, steps / per_epoch


class Fitter(Trainer):  # type: ignore[misc]  # transformers has no types
    """Trainer whose checkpoints appear whole, and which stops at the first loss that is not a number."""

    def __init__(self, *, checkpoints: Path, keep: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.remove_callback(PrinterCallback)
        self.rows_seen = 0
        self._checkpoints = checkpoints
        self._keep = keep

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """As Trainer's. Raises WorkFailed on a loss that is not finite."""
        self.rows_seen += len(inputs["input_ids"])
        loss = super().training_step(model, inputs, num_items_in_batch)
        demand_finite("loss", loss.item(), self.state.global_step + 1)
        return loss

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002  # Trainer gives it by name
        return str(self._checkpoints / STAGING)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        staging = clear_staging(self._checkpoints)
        super()._save_checkpoint(model, trial)
        kept = keep_checkpoint(
            staging / f"checkpoint-{self.state.global_step}", self._checkpoints, self._keep
        )
        say(f"Saved {kept.name}")


class Pulse(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Follows the steps: measures, reports, and stops the run when the API says so."""

    def __init__(self, report: RunReport, meter: CardMeter, fitter: Fitter) -> None:
        self.step_seconds = 0.0
        self.tokens = 0
        self.losses: list[float] = []
        self._report = report
        self._meter = meter
        self._fitter = fitter
        self._began = 0.0
        self._before = (0.0, 0, 0)  # step seconds, tokens and rows at the last report
        self._first_tokens = 0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        """A resumed run's earlier losses and tokens are in its state."""
        self.losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        self._first_tokens = state.num_input_tokens_seen

    def on_step_begin(self, _args: Any, _state: Any, _control: Any, **_rest: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_rest: Any) -> None:
        self.step_seconds += time.monotonic() - self._began
        self.tokens = state.num_input_tokens_seen - self._first_tokens
        if reason := self._report.stop_reason:
            raise WorkFailed(f"Stopped at step {state.global_step}: {STOPPED.get(reason, reason)}")
        if state.global_step >= state.max_steps:
            control.should_log = True
            control.should_save = False  # the model itself is saved next; optimizer state is of no more use

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_rest: Any) -> None:
        if "loss" not in logs:
            return
        demand_finite("gradient's norm", logs["grad_norm"], state.global_step)
        self.losses.append(logs["loss"])
        point = self._point(state, logs)
        self._report.point(point)
        say(
            f"step {point.step}/{state.max_steps}  loss {point.train_loss:.4f}  lr {point.learning_rate:.2e}  "
            f"grad norm {point.grad_norm:.2f}  epoch {point.epoch:.2f}  {point.tokens_per_second:.0f} tokens/s"
        )

    def _point(self, state: Any, logs: dict[str, float]) -> MetricPoint:
        now = (self.step_seconds, self.tokens, self._fitter.rows_seen)
        seconds, tokens, rows = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        cuda = torch.cuda.is_available()
        return MetricPoint(
            step=state.global_step,
            epoch=state.epoch,
            train_loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=logs["grad_norm"],
            samples_per_second=rows / seconds,
            tokens_per_second=tokens / seconds,
            gpu_memory_allocated_gb=torch.cuda.memory_allocated() / GIB if cuda else None,
            gpu_memory_reserved_gb=torch.cuda.memory_reserved() / GIB if cuda else None,
            gpu_utilization_percent=self._meter.utilization_percent(),
            timestamp=datetime.now(UTC),
        )


def make_fitter(
    model: Any,
    rows: list[TokenRow],
    config: FinetuneConfig,
    device: Device,
    precision: Precision,
    folder: Path,
) -> Fitter:
    """The Trainer for one run; its checkpoints go to folder/"checkpoints"."""
    steps, _ = planned_steps(config, len(rows))
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=steps,  # said outright, so that a resumed run has the same schedule
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=math.ceil(steps * config.warmup_ratio),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=precision == "bf16",
        use_cpu=device.kind == "cpu",
        seed=config.seed,
        train_sampling_strategy="group_by_length",
        include_num_input_tokens_seen="non_padding",
        logging_steps=config.report_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would hide what `demand_finite` looks for
        save_strategy="steps" if config.checkpoint_every else "no",
        save_steps=config.checkpoint_every or 500,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=device.kind == "cuda",
        disable_tqdm=True,
        report_to="none",
    )
    pad = model.config.pad_token_id
    collator = Collator(pad=0 if pad is None else pad, narrow=can_narrow(model))
    return Fitter(
        model=model,
        args=arguments,
        train_dataset=as_items(rows),
        data_collator=collator,
        checkpoints=folder / "checkpoints",
        keep=config.keep_checkpoints,
    )


def demand_finite(what: str, value: float, step: int) -> None:
    """Raises WorkFailed: from a number that is not finite no later step comes back."""
    if not math.isfinite(value):
        raise WorkFailed(
            f"Training diverged: the {what} at step {step} is {value}. Nothing was saved of it; try a lower "
            "learning_rate, more warm-up, or look at the rows"
        )
