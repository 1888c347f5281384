"""`tuneyard suites`: list, show, create, edit, versions, download."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tuneyard import display_suites
from tuneyard.batch_shapes import NewSuite, Suite, SuiteEdit
from tuneyard.client import Client
from tuneyard.display import plain
from tuneyard.errors import BadInput
from tuneyard.exit_codes import NOT_FOUND
from tuneyard.options import connected, example, json_option, paged, show, show_json, show_page
from tuneyard.suite_files import read_suite, suite_name

ID = "01KA1B2C3D4E5F6G7H8J9K0MNP"
description_option = click.option("--description", help="What it is for.")


@click.group(epilog=example("suites create suite.yaml"))
def suites() -> None:
    """Test suites: prompts, and what is expected."""


@suites.command("list", epilog=example("suites list"))
@paged(100, 20)
@json_option
@connected
def list_suites(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List suites, each by its newest version."""
    show_page(client.suites.list(limit, offset), as_json, display_suites.suites_table)


@suites.command("versions", epilog=example("suites versions dates"))
@click.argument("name")
@paged(100, 20)
@json_option
@connected
def list_versions(client: Client, name: str, limit: int, offset: int, as_json: bool) -> None:
    """List all versions of a suite, newest first."""
    found = client.suites.list(limit, offset, name=name, all_versions=True)
    if not found.total:
        click.echo(f"No suite is called {plain(name)}.", err=True)
        click.get_current_context().exit(NOT_FOUND)
    show_page(found, as_json, display_suites.suites_table)


@suites.command("show", epilog=example(f"suites show {ID}"))
@click.argument("suite_id", metavar="ID")
@json_option
@connected
def show_suite(client: Client, suite_id: str, as_json: bool) -> None:
    """Show one version of a suite."""
    show(client.suites.get(suite_id), as_json, display_suites.suite_card)


@suites.command("create", epilog=example("suites create suite.yaml --name dates"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Default: the file's, without endings.")
@description_option
@json_option
@connected
def create_suite(
    client: Client, file: Path, name: str | None, description: str | None, as_json: bool
) -> None:
    """Record a file's prompts; the same prompts again change nothing, others are that name's next version.

    JSON Lines, JSON, CSV, TSV, YAML or Parquet, with prompt or messages, expected, choices, tags, scorer, weight.
    """
    new = NewSuite(name=name or suite_name(file), description=description, prompts=read_suite(file))
    _tell(client.suites.create(new), as_json)


@suites.command("edit", epilog=example(f"suites edit {ID} suite.yaml"))
@click.argument("suite_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@description_option
@json_option
@connected
def edit_suite(
    client: Client, suite_id: str, file: Path | None, description: str | None, as_json: bool
) -> None:
    """Record a file's prompts as a suite's next version; the version before stays as it is.

    A description alone is changed in place.
    """
    if file is None and description is None:
        raise BadInput("give a file of prompts, a description, or both")
    edit = SuiteEdit(description=description, prompts=read_suite(file) if file else None)
    _tell(client.suites.edit(suite_id, edit), as_json)


@suites.command("download", epilog=example(f"suites download {ID} --to suite.jsonl"))
@click.argument("suite_id", metavar="ID")
@click.option("--to", "file", type=click.Path(path_type=Path), help="Default: print it.")
@connected
def download_suite(client: Client, suite_id: str, file: Path | None) -> None:
    """Write a suite's prompts as JSON Lines."""
    prompts = client.suites.get(suite_id).prompts or []
    lines = "".join(f"{one.model_dump_json(exclude_none=True)}\n" for one in prompts).encode()
    if file is None:
        sys.stdout.buffer.write(lines)
        return
    try:
        file.write_bytes(lines)
    except OSError as problem:
        raise BadInput(problem.strerror or str(problem), file=str(file)) from None
    click.echo(file)


def _tell(suite: Suite, as_json: bool) -> None:
    if as_json:
        show_json(suite)
        return
    click.echo(suite.id)
    click.echo(f"{suite.name} version {suite.version}, {suite.prompt_count} prompts", err=True)
