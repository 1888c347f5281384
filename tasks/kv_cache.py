"""Where a batch's keys and values lie while it is answered: places for all of its tokens, taken once.

    shared prefix | padding | what is left of the prompt | the answer, one place a step

transformers' own cache copies all of itself at each step, and each row of it holds what all prompts begin with as if
it had been computed there. Here the parts of a batch are read into their rows of one cache, and a step writes one
place. Only for models whose layers all attend to every place (`DynamicLayer`); others keep transformers' cache.
For child processes (torch comes with it).
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


def fits_places(model: Any) -> bool:
    """Whether all that the model's layers keep is a key and a value for each token."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


class Places(Cache):  # type: ignore[misc]
    """The cache of a whole batch, `rows` by `width` places.

    What is read and written next is `reading`: these rows, from place `start` to place `end`.
    """

    def __init__(self, config: Any, rows: int, width: int) -> None:
        super().__init__(layers=[_Layer(self) for _ in DynamicCache(config=config).layers])
        self.size = (rows, width)
        self.reading(slice(0, rows), 0, 0)

    def reading(self, rows: slice, start: int, end: int) -> None:
        self.rows, self.start, self.end = rows, start, end

    def put(self, read: DynamicCache) -> None:
        """Writes what one row has read at the end of all rows that are read next."""
        for own, other in zip(self.layers, read.layers, strict=True):
            own.write(other.keys, other.values)
        self.end += read.get_seq_length()

    def batch_select_indices(self, indices: Any) -> None:
        """Drops all rows but these."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[indices], layer.values[indices]
        self.rows = slice(0, len(indices))


class _Layer(DynamicLayer):  # type: ignore[misc]
    def __init__(self, places: Places) -> None:
        super().__init__()
        self._places = places

    def lazy_initialization(self, keys: Any, values: Any) -> None:
        rows, width = self._places.size
        self.dtype, self.device = keys.dtype, keys.device
        # Zeros: a masked place still takes part in a product, and what memory held before may be no number.
        self.keys = keys.new_zeros(rows, keys.shape[1], width, keys.shape[3])
        self.values = values.new_zeros(rows, values.shape[1], width, values.shape[3])
        self.is_initialized = True

    def write(self, keys: Any, values: Any) -> int:
        """Puts these at the end of what is read; the answer is where they end."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        places = self._places
        stop: int = places.end + keys.shape[2]
        self.keys[places.rows, :, places.end : stop] = keys
        self.values[places.rows, :, places.end : stop] = values
        return stop

    def update(self, keys: Any, values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """The new ones written, and all that is read."""
        stop, places = self.write(keys, values), self._places
        shown = (places.rows, slice(None), slice(places.start, stop))
        return self.keys[shown], self.values[shown]

    def get_seq_length(self) -> int:
        return int(self._places.end - self._places.start)


def read(model: Any, cache: Cache, ids: Any, positions: Any, mask: Any = None, keep: int = 1) -> Any:
    """Reads tokens behind what is in the cache; the logits after the last `keep` of them."""
    takes = signature(model.forward).parameters
    wanted = {"position_ids": positions, "attention_mask": mask}
    given = {
        name: value.to(model.device)
        for name, value in wanted.items()
        if value is not None and name in takes  # some models count positions by the mask alone
    }
    if "logits_to_keep" in takes:
        given["logits_to_keep"] = keep
    output = model(input_ids=ids.to(model.device), past_key_values=cache, use_cache=True, **given)
    return output.logits[:, -keep:]


def read_alone(model: Any, ids: Sequence[int]) -> DynamicCache:
    """The keys and values of a text by itself."""
    cache = DynamicCache(config=model.config)
    read(model, cache, torch.tensor([list(ids)]), torch.arange(len(ids))[None])
    return cache
