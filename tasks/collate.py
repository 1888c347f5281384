"""Makes one batch of tensors out of token rows: padded to the longest, the loss on completions only."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.render import TokenRow

IGNORED = -100  # torch's cross entropy passes over this label


@dataclass(frozen=True)
class Collator:
    """Rows to a batch for `model(**batch)`.

    Args:
        pad: Fills short rows up; never read, the attention mask hides it.
        narrow: The model takes `logits_to_keep`: then the head computes only the positions from which some row
            of the batch predicts a completion token. The loss is the same, a long prompt's logits are not made.
    """

    pad: int
    narrow: bool

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """input_ids and attention_mask are (rows, longest); labels (rows, longest), or (rows, kept) if narrow."""
        import torch

        tokens = [row["row"] for row in rows]
        shape = (len(tokens), max(len(row.ids) for row in tokens))
        ids, mask = torch.full(shape, self.pad), torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, IGNORED)
        for at, row in enumerate(tokens):
            size = len(row.ids)
            ids[at, :size] = torch.tensor(row.ids)
            mask[at, :size] = 1
            labels[at, row.completion_start : size] = ids[at, row.completion_start : size]
        batch = {"input_ids": ids, "attention_mask": mask}
        if not self.narrow:
            return {**batch, "labels": labels}
        targets = labels[:, 1:]  # position p predicts token p + 1
        kept = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
        targets = targets[:, kept].contiguous()
        return {**batch, "labels": targets, "shift_labels": targets, "logits_to_keep": kept}


def can_narrow(model: Any) -> bool:
    """Whether the model's forward takes `logits_to_keep`, and hands `shift_labels` on to its loss."""
    parameters = inspect.signature(model.forward).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return takes_more and "logits_to_keep" in parameters


def as_items(rows: list[TokenRow]) -> list[dict[str, Any]]:
    """The form that Trainer wants: its length grouping looks for `input_ids`."""
    return [{"input_ids": row.ids, "row": row} for row in rows]
