"""The audit trail: an event beside every act, in the transaction of the act."""

from typing import Any

from sqlmodel import Session

from api.access.caller import Caller, JobCaller
from api.tables import AuditEvent


def record_event(
    session: Session, who: Caller | JobCaller, action: str, object_kind: str, object_id: str, **details: Any
) -> None:
    """Add an event to the caller's workspace.

    Args:
        action: `kind.done`, as in `key.created`.
        details: JSON values that explain the act; never a key, a token or a password.
    """
    session.add(
        AuditEvent(
            workspace_id=who.workspace_id,
            actor_kind=who.kind,
            actor_id=who.id,
            actor_name=who.name,
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            details=details,
            request_id=who.request_id,
            address=who.address,
        )
    )


def record_host_event(
    session: Session, workspace_id: int, action: str, object_kind: str, object_id: str, **details: Any
) -> None:
    """Add an event for an act of whoever runs commands on the API's host."""
    session.add(
        AuditEvent(
            workspace_id=workspace_id,
            actor_kind="host",
            actor_id="host",
            actor_name="a command on the host",
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            details=details,
        )
    )
