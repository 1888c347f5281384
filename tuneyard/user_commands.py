"""`tuneyard users`: the people of the workspace."""

from __future__ import annotations

from typing import Literal

import click

from tuneyard import display_access
from tuneyard.client import Client
from tuneyard.forms import filled
from tuneyard.options import connected, example, json_option, paged, show, show_page
from tuneyard.shapes import CreatedUser, NewUser, Role, User, UserChanges

_ROLE = click.Choice([role.value for role in Role])
_user = click.argument("user", metavar="NAME")


@click.group(epilog=example("users list"))
def users() -> None:
    """People; needs an admin."""


@users.command("list", epilog=example("users list --json"))
@paged(100, 50)
@json_option
@connected
def list_users(client: Client, limit: int, offset: int, as_json: bool) -> None:
    """List people."""
    show_page(client.users.list(limit, offset), as_json, display_access.users_table)


@users.command("create", epilog=example("users create ada --role member"))
@_user
@click.option("--role", type=_ROLE, default=Role.MEMBER.value, show_default=True)
@connected
def create_user(client: Client, user: str, role: str) -> None:
    """Make a person.

    The one-time password to pass on is printed once, alone, on stdout.
    """
    _show_password(client.users.create(filled(NewUser, name=user, role=role)))


def _show_password(made: CreatedUser) -> None:
    click.echo(made.one_time_password)
    click.echo(
        f"One-time password of {made.name}, {made.role}. Not shown again. It opens one log-in, to choose "
        f"another: tuneyard auth login --user {made.name}",
        err=True,
    )


@users.command("show", epilog=example("users show ada"))
@_user
@json_option
@connected
def show_user(client: Client, user: str, as_json: bool) -> None:
    """Show one person."""
    show(client.users.get(user), as_json, display_access.user_card)


@users.command("role", epilog=example("users role ada admin"))
@_user
@click.argument("role", type=_ROLE)
@connected
def change_role(client: Client, user: str, role: str) -> None:
    """Change what a person may do."""
    _say(client.users.update(user, filled(UserChanges, role=role)))


@users.command("disable", epilog=example("users disable ada --keys revoke"))
@_user
@click.option(
    "--keys", type=click.Choice(["keep", "revoke"]), help="What becomes of the keys they made, if any live."
)
@connected
def disable_user(client: Client, user: str, keys: Literal["keep", "revoke"] | None) -> None:
    """Shut a person out and end their sessions."""
    _say(client.users.disable(user, keys))


@users.command("enable", epilog=example("users enable ada"))
@_user
@connected
def enable_user(client: Client, user: str) -> None:
    """Let a disabled person in again."""
    _say(client.users.enable(user))


@users.command("reset-password", epilog=example("users reset-password ada"))
@_user
@connected
def reset_password(client: Client, user: str) -> None:
    """Give a person a new one-time password.

    It is printed once, alone, on stdout. Their sessions end.
    """
    _show_password(client.users.reset_password(user))


def _say(user: User) -> None:
    click.echo(f"{user.name}  {user.role}  {display_access.user_state(user)}")
