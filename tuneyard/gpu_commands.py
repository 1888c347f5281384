"""`tuneyard gpus`: what there is, live, and what was."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click
from pydantic import TypeAdapter

from tuneyard.client import Client
from tuneyard.display_gpus import gpus_table, readings_table
from tuneyard.exit_codes import INTERRUPTED
from tuneyard.options import (
    WATCHING_PATIENCE,
    connect,
    connected,
    example,
    json_option,
    paged,
    show_page,
    width,
)
from tuneyard.shapes import GpuHost

_HOSTS = TypeAdapter(list[GpuHost])
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(epilog=example("gpus list"))
def gpus() -> None:
    """The team's GPUs."""


@gpus.command("list", epilog=example("gpus list"))
@json_option
@connected
def list_gpus(client: Client, as_json: bool) -> None:
    """Show each host's cards as they were last read, and which are idle, lost or held by nobody."""
    _show(client.gpus.list(), as_json)


def _show(hosts: list[GpuHost], as_json: bool) -> None:
    if as_json:
        click.echo(_HOSTS.dump_json(hosts, indent=2).decode())
    elif hosts:
        click.echo(gpus_table(hosts, datetime.now(UTC), width()))
    else:
        click.echo(
            "No host has reported yet; `prefect deployment run collect-metrics/gpu` makes one.", err=True
        )


@gpus.command("top", epilog=example("gpus top --every 5"))
@click.option(
    "--every",
    type=click.FloatRange(0.05, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between looks; what there is to see changes with each reading.",
)
@click.option("--once", is_flag=True, help="Look once.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a look.")
@connected
def top(client: Client, every: float, once: bool, as_json: bool) -> None:
    """Show the cards live, until Ctrl-C."""
    if once:
        _look(client, as_json)
        return
    with connect(WATCHING_PATIENCE) as patient:
        try:
            while True:
                _look(patient, as_json, fresh=True)
                time.sleep(every)
        except KeyboardInterrupt:
            click.get_current_context().exit(INTERRUPTED)


def _look(client: Client, as_json: bool, *, fresh: bool = False) -> None:
    hosts = client.gpus.list()
    if as_json:
        click.echo(_HOSTS.dump_json(hosts).decode())
        return
    if fresh:
        click.clear()  # does nothing where there is no terminal
        click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
    _show(hosts, as_json=False)


@gpus.command(
    "history", epilog=example("gpus history GPU-8c5a9a3e-0000-0000-0000-000000000000 --since 2026-11-21")
)
@click.argument("uuid")
@click.option("--since", type=_MOMENT, metavar="TIME", help="From this UTC time on, as 2026-11-21T12:00.")
@click.option("--until", type=_MOMENT, metavar="TIME", help="Before this UTC time.")
@paged(5000, 100)
@json_option
@connected
def show_history(
    client: Client,
    uuid: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """Show a card's readings, the oldest first; older than a week they are five minutes to one."""
    since, until = (moment and moment.replace(tzinfo=UTC) for moment in (since, until))
    show_page(client.gpus.history(uuid, since, until, limit, offset), as_json, readings_table)
