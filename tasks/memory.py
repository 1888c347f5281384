"""What a run does when a device's memory does not hold its batches: smaller ones, more of them a step, from the last
checkpoint on. The rows of each optimizer step stay the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.durable import write_json
from tuneyard.errors import OutOfMemory

KEPT = "batch.json"


@dataclass(frozen=True)
class Batch:
    """How the rows of one optimizer step pass through one device: `accumulation` times `micro` rows at once."""

    micro: int
    accumulation: int


def halved(batch: Batch) -> Batch | None:
    """The next smaller one with as many rows a step; None where each row goes alone already.

    An odd number cannot be halved: then it is the largest divisor below half, 9 x 1 -> 3 x 3, 7 x 1 -> 1 x 7.
    """
    if batch.micro == 1:
        return None
    smaller = next(size for size in range(batch.micro // 2, 0, -1) if batch.micro % size == 0)
    return Batch(smaller, batch.accumulation * (batch.micro // smaller))


def run_within_memory(
    start: Callable[[Batch], dict[str, Any]],
    asked: Batch,
    folder: Path,
    tell: Callable[[str, Batch], None],
) -> dict[str, Any]:
    """The result of the first run whose batches fit.

    What fitted is kept in `folder`: a job that is taken up again goes on with it, and does not fail first.

    Args:
        start: Runs the trainer with a batch, from its newest checkpoint on.
        asked: The config's.
        tell: Called with what happened, in words, and the batch that is tried next.

    Raises:
        OutOfMemory: not even one row at a time fits.
    """
    batch = _kept(folder, asked)
    while True:
        try:
            return start(batch)
        except OutOfMemory as error:
            smaller = halved(batch)
            if smaller is None:
                raise
            write_json(folder / KEPT, {"asked": asdict(asked), "fits": asdict(smaller)})
            tell(_words(batch, smaller, error), smaller)
            batch = smaller


def _kept(folder: Path, asked: Batch) -> Batch:
    """What an earlier attempt came down to, unless something else is asked for now."""
    if not (folder / KEPT).exists():
        return asked
    kept = json.loads((folder / KEPT).read_text(encoding="utf-8"))
    return Batch(**kept["fits"]) if kept["asked"] == asdict(asked) else asked


def _words(batch: Batch, smaller: Batch, error: OutOfMemory) -> str:
    return (
        f"Out of memory with {batch.micro} rows at a time: going on with {smaller.micro}, {smaller.accumulation} times "
        f"a step, from the newest checkpoint; {batch.micro * batch.accumulation} rows a step as before ({error})"
    )
