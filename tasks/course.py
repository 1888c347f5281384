"""One run from its base weights to the trained ones: where it begins, what follows it, which weights it ends with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.utils.memory import should_reduce_batch_size

from tasks.base_weights import Base, wants_checkpointing
from tasks.checkpoint import checkpoints, newest_whole, step_of
from tasks.child import STOPPED, rank, ranks, say
from tasks.evaluations import best_step, loss_at
from tasks.fitting import Fitter, make_fitter, planned_steps, training_arguments, with_evaluations
from tasks.gpu import CardMeter
from tasks.leaving import Leaving
from tasks.material import Material
from tasks.memory import Batch
from tasks.pulse import CANCEL, CANCELLED, GO_ON, Pulse
from tasks.report import RunReport
from tasks.sharding import gathered, is_sharded
from tasks.suite_rounds import SuiteRounds
from tasks.training_suite import TrainingSuite
from tuneyard.batch_shapes import Prompt
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import OutOfMemory, WorkFailed

PATIENCE = 15.0  # seconds from SIGTERM in which a step and a checkpoint may end; the parent waits for 20


@dataclass(frozen=True)
class Course:
    """What a run has come to. `outcome` is what every equal run has, `measured` hangs on the hour."""

    model: Any
    kind: Literal["model", "adapter"]
    outcome: dict[str, Any]
    measured: dict[str, Any]


def run_course(
    folder: Path,
    config: FinetuneConfig,
    batch: Batch,
    base: Base,
    material: Material,
    report: RunReport,
    prompts: Sequence[Prompt] = (),
) -> Course:
    """Trains, from the newest whole checkpoint in folder/"checkpoints" where there is one.

    Args:
        batch: The config's, or a smaller one with as many rows a step.
        prompts: What the model answers while it trains, as `config.tests` says.

    Raises:
        OutOfMemory: the batch does not fit.
        Diverged: a loss or gradient is not a finite number.
        WorkFailed: the API told it to stop.
        SystemExit: SIGTERM came; a checkpoint was written if there was time.
    """
    steps, epochs = planned_steps(config, len(material.items), ranks())
    report.tell(stage="training", device=base.device.words, total_steps=steps, total_epochs=epochs)
    say(
        f"Training on {base.device.words} in {base.precision}"
        + (f", {ranks()} of them" if ranks() > 1 else "")
    )
    cached = base.model.config.use_cache
    fitter = _fitter(folder, config, batch, base, material, steps)
    with fitter.accelerator.main_process_first():  # it puts aside what is not whole
        checkpoint = newest_whole(folder / "checkpoints", say)
    if checkpoint is not None:
        say(f"Going on from {checkpoint.name}")
        report.event("resumed", f"Going on from {checkpoint.name}", step=step_of(checkpoint))
    with Leaving(PATIENCE) as leaving:
        pulse = Pulse(config, report, CardMeter(base.device.uuid, say), fitter, leaving)
        fitter.add_callback(pulse)
        if config.tests is not None and prompts and rank() == 0 and not is_sharded(config):
            suite = TrainingSuite(
                config.tests,
                prompts,
                base,
                fitter.model,
                report,
                folder,
                lambda: leaving.asked or report.stop_reason is not None,
            )
            fitter.add_callback(SuiteRounds(config.tests, suite, pulse.heed, alone=ranks() == 1))
        started = time.monotonic()
        _fit(fitter, checkpoint, base)
        seconds = time.monotonic() - started
        _heed(fitter, pulse)
    kept = _take_best(fitter, config, folder / "checkpoints")
    fitter.model.config.use_cache = (
        cached  # Trainer switches it off, and would leave a model that generates slowly
    )
    model = gathered(fitter.model, base, config) if is_sharded(config) else fitter.model
    return _course(model, fitter, pulse, config, kept, epochs, seconds)


def _fitter(
    folder: Path, config: FinetuneConfig, batch: Batch, base: Base, material: Material, steps: int
) -> Fitter:
    arguments = training_arguments(config, batch, steps, base.device, base.precision, folder)
    longest = max(map(len, material.items))
    arguments["activation_checkpointing"] = wants_checkpointing(base, config, longest)
    if arguments["activation_checkpointing"]:
        say("Activations are computed twice, to save memory")
    if material.evaluation:
        arguments = with_evaluations(arguments, config.eval_every)
    if config.method != "dpo":
        return make_fitter(base.model, material, arguments, config)
    from tasks.preference import make_pair_fitter

    return make_pair_fitter(base.model, base.tokenizer, material, arguments, config)


def _fit(fitter: Fitter, checkpoint: Path | None, base: Base) -> None:
    try:
        fitter.fit(checkpoint)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not should_reduce_batch_size(error):  # CUDA's, cuDNN's and the CPU allocator's words for it
            raise
        words = f"{base.device.words} ran out of memory; lower batch_size or max_length: {error}"
        raise OutOfMemory(words) from error


def _heed(fitter: Fitter, pulse: Pulse) -> None:
    """What a run that was told to stop does, unless it had come to its end anyway."""
    if fitter.state.global_step >= fitter.state.max_steps:
        return
    if pulse.told == CANCEL:
        raise WorkFailed(f"Stopped at step {fitter.state.global_step}: {CANCELLED}")
    if pulse.told != GO_ON:
        raise SystemExit(STOPPED)


def _take_best(fitter: Fitter, config: FinetuneConfig, folder: Path) -> int:
    """The step whose weights are kept: the model is that of it now."""
    last: int = fitter.state.global_step
    best = best_step(fitter.state.log_history)
    if not config.keep_best or best is None or best == last:
        return last
    found = next((path for path in checkpoints(folder) if path.name == f"checkpoint-{best}"), None)
    if found is None:
        say(f"The checkpoint of the best evaluation (step {best}) is gone; the last step's weights are kept")
        return last
    say(f"Taking the weights of step {best}, which evaluated best")
    fitter.take_weights(found)
    return best


def _course(
    model: Any, fitter: Fitter, pulse: Pulse, config: FinetuneConfig, kept: int, epochs: float, seconds: float
) -> Course:
    history, (tokens, _rows) = fitter.state.log_history, fitter.seen()
    outcome = {
        "steps": fitter.state.global_step,
        "epochs": round(epochs, 4),
        "first_loss": pulse.losses[0],
        "last_loss": pulse.losses[-1],
        "best_step": best_step(history),
        "eval_loss": loss_at(history, kept),
    }
    measured = {
        "tokens": tokens,
        "tokens_per_second": round(tokens / pulse.step_seconds, 1) if pulse.step_seconds else None,
        "seconds": round(seconds, 2),
        "reporting_seconds": round(pulse.own_seconds, 4),
    }
    return Course(model, "model" if config.method == "full" else "adapter", outcome, measured)
