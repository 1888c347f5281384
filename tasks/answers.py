"""Which prompts are answered together, what an answer is, and where answers are kept so that a killed run goes on.

Knows no model: `answer_all` is given a function that answers one batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tuneyard.errors import OutOfMemory


@dataclass(frozen=True)
class Question:
    """One prompt in tokens; `index` is its place in the suite. `choices`, in tokens: what a scorer wants likelihoods
    of."""

    index: int
    ids: list[int]
    rendered: str | None = None
    template_sha256: str | None = None
    choices: list[list[int]] | None = None


@dataclass(frozen=True)
class Answer:
    """One line of answers.jsonl. `latency_ms`: from the start of the batch that it was answered in to its last token;
    an endpoint's: of its one request. `details`: what scorers need beside the text, by scorer."""

    prompt_index: int
    response: str | None
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float | None
    finish_reason: str | None
    error: str | None
    rendered: str | None = None
    template_sha256: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


Batch = Sequence[Question]
AnswerBatch = Callable[[Batch], list[Answer]]


def answer_all(
    questions: list[Question], fits: Callable[[Batch], int], answer: AnswerBatch
) -> Iterator[list[Answer]]:
    """Answers batch by batch, the shortest prompts first: little padding, and the memory's peak comes last.

    Args:
        questions: In any order.
        fits: How many of these, from the first on, may be answered together.
        answer: Answers a batch. Where it runs out of memory, batches have half as many from then on.
    """
    left = sorted(questions, key=lambda question: (len(question.ids), question.index))
    most = len(left)
    while left:
        batch = left[: min(most, fits(left))]
        try:
            answers = answer_or_own_error(batch, answer)
        except OutOfMemory:
            most = len(batch) // 2
            continue
        yield answers
        left = left[len(batch) :]


def answer_or_own_error(batch: Batch, answer: AnswerBatch) -> list[Answer]:
    """The batch's answers. Where it fails, its halves are tried, and so on: only prompts that fail alone have an
    error, their own.

    Raises:
        OutOfMemory: more than one prompt did not fit.
    """
    try:
        return answer(batch)
    except (OutOfMemory, RuntimeError, ValueError, IndexError) as error:
        if len(batch) == 1:
            return [failed(batch[0], f"{type(error).__name__}: {error}")]
        if isinstance(error, OutOfMemory):
            raise
    middle = len(batch) // 2
    return answer_or_own_error(batch[:middle], answer) + answer_or_own_error(batch[middle:], answer)


def failed(question: Question, error: str) -> Answer:
    """The answer of a prompt that has none."""
    return answered(question, None, None, None, None, error)


def answered(
    question: Question,
    text: str | None,
    tokens: int | None,
    latency_ms: float | None,
    reason: Literal["stop", "length"] | None,
    error: str | None = None,
    details: dict[str, Any] | None = None,
) -> Answer:
    """An answer with what was asked beside it."""
    return Answer(
        question.index,
        text,
        len(question.ids),
        tokens,
        latency_ms,
        reason,
        error,
        question.rendered,
        question.template_sha256,
        details or {},
    )


class AnswerFile:
    """answers.jsonl: whole lines only, each batch on the disk before the next one begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, whole)  # a killed writer may have left half a line

    def answered(self) -> list[Answer]:
        """What an earlier run has left, in the order of writing."""
        if not self._path.exists():
            return []
        return [Answer(**json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def add(self, answers: list[Answer]) -> None:
        """Appends one line an answer and flushes them to the disk."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(answer)) + "\n" for answer in answers)
            file.flush()
            os.fsync(file.fileno())
