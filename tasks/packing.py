"""Fills blocks of a fixed length with whole rows, and makes sure that the model keeps them apart."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

from tasks.collate import Block, Collator
from tasks.render import TokenRow
from tuneyard.errors import BadInput

TOLERANCE = 1e-4  # of the loss: two equal computations, which a masked-out neighbour cannot change
PROBE_TOKENS = 64


def packed(rows: Sequence[TokenRow], length: int) -> list[Block]:
    """Every row in one of few blocks of at most `length` tokens: the longest rows first, each into the fullest
    block that has room for it (best fit decreasing). The same rows make the same blocks."""
    blocks: list[list[TokenRow]] = []
    rooms: list[tuple[int, int]] = []  # (tokens left, block), sorted
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        size = len(row.ids)
        at = bisect_left(rooms, (size, -1))
        left, block = rooms.pop(at) if at < len(rooms) else (length, len(blocks))
        if block == len(blocks):
            blocks.append([])
        blocks[block].append(row)
        insort(rooms, (left - size, block))
    return [Block(tuple(block)) for block in blocks]


def refuse_mixing(model: Any, rows: Sequence[TokenRow], collator: Collator) -> None:
    """One probe: what a row is predicted to be must not hang on the row packed before it.

    Raises:
        BadInput: it does. Models with a memory of their own (state space, convolution) read on over a row's end.
    """
    import torch

    from tasks.head import batch_loss

    first, second = (_head(row) for row in (sorted(rows, key=lambda row: len(row.ids)) * 2)[-2:])
    before = (TokenRow(ids, [], first.line, first.file) for ids in (first.ids, first.ids[::-1]))
    batches = [collator([Block((other, second))]) for other in before]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        one, other = (float(batch_loss(model, _inputs(batch, model.device))) for batch in batches)
    model.train(was_training)
    if abs(one - other) > TOLERANCE * max(1.0, abs(one)):
        problem = (
            f"this model reads on over the end of a row: another row before it changes its loss from {one:.4f} to "
            f"{other:.4f}. Train it without packing"
        )
        raise BadInput(problem, field="packing")


def _head(row: TokenRow) -> TokenRow:
    """Few of its tokens, all learnt."""
    ids = row.ids[:PROBE_TOKENS]
    return TokenRow(ids, [(0, len(ids))], row.line, row.file)


def _inputs(batch: dict[str, Any], device: Any) -> dict[str, Any]:
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()} | {
        "use_cache": False
    }
