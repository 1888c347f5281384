"""How an answer is judged: pure functions from an answer and its prompt to scores between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import Scorer, named


@dataclass(frozen=True)
class Scored:
    """`scores` by scorer's kind; `score` and `passed` are None while a scorer is not through (a judge, say)."""

    scores: dict[str, float]
    score: float | None
    passed: bool | None


def score_answer(
    response: str,
    prompt: Prompt,
    scorers: Sequence[Scorer],
    details: dict[str, Any],  # noqa: ARG001
) -> Scored:
    """The answer by each scorer, by the prompt's own where it has one, and together by weight.

    Args:
        details: What scorers that need a model of their own have found, by kind; see there.
    """
    own = named([prompt.scorer] if prompt.scorer is not None else scorers)
    scores = {name: exact(response, prompt.expected or "") for name, _ in own}
    score = sum(scores[name] * one.weight for name, one in own) / sum(one.weight for _, one in own)
    return Scored(scores, score, all(scores[name] >= one.pass_at for name, one in own))


def exact(response: str, expected: str) -> float:
    """1.0 where the two texts are equal once outer white space is taken off, else 0.0."""
    return float(response.strip() == expected.strip())
