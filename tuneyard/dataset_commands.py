"""`tuneyard datasets`: list, show, upload, download, delete."""

from __future__ import annotations

from pathlib import Path

import click

from tuneyard import display_kept
from tuneyard.client import Client
from tuneyard.options import bytes_told, connected, example, json_option, paged, show, show_json, show_page

ID = "01KA1B2C3D4E5F6G7H8J9K0MNP"


@click.group(epilog=example("datasets upload rows.jsonl --name dates"))
def datasets() -> None:
    """Data sets to train on."""


@datasets.command("list", epilog=example("datasets list --name dates"))
@click.option("--name", help="Only the versions of this one.")
@paged(100, 20)
@json_option
@connected
def list_datasets(client: Client, name: str | None, limit: int, offset: int, as_json: bool) -> None:
    """List data sets, newest first."""
    show_page(client.datasets.list(limit, offset, name=name), as_json, display_kept.datasets_table)


@datasets.command("show", epilog=example(f"datasets show {ID}"))
@click.argument("dataset_id", metavar="ID")
@json_option
@connected
def show_dataset(client: Client, dataset_id: str, as_json: bool) -> None:
    """Show one data set."""
    show(client.datasets.get(dataset_id), as_json, display_kept.dataset_card)


@datasets.command("upload", epilog=example("datasets upload rows.jsonl --name dates"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Default: the file's, without endings.")
@json_option
@connected
def upload_dataset(client: Client, file: Path, name: str | None, as_json: bool) -> None:
    """Upload a file as the next version of a data set; the same content again changes nothing."""
    made = client.datasets.upload(file, name)
    if as_json:
        show_json(made)
        return
    click.echo(made.uri)
    rows = f", {made.rows} rows" if made.rows else ""
    click.echo(f"{made.name} version {made.version}{rows}: train with dataset {made.uri}", err=True)


@datasets.command("download", epilog=example(f"datasets download {ID} --to rows.jsonl"))
@click.argument("dataset_id", metavar="ID")
@click.option(
    "--to", "path", type=click.Path(path_type=Path), help="A file or a folder; default: its own name, here."
)
@connected
def download_dataset(client: Client, dataset_id: str, path: Path | None) -> None:
    """Download a data set that was uploaded, checked by SHA-256."""
    with bytes_told("Downloading") as told:
        found = client.datasets.download(dataset_id, path or Path(), told)
    click.echo(found)


@datasets.command("delete", epilog=example(f"datasets delete {ID}"))
@click.argument("dataset_id", metavar="ID")
@connected
def delete_dataset(client: Client, dataset_id: str) -> None:
    """Delete a data set for good, with its file; one that a job still needs is refused."""
    client.datasets.delete(dataset_id)
    click.echo(f"{dataset_id}  deleted")
