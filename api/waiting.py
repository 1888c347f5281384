"""What a job waits for, in words."""

from datetime import datetime, timedelta

from api.tables import now
from tuneyard.shapes import JobStatus

WAITING = (JobStatus.PENDING, JobStatus.QUEUED)
SOON = timedelta(seconds=10)  # in which a worker takes a run, where one is free


def why_waiting(status: str, launched: datetime | None, flow_run_id: str | None, before: int) -> str | None:
    """Why no run has taken a pending job yet; None for one that nobody was asked to run, or only just."""
    if status != JobStatus.PENDING or launched is None:
        return None
    since = now() - launched
    if since < SOON:
        return None
    others = f"; {before} before it" if before else ""
    if flow_run_id is None:
        return f"Prefect has had no run for it for {_roughly(since)}{others}"
    return f"no worker has taken it for {_roughly(since)}{others}"


def _roughly(time: timedelta) -> str:
    """In steps, so that what is shown does not change with each look."""
    seconds = int(time.total_seconds())
    if seconds < 60:
        return f"{seconds // 10 * 10} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
