"""`tuneyard models`: list, show, tree, download, delete."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

from tuneyard import display_kept
from tuneyard.client import Client
from tuneyard.options import (
    bytes_told,
    connected,
    demand_yes,
    example,
    json_option,
    paged,
    show,
    show_json,
    show_page,
    yes_option,
)

ID = "01KA1B2C3D4E5F6G7H8J9K0MNP"


@click.group(epilog=example("models list"))
def models() -> None:
    """Models, adapters and reports that jobs made."""


@models.command("list", epilog=example("models list --limit 10"))
@paged(100, 20)
@json_option
@connected
def list_models(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List models, newest first."""
    show_page(client.artifacts.list(limit, offset), as_json, display_kept.models_table)


@models.command("show", epilog=example(f"models show {ID}"))
@click.argument("model_id", metavar="ID")
@json_option
@connected
def show_model(client: Client, model_id: str, as_json: bool) -> None:
    """Show one model and its files."""
    show(client.artifacts.get(model_id), as_json, display_kept.model_card)
    if as_json:
        return
    files = client.artifacts.files(model_id)
    if files:
        click.echo()
        click.echo(display_kept.files_table(islice(files, display_kept.FILES_SHOWN)))
    if len(files) > display_kept.FILES_SHOWN:
        click.echo(f"and {len(files) - display_kept.FILES_SHOWN} more files", err=True)


@models.command("tree", epilog=example(f"models tree {ID}"))
@click.argument("model_id", metavar="ID")
@click.option("--from-here", is_flag=True, help="Only what was made from it, not the whole family.")
@json_option
@connected
def show_tree(client: Client, model_id: str, from_here: bool, as_json: bool) -> None:
    """Show what a model was made from, and what was made from it."""
    tree = client.artifacts.tree(model_id, root=not from_here)
    if as_json:
        show_json(tree)
    else:
        click.echo(display_kept.tree_lines(tree))


@models.command("download", epilog=example(f"models download {ID} --to ./model"))
@click.argument("model_id", metavar="ID")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    help="A folder that is not there yet; default: one named by the ID.",
)
@connected
def download_model(client: Client, model_id: str, folder: Path | None) -> None:
    """Download a model's files, each checked by SHA-256; run again, it goes on where it broke off."""
    with bytes_told("Downloading") as told:
        found = client.artifacts.download(model_id, folder or Path(model_id), told)
    click.echo(found)


@models.command("delete", epilog=example(f"models delete {ID} --yes"))
@click.argument("model_ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@connected
def delete_models(client: Client, model_ids: tuple[str, ...], yes: bool) -> None:
    """Delete models that no alias stands for and nothing was made from, with their files where the API keeps them."""
    demand_yes(yes, "the model and its files", model_ids)
    for model_id in model_ids:
        client.artifacts.delete(model_id)
        click.echo(f"{model_id}  deleted")
