"""Answers a batch of prompts with a loaded model. For child processes (torch comes with it).

What all prompts begin with (a system turn, a few examples) is read once; the rest in parts of like length, padded on
the left; then the whole batch says a token at a time, and rows that have ended leave it. Padding changes no answer:
it is masked, and each token's position is counted without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from tasks.kv_cache import Places, fits_places, read, read_alone
from tasks.sampling import Dice, Sampling, next_tokens

PART_TOKENS = {"cpu": 512, "cuda": 16_384}  # read at once: they keep the device busy, in little memory
WORTH_SHARING = 8
SHRINK_AT = 0.75  # of a batch's rows are left: then its cache is copied without the others


@dataclass
class Said:
    """An answer in tokens, its end token with it; `seconds` from the batch's start to the last of them."""

    tokens: list[int] = field(default_factory=list)
    seconds: float = 0.0
    ended: bool = False


class Decoder:
    """A model, and how it says the next token."""

    def __init__(self, model: Any, ends: set[int], most: int, sampling: Sampling) -> None:
        self._model, self._ends, self._most, self._sampling = model, ends, most, sampling

    def answer(self, prompts: Sequence[list[int]], indices: Sequence[int]) -> list[Said]:
        """The answers in order. `indices` are the prompts' places in the suite; the prompts come by length."""
        started = time.monotonic()
        said = [Said() for _ in prompts]
        dice = [Dice(self._sampling.seed, index) for index in indices]
        with torch.inference_mode():
            batch = _Batch(self._model, prompts, self._most)
            logits = batch.read()
            for left in reversed(range(self._most)):
                tokens = next_tokens(logits, self._sampling, [dice[row] for row in batch.rows])
                for row, token in zip(batch.rows, tokens.tolist(), strict=True):
                    self._note(said[row], token, time.monotonic() - started)
                if not left or all(said[row].ended for row in batch.rows):
                    break
                logits = batch.step(tokens, [not said[row].ended for row in batch.rows])
        return said

    def _note(self, said: Said, token: int, seconds: float) -> None:
        if not said.ended:
            said.tokens.append(token)
            said.seconds, said.ended = seconds, token in self._ends


class _Batch:
    """Prompts that are answered together, in the rows of one cache. `rows` are those that are left in it."""

    def __init__(self, model: Any, prompts: Sequence[list[int]], most: int) -> None:
        self._model, self._prompts = model, prompts
        self.rows = list(range(len(prompts)))
        self._shared = shared_beginning(prompts) if fits_places(model) else 0
        self._width = max(len(prompt) for prompt in prompts)
        size = (len(prompts), self._width + most)
        self._cache = Places(model.config, *size) if fits_places(model) else DynamicCache(config=model.config)
        self._mask = torch.zeros(size, dtype=torch.bool, device=model.device)
        self._positions = torch.tensor([[len(prompt)] for prompt in prompts], device=model.device)

    def read(self) -> Any:
        """Reads the prompts; the logits of what comes next."""
        if not isinstance(self._cache, Places):
            return self._read_part(slice(0, len(self._prompts)))
        beginning = read_alone(self._model, self._prompts[0][: self._shared]) if self._shared else None
        found = []
        for part in self._parts():
            start = self._width - max(len(prompt) for prompt in self._prompts[part])
            self._cache.reading(part, start, start)
            if beginning is not None:
                self._cache.put(beginning)
            found.append(self._read_part(part))
        self._cache.reading(slice(0, len(self._prompts)), 0, self._width)
        return torch.cat(found)

    def step(self, tokens: Any, going: list[bool]) -> Any:
        """Says one token in each row that goes on; the logits of what comes next."""
        if sum(going) <= SHRINK_AT * len(going):
            tokens = self._drop(tokens, [at for at, goes in enumerate(going) if goes])
        self._mask[:, self._width] = True
        self._width += 1
        logits = self._run(tokens[:, None], self._mask[:, : self._width], self._positions)
        self._positions += 1
        return logits

    def _drop(self, tokens: Any, kept: list[int]) -> Any:
        self.rows = [self.rows[at] for at in kept]
        rows = torch.tensor(kept, device=tokens.device)
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        self._cache.batch_select_indices(rows)
        return tokens[rows]

    def _parts(self) -> Iterator[slice]:
        limit, start = PART_TOKENS[self._model.device.type], 0
        for at, prompt in enumerate(self._prompts):
            if at > start and (at + 1 - start) * (len(prompt) - self._shared) > limit:
                yield slice(start, at)
                start = at
        yield slice(start, len(self._prompts))

    def _read_part(self, part: slice) -> Any:
        """What comes after the shared beginning, which stands in the cache already."""
        prompts, shared = self._prompts[part], self._shared
        longest = max(len(prompt) for prompt in prompts)
        padding = torch.tensor([[longest - len(prompt)] for prompt in prompts])
        places = torch.arange(longest)
        mask = (places < shared) | (places >= shared + padding)
        self._mask[part, self._width - longest : self._width] = mask.to(self._mask.device)
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt[shared:] for prompt in prompts])
        positions = (places[shared:] - padding).clamp(min=0)
        return self._run(ids, mask, positions)

    def _run(self, ids: Any, mask: Any, positions: Any) -> Any:
        logits = read(self._model, self._cache, ids, positions, mask)[:, -1]
        if isinstance(self._cache, Places):
            self._cache.end += ids.shape[1]
        return logits


def shared_beginning(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, each being left at least one of its own; 0 where it is not worth it."""
    if len(prompts) == 1:
        return 0
    first, last = min(prompts), max(prompts)  # as words in a dictionary: what these two share, all share
    pairs = enumerate(zip(first, last, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), len(first))
    length = min(same, min(len(prompt) for prompt in prompts) - 1)
    return length if length >= WORTH_SHARING else 0
