"""`tuneyard jobs`: list, show, watch, cancel; the rest is in `job_life_commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from tuneyard import display, watch
from tuneyard.batch_shapes import BatchTest
from tuneyard.client import Client
from tuneyard.display_gpus import account_card, account_table
from tuneyard.exit_codes import INTERRUPTED, NOT_WELL
from tuneyard.options import (
    WATCHING_PATIENCE,
    connect,
    connected,
    demand_yes,
    example,
    json_option,
    paged,
    show,
    show_json,
    show_page,
    yes_option,
)
from tuneyard.shapes import Job, JobKind, JobStatus

Seen = TypeVar("Seen", bound=Job | BatchTest)


@click.group(epilog=example("jobs list --status running"))
def jobs() -> None:
    """Fine-tunes and batch tests."""


@jobs.command("list", epilog=example("jobs list --status failed --limit 10"))
@click.option("--status", type=click.Choice([*(status.value for status in JobStatus), "canceled"]))
@click.option("--kind", type=click.Choice([kind.value for kind in JobKind]))
@paged(100, 20)
@json_option
@connected
def list_jobs(
    client: Client, status: str | None, kind: str | None, limit: int, offset: int, as_json: bool
) -> None:
    """List jobs, newest first."""
    show_page(client.jobs.list(status, kind, limit=limit, offset=offset), as_json, display.jobs_table)


@jobs.command("show", epilog=example("jobs show 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@click.argument("job_id", metavar="ID")
@json_option
@connected
def show_job(client: Client, job_id: str, as_json: bool) -> None:
    """Show one job, and what it has had of cards; that alone, as JSON: `tuneyard jobs gpu`."""
    job = client.jobs.get(job_id)
    show(job, as_json, display.job_card)
    if not as_json and job.host is not None and (had := account_card(client.jobs.gpu(job_id))):
        click.echo(had)


@jobs.command("gpu", epilog=example("jobs gpu 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@click.argument("job_id", metavar="ID")
@json_option
@connected
def show_gpu(client: Client, job_id: str, as_json: bool) -> None:
    """Show what a job has had of cards: hours, use, energy, memory, cost."""
    show(client.jobs.gpu(job_id), as_json, account_table)


@jobs.command("watch", epilog=example("jobs watch 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@click.argument("job_id", metavar="ID")
@click.option(
    "--every",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a change.")
@connected
def watch_job(client: Client, job_id: str, every: float, as_json: bool) -> None:
    """Follow a job until it ends; exit 3 if it failed or was cancelled."""
    name = client.jobs.get(job_id).name
    leave_with(followed(job_id, name, every, as_json), well=JobStatus.COMPLETED)


def followed(job_id: str, name: str, every: float, as_json: bool | None) -> Job:
    """Watch a job until it has ended, and show it meanwhile.

    Args:
        as_json: None: show nothing.
    """
    return follow(
        lambda patient: patient.jobs.watch(job_id, every), name, as_json, lambda: job_goes_on(job_id)
    )


def follow(
    look: Callable[[Client], Iterable[Seen]], name: str, as_json: bool | None, leave: Callable[[], None]
) -> Seen:
    """Show readings until the last of them, which is the answer; `leave` where somebody does not wait for it."""
    last: list[Seen] = []
    with connect(WATCHING_PATIENCE) as patient:
        readings = remembering(look(patient), last)
        try:
            if as_json is None:
                last[:] = [*readings][-1:]
            elif as_json:
                watch.as_json(readings)
            elif sys.stdout.isatty():
                watch.as_bar(readings, name)
            else:
                watch.as_lines(readings)
        except KeyboardInterrupt:
            leave()
    return last[-1]


@jobs.command("cancel", epilog=example("jobs cancel 01KA1B2C3D4E5F6G7H8J9K0MNP --wait"))
@click.argument("job_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until the job has stopped.")
@json_option
@connected
def cancel_job(client: Client, job_id: str, wait: bool, as_json: bool) -> None:
    """Cancel a job; one that runs stops at its next step."""
    job = client.jobs.cancel(job_id)
    if wait:
        last = [job]
        with connect(WATCHING_PATIENCE) as patient:
            try:
                for _ in remembering(patient.jobs.watch(job_id), last):
                    pass
            except KeyboardInterrupt:
                job_goes_on(job_id, "is still being cancelled")
        job = last[-1]
    if as_json:
        show_json(job)
    else:
        click.echo(f"{job.id}  {job.status}")
    if wait:
        leave_with(job, well=JobStatus.CANCELLED)


@jobs.command("delete", epilog=example("jobs delete 01KA1B2C3D4E5F6G7H8J9K0MNP --yes"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@connected
def delete_jobs(client: Client, job_ids: tuple[str, ...], yes: bool) -> None:
    """Delete jobs and all that was reported of them; what runs stops, what was made stays."""
    demand_yes(yes, "the job and all that was reported of it", job_ids)
    for job_id in job_ids:
        client.jobs.delete(job_id)
        click.echo(f"{job_id}  deleted")


def remembering(readings: Iterable[Seen], last: list[Seen]) -> Iterable[Seen]:
    for job in readings:
        last[:] = [job]
        yield job


def job_goes_on(job_id: str, state: str = "goes on", group: str = "jobs") -> None:
    click.echo(f"\nThe job {state}. Look again with: tuneyard {group} watch {job_id}", err=True)
    click.get_current_context().exit(INTERRUPTED)


def leave_with(job: Job | BatchTest, well: JobStatus) -> None:
    if job.status != well:
        click.echo(
            f"Job {job.id} {job.status}: {display.plain(job.error or 'no reason was given')}", err=True
        )
        click.get_current_context().exit(NOT_WELL)
