"""People: added, listed, given another role, disabled, let in again, given another one-time password.

Nobody makes or changes a person who may do more than they: so owners are the owners' alone. All of it is done one at
a time in a workspace, so that its last two owners cannot remove each other at once.
"""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlmodel import Session, col, or_, select

from api import tables
from api.access import passwords
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.log_ins import end_log_ins
from api.access.owned import Limit, Offset, owned, page, record
from api.access.permissions import ROLES
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.shapes import CreatedUser, Disabling, NewUser, Page, Role, User, UserChanges

router = APIRouter(prefix="/api/v1/users", tags=["people"], route_class=StrictRoute)

UserId = Annotated[
    str, Path(pattern=r"^[0-9A-Za-z][0-9A-Za-z._@+-]{0,99}$", description="The person's id or name.")
]
Reader = Annotated[Caller, needs("users:read")]
Writer = Annotated[Caller, needs("users:write")]


@router.get("")
def list_users(caller: Reader, database: DatabaseDep, limit: Limit = 50, offset: Offset = 0) -> Page[User]:
    """By name; disabled people too."""
    query, order = owned(tables.User, caller.workspace_id), [col(tables.User.name)]
    with database.reading() as session:
        return page(session, query, order, lambda row: shown(row, caller.workspace_name), limit, offset)


@router.post("", status_code=201)
def create_user(caller: Writer, new: NewUser, database: DatabaseDep) -> CreatedUser:
    """Add a person. `one_time_password` is in this answer and in no other: pass it on; it opens one log-in within
    7 days, in which they choose their own."""
    _demand_reach(caller, new.role)
    password = passwords.one_time_password()
    row = passwords.fresh_person(caller.workspace_id, new, passwords.hashed(password), made_by=caller.maker)
    taken = f"There is a person called {new.name} already"
    same = owned(tables.User, caller.workspace_id).where(tables.User.name == new.name)
    with database.writing() as session:
        row, is_new = record(session, row, same, taken)
        if not is_new:
            raise Problem(409, taken)
        record_event(session, caller, "user.created", "user", row.id, name=row.name, role=row.role)
    return _created(row, caller, password)


@router.get("/{user_id}")
def get_user(caller: Reader, user_id: UserId, database: DatabaseDep) -> User:
    """A person, by id or name."""
    with database.reading() as session:
        row = _found(session, caller, user_id)
    return shown(row, caller.workspace_name)


@router.patch("/{user_id}")
def update_user(caller: Writer, user_id: UserId, changes: UserChanges, database: DatabaseDep) -> User:
    """Another role holds from the person's next request on; the keys they made stay as they are."""
    _demand_reach(caller, changes.role)
    with database.writing() as session:
        row = _locked(session, caller, user_id)
        before = row.role
        if changes.role != before:
            _demand_another_owner(session, row)
            row.role = changes.role.value
            record_event(session, caller, "user.updated", "user", row.id, before=before, role=row.role)
    return shown(row, caller.workspace_name)


@router.post("/{user_id}/disable")
def disable_user(
    caller: Writer, user_id: UserId, database: DatabaseDep, disabling: Disabling | None = None
) -> User:
    """Shut a person out: their log-ins end, and no password opens another. What becomes of their live keys must be
    said where there are any."""
    asked = disabling.keys if disabling else None
    with database.writing() as session:
        row = _locked(session, caller, user_id)
        live = _live_keys(session, row)
        if row.is_active:
            _disable(session, caller, row, live, asked)
        if asked == "revoke":
            _revoke(session, caller, live)
    return shown(row, caller.workspace_name)


@router.post("/{user_id}/enable")
def enable_user(caller: Writer, user_id: UserId, database: DatabaseDep) -> User:
    """Let a disabled person in again, with the password they had. Keys that were revoked stay so."""
    with database.writing() as session:
        row = _locked(session, caller, user_id)
        if not row.is_active:
            row.disabled_at = None
            record_event(session, caller, "user.enabled", "user", row.id, name=row.name)
    return shown(row, caller.workspace_name)


@router.post("/{user_id}/reset-password")
def reset_password(caller: Writer, user_id: UserId, database: DatabaseDep) -> CreatedUser:
    """Put a one-time password in the place of the person's own, and end their log-ins."""
    password = passwords.one_time_password()
    kept = passwords.hashed(password)  # before anything is locked: it takes its time
    with database.writing() as session:
        row = _locked(session, caller, user_id)
        passwords.put_one_time(row, kept)
        record_event(session, caller, "user.password_reset", "user", row.id, name=row.name)
        end_log_ins(session, caller, row)
    return _created(row, caller, password)


def shown(row: tables.User, workspace_name: str) -> User:
    return User.model_validate(row.model_dump() | {"is_active": row.is_active, "workspace": workspace_name})


def _created(row: tables.User, caller: Caller, password: str) -> CreatedUser:
    return CreatedUser(**shown(row, caller.workspace_name).model_dump(), one_time_password=password)


def _found(session: Session, caller: Caller, user_id: str, *, lock: bool = False) -> tables.User:
    query = owned(tables.User, caller.workspace_id)
    query = query.where(or_(tables.User.id == user_id, tables.User.name == user_id))
    row = session.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise Problem(404, "Person not found")
    return row


def _locked(session: Session, caller: Caller, user_id: str) -> tables.User:
    """A person whom the caller may change, and nobody else changes people here until this transaction ends."""
    workspace = select(tables.Workspace).where(tables.Workspace.pk == caller.workspace_id)
    session.exec(workspace.with_for_update(key_share=True)).one()  # others' rows can refer to it meanwhile
    row = _found(session, caller, user_id, lock=True)
    _demand_reach(caller, Role(row.role))
    return row


def _demand_reach(caller: Caller, role: Role) -> None:
    """403 for a role that may do more than the caller."""
    lacking = sorted(ROLES[role] - caller.permissions)
    if lacking:
        raise Problem(
            403, f"This is about a person with the role {role}, who may {', '.join(lacking)}: you may not"
        )


def _demand_another_owner(session: Session, row: tables.User) -> None:
    """409 where the person is the last who may make owners."""
    if row.role != Role.OWNER or not row.is_active:
        return
    others = owned(tables.User, row.workspace_id).where(
        tables.User.role == Role.OWNER.value, col(tables.User.disabled_at).is_(None), tables.User.pk != row.pk
    )
    if session.exec(others).first() is None:
        raise Problem(409, f"{row.name} is the workspace's last owner: make another one first")


def _live_keys(session: Session, row: tables.User) -> list[tables.ApiKey]:
    """The keys that the person made and that still open the door, locked."""
    made = owned(tables.ApiKey, row.workspace_id).where(tables.ApiKey.created_by_id == row.id)
    keys = session.exec(made.order_by(col(tables.ApiKey.pk)).with_for_update()).all()
    return [key for key in keys if key.is_valid]


def _disable(
    session: Session, caller: Caller, row: tables.User, live: list[tables.ApiKey], asked: str | None
) -> None:
    _demand_another_owner(session, row)
    if live and asked is None:
        ids = ", ".join(key.id for key in live)
        raise Problem(
            409, f"{row.name} has live keys ({ids}): say what becomes of them, keys: keep or revoke"
        )
    row.disabled_at = tables.now()
    details = {"keys": asked} if live else {}
    record_event(session, caller, "user.disabled", "user", row.id, name=row.name, **details)
    end_log_ins(session, caller, row)


def _revoke(session: Session, caller: Caller, live: list[tables.ApiKey]) -> None:
    for key in live:
        key.revoked_at = key.updated_at = tables.now()
        record_event(session, caller, "key.revoked", "api_key", key.id, name=key.name)
