"""`tuneyard metrics`: a job's numbers in the terminal, or for another program."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import click

from tuneyard import display
from tuneyard.client import Client
from tuneyard.display import Column, number, table
from tuneyard.metric_table import MetricTable
from tuneyard.options import connected, example, json_option, paged, show_page, width


@click.command(
    "metrics", epilog=example("metrics 01KA1B2C3D4E5F6G7H8J9K0MNP --columns train_loss --buckets 50")
)
@click.argument("job_id", metavar="JOB")
@click.option("--columns", metavar="NAMES", help="Only these, with commas between; a run's own names too.")
@click.option("--attempt", type=click.IntRange(0), help="Only this attempt's points.")
@click.option("--buckets", type=click.IntRange(1, 5000), help="All of it in at most so many lines.")
@click.option("--csv", "as_csv", is_flag=True, help="Print all of it as CSV.")
@paged(5000, 1000)
@json_option
@connected
def metrics(
    client: Client,
    job_id: str,
    columns: str | None,
    attempt: int | None,
    buckets: int | None,
    as_csv: bool,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """Show a job's metrics by step."""
    if columns is None and attempt is None and buckets is None and not as_csv:
        show_page(client.metrics.list(job_id, limit, offset), as_json, display.metrics_table)
        return
    if as_csv and as_json:
        raise click.UsageError("--csv and --json are two forms: choose one")
    names = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    found = client.metrics.read(job_id, names, attempt, buckets)
    if as_csv:
        found.write_csv(sys.stdout)
    elif as_json:
        click.echo(json.dumps({"width": found.width, "columns": found.columns}, default=str))
    else:
        click.echo(_drawn(found))


def _drawn(found: MetricTable) -> str:
    titles = [Column(name.upper()) for name in found.columns]
    rows = zip(*found.columns.values(), strict=True)
    return table(titles, [[_cell(value) for value in row] for row in rows], width())


def _cell(value: Any) -> str | None:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, int | str) else number(value, ".6g")
