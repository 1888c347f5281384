"""python -m api serve | migrate | pepper | first-admin NAME"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from pydantic import ValidationError

from api.access.declared import DeclaredKeys
from api.access.pepper import load_pepper, make_pepper
from api.access.rate_limits import RateLimits
from api.database import Database
from api.first_admin import make_first_admin, make_first_person
from api.request_log import log_to_stderr
from api.schema_head import make_ready
from api.schema_head import migrate as migrate_to_head
from api.serving import listen
from api.serving import serve as serve_until_stopped
from api.settings import Settings, make_home
from tuneyard.errors import TuneyardError


@click.group()
def main() -> None:
    """The record: jobs, metrics, test runs, artifacts and keys, over HTTP."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", default=8400, show_default=True, type=click.IntRange(0, 65535), help="0: any free one."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
def serve(host: str, port: int, workers: int) -> None:
    """Serve the API. A new, empty database is made ready first."""
    with _settings() as settings, listen(host, port) as listener:
        log_to_stderr(settings.tuneyard_log_format)
        with _database(settings) as database:
            make_ready(database)
        DeclaredKeys(settings, load_pepper(settings))
        RateLimits(settings).close()
        serve_until_stopped(listener, workers)


@main.command()
def migrate() -> None:
    """Bring the database's tables to this version."""
    with _settings() as settings, _database(settings) as database:
        click.echo(f"The database is at {migrate_to_head(database)}.", err=True)


@main.command()
def pepper() -> None:
    """Make the pepper, the secret that keys are stored under, unless it is there. Keep a copy with the backups."""
    with _settings() as settings:
        click.echo(f"The pepper is in {make_pepper(settings.home)}.", err=True)


@main.command()
@click.argument("name")
@click.option("--workspace", metavar="NAME", help="Which workspace; made if it is new. Default: the first.")
@click.option(
    "--person", is_flag=True, help="Make a person, an owner, and print the password for one log-in."
)
def first_admin(name: str, workspace: str | None, person: bool) -> None:
    """Make an admin key called NAME and print it, this once.

    Example: python -m api first-admin alice > alice.key
    """
    with _settings() as settings, _database(settings) as database:
        make_ready(database)
        if person:
            click.echo(make_first_person(database, name, workspace))
        else:
            click.echo(make_first_admin(database, load_pepper(settings), name, workspace))


@contextmanager
def _settings() -> Iterator[Settings]:
    """The settings, their home made; what goes wrong on purpose in the block is one line on stderr, and exit 1."""
    try:
        settings = Settings()
        make_home(settings.home)
        yield settings
    except ValidationError as problem:
        for error in problem.errors(include_input=False, include_url=False):
            click.echo(f"Error: {str(error['loc'][0]).upper()}: {error['msg']}", err=True)
        sys.exit(1)
    except TuneyardError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(1)


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database, settings.tuneyard_database_patience)
    try:
        yield database
    finally:
        database.close()


if __name__ == "__main__":
    main(prog_name="python -m api")
