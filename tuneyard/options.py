"""What the commands share: the client they get, their options, how they print."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec

import click
from pydantic import BaseModel

from tuneyard.client import Client
from tuneyard.shapes import Page

P = ParamSpec("P")

# Seconds of retrying while a job is watched: enough to outlive a restart of the API.
WATCHING_PATIENCE = 60.0


def example(line: str) -> str:
    return f"\b\nExample: tuneyard {line}"


def connect(patience: float | None = None) -> Client:
    """A client for the address that the innermost `--api-url` gave, else for the environment's."""
    context: click.Context | None = click.get_current_context()
    root = click.get_current_context().find_root()
    url = None
    while context is not None and not url:
        url, context = context.params.get("api_url"), context.parent
    return Client.from_env(url, patience=root.params["patience"] if patience is None else patience)


def connected(command: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Give the command a client, and the option to say where the API is."""

    @click.option("--api-url", metavar="URL", help="Where the API is.")
    @functools.wraps(command)
    def with_client(*args: P.args, **options: P.kwargs) -> None:
        options.pop("api_url")
        with connect() as client:
            command(client, *args, **options)

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


json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's shape as JSON.")


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
