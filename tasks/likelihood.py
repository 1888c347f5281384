"""How likely a model finds each of several answers. For child processes (torch comes with it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache


def choice_likelihoods(model: Any, prompt: Sequence[int], choices: Sequence[list[int]]) -> dict[str, Any]:
    """{"logprobs": the sum over a choice's tokens of the log-likelihood of each after all before it, "tokens": how
    many}, in the choices' order. The prompt is read once."""
    tokens = [len(choice) for choice in choices]
    longest = max(tokens)
    # The last token of the prompt is read with the choices: what it says is their first one. Padding on the right,
    # which nothing before it sees.
    rows = [[prompt[-1], *choice[:-1]] + [prompt[-1]] * (longest - len(choice)) for choice in choices]
    with torch.inference_mode():
        cache = DynamicCache(config=model.config)
        if len(prompt) > 1:
            _run(model, torch.tensor([prompt[:-1]]), cache, 0, keep=1)
            cache.batch_repeat_interleave(len(choices))
        logits = _run(model, torch.tensor(rows), cache, len(prompt) - 1, keep=longest)
        found = logits.float().log_softmax(-1)
        said = torch.tensor(
            [choice + [0] * (longest - len(choice)) for choice in choices], device=model.device
        )
        each = found.gather(-1, said[:, :, None])[:, :, 0].double()
    return {
        "logprobs": [float(row[:count].sum()) for row, count in zip(each, tokens, strict=True)],
        "tokens": tokens,
    }


def _run(model: Any, ids: Any, cache: DynamicCache, start: int, keep: int) -> Any:
    positions = torch.arange(start, start + ids.shape[1], device=model.device)[None]
    return model(
        input_ids=ids.to(model.device),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    ).logits
