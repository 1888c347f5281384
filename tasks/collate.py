"""Makes one batch of tensors out of token rows: the loss on what is learnt, and no row sees another.

An item of a batch is a block of rows: of one row, padded to the longest; or of several, packed one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.render import TokenRow

IGNORED = -100  # torch's cross entropy passes over this label
Layout = Literal["padded", "packed", "flat"]


@dataclass(frozen=True)
class Block:
    """What takes one place in a batch."""

    rows: tuple[TokenRow, ...]

    def __len__(self) -> int:
        return sum(len(row.ids) for row in self.rows)


@dataclass(frozen=True)
class Collator:
    """Blocks to what a model's forward takes, with `learnt`, the positions that predict a learnt token, `labels`,
    those tokens, and `tokens`, the number of all that are no padding. `tasks.head` makes a loss of them.

    Args:
        pad: Fills short blocks up; what it does there is never read.
        layout: padded: an attention mask hides the padding. packed: no mask, but positions that begin anew with
            every row, from which transformers makes one that keeps rows apart. flat: all rows of the batch one
            after the other, as FlashAttention's variable lengths want it; there is no padding then.
    """

    pad: int
    layout: Layout = "padded"

    def __call__(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """input_ids are (blocks, longest), in the flat layout (1, tokens); learnt and labels (learnt tokens,)."""
        import torch

        if self.layout == "flat":
            blocks = [Block(tuple(row for block in blocks for row in block.rows))]
        shape = (len(blocks), max(map(len, blocks)))
        ids, labels = torch.full(shape, self.pad), torch.full(shape, IGNORED)
        mask, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for at, block in enumerate(blocks):
            start = 0
            for row in block.rows:
                own = slice(start, start + len(row.ids))
                ids[at, own] = torch.tensor(row.ids)
                mask[at, own] = 1
                positions[at, own] = torch.arange(len(row.ids))
                for first, end in row.learnt:  # a row's first token is predicted by nothing
                    span = slice(start + max(first, 1), start + end)
                    labels[at, span] = ids[at, span]
                start = own.stop
            positions[at, start:] = torch.arange(shape[1] - start)
        context: dict[str, Any] = {"attention_mask": mask}
        if self.layout != "padded":
            context = {
                "position_ids": positions,
                "use_cache": False,
            }  # with a cache, positions keep no rows apart
        batch = {"input_ids": ids, **context, **_targets(labels)}
        return batch | {"tokens": sum(map(len, blocks))}


def _targets(labels: Any) -> dict[str, Any]:
    """Position p predicts token p + 1. Trainer counts what a step learns by `shift_labels`, and hands `labels` on."""
    learnt = (labels.roll(-1, dims=1) != IGNORED).flatten().nonzero().squeeze(1)
    targets = labels.flatten()[learnt + 1]
    return {"learnt": learnt, "labels": targets, "shift_labels": targets}


def one_by_one(rows: Sequence[TokenRow]) -> list[Block]:
    """Each row in a block of its own."""
    return [Block((row,)) for row in rows]
