"""How likely a model finds each of several answers. For child processes (torch comes with it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from tasks.kv_cache import read, read_alone


def choice_likelihoods(model: Any, prompt: Sequence[int], choices: Sequence[list[int]]) -> dict[str, Any]:
    """{"logprobs": the sum over a choice's tokens of the log-likelihood of each after all before it, "tokens": how
    many}, in the choices' order. The prompt is read once."""
    tokens = [len(choice) for choice in choices]
    longest = max(tokens)
    # The last token of the prompt is read with the choices: what it says is their first one. Padding on the right,
    # which nothing before it sees.
    rows = [[prompt[-1], *choice[:-1]] + [prompt[-1]] * (longest - len(choice)) for choice in choices]
    with torch.inference_mode():
        cache = read_alone(model, prompt[:-1]) if len(prompt) > 1 else DynamicCache(config=model.config)
        cache.batch_repeat_interleave(len(choices))
        start = len(prompt) - 1
        positions = torch.arange(start, start + longest)[None].expand(len(choices), -1)
        logits = read(model, cache, torch.tensor(rows), positions, keep=longest)
        found = logits.float().log_softmax(-1)
        said = torch.tensor(
            [choice + [0] * (longest - len(choice)) for choice in choices], device=model.device
        )
        each = found.gather(-1, said[:, :, None])[:, :, 0].double()
    return {
        "logprobs": [float(row[:count].sum()) for row, count in zip(each, tokens, strict=True)],
        "tokens": tokens,
    }
