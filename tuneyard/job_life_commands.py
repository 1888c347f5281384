"""`tuneyard jobs pause`, `resume`, `events`, `logs` and `errors`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar, get_args

import click
from pydantic import BaseModel, TypeAdapter

from tuneyard import display_jobs
from tuneyard.client import Client
from tuneyard.config_files import changes_in
from tuneyard.forms import filled
from tuneyard.job_commands import followed, job_goes_on, leave_with, remembering
from tuneyard.options import (
    WATCHING_PATIENCE,
    changes_option,
    connect,
    connected,
    example,
    json_option,
    paged,
    show_json,
    show_page,
)
from tuneyard.shapes import JobError, JobEvent, JobEventKind, JobStatus, LogLevel, LogLine, Page, Resume

EVERY = 1.0  # seconds between looks at a job that is followed
Row = TypeVar("Row", bound=BaseModel)

job_argument = click.argument("job_id", metavar="ID")
follow_option = click.option("--follow", is_flag=True, help="Go on until the job ends; JSON: one a line.")


@click.command(epilog=example("jobs pause 01KA1B2C3D4E5F6G7H8J9K0MNP --wait"))
@job_argument
@click.option("--wait", is_flag=True, help="Wait until its run has saved a checkpoint and ended.")
@json_option
@connected
def pause(client: Client, job_id: str, wait: bool, as_json: bool) -> None:
    """Pause a job; one that trains saves a checkpoint first."""
    job = client.jobs.pause(job_id)
    if wait and job.status == JobStatus.PAUSING:
        last = [job]
        with connect(WATCHING_PATIENCE) as patient:
            try:
                for seen in remembering(patient.jobs.watch(job_id), last):
                    if seen.status != JobStatus.PAUSING:
                        break
            except KeyboardInterrupt:
                job_goes_on(job_id, "is still being paused")
        job = last[-1]
    if as_json:
        show_json(job)
    else:
        click.echo(f"{job.id}  {job.status}")
    if wait:
        leave_with(job, well=JobStatus.PAUSED)


@click.command(epilog=example("jobs resume 01KA1B2C3D4E5F6G7H8J9K0MNP --checkpoint checkpoint-500"))
@job_argument
@click.option("--checkpoint", help="Where to begin, for example checkpoint-500; else the newest whole one.")
@click.option("--best", is_flag=True, help="Begin at the best checkpoint by its evaluation.")
@changes_option
@click.option("--max-restarts", type=click.IntRange(0, 1000), help="How often it may start again by itself.")
@click.option(
    "--watch", "watching", is_flag=True, help="Follow it until it ends; exit 3 unless it completes."
)
@json_option
@connected
def resume(
    client: Client,
    job_id: str,
    checkpoint: str | None,
    best: bool,
    changes: tuple[str, ...],
    max_restarts: int | None,
    watching: bool,
    as_json: bool,
) -> None:
    """Let a paused, failed or cancelled job go on."""
    if checkpoint and best:
        raise click.UsageError("--checkpoint and --best are two places to begin: give one of them")
    asked = {"checkpoint": checkpoint, "config": changes_in(changes) or None, "max_restarts": max_restarts}
    given = {name: value for name, value in asked.items() if value is not None}
    job = client.jobs.resume(job_id, filled(Resume, from_best=best, **given))
    if not as_json:
        click.echo(f"{job.id}  {job.status}")
    elif not watching:
        show_json(job)
    if watching:
        leave_with(followed(job.id, job.name, EVERY, as_json), well=JobStatus.COMPLETED)


@click.command(epilog=example("jobs events 01KA1B2C3D4E5F6G7H8J9K0MNP --kind checkpoint"))
@job_argument
@click.option("--kind", type=click.Choice([kind.value for kind in JobEventKind]))
@follow_option
@paged(1000, 100)
@json_option
@connected
def events(
    client: Client, job_id: str, kind: str | None, follow: bool, limit: int, offset: int, as_json: bool
) -> None:
    """Show what happened to a job, oldest first."""
    if not follow:
        show_page(client.jobs.events(job_id, kind, limit, offset), as_json, display_jobs.events_table)
        return

    def pages(patient: Client, at: int) -> Page[JobEvent]:
        return patient.jobs.events(job_id, kind, limit, at)

    _follow(job_id, pages, offset, JobEvent.model_dump_json if as_json else display_jobs.event_line)


@click.command(epilog=example("jobs logs 01KA1B2C3D4E5F6G7H8J9K0MNP --follow"))
@job_argument
@click.option("--level", type=click.Choice(get_args(LogLevel)), help="Only these lines and graver ones.")
@follow_option
@paged(1000, 1000)
@json_option
@connected
def logs(
    client: Client, job_id: str, level: LogLevel | None, follow: bool, limit: int, offset: int, as_json: bool
) -> None:
    """Show a job's log."""
    if not follow:
        page = client.jobs.logs(job_id, None, level, limit, offset)
        show_page(page, as_json, lambda lines, *_: "\n".join(map(display_jobs.log_line, lines)))
        return

    def pages(patient: Client, at: int) -> Page[LogLine]:
        return patient.jobs.logs(job_id, None, level, limit, at)

    _follow(job_id, pages, offset, LogLine.model_dump_json if as_json else display_jobs.log_line)


@click.command(epilog=example("jobs errors 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@job_argument
@json_option
@connected
def errors(client: Client, job_id: str, as_json: bool) -> None:
    """Show what went wrong with a job, and what to do about it."""
    found = client.jobs.errors(job_id)
    if as_json:
        click.echo(TypeAdapter(list[JobError]).dump_json(found, indent=2).decode())
    elif found:
        click.echo("\n".join(map(display_jobs.error_lines, found)))
    else:
        click.echo("Nothing has gone wrong.", err=True)


@click.command(epilog=example("jobs predictions 01KA1B2C3D4E5F6G7H8J9K0MNP --step 500"))
@job_argument
@click.option("--step", type=click.IntRange(0), help="Only those of this step.")
@paged(1000, 50)
@json_option
@connected
def predictions(
    client: Client, job_id: str, step: int | None, limit: int, offset: int, as_json: bool
) -> None:
    """Show what a model in training answered to its suite, by step."""
    found = client.jobs.predictions(job_id, step, limit, offset)
    show_page(found, as_json, display_jobs.step_predictions_table)


def _follow(
    job_id: str, pages: Callable[[Client, int], Page[Row]], offset: int, draw: Callable[[Row], str]
) -> None:
    with connect(WATCHING_PATIENCE) as patient:
        try:
            for row in _rows(patient, job_id, pages, offset):
                click.echo(draw(row))
        except KeyboardInterrupt:
            job_goes_on(job_id)


def _rows(
    client: Client, job_id: str, pages: Callable[[Client, int], Page[Row]], offset: int
) -> Iterator[Row]:
    """Row by row as they come, until the job has ended and told everything."""
    while True:
        # Asked before looking: between the look and the question the last rows and the end may come.
        ended = client.jobs.get(job_id).status.is_final
        page = pages(client, offset)
        yield from page.items
        offset += len(page.items)
        if offset >= page.total:
            if ended:
                return
            time.sleep(EVERY)
