"""`tuneyard why JOB`: why it waits, or why it failed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from tuneyard.client import Client
from tuneyard.errors import ApiError, BadInput
from tuneyard.options import connected, example, json_option, show_json, width
from tuneyard.prefect_reads import PrefectAway, PrefectReads
from tuneyard.shapes import GpuHost, Job, JobStatus, Page
from tuneyard.why import InPrefect, Seen, drawn, explained

EVENTS, LINES = 6, 6  # the last so many
T = TypeVar("T")


@click.command(epilog=example("why 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@click.argument("job_id", metavar="JOB")
@json_option
@connected
def why(client: Client, job_id: str, as_json: bool) -> None:
    """Say why a job waits or how it came to fail, and what to do, on one screen.

    With PREFECT_API_URL set it looks at the job's run, the pool and the workers there too.
    """
    found = explained(_seen(client, client.jobs.get(job_id)), datetime.now(UTC))
    if as_json:
        show_json(found)
    else:
        click.echo(drawn(found, width()))


def _seen(client: Client, job: Job) -> Seen:
    waits = job.status in (JobStatus.PENDING, JobStatus.QUEUED)
    return Seen(
        job=job,
        errors=client.jobs.errors(job.id),
        events=_last(lambda limit, at: client.jobs.events(job.id, None, limit, at), EVENTS),
        lines=_last(lambda limit, at: client.jobs.logs(job.id, None, None, limit, at), LINES),
        hosts=_hosts(client) if waits else [],
        prefect=_in_prefect(job) if job.status == JobStatus.PENDING else None,
    )


def _last(page: Callable[[int, int], Page[Any]], count: int) -> list[Any]:
    total = page(1, 0).total
    return page(count, max(0, total - count)).items


def _hosts(client: Client) -> list[GpuHost]:
    with suppress(ApiError):  # a key may read jobs and no cards
        return client.gpus.list()
    return []


def _in_prefect(job: Job) -> InPrefect | None:
    try:
        reads = PrefectReads.from_env()
    except BadInput as wrong:
        return InPrefect(trouble=str(wrong))
    if reads is None:
        return None
    with closing(reads):
        try:
            run = reads.run(job.flow_run_id) if job.flow_run_id else None
            queue = reads.queue((run.work_queue_name if run else None) or "jobs")
            return InPrefect(pool=reads.pool(), queue=queue, workers=reads.workers(), run=run)
        except PrefectAway as away:
            return InPrefect(trouble=str(away))
