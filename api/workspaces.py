"""The first workspace: what is made on the host, and keys that the host declares, belong to it."""

from sqlmodel import Session, col, select

from api.tables import Workspace

DEFAULT = "default"


def first_workspace(session: Session) -> Workspace:
    """The oldest workspace, made if there is none, and locked: two at once do not both make or fill it."""
    found = session.exec(select(Workspace).order_by(col(Workspace.pk)).limit(1).with_for_update()).first()
    return found or _made(session, DEFAULT)


def workspace_called(session: Session, name: str) -> Workspace:
    """The workspace of that name, made if there is none, and locked."""
    found = session.exec(select(Workspace).where(Workspace.name == name).with_for_update()).first()
    return found or _made(session, name)


def _made(session: Session, name: str) -> Workspace:
    workspace = Workspace(name=name)
    session.add(workspace)
    session.flush()
    return workspace
