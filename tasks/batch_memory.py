"""How many prompts are answered together, so that they fit into memory: from a model's shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTHS = 8  # activations of a token that is read: copies of its hidden state that are alive at once, and of the MLP's
LOGITS = (
    40  # bytes a row and token of the vocabulary: as they come, in fp32, sorted, their places, their sums
)
MOST = {"exact": 64, "fast": 512}  # a killed run loses at most one batch


@dataclass(frozen=True)
class Shapes:
    """Bytes: of a token in the cache, of a token while it is read, of a row's logits."""

    kept: int
    read: int
    logits: int


def shapes_of(config: Any, number: int) -> Shapes:
    """From a transformers config, with numbers of so many bytes."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return Shapes(
        kept=2 * config.num_hidden_layers * pairs * width * number,
        read=(WIDTHS * config.hidden_size + 3 * inner) * number,
        logits=LOGITS * config.vocab_size,
    )


def rows_that_fit(lengths: Sequence[int], most: int, shapes: Shapes, budget: float, part: int) -> int:
    """How many of the first prompts may be answered together, the shortest first; at least one.

    Args:
        lengths: Their tokens, ascending.
        most: Tokens that an answer may have.
        budget: Bytes beside the model.
        part: Tokens that are read at once, where one prompt is not longer.
    """
    for rows, longest in enumerate(lengths, start=1):
        batch = rows * ((longest + most) * shapes.kept + shapes.logits)
        if batch + max(part, longest) * shapes.read > budget:
            return max(1, rows - 1)
    return len(lengths)
