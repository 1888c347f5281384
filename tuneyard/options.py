"""What the commands share: the client they get, their options, how they print."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from pydantic import BaseModel

from tuneyard import credentials
from tuneyard.client import Client
from tuneyard.errors import BadInput
from tuneyard.keys import PREFIX, parse
from tuneyard.shapes import Page

P = ParamSpec("P")
Shown = TypeVar("Shown", bound=BaseModel)

# On a command's function: it asks the API, with the credential that there is.
ASKS_API = "asks_api"
# Seconds of retrying while a job is watched: enough to outlive a restart of the API.
WATCHING_PATIENCE = 60.0


def example(line: str) -> str:
    return f"\b\nExample: tuneyard {line}"


def elsewhere(command: click.Command, line: str) -> click.Command:
    """The same command for another place, with an example of itself there."""
    found = copy(command)
    found.epilog = example(line)
    return found


def asked_url() -> str | None:
    """The address that the innermost `--api-url` gave, if one did."""
    context: click.Context | None = click.get_current_context()
    url: str | None = None
    while context is not None and not url:
        url, context = context.params.get("api_url"), context.parent
    return url


def asked_patience() -> float:
    seconds: float = click.get_current_context().find_root().params["patience"]
    return seconds


def connect(patience: float | None = None) -> Client:
    """A client for the address that is asked for, with the credential that the environment says; inside
    `doctor --commands`, with the one that it gives."""
    given = click.get_current_context().find_object(credentials.Door)
    return open_door(given or credentials.chosen(asked_url()), patience)


def open_door(door: credentials.Door, patience: float | None = None) -> Client:
    return Client(
        door.url,
        door.api_key,
        session_token=door.session_token,
        patience=asked_patience() if patience is None else patience,
    )


def stored_name(command: Callable[..., None]) -> Callable[..., None]:
    """Which stored credential is meant."""
    command = click.option(
        "--name", help="Its name in that environment; else TUNEYARD_CREDENTIAL, or client."
    )(command)
    return click.option(
        "--environment", metavar="ENV", help="default, dev, staging, prod, …; else TUNEYARD_ENVIRONMENT."
    )(command)


api_url_option = click.option("--api-url", metavar="URL", help="Where the API is.")


def connected(command: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Give the command a client, and the option to say where the API is."""

    @api_url_option
    @functools.wraps(command)
    def with_client(*args: P.args, **options: P.kwargs) -> None:
        options.pop("api_url")
        with connect() as client:
            command(client, *args, **options)

    setattr(with_client, ASKS_API, True)
    return with_client


def paged(most: int, default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def with_page(command: Callable[..., None]) -> Callable[..., None]:
        command = click.option("--offset", type=click.IntRange(0), default=0, help="How many to pass over.")(
            command
        )
        limit = click.IntRange(1, most)
        return click.option(
            "--limit", type=limit, default=default, show_default=True, help="How many at most."
        )(command)

    return with_page


changes_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Another value for a field, such as epochs=2 or lora.rank=8; several times.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's shape as JSON.")


yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def demand_yes(yes: bool, what: str, ids: Sequence[str]) -> None:
    """Ask before something is deleted for good, unless it was said already; a no leaves as Ctrl-C does."""
    if not yes:
        named = ids[0] if len(ids) == 1 else f"{len(ids)} of them"
        click.confirm(f"Delete {what} for good: {named}?", abort=True, err=True)


@contextmanager
def bytes_told(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how many bytes are here, of how many; a disk that refuses them is told in one line."""
    with click.progressbar(length=0, label=label, show_pos=True, file=sys.stderr) as bar:

        def told(here: int, in_all: int) -> None:
            bar.length, bar.pos = in_all, here
            bar.finished = here >= in_all
            bar.update(0)

        try:
            yield told
        except OSError as problem:
            raise BadInput(problem.strerror or str(problem), file=problem.filename) from None


def public_id(given: str) -> str:
    """A key's public id. A whole key is cut to its id here: a secret has no place in a URL, nor in an error."""
    return parse(given) if given.startswith(PREFIX) else given


def width() -> int:
    """Columns to fit in: the terminal's between 80 and 120; 120 where there is none."""
    return min(120, max(80, shutil.get_terminal_size((120, 24)).columns))


def show_page(page: Page[Any], as_json: bool, draw: Callable[[Iterable[Any], datetime, int], str]) -> None:
    if as_json:
        show_json(page)
        return
    click.echo(draw(page.items, datetime.now(UTC), width()))
    after = page.offset + len(page.items)
    if after < page.total and page.items:
        rest = f"{page.offset + 1} to {after} of {page.total}; the next: --offset {after}"
        click.echo(rest, err=True)


def show_json(shape: BaseModel) -> None:
    click.echo(shape.model_dump_json(indent=2))


def show(shape: Shown, as_json: bool, draw: Callable[[Shown, datetime], str]) -> None:
    if as_json:
        show_json(shape)
    else:
        click.echo(draw(shape, datetime.now(UTC)))
