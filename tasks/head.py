"""The head of a language model on learnt positions alone: no logits are made for prompts and padding.

For a small model with a large vocabulary they are the most of a step's memory, and a good part of its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy


@contextmanager
def only_at(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """In the `with` block the model's logits are (positions, vocabulary), in the order of `positions`.

    Args:
        model: Whichever `get_output_embeddings` finds the head of.
        positions: Of tokens, as they lie in the batch, row after row.
    """

    def narrow(_head: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return given[0].flatten(0, 1)[positions], *given[1:]

    hook = model.get_output_embeddings().register_forward_pre_hook(narrow)
    try:
        yield
    finally:
        hook.remove()


def mean_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Cross entropy, as Trainer's `compute_loss_func` wants it: a sum over the step's learnt tokens, or their mean.

    Args:
        labels: (positions,), the token that follows each of them.
        num_items_in_batch: Learnt tokens of all the step's batches; default: those of this one.
    """
    total = cross_entropy(outputs.logits.float(), labels, reduction="sum")
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def batch_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """The mean loss of one batch of `tasks.collate`, on the model's device already."""
    inputs = dict(batch)
    positions, labels = inputs.pop("learnt"), inputs.pop("labels")
    for name in ("shift_labels", "tokens"):
        inputs.pop(name)
    with only_at(model, positions):
        return mean_loss(model(**inputs), labels)
