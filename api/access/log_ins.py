"""The rows of log-ins: made, found while they live, and ended."""

from datetime import timedelta

from sqlmodel import Session, col
from sqlmodel.sql.expression import SelectOfScalar

from api.access.audit import record_event
from api.access.caller import Caller
from api.access.owned import owned
from api.access.pepper import Pepper
from api.tables import LoginSession, User, now
from tuneyard.keys import mint_session_token

_LONGEST_AGENT = 255


def fresh_log_in(
    user: User, pepper: Pepper, lifetime: timedelta, address: str | None = None, agent: str | None = None
) -> tuple[LoginSession, str]:
    """A log-in's row, and its token, which the row does not hold."""
    token = mint_session_token()
    row = LoginSession(
        workspace_id=user.workspace_id,
        user_pk=user.pk,
        digest=pepper.digest(token),
        address=address,
        agent=agent and agent[:_LONGEST_AGENT],
        expires_at=now() + lifetime,
    )
    return row, token


def live_log_ins(user: User) -> SelectOfScalar[LoginSession]:
    """A select of the person's log-ins that still open the door."""
    return owned(LoginSession, user.workspace_id).where(
        LoginSession.user_pk == user.pk,
        col(LoginSession.ended_at).is_(None),
        col(LoginSession.expires_at) > now(),
    )


def end_log_in(session: Session, caller: Caller, row: LoginSession) -> None:
    row.ended_at = now()
    record_event(session, caller, "session.ended", "session", row.id)


def end_log_ins(session: Session, caller: Caller, user: User, *, keep: str | None = None) -> None:
    """End all of a locked person's log-ins but the one of that id: each is refused from its next request on."""
    for row in session.exec(live_log_ins(user)).all():
        if row.id != keep:
            end_log_in(session, caller, row)
