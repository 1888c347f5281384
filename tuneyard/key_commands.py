"""`tuneyard keys`: make, list, show, rotate, extend, revoke."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from tuneyard import display, display_access
from tuneyard.client import Client
from tuneyard.exit_codes import REFUSED
from tuneyard.forms import filled
from tuneyard.leaks import Outcome, ids_in, revoke_each
from tuneyard.options import (
    connected,
    example,
    json_option,
    paged,
    public_id,
    show,
    show_json,
    show_page,
    width,
)
from tuneyard.shapes import CreatedApiKey, NewApiKey

key_id = click.argument("key_id", metavar="ID", type=public_id)
_DAYS = click.IntRange(1, 3650)


@click.group(epilog=example("keys list"))
def keys() -> None:
    """API keys: one's own, or the workspace's for an admin."""


@keys.command("create", epilog=example("keys create notebook --scope training --expires-in-days 30"))
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="training, testing, …; repeatable.")
@click.option("--permission-set", metavar="NAME", help="One named set; `keys sets` lists them.")
@click.option("--permission", "permissions", multiple=True, help="For example jobs:read; repeatable.")
@click.option("--description", help="What it is for.")
@click.option("--expires-in-days", type=_DAYS, default=90, show_default=True)
@click.option("--never-expires", is_flag=True)
@click.option(
    "--rate-limit", type=click.IntRange(1), help="Requests in one window, in place of the server's."
)
@connected
def create_key(
    client: Client,
    name: str,
    scopes: tuple[str, ...],
    permission_set: str | None,
    permissions: tuple[str, ...],
    description: str | None,
    expires_in_days: int,
    never_expires: bool,
    rate_limit: int | None,
) -> None:
    """Make a key. It is printed once, alone, on stdout.

    What it may do is said in one way: by --scope, by --permission-set or by --permission.
    """
    grants = {"scopes": [*scopes], "permission_set": permission_set, "permissions": [*permissions]}
    granted = {kind: value for kind, value in grants.items() if value}
    if len(granted) != 1:
        raise click.UsageError(
            "Say what the key may do by one of --scope, --permission-set and --permission."
        )
    more = {"description": description, "rate_limit": rate_limit}
    said = {field: value for field, value in more.items() if value is not None}
    days = None if never_expires else expires_in_days
    new = filled(NewApiKey, name=name, expires_in_days=days, **granted, **said)
    _show_new(client.keys.create(new))


def _show_new(made: CreatedApiKey) -> None:
    click.echo(made.key)
    until = display.long_time(made.expires_at, datetime.now(UTC)) or "never"
    may = ", ".join(made.scopes or made.permissions)
    click.echo(f"Key {made.id} for {display.plain(may)}, expires: {until}. Not shown again.", err=True)


@keys.command("list", epilog=example("keys list --all"))
@click.option("--all", "everything", is_flag=True, help="Also those that are revoked.")
@paged(100, 50)
@json_option
@connected
def list_keys(client: Client, everything: bool, limit: int, offset: int, as_json: bool) -> None:
    """List keys; the keys themselves are never shown."""
    show_page(client.keys.list(limit, offset, not everything), as_json, display_access.keys_table)


@keys.command("show", epilog=example("keys show a1B2c3D4e5F6"))
@key_id
@json_option
@connected
def show_key(client: Client, key_id: str, as_json: bool) -> None:
    """Show one key: what it may do, its use and its end."""
    show(client.keys.get(key_id), as_json, display_access.key_card)


@keys.command("rotate", epilog=example("keys rotate a1B2c3D4e5F6 --grace 24h"))
@key_id
@click.option("--grace", default="24h", show_default=True, help="How long the old key goes on: 30m, 24h, 7d.")
@click.option("--expires-in-days", type=_DAYS, help="Of the new key; else as long as the old one was given.")
@connected
def rotate_key(client: Client, key_id: str, grace: str, expires_in_days: int | None) -> None:
    """Replace a key. The new one is printed once, alone, on stdout."""
    made = client.keys.rotate(key_id, grace, expires_in_days)
    _show_new(made)
    end = display.long_time(made.old_key_expires_at, datetime.now(UTC))
    click.echo(f"The old key {made.replaces} is refused from {end} on.", err=True)


@keys.command("extend", epilog=example("keys extend a1B2c3D4e5F6 --expires-in-days 30"))
@key_id
@click.option("--expires-in-days", type=_DAYS, default=90, show_default=True, help="Counted from now.")
@connected
def extend_key(client: Client, key_id: str, expires_in_days: int) -> None:
    """Let a key live longer."""
    key = client.keys.extend(key_id, expires_in_days)
    click.echo(f"{key.id}  expires {display.long_time(key.expires_at, datetime.now(UTC)) or 'never'}")


@keys.command("sets", epilog=example("keys sets --json"))
@json_option
@connected
def show_sets(client: Client, as_json: bool) -> None:
    """List the sets, scopes and permissions that a key can be made from."""
    sets = client.keys.permission_sets()
    if as_json:
        show_json(sets)
    else:
        click.echo(display_access.sets_table(sets, width()))


@keys.command("revoke", epilog=example("keys revoke --leaked < build.log"))
@click.argument("key_id", metavar="[ID]", type=public_id, required=False)
@click.option("--leaked", is_flag=True, help="Revoke every key that stdin holds; none is printed.")
@connected
def revoke_key(client: Client, key_id: str | None, leaked: bool) -> None:
    """Refuse a key from now on.

    With --leaked: one line for each key found, and exit 0 when none of them opens anything any more.
    """
    if leaked == bool(key_id):
        raise click.UsageError("Give the ID of a key, or --leaked and a text on stdin.")
    if key_id:
        revoked = client.keys.revoke(key_id)
        click.echo(f"{revoked.id}  revoked  {display.plain(revoked.name)}")
    else:
        _revoke_leaked(client)


def _revoke_leaked(client: Client) -> None:
    ids = ids_in(sys.stdin.buffer)
    if not ids:
        click.echo("No key in it.", err=True)
    alive = False
    for key_id, outcome in revoke_each(client, ids):
        click.echo(f"{key_id}  {outcome}")
        alive |= outcome is Outcome.NOT_ALLOWED
    if alive:
        click.get_current_context().exit(REFUSED)
