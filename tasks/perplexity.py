"""Child main: a model's perplexity on texts, `python -m tasks.perplexity <folder>`.

Plan: {"model_dir", "dataset", "precision": "exact" (fp32) or "fast" (bf16)}. The data set holds texts; each is read by
itself, after the token that begins a text (where there is none, the end token), and every token of it is scored once:
in windows of at most 1024 tokens, each but the first with half a window of context before what it scores.
Result: {"value", "tokens", "texts", "window", "stride", "precision", "dataset_sha256"}.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tasks.dataset import read_dataset, whole
from tasks.examples import Passage
from tasks.hardware import this_device
from tuneyard.errors import BadInput, Diverged

WINDOW = 1024
AT_A_TIME = 4096  # tokens: their logits are what takes memory
FIELD = "perplexity_on"


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `end` of a text are read, those from `scored` on are scored."""

    start: int
    scored: int
    end: int


def windows(length: int, size: int, stride: int) -> list[Window]:
    """Windows over `length` tokens of which the first is only read; each other one is scored in just one of them.

    Args:
        size: The most tokens in one.
        stride: How many it scores; at most size - 1, so that each has some context.
    """
    found, scored = [], 1
    while scored < length:
        start = max(0, scored + stride - size) if scored > 1 else 0
        end = min(length, start + size)
        found.append(Window(start, scored, end))
        scored = end
    return found


def perplexity_of(total: float, tokens: int) -> float:
    """From the sum of all tokens' negative log-likelihoods. Raises Diverged where it is no number."""
    mean = total / tokens
    if not math.isfinite(mean) or mean > 700:
        raise Diverged("The model gives the texts no likelihood that is a number, so they have no perplexity")
    return math.exp(mean)


def perplexity(order: Order) -> dict[str, Any]:
    """The whole work. Raises BadInput where the data set holds no texts."""
    import torch

    from tasks.pretrained import context_length, load_model, load_tokenizer

    plan = order.plan
    data = whole(read_dataset(plan["dataset"]))
    texts = [row.text for row in data.rows if isinstance(row, Passage)]
    if len(texts) < len(data.rows):
        raise BadInput(f"its rows are {data.form}, not texts", file=data.uri, field=FIELD)
    folder, device = Path(plan["model_dir"]), this_device()
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, torch.bfloat16 if plan["precision"] == "fast" else torch.float32)
    model = model.to(device.kind).eval()
    size = max(2, min(WINDOW, context_length(model) or WINDOW))
    rows = [_ids(tokenizer, text) for text in texts]
    say(f"Perplexity of {len(texts)} texts, {sum(map(len, rows)) - len(rows)} tokens, on {device.words}")
    total, tokens = total_loss(model, rows, size)
    if not tokens:
        raise BadInput("its texts hold no tokens", file=data.uri, field=FIELD)
    figures = {"value": perplexity_of(total, tokens), "tokens": tokens, "texts": len(texts)}
    how = {"window": size, "stride": max(1, size // 2), "precision": plan["precision"]}
    return {**figures, **how, "dataset_sha256": data.sha256}


def total_loss(model: Any, rows: Sequence[list[int]], size: int) -> tuple[float, int]:
    """(the sum of the tokens' negative log-likelihoods, how many): of all but each row's first token."""
    import torch

    cut = [(row, one) for row in rows for one in windows(len(row), size, max(1, size // 2))]
    cut.sort(key=lambda pair: pair[1].end - pair[1].start, reverse=True)
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in _batches(cut):
            loss, count = _batch_loss(model, batch)
            total, tokens = total + loss, tokens + count
    return total, tokens


def _ids(tokenizer: Any, text: str) -> list[int]:
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise BadInput("the model has no token that begins or ends a text", field="model")
    return [first, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]


def _batches(cut: Sequence[tuple[list[int], Window]]) -> Iterator[Sequence[tuple[list[int], Window]]]:
    """The longest first; as many as AT_A_TIME tokens hold, padding counted."""
    at = 0
    while at < len(cut):
        longest = cut[at][1].end - cut[at][1].start
        count = max(1, AT_A_TIME // longest)
        yield cut[at : at + count]
        at += count


def _batch_loss(model: Any, batch: Sequence[tuple[list[int], Window]]) -> tuple[float, int]:
    import torch
    from torch.nn.functional import cross_entropy

    longest = max(one.end - one.start for _, one in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for at, (row, one) in enumerate(batch):
        length = one.end - one.start
        ids[at, :length] = torch.tensor(row[one.start : one.end])
        mask[at, :length] = 1
        labels[at, one.scored - one.start : length] = ids[at, one.scored - one.start : length]
    logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
    wanted = labels[:, 1:].to(model.device)
    loss = cross_entropy(
        logits[:, :-1].float().flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum"
    )
    return float(loss), int((wanted != -100).sum())


if __name__ == "__main__":
    serve(perplexity)
