"""From what is taught to what a batch is made of: rendered, held to the length limit, packed if that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.collate import Block, Collator, Layout, one_by_one
from tasks.examples import Example, Passage, Preference, Taught
from tasks.packing import packed, refuse_mixing
from tasks.pretrained import context_length, end_tokens
from tasks.render import PairRow, pair_rows, token_rows
from tasks.row_length import length_limit, refuse_long_pairs, within_limit
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput


@dataclass(frozen=True)
class Material:
    """Ready for batches: blocks of conversations and texts, or pairs of preferences, which bring no collator.

    `evaluation` is sorted by length, so that it pads little. `rows` and `tokens` count what is trained on.
    """

    items: Sequence[Block | PairRow]
    evaluation: Sequence[Block | PairRow]
    collator: Collator | None
    rows: int
    tokens: int


def prepare(
    model: Any, tokenizer: Any, taught: Sequence[Taught], evaluated: Sequence[Taught], config: FinetuneConfig
) -> Material:
    """Raises BadInput for rows that are not of the method's kind, or that this model cannot be trained on."""
    ends, (limit, whose) = (
        end_tokens(model, tokenizer),
        length_limit(config.max_length, context_length(model)),
    )
    if config.method == "dpo":
        pairs, others = (pair_rows(tokenizer, _preferences(side), ends) for side in (taught, evaluated))
        refuse_long_pairs([*pairs, *others], limit, whose)
        tokens = sum(2 * len(pair.prompt) + len(pair.chosen) + len(pair.rejected) for pair in pairs)
        return Material(pairs, sorted(others, key=len), None, len(pairs), tokens)
    rows, tests = (
        within_limit(
            token_rows(tokenizer, _answers(side, config), ends, config.loss_on),
            limit,
            whose,
            config.long_rows,
        )
        for side in (taught, evaluated)
    )
    collator = Collator(model.config.pad_token_id or 0, _layout(model, config))
    items, evaluation = one_by_one(rows), one_by_one(tests)
    if config.packing:
        refuse_mixing(model, rows, collator)
        items, evaluation = packed(rows, limit), packed(tests, limit)
    return Material(
        items, sorted(evaluation, key=len), collator, len(rows), sum(len(row.ids) for row in rows)
    )


def _layout(model: Any, config: FinetuneConfig) -> Layout:
    if not config.packing:
        return "padded"
    return "flat" if model.config._attn_implementation == "flash_attention_2" else "packed"


def _preferences(side: Sequence[Taught]) -> list[Preference]:
    for row in side:
        if not isinstance(row, Preference):
            problem = "dpo learns from preferences: rows of prompt, chosen and rejected"
            raise BadInput(problem, file=row.file, line=row.line, field="method")
    return [row for row in side if isinstance(row, Preference)]


def _answers(side: Sequence[Taught], config: FinetuneConfig) -> list[Example | Passage]:
    for row in side:
        if isinstance(row, Preference):
            problem = f"these are preferences, and {config.method} learns from answers; use the method dpo"
            raise BadInput(problem, file=row.file, line=row.line, field="method")
    return [row for row in side if not isinstance(row, Preference)]
