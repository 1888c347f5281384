"""The training loop: HF Trainer with our collator, order, checkpoints and evaluation. For the child process only."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from tasks.checkpoint import STAGING, clear_staging, keep_checkpoint
from tasks.child import rank, ranks, say
from tasks.divergence import FiniteNumbers
from tasks.evaluations import best_step, steps_between
from tasks.hardware import Device, Precision
from tasks.head import mean_loss, only_at
from tasks.material import Material
from tasks.memory import Batch
from tasks.ordering import LengthGrouped
from tasks.sharding import is_sharded, number_formats, shard_on_cpu, sharded_arguments
from tuneyard.configs import FinetuneConfig

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def planned_steps(config: FinetuneConfig, items: int, devices: int = 1) -> tuple[int, float]:
    """(optimizer steps, epochs) of the whole run; `items` are what a batch counts: rows, blocks or pairs."""
    per_epoch = math.ceil(math.ceil(items / (config.batch_size * devices)) / config.gradient_accumulation)
    steps = config.max_steps or math.ceil(config.epochs * per_epoch)
    return steps, steps / per_epoch


class Fitter(Trainer):  # type: ignore[misc]  # transformers has no types
    """Trainer whose checkpoints appear whole, whose order of rows hangs on the seed alone, and which stops at the
    first loss that is not a number. The loss of a step is the mean over its learnt tokens, however many
    micro-batches they came in.

    One of several ranks holds the whole model, or its part of it; rank 0 writes what all have in common.

    Args:
        lengths: Tokens of each training item.
        config: The config; where memory did not hold its batches, the arguments for Trainer have smaller ones.
    """

    def __init__(self, *, lengths: list[int], config: FinetuneConfig, **rest: Any) -> None:
        super().__init__(**rest)
        self.remove_callback(PrinterCallback)
        self.rows_seen = 0
        self.tokens_seen = 0
        self.finite = FiniteNumbers(warn_only=config.watchdog.nan == "warn")
        self._lengths = lengths
        self._config = config
        self._agreement = torch.distributed.new_group(backend="gloo") if ranks() > 1 else None
        self._grad_norm: Any = None
        self._resumed: Path | None = None

    def create_accelerator_and_postprocess(self) -> None:
        """As Trainer's, and with the number formats and on the CPU that `tasks.sharding` wants."""
        if self.args.fsdp:
            self.args.fsdp_plugin_args["mixed_precision_policy"] = number_formats(bf16=self.args.bf16)
        super().create_accelerator_and_postprocess()
        if self.args.fsdp and self.args.use_cpu:
            shard_on_cpu(self.accelerator.state, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    @property
    def _checkpoints(self) -> Path:
        return Path(self.args.output_dir)

    def fit(self, checkpoint: Path | None) -> None:
        """Trains to the end, from a checkpoint where one is given. Raises WorkFailed where the run diverges."""
        self._resumed = checkpoint
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self.finite.settle()

    def agreed(self, reason: int) -> int:
        """The highest of what the ranks have in mind, known to all: those that stop must all stop at the same step."""
        if self._agreement is None:
            return reason
        highest = torch.tensor(reason)
        torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX, group=self._agreement)
        return int(highest)

    def seen(self) -> tuple[int, int]:
        """(tokens that were no padding, rows) that all ranks have been shown in this process's life."""
        counts = torch.tensor([self.tokens_seen, self.rows_seen])
        if self._agreement is not None:
            torch.distributed.all_reduce(counts, group=self._agreement)
        return int(counts[0]), int(counts[1])

    def restore_loss_window(self) -> None:
        """To be called when training begins: the losses since the last report, which Trainer forgets, come back."""
        if self._resumed is not None:
            window = json.loads((self._resumed / _loss_window()).read_text(encoding="utf-8"))
            self._tr_loss = torch.tensor(window["sum"], device=self.args.device)
            self._globalstep_last_logged = window["since"]

    def take_weights(self, checkpoint: Path) -> None:
        """The model becomes that of a checkpoint."""
        self._load_from_checkpoint(str(checkpoint))

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """As Trainer's. Raises Diverged on a loss that is not finite."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.finite.saw(loss, self.state.global_step + 1)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The mean loss over all that is learnt of the evaluation rows; Trainer's own weighs batches, not tokens."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        for batch in self.get_eval_dataloader():
            inputs = self._prepare_inputs(batch)
            weight = self._weight(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(self.model, inputs)
            total += torch.stack([loss.double() * weight, weight.double()])
        losses, weights = self.accelerator.reduce(total).tolist()
        self.finite.demand("evaluation's loss", losses / weights, self.state.global_step)
        metrics = {"eval_loss": losses / weights}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, _inputs: Any) -> int:
        """Nobody reads them, and Trainer would count the parameters anew for each batch."""
        return 0

    def _weight(self, inputs: Any) -> torch.Tensor:
        return torch.tensor(len(inputs["labels"]), device=self.args.device)

    def _prepare_inputs(self, inputs: Any) -> Any:
        tokens = inputs.pop("tokens")
        if self.model.training:
            self.tokens_seen += tokens
            self.rows_seen += len(inputs["input_ids"])
        return super()._prepare_inputs(inputs)

    def _get_train_sampler(self, *_: Any) -> LengthGrouped:
        together = (
            self._config.batch_size * ranks()
        )  # the config's: smaller batches must not change the order
        return LengthGrouped(self._lengths, together, self.args.seed)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002  # Trainer gives it by name
        return str(self._checkpoints / STAGING)

    def _maybe_log_save_evaluate(self, tr_loss: Any, grad_norm: Any, *rest: Any, **more: Any) -> None:
        self._grad_norm = grad_norm
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *rest, **more)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        self.finite.settle()
        if self._grad_norm is not None:
            self.finite.demand("gradient's norm", float(self._grad_norm), step)
        if not self.finite.were_all:
            return
        if rank() == 0:
            clear_staging(self._checkpoints)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        staged = self._checkpoints / STAGING / f"checkpoint-{step}"
        window = {"sum": float(self._tr_loss), "since": self._globalstep_last_logged}
        (staged / _loss_window()).write_text(json.dumps(window), encoding="utf-8")
        self.accelerator.wait_for_everyone()
        if rank() == 0:
            best = best_step(self.state.log_history) if self._config.keep_best else None
            keep_checkpoint(staged, self._checkpoints, self._config.keep_checkpoints, best)
            say(f"Saved {staged.name}")
        self.accelerator.wait_for_everyone()


class TokenFitter(Fitter):
    """For conversations and texts: the loss is that of the learnt tokens, and no other logits are made."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(compute_loss_func=mean_loss, **rest)

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        """As Trainer's, which knows how to scale it by accumulation and ranks."""
        learnt, _ = inputs.pop("learnt"), inputs.pop("shift_labels")
        with only_at(self.accelerator.unwrap_model(model), learnt):
            return super().compute_loss(model, inputs, *rest, **more)


def _loss_window() -> str:
    """The file of this rank's losses since the last report, named as Trainer names each rank's random state."""
    return f"loss_window_{rank()}.json" if ranks() > 1 else "loss_window.json"


def make_fitter(
    model: Any, material: Material, arguments: dict[str, Any], config: FinetuneConfig
) -> TokenFitter:
    """The Trainer for conversations and texts."""
    return TokenFitter(
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=material.items,
        eval_dataset=material.evaluation or None,
        data_collator=material.collator,
        lengths=[len(block) for block in material.items],
        config=config,
    )


def training_arguments(
    config: FinetuneConfig, batch: Batch, steps: int, device: Device, precision: Precision, folder: Path
) -> dict[str, Any]:
    """What Trainer and those made from it are told; checkpoints go to folder/"checkpoints"."""
    return {
        "output_dir": str(folder / "checkpoints"),
        "max_steps": steps,  # said outright, so that a resumed run has the same schedule
        "per_device_train_batch_size": batch.micro,
        "per_device_eval_batch_size": batch.micro,
        "gradient_accumulation_steps": batch.accumulation,
        "learning_rate": config.peak_learning_rate,
        "lr_scheduler_type": SCHEDULES[config.schedule],
        "warmup_steps": math.ceil(steps * config.warmup_ratio),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "bf16": precision == "bf16",
        "use_cpu": device.kind == "cpu",
        "seed": config.seed,
        "logging_steps": config.report_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would hide what `demand_finite` looks for
        "save_strategy": "steps" if config.checkpoint_every else "no",
        "save_steps": config.checkpoint_every or 500,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.kind == "cuda",
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        **(sharded_arguments() if is_sharded(config) else {}),
    }


def with_evaluations(arguments: dict[str, Any], every: int | None) -> dict[str, Any]:
    """The same, evaluating every so many steps, or ten times a run."""
    distance = steps_between(every, arguments["max_steps"])
    return arguments | {"eval_strategy": "steps", "eval_steps": distance}
