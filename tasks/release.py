"""Proves that a lease's cards are free again: after a cancel, what a job had there must be gone before it is over."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tasks.gpu import NoGpu
from tasks.lease import Lease, gib_words, process_words

SLACK = 512 << 20  # bytes by which a card's own use varies between readings


@dataclass(frozen=True)
class Release:
    """Whether the memory of a lease's cards is back: `seconds` until it was, None where `words` say why not."""

    seconds: float | None
    words: str


def released(lease: Lease, *, limit: float = 20.0, pause: float = 0.2) -> Release:
    """Waits until NVML shows no process on the lease's cards, and their memory as it was before the job.

    The job's own processes are dead by then; the driver takes a moment longer to clear up after them.

    Args:
        limit: Seconds after which it is said what is still there.
    """
    started = time.monotonic()
    while True:
        left = _left(lease)
        seconds = time.monotonic() - started
        if left is None:
            return Release(round(seconds, 2), f"the memory was back after {seconds:.1f} s")
        if seconds > limit:
            return Release(None, f"not released within {limit:g} s: {left}")
        time.sleep(pause)


def _left(lease: Lease) -> str | None:
    try:
        there = {use.uuid: use for use in lease.uses()}
    except NoGpu as error:
        return str(error)
    for uuid, before in zip(lease.uuids, lease.used_before, strict=True):
        use = there.get(uuid)
        if use is None or use.error:
            return f"{uuid} can no longer be read"
        if use.processes:
            return f"{uuid} still has {process_words(use)}"
        if (use.memory_used or 0) > before + SLACK:
            return f"{uuid} still has {gib_words(use.memory_used)} in use"
    return None
