"""`tuneyard auth refresh`, `import-env` and `keys`: the keys that this machine remembers, looked after."""

from __future__ import annotations

import os
from typing import Literal

import click
from pydantic import BaseModel, TypeAdapter

from tuneyard import credentials, stored_keys
from tuneyard.client import Client
from tuneyard.credentials import Credential, door_to
from tuneyard.display import Column, plain, table
from tuneyard.errors import ApiError, BadInput, TuneyardError
from tuneyard.exit_codes import NOT_WELL
from tuneyard.login_command import LoggedIn, given_key, log_key_in
from tuneyard.options import (
    api_url_option,
    asked_url,
    example,
    json_option,
    open_door,
    show_json,
    stored_name,
    width,
)

environment_option = click.option(
    "--environment", metavar="ENV", help="default, dev, staging, prod, …; else TUNEYARD_ENVIRONMENT."
)
grace_option = click.option(
    "--grace", default="24h", show_default=True, help="How long the old key goes on: 30m, 24h, 7d."
)


class Refreshed(BaseModel):
    """What became of one stored credential. `failed`: the server does not let it in, or was not reached."""

    credential: str
    status: Literal["refreshed", "unchanged", "failed"]
    note: str


class Stored(BaseModel):
    """What `auth keys list --json` prints."""

    credentials: list[str]


_REFRESHED = TypeAdapter(list[Refreshed])


@click.command("refresh", epilog=example("auth refresh --environment prod"))
@stored_name
@grace_option
@json_option
def refresh(name: str | None, environment: str | None, grace: str, as_json: bool) -> None:
    """Check what is stored with the server, and renew what can be renewed.

    A key that may make keys is replaced by its successor. Another is checked, and its end is told.
    """
    label = credentials.stored_label(name, environment)
    found = credentials.find_stored(label)
    if found is None:
        raise BadInput(f"nothing is stored as {label}: tuneyard auth login")
    done = _refreshed(found, grace)
    if as_json:
        show_json(done)
    else:
        click.echo(f"{label}  {done.status}: {done.note}")


def _refreshed(found: Credential, grace: str) -> Refreshed:
    """Raises what the server says of a credential that it does not let in."""
    door = door_to(found, found.api_url)
    with open_door(door) as client:
        who = client.auth.me()
        until = f"it opens {door.url}" + (
            f" until {who.expires_at:%Y-%m-%d %H:%M} UTC" if who.expires_at else ""
        )
        why = _not_renewed(found, who.key_id, who.permissions)
        if why is None:
            why = _rotated(client, found, who.key_id or "", grace)
        if why is None:
            note = f"its successor is stored; the old key is refused in {grace}"
            return Refreshed(credential=found.source, status="refreshed", note=note)
    return Refreshed(credential=found.source, status="unchanged", note=f"{until}. {why}")


def _not_renewed(found: Credential, key_id: str | None, permissions: list[str]) -> str | None:
    if found.is_session or key_id is None:
        return "A session is not renewed: log in again when it ends"
    if "keys:own" not in permissions:
        return f"It may not make keys: an admin renews it with `tuneyard keys rotate {key_id}`"
    return None


def _rotated(client: Client, found: Credential, key_id: str, grace: str) -> str | None:
    """Replace the key here and there; why not, where the server does not."""
    try:
        made = client.keys.rotate(key_id, grace)
    except ApiError as error:  # declared by the server's host, or replaced already
        return f"It was not replaced: {plain(error.detail)}"
    stored_keys.keep(found.source, found.api_url or "", made.key)
    return None


@click.command("import-env", epilog=example("auth import-env client"))
@click.argument("name")
@environment_option
@json_option
@api_url_option
def import_env(name: str, environment: str | None, as_json: bool, api_url: str | None) -> None:  # noqa: ARG001
    """Store the key that the variable NAME_API_KEY holds, once the server has let it in."""
    variable = f"{name.upper().replace('-', '_')}_API_KEY"
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise BadInput("it is not set", field=variable)
    _keep(name.lower(), environment, secret, (), as_json)


@click.group(epilog=example("auth keys list"))
def keys() -> None:
    """The keys that this machine remembers. Those of the server: tuneyard keys."""


@keys.command("list", epilog=example("auth keys list"))
@json_option
def list_stored(as_json: bool) -> None:
    """List what is stored, and for which address."""
    labels = stored_keys.labels()
    if as_json:
        show_json(Stored(credentials=labels))
    else:
        rows = [(label, stored_keys.address(label)) for label in labels]
        click.echo(table([Column("CREDENTIAL"), Column("API", elastic=True)], rows, width()))


@keys.command(
    "create",
    epilog=example("auth keys create ci --environment prod < ci.key"),
    context_settings={"allow_extra_args": True},
)
@click.argument("name")
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--permissions", default="", help="What it must be for, parted by commas: client, jobs:read, …")
@environment_option
@json_option
@api_url_option
@click.pass_context
def store_key(
    context: click.Context,
    name: str,
    key: str | None,
    permissions: str,
    environment: str | None,
    as_json: bool,
    api_url: str | None,  # noqa: ARG001 - `asked_url` reads it
) -> None:
    """Store a key under NAME, once the server has let it in. Without KEY, or with -, it is read from stdin.

    It makes none: that is `tuneyard keys create`.
    """
    if context.args:  # said by us: click would repeat what may be a key
        raise click.UsageError("Give a NAME and one KEY, or none.")
    holding = [word.strip() for word in permissions.split(",") if word.strip()]
    _keep(name, environment, given_key(key), holding, as_json)


def _keep(
    name: str, environment: str | None, secret: str, holding: list[str] | tuple[str, ...], as_json: bool
) -> None:
    label = credentials.stored_label(name, environment)
    note = log_key_in(label, credentials.login_url(label, asked_url()), secret, holding)
    if as_json:
        show_json(LoggedIn(status="stored", environment=label.partition("@")[2], name=name, note=note))
    else:
        click.echo(f"{label}  stored: {note}")


@keys.command("revoke", epilog=example("auth keys revoke ci"))
@click.argument("name")
@environment_option
def revoke_stored(name: str, environment: str | None) -> None:
    """Have the server refuse a stored key from now on, and forget it.

    Where the key may not do that itself it is forgotten here, and lives on.
    """
    label = credentials.stored_label(name, environment)
    found = credentials.find_stored(label)
    if found is None:
        raise BadInput(f"nothing is stored as {label}: tuneyard auth keys list")
    click.echo(f"{label}  {_revoked(found)}")
    stored_keys.forget(label)


def _revoked(found: Credential) -> str:
    with open_door(door_to(found, found.api_url)) as client:
        try:
            key_id = client.auth.me().key_id
            if key_id is None:
                client.auth.logout()
                return "ended and forgotten"
            client.keys.revoke(key_id)
            return "revoked and forgotten"
        except TuneyardError as error:
            return f"forgotten here alone; the server did not revoke it: {plain(error)}"


@keys.command("rotate", epilog=example("auth keys rotate --environment prod"))
@click.option("--environment", metavar="ENV", help="Only those of this environment.")
@grace_option
@json_option
def rotate_stored(environment: str | None, grace: str, as_json: bool) -> None:
    """Refresh every stored credential, as `auth refresh` does one; exit 3 where the server lets one in no more."""
    labels = [one for one in stored_keys.labels() if environment in (None, one.partition("@")[2])]
    done = [_refreshed_or_not(label, grace) for label in labels]
    if as_json:
        click.echo(_REFRESHED.dump_json(done, indent=2).decode())
    else:
        columns = [Column("CREDENTIAL"), Column("STATUS"), Column("NOTE")]
        click.echo(table(columns, [(one.credential, one.status, one.note) for one in done], width()))
    if any(one.status == "failed" for one in done):
        click.get_current_context().exit(NOT_WELL)


def _refreshed_or_not(label: str, grace: str) -> Refreshed:
    try:
        found = credentials.find_stored(label)
        if found is not None:
            return _refreshed(found, grace)
        why = "it is gone"
    except TuneyardError as error:
        why = str(error)
    return Refreshed(credential=label, status="failed", note=why)
