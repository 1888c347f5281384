"""`tuneyard auth login`: a key or a person's session, checked with the server before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from pydantic import BaseModel

from tuneyard import credentials, stored_keys
from tuneyard.client import Client
from tuneyard.credentials import Credential, door_to
from tuneyard.display import duration, plain
from tuneyard.errors import ApiError, BadInput, NotFound, TuneyardError, Unauthorized
from tuneyard.options import (
    api_url_option,
    asked_patience,
    asked_url,
    example,
    open_door,
    show_json,
    stored_name,
)
from tuneyard.secret_input import at_terminal, password, piped, prompted
from tuneyard.shapes import OpenedSession, WhoAmI

SHORTEST_KEY = 10
CHOOSE_ANOTHER = "Its password opens one log-in only: choose another with `tuneyard auth password`."


class LoggedIn(BaseModel):
    """What `--json` prints."""

    status: str = "logged_in"
    environment: str
    name: str
    note: str


@click.command(
    "login",
    epilog=example("auth login --environment prod < prod.key"),
    context_settings={"allow_extra_args": True},
)
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--user", metavar="PERSON", help="Log a person in with a password, in place of a key.")
@stored_name
@click.option("--json", "as_json", is_flag=True, help="Print status, environment, name and a note as JSON.")
@api_url_option
@click.pass_context
def login(
    context: click.Context,
    key: str | None,
    user: str | None,
    name: str | None,
    environment: str | None,
    as_json: bool,
    api_url: str | None,  # noqa: ARG001 - `asked_url` reads it
) -> None:
    """Log in with a key, or as a person.

    Without KEY, or with -, it is read from stdin, or asked for at a terminal: an argument stays in the shell's
    history. Once the server has let it in, it is kept as client@ENV in the system's keyring, else in a file that
    its owner alone can read.
    """
    if context.args or (key and user):  # said by us: click would repeat what may be a key
        raise click.UsageError("Give one KEY, or none; with --user none.")
    label = credentials.stored_label(name, environment)
    url = credentials.login_url(label, asked_url())
    note = _log_person_in(label, url, user) if user else log_key_in(label, url, given_key(key))
    name, _, environment = label.partition("@")
    if as_json:
        show_json(LoggedIn(environment=environment, name=name, note=note))
    else:
        click.echo(f"Logged in as {label}: {note}")
    if variable := credentials.set_variable():
        click.echo(f"{variable} is set, and comes before what is stored.", err=True)


def given_key(key: str | None) -> str:
    """The argument; else stdin's, or what is typed at a prompt."""
    if key in (None, "-"):
        key = prompted("API key") if key is None and at_terminal() else piped()
    if len(key := (key or "").strip()) < SHORTEST_KEY:
        raise TuneyardError(f"Invalid API key format: a key has at least {SHORTEST_KEY} characters")
    return key


def log_key_in(label: str, url: str, secret: str, holding: Sequence[str] = ()) -> str:
    """Store a key (or a session's token) that the server lets in; what to say about it.

    Args:
        holding: Roles, scopes or permissions that it must have.
    """
    door = door_to(Credential(secret, label, url), url)
    with open_door(door) as client:
        who = admitted(client)
    held = {who.role, *who.scopes, *who.permissions}
    if lacking := [name for name in holding if name not in held]:
        may = ", ".join(who.scopes) or who.role or ", ".join(who.permissions)
        raise BadInput(
            f"this key is not for {', '.join(lacking)}: it is for {plain(may)}. Nothing was stored"
        )
    place = stored_keys.keep(label, url, secret)
    return f"{plain(who.name)} at {url}, {_until(who.expires_at)}, kept in {place}."


def admitted(client: Client) -> WhoAmI:
    """Who the server says the key's holder is."""
    try:
        return client.auth.me()
    except Unauthorized as error:
        raise _in_our_words(error, f"key refused by {client.base_url}") from None
    except NotFound as error:
        if not error.problem:  # not an API's answer: the error says so
            raise
        title = "key accepted, endpoint missing"
        raise _in_our_words(error, title, f"{client.base_url} has no /api/v1/auth/me") from None


def _in_our_words(error: ApiError, title: str, detail: str = "") -> ApiError:
    text = f"{detail or error.detail}. Nothing was stored."
    return type(error)(error.status, title, text, error.request_id, error.problem)


def _log_person_in(label: str, url: str, user: str) -> str:
    """Open a session and store its token; what to say about it."""
    secret = password(f"Password of {user}")
    with Client(url, patience=asked_patience()) as client:
        try:
            opened = client.auth.login(user, secret)
        except Unauthorized as error:
            raise _in_our_words(error, f"password refused by {url}") from None
    place = stored_keys.keep(label, url, opened.token)
    note = f"{opened.user.name}, {opened.user.role}, at {url}, {_until(opened.expires_at)}, kept in {place}."
    if opened.user.must_change_password:
        note += _own_password(url, opened, secret)
    return note


def _own_password(url: str, opened: OpenedSession, one_time: str) -> str:
    if not at_terminal():
        return f" {CHOOSE_ANOTHER}"
    click.echo("This password was for one log-in. Choose your own:", err=True)
    chosen = prompted("New password", twice=True)
    with Client(url, session_token=opened.token, patience=asked_patience()) as client:
        client.auth.change_password(one_time, chosen)
    return " Your password is changed."


def _until(moment: datetime | None) -> str:
    left = (moment - datetime.now(UTC)).total_seconds() if moment else None
    return "without an end" if left is None else f"for {duration(max(0, left))}"
