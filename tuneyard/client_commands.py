"""`tuneyard client`: prompts submitted to a model, one or many, and what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, Field

from tuneyard import display_submissions
from tuneyard.client import Client
from tuneyard.data_kinds import Kind
from tuneyard.display import plain
from tuneyard.errors import BadInput, Conflict, Invalid, TuneyardError, Unavailable, Unreachable
from tuneyard.exit_codes import NOT_WELL, code_of
from tuneyard.forms import filled
from tuneyard.identifiers import fresh_id
from tuneyard.options import (
    WATCHING_PATIENCE,
    connect,
    connected,
    example,
    json_option,
    show,
    show_json,
    width,
)
from tuneyard.stored_file import local_content
from tuneyard.submission_files import Row, read_rows, whole
from tuneyard.submission_shapes import WAIT, Payload, Submission, SubmissionState

ID = "01KA1B2C3D4E5F6G7H8J9K0MNP"
A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
_STATES = click.Choice([*(state.value for state in SubmissionState), "pending", "cancelled"])
_RETRIES = click.IntRange(0, 100)
_PAUSE = click.FloatRange(0, 3600)
job_id_argument = click.argument("job_id", metavar="JOB")


class Submitted(BaseModel):
    """What `batch-submit --json` prints."""

    submitted: int = 0
    failed: int = 0
    job_ids: list[str] = Field(default_factory=list)


@click.group(epilog=example('client submit --prompt "What is the date?"'))
def client() -> None:
    """Ask a model on the GPU pool, and see what became of it."""


@client.command("submit", epilog=example('client submit --prompt "What is the date?" --model production'))
@click.option("--prompt", help="What the model is to answer.")
@click.option("--model", help="An alias, an artifact's id, org/name, …; default: the alias production.")
@click.option("--type", "job_type", help="A word of your own, to find it by.  [default: inference]")
@click.option("--ttl", type=click.IntRange(1), help=f"Seconds that it may wait for a run.  [default: {WAIT}]")
@click.option("--max-tokens", type=click.IntRange(1), help="The longest answer.  [default: 256]")
@click.option(
    "--file", type=A_FILE, help="A JSON file with prompt, model, type, ttl in place of the options."
)
@click.option(
    "--retries", type=_RETRIES, default=0, help="How often more, where the server is away or broken."
)
@click.option(
    "--retry-delay", type=_PAUSE, default=1.0, help="Seconds before the first retry; then twice as long."
)
@json_option
@connected
def submit(
    client: Client,
    prompt: str | None,
    model: str | None,
    job_type: str | None,
    ttl: int | None,
    max_tokens: int | None,
    file: Path | None,
    retries: int,
    retry_delay: float,
    as_json: bool,
) -> None:
    """Submit a prompt; its job's id is printed."""
    said = _in_file(file) if file else {}
    given = {"prompt": prompt, "model": model, "type": job_type, "ttl": ttl, "max_tokens": max_tokens}
    said |= {name: value for name, value in given.items() if value is not None}
    wait = whole(said.pop("ttl", None) or said.pop("ttl_seconds", None) or WAIT, "ttl")
    if not said.get("prompt"):
        raise click.UsageError("Give a --prompt, or a --file that holds one.")
    _tell(_send(client, filled(Payload, **said), wait, retries, retry_delay), as_json)


def _in_file(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(local_content(file))
    except ValueError:
        raise BadInput("not JSON", file=str(file)) from None
    if not isinstance(found, dict):
        raise BadInput("one JSON object is needed; for many: tuneyard client batch-submit", file=str(file))
    return found


def _send(client: Client, payload: Payload, wait: int, retries: int, delay: float) -> Submission:
    """What a 4xx refuses is not sent again: it would be refused again."""
    job_id = fresh_id()
    for attempt in range(1, retries + 2):
        try:
            return client.submissions.submit(**payload.model_dump(), ttl_seconds=wait, job_id=job_id)
        except (Unreachable, Unavailable) as error:
            if attempt > retries:
                raise
            if isinstance(error, Unavailable):
                job_id = fresh_id()  # that one may have been recorded, and ended
            pause = delay * 2 ** (attempt - 1)
            click.echo(
                f"Attempt {attempt} of {retries + 1} failed ({error}); again in {pause:g} s.", err=True
            )
            time.sleep(pause)
    raise AssertionError("unreachable")


def _tell(job: Submission, as_json: bool) -> None:
    if as_json:
        show_json(job)
        return
    click.echo(f"{job.job_id}  {job.state}")
    click.echo(f"Its answer, once it is there: tuneyard client result {job.job_id}", err=True)


@client.command("status", epilog=example(f"client status {ID}"))
@job_id_argument
@json_option
@connected
def show_status(client: Client, job_id: str, as_json: bool) -> None:
    """Show what became of a submitted prompt."""
    show(client.submissions.get(job_id), as_json, display_submissions.submission_card)


@client.command("result", epilog=example(f"client result {ID}"))
@job_id_argument
@json_option
@connected
def show_result(client: Client, job_id: str, as_json: bool) -> None:
    """Print the model's answer; exit 2 while there is none yet, 3 where there will be none."""
    found = client.submissions.result(job_id)
    if as_json:
        show_json(found)
    elif found.text is not None:
        click.echo(display_submissions.answer(found.text))
    if found.text is None:
        click.echo(
            f"The job is {found.state}, without a text: {plain(found.error or 'no reason given')}", err=True
        )
        click.get_current_context().exit(NOT_WELL)


@client.command("cancel", epilog=example(f"client cancel {ID}"))
@job_id_argument
@json_option
@connected
def cancel_job(client: Client, job_id: str, as_json: bool) -> None:
    """Cancel a prompt that has not been answered."""
    job = client.submissions.cancel(job_id)
    if as_json:
        show_json(job)
    else:
        click.echo(f"{job.job_id}  {job.state}")


@client.command("history", epilog=example("client history --status failed --from-time 2026-11-21"))
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="How many at most.")
@click.option("--offset", type=click.IntRange(0), default=0, help="How many to pass over.")
@click.option("--status", type=_STATES, help="Only those.")
@click.option("--type", "job_type", help="Only those of that word.")
@click.option("--from-time", type=_MOMENT, metavar="TIME", help="From this UTC time on, as 2026-11-21T12:00.")
@click.option("--to-time", type=_MOMENT, metavar="TIME", help="Before this UTC time.")
@json_option
@connected
def history(
    client: Client,
    limit: int,
    offset: int,
    status: str | None,
    job_type: str | None,
    from_time: datetime | None,
    to_time: datetime | None,
    as_json: bool,
) -> None:
    """List what was submitted, the newest first."""
    since, until = (moment and moment.replace(tzinfo=UTC) for moment in (from_time, to_time))
    found = client.submissions.history(status, job_type, since, until, limit, offset)
    if as_json:
        show_json(found)
    else:
        click.echo(display_submissions.history_table(found.items, datetime.now(UTC), width()))


@client.command("batch-submit", epilog=example("client batch-submit prompts.csv"))
@click.argument("file", type=A_FILE)
@click.option("--format", "kind", type=click.Choice(["csv", "json", "jsonl"]), help="Default: by its name.")
@click.option("--retries", type=_RETRIES, default=0, help="For each, where the server is away or broken.")
@click.option("--delay", type=_PAUSE, default=0.0, help="Seconds between two.")
@json_option
def batch_submit(file: Path, kind: Kind | None, retries: int, delay: float, as_json: bool) -> None:
    """Submit each row of FILE: prompt, and model, type, ttl where they are to be others than the defaults."""
    rows = read_rows(file, kind)
    done = Submitted()
    with connect(WATCHING_PATIENCE) as patient:
        code = _each(rows, done, str(file), lambda row: _sent(patient, row, retries), delay)
    if as_json:
        show_json(done)
    else:
        click.echo("\n".join([*done.job_ids, f"{done.submitted} submitted, {done.failed} failed"]))
    click.get_current_context().exit(code)


def _each(
    rows: list[Row], done: Submitted, file: str, send: Callable[[Row], Submission], delay: float
) -> int:
    """Count in `done` what becomes of each row; the exit code. What would refuse every row ends it."""
    for at, row in enumerate(rows):
        try:
            job = send(row)
        except TuneyardError as error:
            click.echo(f"{file}:{row.line}: {error}", err=True)
            if not isinstance(error, BadInput | Invalid | Conflict):
                done.failed += len(rows) - at
                return code_of(error)
            done.failed += 1
            continue
        done.submitted += 1
        done.job_ids.append(job.job_id)
        time.sleep(delay if at + 1 < len(rows) else 0)
    return NOT_WELL if done.failed else 0


def _sent(client: Client, row: Row, retries: int) -> Submission:
    if row.payload is None:
        raise BadInput(row.fault or "not a prompt")
    return _send(client, row.payload, row.ttl, retries, 1.0)
