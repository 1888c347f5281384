"""The first admin: whoever may run a command on the host may make an admin's key, or an owner."""

import re

from sqlmodel import select

from api.access import passwords
from api.access.audit import record_host_event
from api.access.key_making import fresh_row
from api.access.pepper import Pepper
from api.access.permissions import SCOPES
from api.database import Database
from api.tables import ApiKey, User
from api.workspaces import first_workspace, workspace_called
from tuneyard.errors import BadInput
from tuneyard.shapes import NewApiKey, NewUser, Role

_PERSONS_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


def make_first_admin(database: Database, pepper: Pepper, name: str, workspace: str | None = None) -> str:
    """An admin key that does not expire, in the workspace of that name or the first; made if it is not there.

    Raises:
        BadInput: The name cannot be one, or a live admin key has it.
    """
    _demand_printable("NAME", name)
    _demand_printable("--workspace", workspace)
    new = NewApiKey(name=name, scopes=["admin"], expires_in_days=None)
    with database.writing() as session:
        home = workspace_called(session, workspace) if workspace else first_workspace(session)
        held = session.exec(select(ApiKey).where(ApiKey.workspace_id == home.pk, ApiKey.name == name))
        if any(key.is_valid and "admin" in key.scopes for key in held):
            raise BadInput(
                f"there is a live admin key called {name!r}: use it, or make another under another name "
                "and revoke this one"
            )
        row, text = fresh_row(home.pk, new, sorted(SCOPES["admin"]), pepper)
        session.add(row)
        record_host_event(session, home.pk, "key.created", "api_key", row.id, name=name)
    return text


def make_first_person(database: Database, name: str, workspace: str | None = None) -> str:
    """A person with the role owner, in the workspace of that name or the first; the password for their first log-in.

    Raises:
        BadInput: The name cannot be one, or somebody has it.
    """
    if not _PERSONS_NAME.fullmatch(name):
        raise BadInput(
            "a person's name is up to 100 of a-z, 0-9 and . _ @ + -, the first a letter or digit",
            field="NAME",
        )
    _demand_printable("--workspace", workspace)
    password = passwords.one_time_password()
    kept = passwords.hashed(password)
    with database.writing() as session:
        home = workspace_called(session, workspace) if workspace else first_workspace(session)
        if there := session.exec(select(User).where(User.name == name)).first():
            raise BadInput(
                f"there is a person called {name!r} already, with the role {there.role}: choose another name"
            )
        row = passwords.fresh_person(home.pk, NewUser(name=name, role=Role.OWNER), kept)
        session.add(row)
        record_host_event(session, home.pk, "user.created", "user", row.id, name=name, role=row.role)
    return password


def _demand_printable(field: str, text: str | None) -> None:
    if text is not None and not (1 <= len(text) <= 255 and text.isprintable()):
        raise BadInput("a name has 1 to 255 printable characters", field=field)
