"""`tuneyard endpoints`: what the server offers; and what it offers for the words of another system."""

from __future__ import annotations

from collections.abc import Iterable

import click
from pydantic import TypeAdapter

from tuneyard import credentials
from tuneyard.client import Client
from tuneyard.display import Column, plain, table
from tuneyard.endpoints import Endpoint, endpoints_in, nearest, served_at
from tuneyard.errors import NotFound
from tuneyard.exit_codes import NOT_FOUND
from tuneyard.gpu_commands import list_gpus
from tuneyard.options import (
    api_url_option,
    asked_patience,
    asked_url,
    connected,
    elsewhere,
    example,
    json_option,
    width,
)

_ENDPOINTS = TypeAdapter(list[Endpoint])
WORKFLOWS = "/v1/agents/workflows"


@click.group(invoke_without_command=True, epilog=example("endpoints check /api/v1/jobs"))
@json_option
@api_url_option
@click.pass_context
def endpoints(context: click.Context, as_json: bool, api_url: str | None) -> None:  # noqa: ARG001
    """List what the server offers; needs no key."""
    if context.invoked_subcommand is None:
        _show(_offered(), as_json)


@endpoints.command("check", epilog=example("endpoints check /v1/jobs"))
@click.argument("path")
@json_option
@api_url_option
def check_endpoint(path: str, as_json: bool, api_url: str | None) -> None:  # noqa: ARG001
    """Say what is served at PATH; exit 5 and the nearest endpoints where nothing is."""
    offered = _offered()
    served = served_at(offered, path)
    if served:
        _show(served, as_json)
        return
    click.echo(f"Nothing is served at {plain(path)}. The nearest: {_named(nearest(offered, path))}", err=True)
    if as_json:
        _show([], as_json)
    click.get_current_context().exit(NOT_FOUND)


def _offered() -> list[Endpoint]:
    url = credentials.login_url(credentials.stored_label(), asked_url())
    with Client(url, patience=asked_patience()) as client:
        return endpoints_in(client.openapi())


def _show(found: list[Endpoint], as_json: bool) -> None:
    if as_json:
        click.echo(_ENDPOINTS.dump_json(found, indent=2).decode())
        return
    columns = [Column("METHOD"), Column("PATH"), Column("WHAT", elastic=True)]
    click.echo(table(columns, [(one.method, one.path, one.summary) for one in found], width()))


def _named(found: Iterable[Endpoint]) -> str:
    return ", ".join(f"{one.method} {one.path}" for one in found)


@click.group(epilog=example("pipeline examples/dates/pipeline.json"))
def agent() -> None:
    """Another system's agent workflows: here they are pipelines."""


@agent.command("create", epilog=example("agent create --name test --description test"))
@click.option("--name", required=True)
@click.option("--description", default="")
@connected
def create_agent(client: Client, name: str, description: str) -> None:  # noqa: ARG001 - nothing is made
    """Say what serves as an agent workflow here; makes none, exit 5."""
    client.auth.me()  # a key that is refused is told so
    offered = endpoints_in(client.openapi())
    if served_at(offered, WORKFLOWS):
        raise NotFound(
            404, "not known here", f"{client.base_url} has {WORKFLOWS}: use its own client", None, {}
        )
    instead = served_at(offered, "/api/v1/ml/$pipeline") or nearest(offered, WORKFLOWS)
    text = (
        f"{client.base_url} has no {WORKFLOWS}. An agent workflow is a pipeline here (fine-tune, test, promote): "
        f"{_named(instead)}, or `tuneyard pipeline CONFIG`"
    )
    raise NotFound(404, "key accepted, endpoint missing", text, None, {})


@click.group(epilog=example("marketplace gpu list"))
def marketplace() -> None:
    """Another system's market: here the GPUs are the team's own."""


@marketplace.group("gpu", epilog=example("marketplace gpu list"))
def market_gpus() -> None:
    """The team's GPUs, as `tuneyard gpus` shows them."""


market_gpus.add_command(elsewhere(list_gpus, "marketplace gpu list"))
