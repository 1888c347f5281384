"""The command `tuneyard`: look at jobs, metrics, tests and GPUs; manage keys."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from tuneyard import __version__, display
from tuneyard.client import Client
from tuneyard.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    TuneyardError,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from tuneyard.job_commands import INTERRUPTED, jobs
from tuneyard.options import connected, example, json_option, paged, show_page, width
from tuneyard.shapes import HostSample, NewApiKey, Prediction

FAILURES_SHOWN = 5

_EXIT_CODES: dict[type[TuneyardError], int] = {
    BadInput: 2,
    Invalid: 2,
    Conflict: 2,
    Unauthorized: 4,
    Forbidden: 4,
    NotFound: 5,
    Unreachable: 6,
    Unavailable: 6,
    RateLimited: 6,
}

_HELP_END = """\b
Environment:
  TUNEYARD_API_URL       where the API is (default http://127.0.0.1:8400)
  TUNEYARD_API_KEY       the key, or
  TUNEYARD_API_KEY_FILE  a file that holds it

\b
Exit codes:
  0  ok
  1  something unexpected
  2  wrong usage or bad input, or the object's state does not allow it
  3  the job or test did not end well
  4  the key was refused or lacks the permission
  5  not found
  6  the API cannot be reached, or is too busy or broken to answer
  130  interrupted

\b
Example: tuneyard jobs list --status running
"""


@click.group(epilog=_HELP_END, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--api-url", metavar="URL", help="Where the API is; else TUNEYARD_API_URL.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try again while the API is away or busy.",
)
@click.version_option(__version__, prog_name="tuneyard")
def cli(api_url: str | None, patience: float) -> None:  # `connect` reads them from the context
    """Look at fine-tunes, batch tests and GPUs, and manage API keys."""


cli.add_command(jobs)


@cli.command("metrics", epilog=example("metrics 01KA1B2C3D4E5F6G7H8J9K0MNP --limit 50"))
@click.argument("job_id", metavar="JOB")
@paged(5000, 1000)
@json_option
@connected
def show_metrics(client: Client, job_id: str, limit: int, offset: int, as_json: bool) -> None:
    """Show a job's metrics by step."""
    show_page(client.metrics.list(job_id, limit, offset), as_json, display.metrics_table)


@cli.group(epilog=example("tests list"))
def tests() -> None:
    """Batch tests and their answers."""


@tests.command("list", epilog=example("tests list --limit 5"))
@paged(100, 20)
@json_option
@connected
def list_tests(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List batch tests, newest first."""
    show_page(client.tests.list(limit, offset), as_json, display.tests_table)


@tests.command("show", epilog=example("tests show 01KA1B2C3D4E5F6G7H8J9K0MNP --predictions 10"))
@click.argument("test_id", metavar="ID")
@click.option(
    "--predictions", type=click.IntRange(0), help="Show the first so many answers, not the failures."
)
@json_option
@connected
def show_test(client: Client, test_id: str, predictions: int | None, as_json: bool) -> None:
    """Show one batch test: its counts, its score and its first failures."""
    test = client.tests.get(test_id)
    wanted = list(islice(client.tests.iter_predictions(test_id), predictions)) if predictions else []
    if as_json:
        shown = test.model_dump(mode="json")
        if predictions is not None:
            shown["predictions"] = [one.model_dump(mode="json") for one in wanted]
        click.echo(TypeAdapter(dict[str, Any]).dump_json(shown, indent=2).decode())
        return
    click.echo(display.test_card(test, datetime.now(UTC)))
    failing = test.failed_prompts + test.completed_prompts - test.passed_prompts
    if predictions is None and failing:
        wanted = list(islice(filter(_went_wrong, client.tests.iter_predictions(test_id)), FAILURES_SHOWN))
    if wanted:
        title = "First failures" if predictions is None else "First answers"
        click.echo(f"\n{title}\n{display.predictions_table(wanted, width())}")


def _went_wrong(one: Prediction) -> bool:
    return one.passed is False or one.error is not None


@cli.group(epilog=example("gpus list"))
def gpus() -> None:
    """The team's GPUs."""


@gpus.command("list", epilog=example("gpus list"))
@json_option
@connected
def list_gpus(client: Client, as_json: bool) -> None:
    """Show the newest reading of each host and its cards."""
    hosts = client.gpus.list()
    if as_json:
        click.echo(TypeAdapter(list[HostSample]).dump_json(hosts, indent=2).decode())
    elif hosts:
        click.echo(display.gpus_table(hosts, datetime.now(UTC), width()))
    else:
        click.echo(
            "No host has reported yet; `prefect deployment run collect-metrics/gpu` makes one.", err=True
        )


@cli.group(epilog=example("keys list"))
def keys() -> None:
    """API keys; needs an admin's key."""


@keys.command("create", epilog=example("keys create notebook --scope training --expires-in-days 30"))
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="training, testing, production, worker, …; repeatable.",
)
@click.option("--expires-in-days", type=click.IntRange(1, 3650), default=90, show_default=True)
@click.option("--never-expires", is_flag=True)
@connected
def create_key(
    client: Client, name: str, scopes: tuple[str, ...], expires_in_days: int, never_expires: bool
) -> None:
    """Make a key. It is printed once, alone, on stdout."""
    try:
        new = NewApiKey(
            name=name, scopes=[*scopes], expires_in_days=None if never_expires else expires_in_days
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(first["msg"], field=".".join(map(str, first["loc"]))) from None
    made = client.keys.create(new)
    click.echo(made.key)
    until = display.long_time(made.expires_at, datetime.now(UTC)) or "never"
    click.echo(f"Key {made.id} for {', '.join(made.scopes)}, expires: {until}. Not shown again.", err=True)


@keys.command("list", epilog=example("keys list"))
@paged(100, 50)
@json_option
@connected
def list_keys(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List keys; the keys themselves are never shown."""
    show_page(client.keys.list(limit, offset), as_json, display.keys_table)


@keys.command("revoke", epilog=example("keys revoke a1B2c3D4e5F6"))
@click.argument("key_id", metavar="ID")
@connected
def revoke_key(client: Client, key_id: str) -> None:
    """Refuse a key from now on."""
    revoked = client.keys.revoke(key_id)
    click.echo(f"{revoked.id}  revoked  {display.plain(revoked.name)}")


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code. What goes wrong is one line on stderr."""
    try:
        code = cli.main([*arguments], prog_name="tuneyard", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except click.Abort:
        return INTERRUPTED
    except TuneyardError as error:
        click.echo(f"tuneyard: {' '.join(str(error).split())}", err=True)
        return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 1)
    return code if isinstance(code, int) else 0


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that this terminal cannot show is no reason to fail
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
