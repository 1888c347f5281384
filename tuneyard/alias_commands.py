"""`tuneyard models aliases|moves|promote|undo`: which model a name such as `production` stands for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import click

from tuneyard.batch_shapes import AliasMove, ModelAlias, Promotion
from tuneyard.client import Client
from tuneyard.display import Column, plain, short_time, table
from tuneyard.errors import Conflict
from tuneyard.exit_codes import NOT_WELL
from tuneyard.forms import filled
from tuneyard.model_commands import ID
from tuneyard.options import connected, example, json_option, paged, show_json, show_page

_alias = click.option("--alias", default="production", show_default=True, help="The name.")


@click.command("aliases", epilog=example("models aliases"))
@paged(100, 50)
@json_option
@connected
def list_aliases(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List the names that stand for models."""
    show_page(client.aliases.list(limit, offset), as_json, _aliases_table)


@click.command("moves", epilog=example("models moves production"))
@click.argument("alias")
@paged(100, 20)
@json_option
@connected
def list_moves(client: Client, alias: str, limit: int, offset: int, as_json: bool) -> None:
    """List an alias's moves and why it moved, newest first."""
    show_page(client.aliases.moves(alias, limit, offset), as_json, _moves_table)


@click.command(
    "promote", epilog=example(f"models promote {ID} --baseline TEST --candidate TEST --alias production")
)
@click.argument("model_id", metavar="ID")
@click.option("--baseline", required=True, metavar="TEST", help="A batch test of the model it is to replace.")
@click.option("--candidate", required=True, metavar="TEST", help="A batch test of this model.")
@_alias
@click.option("--require", type=click.Choice(["better", "not_worse"]), default="better", show_default=True)
@click.option("--reason")
@json_option
@connected
def promote(
    client: Client,
    model_id: str,
    baseline: str,
    candidate: str,
    alias: str,
    require: str,
    reason: str | None,
    as_json: bool,
) -> None:
    """Let an alias stand for a model, if two batch tests say that it may; exit 3 if they do not."""
    asked = filled(
        Promotion,
        artifact_id=model_id,
        baseline=baseline,
        candidate=candidate,
        require=require,
        reason=reason,
    )
    try:
        moved = client.aliases.promote(alias, asked)
    except Conflict as refusal:
        click.echo(f"{alias} stays as it is. {plain(str(refusal))}", err=True)
        click.get_current_context().exit(NOT_WELL)
    _tell(moved, as_json)


@click.command("undo", epilog=example("models undo production"))
@click.argument("alias")
@click.option("--move", "move_id", metavar="ID", help="Only if this is the newest move that stands.")
@click.option("--reason")
@json_option
@connected
def undo(client: Client, alias: str, move_id: str | None, reason: str | None, as_json: bool) -> None:
    """Take an alias's newest move back."""
    _tell(client.aliases.undo(alias, move_id, reason), as_json)


def _tell(moved: ModelAlias, as_json: bool) -> None:
    if as_json:
        show_json(moved)
    else:
        click.echo(f"{moved.name}  {moved.artifact_id or 'stands for no model'}")


def _aliases_table(aliases: Iterable[ModelAlias], now: datetime, width: int) -> str:
    columns = [Column("ALIAS"), Column("MODEL"), Column("MOVED (UTC)")]
    rows = [(one.name, one.artifact_id, short_time(one.updated_at, now)) for one in aliases]
    return table(columns, rows, width)


def _moves_table(moves: Iterable[AliasMove], now: datetime, width: int) -> str:
    columns = [
        Column("MOVE"),
        Column("AT (UTC)"),
        Column("FROM"),
        Column("TO"),
        Column("WHY", elastic=True),
        Column("BY", elastic=True),
    ]
    rows = [
        (one.id, short_time(one.at, now), one.from_artifact_id, one.to_artifact_id, _why(one), one.actor)
        for one in moves
    ]
    return table(columns, rows, width)


def _why(move: AliasMove) -> str:
    return f"takes {move.undoes} back" if move.undoes else str(move.evidence.get("verdict", "-"))
