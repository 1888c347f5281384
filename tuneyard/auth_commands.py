"""`tuneyard auth`: who one is to the server, and what this machine remembers of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import click
from pydantic import BaseModel, TypeAdapter

from tuneyard import credentials, display, display_access, stored_keys
from tuneyard.client import Client
from tuneyard.credentials import Credential
from tuneyard.errors import BadInput, TuneyardError, Unauthorized
from tuneyard.keys import PREFIX, SESSION_PREFIX, parse
from tuneyard.login_command import login
from tuneyard.options import (
    api_url_option,
    asked_url,
    connected,
    example,
    json_option,
    open_door,
    show,
    show_json,
    stored_name,
    width,
)
from tuneyard.secret_input import password
from tuneyard.shapes import LoginSession, WhoAmI
from tuneyard.stored_key_commands import import_env, keys, refresh


class Standing(BaseModel):
    """What `auth status --json` prints. `using` is a variable or a stored name; `who` is the server's answer."""

    status: Literal["authenticated", "not_authenticated"]
    stored_credentials: list[str]
    using: str | None = None
    api_url: str | None = None
    who: WhoAmI | None = None
    note: str | None = None


class Token(BaseModel):
    """What `auth token --json` prints."""

    source: str
    token: str
    length: int


@click.group(epilog=example("auth status"))
def auth() -> None:
    """Log in and out; see who one is."""


for command in (login, refresh, import_env, keys):
    auth.add_command(command)


@auth.command("status", epilog=example("auth status --json"))
@click.option("--json", "as_json", is_flag=True, help="Print status and stored_credentials as JSON.")
@api_url_option
def status(as_json: bool, api_url: str | None) -> None:  # noqa: ARG001 - `asked_url` reads it
    """Say who is logged in, and what is stored.

    Exit 0 with "authenticated" and with "not_authenticated" alike, also while the server is away: it then says
    what this machine knows.
    """
    standing = _standing(stored_keys.labels())
    show(standing, as_json, _standing_card)


def _standing(stored: list[str]) -> Standing:
    try:
        door = credentials.chosen(asked_url())
    except BadInput as error:
        return Standing(status="not_authenticated", stored_credentials=stored, note=str(error))
    standing = Standing(
        status="authenticated", stored_credentials=stored, using=door.source, api_url=door.url
    )
    try:
        with open_door(door, patience=0) as client:
            standing.who = client.auth.me()
    except Unauthorized as error:
        standing.status, standing.note = "not_authenticated", f"key refused: {error.detail}"
    except TuneyardError as error:
        standing.note = f"not checked with the server: {error}"
    return standing


def _standing_card(standing: Standing, now: datetime) -> str:
    mine = display.fields(
        [
            ("Status", standing.status.replace("_", " ")),
            ("Using", standing.using),
            ("Stored", ", ".join(standing.stored_credentials) or "nothing"),
            ("API", standing.api_url),
            ("Note", standing.note),
        ]
    )
    return f"{mine}\n\n{display_access.who_card(standing.who, now)}" if standing.who else mine


@auth.command("whoami", epilog=example("auth whoami"))
@json_option
@connected
def who_am_i(client: Client, as_json: bool) -> None:
    """Show who the server takes one for, and what one may do."""
    show(client.auth.me(), as_json, display_access.who_card)


@auth.command("token", epilog=example("auth token --environment prod"))
@stored_name
@click.option("--show", "whole", is_flag=True, help="Print it whole.")
@click.option("--json", "as_json", is_flag=True, help="Print source, token and length as JSON.")
def token(name: str | None, environment: str | None, whole: bool, as_json: bool) -> None:
    """Print the key or session token in use.

    It is cut to what it can be recognised by, unless --show says otherwise.
    """
    stored = credentials.stored_label(name, environment)
    found = credentials.find_stored(stored) if name or environment else credentials.find()
    if found is None:
        raise BadInput(f"nothing is stored as {stored}: tuneyard auth login")
    shown = found.secret if whole else _cut(found)
    if as_json:
        show_json(Token(source=found.source, token=shown, length=len(found.secret)))
    else:
        click.echo(shown if whole else f"{shown} ({len(found.secret)} characters, {found.source})")


def _cut(found: Credential) -> str:
    if found.is_session:
        return f"{SESSION_PREFIX}***"
    try:
        return f"{PREFIX}{parse(found.secret)}_***"
    except BadInput:
        return "***"  # declared by the API's host, in a form of its own


@auth.command("logout", epilog=example("auth logout --environment prod"))
@stored_name
def logout(name: str | None, environment: str | None) -> None:
    """Forget a stored key or session.

    A session also ends on the server; a key lives on until it is revoked.
    """
    label = credentials.stored_label(name, environment)
    found = _readable(label)
    if label not in stored_keys.labels():
        click.echo(f"Nothing is stored as {label}.")
        return
    if not stored_keys.forget(label):
        click.echo(
            f"The system's keyring keeps {label} of {stored_keys.KEYRING_SERVICE}: remove it there.", err=True
        )
    click.echo(f"Logged out: {label} is forgotten.")
    if variable := credentials.set_variable():
        click.echo(f"{variable} is still set, and is used.", err=True)
    if found and found.is_session:
        _end_session(found)


def _readable(label: str) -> Credential | None:
    try:
        return credentials.find_stored(label)
    except BadInput:
        if label not in stored_keys.labels():  # raises again where the file itself cannot be read
            raise
        return None


def _end_session(found: Credential) -> None:
    with open_door(credentials.door_to(found, found.api_url)) as client:
        try:
            client.auth.logout()
        except Unauthorized:
            return  # it had ended before


@auth.command("password", epilog=example("auth password"))
@connected
def change_password(client: Client) -> None:
    """Change one's own password; one's other sessions end.

    Without a terminal, stdin holds the current password on its first line and the new one on its second.
    """
    client.auth.change_password(password("Current password"), password("New password", twice=True))
    click.echo("Password changed. Other sessions have ended.")


@auth.command("sessions", epilog=example("auth sessions"))
@json_option
@connected
def list_sessions(client: Client, as_json: bool) -> None:
    """List one's own live sessions."""
    sessions = client.auth.sessions()
    if as_json:
        click.echo(TypeAdapter(list[LoginSession]).dump_json(sessions, indent=2).decode())
    else:
        click.echo(display_access.sessions_table(sessions, datetime.now(UTC), width()))


@auth.command("end-session", epilog=example("auth end-session 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@click.argument("session_id", metavar="ID")
@connected
def end_session(client: Client, session_id: str) -> None:
    """End one of one's own sessions."""
    client.auth.end_session(session_id)
    click.echo(f"{session_id}  ended")
