"""From prompts and rows to token ids, the same way in training and in answering.

The completion's tokens are known by where they start, not by their value: in many models the pad token is the
turn-end token, and a mask made from its id would hide the very token that teaches the model to stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.dataset import Row


@dataclass(frozen=True)
class TokenRow:
    """One row in tokens: `ids[completion_start:]` are learnt, the ones before are only read."""

    ids: list[int]
    completion_start: int
    line: int


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """What the model reads before it answers: the chat template's user turn, where the model has a template."""
    if tokenizer.chat_template is None:
        plain: list[int] = tokenizer(prompt)["input_ids"]
        return plain
    return _ids(tokenizer, _chat(tokenizer, prompt))


def row_ids(tokenizer: Any, row: Row, ends: set[int]) -> TokenRow:
    """A training row, ended by one of the tokens at which this model stops.

    Args:
        tokenizer: A transformers tokenizer.
        row: Its completion becomes the assistant's turn.
        ends: Ids of the tokens that end an answer; see `tasks.pretrained.end_tokens`.
    """
    start = prompt_ids(tokenizer, row.prompt)
    answer = _ids(tokenizer, _answer_text(tokenizer, row))
    last = max((at for at, token in enumerate(answer) if token in ends), default=None)
    if last is None:
        answer = [*answer, tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(ends)]
    else:
        answer = answer[: last + 1]  # templates put a line break after the end token; nobody generates it
    return TokenRow(start + answer, len(start), row.line)


def _answer_text(tokenizer: Any, row: Row) -> str:
    """What follows the prompt in the whole conversation; the bare completion where the template rewrites it."""
    if tokenizer.chat_template is None:
        return row.completion
    before, whole = _chat(tokenizer, row.prompt), _chat(tokenizer, row.prompt, row.completion)
    return whole[len(before) :] if whole.startswith(before) else row.completion


def _chat(tokenizer: Any, prompt: str, completion: str | None = None) -> str:
    turns = [{"role": "user", "content": prompt}]
    if completion is not None:
        turns.append({"role": "assistant", "content": completion})
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=completion is None)
    return text


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
