"""Which prompts are answered together, what an answer is, and where answers are kept so that a killed run goes on.

Knows no model: `answer_all` is given a function that answers one batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """One prompt in tokens; `index` is its place in the suite."""

    index: int
    ids: list[int]


@dataclass(frozen=True)
class Answer:
    """One line of answers.jsonl. `latency_ms` is the wall time of the batch, or of the request, that answered it."""

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


def batches(questions: list[Question], size: int) -> list[list[Question]]:
    """Batches of `size`, the shortest prompts first: little padding, and the memory's peak comes last."""
    ordered = sorted(questions, key=lambda question: (len(question.ids), question.index))
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def answer_or_own_error(batch: Batch, answer: AnswerBatch) -> list[Answer]:
    """The batch's answers. Where the batch fails, its prompts are tried alone, and only those that fail again
    have an error, their own."""
    try:
        return answer(batch)
    except (RuntimeError, ValueError, IndexError) as error:
        if len(batch) == 1:
            return [failed(batch[0], f"{type(error).__name__}: {error}")]
    return [one for question in batch for one in answer_or_own_error([question], answer)]


def failed(question: Question, error: str) -> Answer:
    """The answer of a prompt that has none."""
    return Answer(question.index, None, len(question.ids), None, None, None, error)


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
