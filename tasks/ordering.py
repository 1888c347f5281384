"""In which order rows are trained on: anew each epoch, rows of like length together, from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

GROUPED = 50  # batches that are sorted by length together: more pad less, fewer mix more


class LengthGrouped(torch.utils.data.Sampler[int]):
    """Indices such that each `batch_size` of them are of like length and batches come in random order.

    Padding is what a padded batch wastes most on. The batch with the longest row comes first, so that memory's
    peak is seen at once. An epoch's order hangs on (seed, epoch) and on nothing that training did before: a
    resumed run sees the rows that the unbroken one saw.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Trainer's data loader says which epoch begins."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        shuffled = torch.randperm(len(self._lengths), generator=generator).tolist()
        batches, rest = self._batches(shuffled)
        order = torch.randperm(len(batches), generator=generator).tolist()
        first = max(range(len(batches)), key=lambda at: self._longest(batches[at]), default=None)
        if first is not None:
            order.remove(first)
            order.insert(0, first)
        for at in order:
            yield from batches[at]
        yield from rest

    def _batches(self, shuffled: list[int]) -> tuple[list[list[int]], list[int]]:
        """(whole batches, the rows that are left over)."""
        size = self._batch_size
        whole = len(shuffled) // size * size
        batches = []
        for start in range(0, whole, GROUPED * size):
            group = sorted(
                shuffled[start : min(start + GROUPED * size, whole)], key=self._lengths.__getitem__
            )
            batches += [group[at : at + size] for at in range(0, len(group), size)]
        return batches, shuffled[whole:]

    def _longest(self, batch: list[int]) -> int:
        return max(self._lengths[at] for at in batch)
