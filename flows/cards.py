"""The cards that a run has: waited for with a reason, told to the record, and proven free afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows.job_run import JobRun
from tasks.lease import Lease, lease_cards
from tasks.release import released
from tuneyard.home import home

LOOK_SECONDS = 1.0
RELEASING = 5.0  # seconds for the driver to clear up; Prefect's kill comes 30 s after its cancel


@contextmanager
def cards(run: JobRun, count: int) -> Iterator[Lease]:
    """So many cards of this host, for the length of a `with` block; none on a host without, which means the CPU."""

    def tell(reason: str | None) -> None:
        run.pulse.waits(reason)
        if reason is not None:
            run.log.info(reason)
            run.progress.bar(0.0, reason)
            run.journal.event("waiting", reason)

    def wait() -> None:
        time.sleep(LOOK_SECONDS)

    with lease_cards(count, home() / "gpus", job=run.job.id, tell=tell, wait=wait) as lease:
        run.log.info("Works %s", lease.words)
        run.journal.event("leased", lease.words, gpu_uuids=list(lease.uuids))
        run.pulse.tell(gpu_uuids=list(lease.uuids))
        try:
            yield lease
        finally:
            _give_back(run, lease)


def _give_back(run: JobRun, lease: Lease) -> None:
    if not lease.uuids:
        return
    release = released(lease, limit=RELEASING)
    if release.seconds is None:
        run.log.warning("The cards are %s", release.words)
        return
    run.journal.event("gpu_released", release.words, seconds=release.seconds)
    run.pulse.tell(gpu_uuids=[])
