"""Log-ins: opened with a password, shown, ended; the password changed. And who the caller is."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlmodel import Session, col, select

from api import tables
from api.access import passwords
from api.access.audit import record_event
from api.access.auth import DatabaseDep, DoorDep, Newcomer, anybody, trace_of
from api.access.caller import Caller, demand_settled
from api.access.door import Door
from api.access.log_ins import end_log_in, end_log_ins, fresh_log_in, live_log_ins
from api.access.origin import COOKIE, demand_same_origin
from api.access.owned import owned
from api.access.permissions import ROLES
from api.problems import Problem
from api.routes.people import shown
from api.strict_json import StrictRoute
from tuneyard.shapes import Login, LoginSession, NewPassword, OpenedSession, WhoAmI

log = logging.getLogger("tuneyard.auth")
router = APIRouter(prefix="/api/v1/auth", tags=["people"], route_class=StrictRoute)

REFUSED_AFTER_SECONDS = 0.25  # a refusal for a name that exists also writes its event: let no clock tell
# A flood of log-ins waits for these, with 64 MiB each, not in the threads that answer everybody else.
_log_ins_at_once = ThreadPoolExecutor(4, thread_name_prefix="log-in")
REFUSED: dict[int | str, dict[str, Any]] = {401: {}, 403: {}, 429: {}}
SessionId = Annotated[str, Path(pattern="^[0-9A-Z]{26}$")]


def _person(caller: Newcomer) -> Caller:
    if caller.kind != "person":
        raise Problem(
            403, "This is for a person's session, which a key has not: POST /api/v1/auth/login first"
        )
    return caller


Person = Annotated[Caller, Depends(_person)]


def _settled_person(caller: Person) -> Caller:
    demand_settled(caller)
    return caller


SettledPerson = Annotated[Caller, Depends(_settled_person)]


@router.post("/login", dependencies=[anybody, Depends(demand_same_origin)], responses=REFUSED)
async def log_in(request: Request, login: Login, door: DoorDep, response: Response) -> OpenedSession:
    """Open a session. Browsers get its token as a cookie; others send it as `Authorization: Bearer`."""
    loop = asyncio.get_running_loop()
    refused_at = loop.time() + REFUSED_AFTER_SECONDS
    lifetime = timedelta(days=request.app.state.settings.tuneyard_session_days)
    trace, agent = trace_of(request), request.headers.get("User-Agent")
    opening = partial(copy_context().run, _let_in, door, login, lifetime, trace, agent)
    said = {"method": request.method, "path": request.url.path, "address": trace["address"]}
    try:
        opened = await loop.run_in_executor(_log_ins_at_once, opening)
    except Problem:
        request.state.refusal = "password"
        log.warning("auth.login_refused", extra=said)
        await asyncio.sleep(refused_at - loop.time())
        raise
    log.info("auth.login", extra=said | {"mode": "session"})
    response.set_cookie(COOKIE, opened.token, max_age=int(lifetime.total_seconds()), **_cookie_rules(request))
    return opened


def _cookie_rules(request: Request) -> dict[str, Any]:
    return {"path": "/", "httponly": True, "samesite": "lax", "secure": request.url.scheme == "https"}


def _let_in(
    door: Door, login: Login, lifetime: timedelta, trace: dict[str, Any], agent: str | None
) -> OpenedSession:
    with door.limits.login(login.name, trace["address"]):
        opened = _opened(door, login, lifetime, trace, agent)
        if opened is None:
            raise Problem(401, "Wrong name or password")
    return opened


def _opened(
    door: Door, login: Login, lifetime: timedelta, trace: dict[str, Any], agent: str | None
) -> OpenedSession | None:
    """The session that the password opens; None, and an event where the name is somebody's, if it opens none."""
    with door.database.reading() as session:
        known = session.exec(select(tables.User).where(tables.User.name == login.name)).first()
    right = passwords.is_right(login.password, known.password_hash if known else None)
    if known is None:
        return None
    renewed = (
        passwords.hashed(login.password) if right and passwords.is_outdated(known.password_hash) else None
    )
    with door.database.writing() as session:
        person, workspace = _locked_person(session, known.pk)
        caller = _as_caller(person, workspace, trace)
        if person.password_hash != known.password_hash:  # changed, or only hashed anew, since it was read
            right = passwords.is_right(login.password, person.password_hash)
        if refusal := _refusal(person, right=right):
            record_event(session, caller, "session.refused", "user", person.id, reason=refusal)
            return None
        person.password_hash = renewed or person.password_hash
        row, token = fresh_log_in(person, door.pepper, lifetime, trace["address"], agent)
        _use_up(person)
        session.add(row)
        record_event(session, caller, "session.opened", "session", row.id)
    return OpenedSession(token=token, expires_at=row.expires_at, user=shown(person, workspace.name))


def _locked_person(session: Session, pk: int) -> tuple[tables.User, tables.Workspace]:
    """The person, whom nobody disables and whose password nobody changes until this transaction ends."""
    person = session.exec(select(tables.User).where(tables.User.pk == pk).with_for_update()).one()
    return person, session.get_one(tables.Workspace, person.workspace_id)


def _as_caller(person: tables.User, workspace: tables.Workspace, trace: dict[str, Any]) -> Caller:
    return Caller(
        kind="person",
        id=person.id,
        name=person.name,
        workspace_id=workspace.pk,
        workspace_name=workspace.name,
        permissions=ROLES[person.role],
        role=person.role,
        **trace,
    )


def _refusal(person: tables.User, *, right: bool) -> str | None:
    """Why a log-in is refused, for the audit trail; who asks is not told."""
    if not right:
        return "wrong password"
    if not person.is_active:
        return "disabled"
    if person.password_expires_at is not None and person.password_expires_at <= tables.now():
        return "the one-time password has been used or is too old"
    return None


def _use_up(person: tables.User) -> None:
    person.last_login_at = tables.now()
    if person.must_change_password:
        person.password_expires_at = person.last_login_at


@router.post("/logout", status_code=204)
def log_out(caller: Person, request: Request, database: DatabaseDep, response: Response) -> None:
    """End the session that this request came with."""
    with database.writing() as session:
        _end_own(session, caller, caller.session_id)
    response.delete_cookie(COOKIE, **_cookie_rules(request))


@router.get("/me")
def who_am_i(caller: Newcomer) -> WhoAmI:
    """Who the server takes the caller for, and what they may do."""
    is_person = caller.kind == "person"
    return WhoAmI(
        mode=caller.mode,
        user_id=caller.id if is_person else None,
        key_id=None if is_person else caller.id,
        name=caller.name,
        workspace=caller.workspace_name,
        role=caller.role,
        scopes=list(caller.scopes),
        permissions=sorted(caller.permissions),
        must_change_password=caller.must_change_password,
        expires_at=caller.expires_at,
    )


@router.post("/password", status_code=204)
def change_password(caller: Person, change: NewPassword, door: DoorDep) -> None:
    """Choose another password. The session that this request came with goes on; all others of the person end."""
    with door.limits.login(caller.name, caller.address):  # whoever found a session must not guess on here
        with door.database.reading() as session:
            kept = _self(session, caller).password_hash
        if not passwords.is_right(change.current, kept):
            raise Problem(422, "that is not the password you have", field="current")
    passwords.demand_choosable(change.new, caller.name, change.current)
    new = passwords.hashed(change.new)
    with door.database.writing() as session:
        person = _self(session, caller, lock=True)
        if person.password_hash != kept:
            raise Problem(409, "Your password was changed meanwhile")
        passwords.put_chosen(person, new)
        record_event(session, caller, "user.password_changed", "user", person.id, name=person.name)
        end_log_ins(session, caller, person, keep=caller.session_id)


@router.get("/sessions")
def list_sessions(caller: SettledPerson, door: DoorDep) -> list[LoginSession]:
    """The caller's own live ones, the newest first."""
    door.usage.flush()
    with door.database.reading() as session:
        query = live_log_ins(_self(session, caller)).order_by(col(tables.LoginSession.pk).desc())
        rows = session.exec(query).all()
    return [
        LoginSession.model_validate(row.model_dump() | {"is_current": row.id == caller.session_id})
        for row in rows
    ]


@router.delete("/sessions/{session_id}", status_code=204)
def end_session(caller: SettledPerson, session_id: SessionId, database: DatabaseDep) -> None:
    """End one of the caller's own: it is refused from its next request on."""
    with database.writing() as session:
        _end_own(session, caller, session_id)


def _self(session: Session, caller: Caller, *, lock: bool = False) -> tables.User:
    query = owned(tables.User, caller.workspace_id).where(tables.User.id == caller.id)
    return session.exec(query.with_for_update() if lock else query).one()


def _end_own(session: Session, caller: Caller, session_id: str | None) -> None:
    query = live_log_ins(_self(session, caller)).where(tables.LoginSession.id == session_id)
    row = session.exec(query.with_for_update()).first()
    if row is None:
        raise Problem(404, "Session not found")
    end_log_in(session, caller, row)
