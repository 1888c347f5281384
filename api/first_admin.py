"""The first admin's key: whoever may run a command on the host may make one."""

from sqlmodel import Session, col, select

from api.access.pepper import Pepper
from api.database import Database
from api.routes.api_keys import make_key
from api.tables import ApiKey, Workspace
from tuneyard.errors import BadInput
from tuneyard.shapes import NewApiKey

WORKSPACE = "default"


def make_first_admin(database: Database, pepper: Pepper, name: str) -> str:
    """An admin key that does not expire, in the first workspace, which is made if it is not there.

    Raises:
        BadInput: The name cannot be one, or a live admin key has it.
    """
    if not 1 <= len(name) <= 255 or not name.isprintable():
        raise BadInput("a name has 1 to 255 printable characters", field="NAME")
    with database.writing() as session:
        workspace = _workspace(session)
        held = session.exec(select(ApiKey).where(ApiKey.workspace_id == workspace.pk, ApiKey.name == name))
        if any(key.is_active and "admin" in key.scopes for key in held):
            raise BadInput(
                f"there is a live admin key called {name!r}: use it, or make another under another name "
                "and revoke this one"
            )
        row, text = make_key(
            workspace.pk, NewApiKey(name=name, scopes=["admin"], expires_in_days=None), pepper
        )
        session.add(row)
    return text


def _workspace(session: Session) -> Workspace:
    """The oldest workspace, locked, so that two commands at once do not both find the name free."""
    found = session.exec(select(Workspace).order_by(col(Workspace.pk)).limit(1).with_for_update()).first()
    if found is None:
        found = Workspace(name=WORKSPACE)
        session.add(found)
        session.flush()
    return found
