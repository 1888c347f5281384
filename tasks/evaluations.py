"""What the evaluations of a run say: which was the best, and how long ago that was. Reads Trainer's own history,
which every checkpoint holds, so a resumed run decides as the unbroken one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

A_RUN = 10  # evaluations, where the config names no distance


def steps_between(wish: int | None, steps: int) -> int:
    """Optimizer steps from one evaluation to the next."""
    return wish or max(1, round(steps / A_RUN))


def best_step(history: Sequence[dict[str, Any]]) -> int | None:
    """The step of the lowest evaluation loss, the earliest of equals; None where there was no evaluation."""
    losses = _losses(history)
    return min(losses)[1] if losses else None


def since_best(history: Sequence[dict[str, Any]]) -> int:
    """Evaluations after the best one."""
    best = best_step(history)
    return sum(step > best for _, step in _losses(history)) if best is not None else 0


def loss_at(history: Sequence[dict[str, Any]], step: int | None) -> float | None:
    """The evaluation loss of a step."""
    return next((loss for loss, at in _losses(history) if at == step), None)


def _losses(history: Sequence[dict[str, Any]]) -> list[tuple[float, int]]:
    return [(entry["eval_loss"], entry["step"]) for entry in history if "eval_loss" in entry]
