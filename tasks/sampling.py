"""Which token is said next. A prompt's throws of dice hang on the seed and its place in the suite alone: not on the
batch, not on the device, not on what was answered before. For child processes (torch comes with it)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0: greedy. `top_k` 0: all tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 42


class Dice:
    """One prompt's throws, in order, between 0 and 1."""

    def __init__(self, seed: int, index: int) -> None:
        self._random = random.Random(f"{seed}:{index}")

    def throw(self) -> float:
        return self._random.random()


def next_tokens(logits: Any, sampling: Sampling, dice: list[Dice]) -> Any:
    """One token a row of `logits`. Of equals, the first."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    chances = (logits.float() / sampling.temperature).softmax(-1)
    chances, tokens = torch.sort(chances, dim=-1, descending=True, stable=True)
    if sampling.top_k:
        chances[:, sampling.top_k :] = 0
    before = chances.cumsum(-1) - chances
    chances[before >= sampling.top_p * chances.sum(-1, keepdim=True)] = 0  # the first one always stays
    reached = chances.double().cumsum(-1)
    thrown = torch.tensor([[one.throw()] for one in dice], dtype=torch.float64, device=logits.device)
    at = (reached <= thrown * reached[:, -1:]).sum(-1, keepdim=True)
    return tokens.gather(-1, at)[:, 0]
