"""Follows a run step by step: measures, reports, decides what is best and when to stop. For the child process only."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

import torch
from transformers import TrainerCallback

from tasks.child import say
from tasks.evaluations import best_step, loss_at, since_best
from tasks.fitting import Fitter
from tasks.gpu import GIB, CardMeter
from tasks.leaving import Leaving
from tasks.report import RunReport
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import WorkFailed
from tuneyard.shapes import MetricPoint

NAMED = {
    "loss",
    "grad_norm",
    "learning_rate",
    "epoch",
    "total_flos",
}  # of what is logged, what a point has fields for
CANCELLED = "the job was cancelled"
GO_ON, LEAVE, CANCEL, SUPERSEDE = range(4)  # what a rank has in mind; of several, the highest is done by all
SUPERSEDED = "the API no longer takes this run's token: a newer attempt has the job, or it ended"


class Pulse(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """One for a run.

    `own_seconds` is what following the run has cost it: the time spent in here.
    """

    def __init__(
        self, config: FinetuneConfig, report: RunReport, meter: CardMeter, fitter: Fitter, leaving: Leaving
    ) -> None:
        self.step_seconds = 0.0
        self.own_seconds = 0.0
        self.losses: list[float] = []
        self.told = GO_ON
        self._config = config
        self._report = report
        self._meter = meter
        self._fitter = fitter
        self._leaving = leaving
        self._began = 0.0
        self._before = (0.0, 0, 0)  # step seconds, tokens and rows at the last report
        self._point: MetricPoint | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        """A resumed run's earlier losses are in its state."""
        self.losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        self._fitter.restore_loss_window()

    def on_step_begin(self, _args: Any, _state: Any, _control: Any, **_rest: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_rest: Any) -> None:
        """Trainer logs, evaluates and saves after this, as `control` says; a step has one point, with all in it."""
        now = time.perf_counter()
        self.step_seconds += now - self._began
        last = state.global_step >= state.max_steps
        if last or control.should_evaluate:
            control.should_log = True
        if last and self._fitter.eval_dataset is not None:
            control.should_evaluate = True
        if last:
            control.should_save = False  # the model itself is saved next; optimizer state is of no more use
        else:
            self.heed(state, control)
        self.own_seconds += time.perf_counter() - now

    def on_log(self, _args: Any, state: Any, control: Any, logs: dict[str, float], **_rest: Any) -> None:
        began = time.perf_counter()
        if "loss" in logs:
            self._fitter.finite.demand("gradient's norm", logs["grad_norm"], state.global_step)
            self.losses.append(logs["loss"])
            self._point = self._measured(state, logs)
            if not control.should_evaluate:
                self._tell(state)
        elif "eval_loss" in logs and self._point is not None:
            extra = {name: value for name, value in logs.items() if name not in ("eval_loss", "epoch")}
            update = {"eval_loss": logs["eval_loss"], "extra": self._point.extra | extra}
            self._point = self._point.model_copy(update=update)
            self._tell(state)
        self.own_seconds += time.perf_counter() - began

    def on_save(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        step = state.global_step
        if not self._fitter.finite.were_all:
            return
        best = self._config.keep_best and best_step(state.log_history) == step
        self._report.event(
            "checkpoint", f"checkpoint-{step}" + (", the best so far" if best else ""), step=step, best=best
        )

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_rest: Any) -> None:
        """The checkpoint of the best evaluation so far is kept; too many without a better one end the run."""
        step = state.global_step
        last = step >= state.max_steps
        loss = loss_at(state.log_history, step)
        self._report.event("evaluated", f"Evaluation loss {loss:.4f}", step=step, eval_loss=loss)
        if self._config.keep_best and best_step(state.log_history) == step:
            control.should_save = not last
        patience = self._config.early_stopping
        if patience is not None and since_best(state.log_history) >= patience and not last:
            say(f"No better evaluation for {patience} times: stopping at step {state.global_step}")
            control.should_training_stop = True

    def heed(self, state: Any, control: Any) -> None:
        """Do what the run has been told, by its host or by the API."""
        self.told = self._fitter.agreed(self._has_in_mind())
        if self.told == SUPERSEDE:  # the folder may be another's now
            raise WorkFailed(f"Stopped at step {state.global_step}: {SUPERSEDED}")
        if self.told != GO_ON:
            say(f"Told to stop at step {state.global_step}")
            control.should_save = control.should_training_stop = True

    def _has_in_mind(self) -> int:
        reason = self._report.stop_reason
        if reason is None:
            return LEAVE if self._leaving.asked else GO_ON
        return CANCEL if reason == "cancelled" else SUPERSEDE

    def _tell(self, state: Any) -> None:
        point, self._point = self._point, None
        assert point is not None
        self._report.point(point)
        evaluated = "" if point.eval_loss is None else f"  eval loss {point.eval_loss:.4f}"
        loss, norm = (
            math.nan if number is None else number for number in (point.train_loss, point.grad_norm)
        )
        say(
            f"step {point.step}/{state.max_steps}  loss {loss:.4f}{evaluated}  lr {point.learning_rate:.2e}  "
            f"grad norm {norm:.2f}  epoch {point.epoch:.2f}  {point.tokens_per_second:.0f} tokens/s"
        )

    def _measured(self, state: Any, logs: dict[str, float]) -> MetricPoint:
        now = (self.step_seconds, *self._fitter.seen())
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
            extra={name: value for name, value in logs.items() if name not in NAMED},
        )
