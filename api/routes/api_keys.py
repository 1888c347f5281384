"""API keys: made, listed, changed, extended, replaced, revoked. Served at /api-keys and at /api/v1/api-keys.

Whoever holds `keys:own` but not `keys:read` or `keys:write` sees and manages the keys they made, and no others.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlmodel import Session, col, or_
from sqlmodel.sql.expression import SelectOfScalar
from starlette.convertors import StringConvertor, register_url_convertor

from api import tables
from api.access.audit import record_event
from api.access.auth import AnyCaller, DatabaseDep, DoorDep, PepperDep, needs
from api.access.caller import Caller
from api.access.key_making import demand_still_here, fresh_row, granted, names_of, rotated
from api.access.owned import Limit, Offset, owned, page
from api.access.permissions import PERMISSIONS, SCOPES, SETS, expanded
from api.database import Database
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.shapes import (
    ApiKey,
    CreatedApiKey,
    KeyChanges,
    KeyExtension,
    KeyRotation,
    NewApiKey,
    Page,
    PermissionSet,
    PermissionSets,
    RevokedApiKey,
    RotatedApiKey,
)

router = APIRouter(prefix="/api-keys", tags=["keys"], route_class=StrictRoute)

KeyId = Annotated[str, Path(pattern="^[0-9A-Za-z-]{12,36}$", description="The key's public id.")]
KeyHolder = Annotated[Caller, needs("keys:own")]
MISSING = "API key not found"


class _KeyIdPart(StringConvertor):
    """Whatever it is, it is not `permission-sets`, which is served by itself and with GET alone."""

    regex = "(?!permission-sets$)[^/]+"


register_url_convertor("key_id", _KeyIdPart())


def with_and_without_slash(method: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Serve the collection at both spellings: a redirect would lose the header with the key."""

    def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        method("/", include_in_schema=False, **options)(endpoint)
        method("", **options)(endpoint)
        return endpoint

    return register


def own_keys(caller: Caller, permission: str) -> SelectOfScalar[tables.ApiKey]:
    """The workspace's keys, or those the caller made where they lack the permission over all."""
    query = owned(tables.ApiKey, caller.workspace_id)
    return (
        query if permission in caller.permissions else query.where(tables.ApiKey.created_by_id == caller.id)
    )


def live_key_named(session: Session, caller: Caller, name: str) -> bool:
    """Whether a key of that name, which the caller sees, is not revoked."""
    query = own_keys(caller, "keys:read").where(tables.ApiKey.name == name)
    return session.exec(query.where(col(tables.ApiKey.revoked_at).is_(None))).first() is not None


def _locked(session: Session, caller: Caller, key_id: str) -> tables.ApiKey:
    """The key, and nobody else changes it until this transaction ends."""
    query = own_keys(caller, "keys:write").where(tables.ApiKey.id == key_id).with_for_update()
    row = session.exec(query).first()
    if row is None:
        raise Problem(404, MISSING)
    return row


@with_and_without_slash(router.post, status_code=201, responses={400: {}})
def create_key(caller: KeyHolder, new: NewApiKey, database: DatabaseDep, pepper: PepperDep) -> CreatedApiKey:
    """Make a key. `key` is in this answer and in no other."""
    permissions = granted(caller, new)
    row, text = fresh_row(caller.workspace_id, new, permissions, pepper)
    row.created_by, row.created_by_id = caller.maker, caller.id
    with database.writing() as session:
        demand_still_here(session, caller)
        session.add(row)
        record_event(
            session, caller, "key.created", "api_key", row.id, name=row.name, permissions=permissions
        )
    return CreatedApiKey(**ApiKey.model_validate(row).model_dump(), key=text)


@with_and_without_slash(router.get)
def list_keys(
    caller: KeyHolder,
    door: DoorDep,
    limit: Limit = 100,
    offset: Offset = 0,
    active_only: Annotated[
        bool, Query(description="Leave out those that are revoked or have expired.")
    ] = True,
) -> Page[ApiKey]:
    """The newest first."""
    door.usage.flush()
    query = own_keys(caller, "keys:read")
    if active_only:
        expiry = col(tables.ApiKey.expires_at)
        query = query.where(
            col(tables.ApiKey.revoked_at).is_(None), or_(expiry.is_(None), expiry > tables.now())
        )
    with door.database.reading() as session:
        return page(session, query, [col(tables.ApiKey.pk).desc()], ApiKey.model_validate, limit, offset)


@router.get("/permission-sets")
def permission_sets(_: AnyCaller) -> PermissionSets:
    """Every name that the making of a key understands."""
    return PermissionSets(
        permission_sets={
            name: PermissionSet(members=members, permissions=sorted(expanded(members)))
            for name, members in SETS.items()
        },
        scopes={name: sorted(permissions) for name, permissions in SCOPES.items()},
        permissions=PERMISSIONS,
    )


@router.get("/{key_id:key_id}")
def get_key(caller: KeyHolder, key_id: KeyId, door: DoorDep) -> ApiKey:
    """What the key may do, its use and its end; never the key itself."""
    door.usage.flush()
    with door.database.reading() as session:
        row = session.exec(own_keys(caller, "keys:read").where(tables.ApiKey.id == key_id)).first()
    if row is None:
        raise Problem(404, MISSING)
    return ApiKey.model_validate(row)


@router.put("/{key_id:key_id}", responses={400: {}})
def update_key(caller: KeyHolder, key_id: KeyId, changes: KeyChanges, database: DatabaseDep) -> ApiKey:
    """What changes holds from the key's next request on."""
    with database.writing() as session:
        row = _locked(session, caller, key_id)
        said = changes.model_dump(exclude_unset=True)
        if names_of(changes):
            row.permissions, row.scopes = granted(caller, changes), list(dict.fromkeys(changes.scopes or []))
        row.name = changes.name or row.name
        row.description = said.get("description", row.description)
        row.rate_limit = said.get("rate_limit", row.rate_limit)
        row.updated_at = tables.now()
        record_event(session, caller, "key.updated", "api_key", row.id, fields=sorted(said))
    return ApiKey.model_validate(row)


@router.post("/{key_id:key_id}/revoke")
def revoke_key(caller: KeyHolder, key_id: KeyId, database: DatabaseDep) -> RevokedApiKey:
    """From the next request on the key is refused; revoking it again changes nothing."""
    return RevokedApiKey.model_validate(revoke(database, caller, key_id))


def revoke(database: Database, caller: Caller, key_id: str) -> tables.ApiKey:
    """The key, revoked; 404 where it is none that the caller manages."""
    with database.writing() as session:
        row = _locked(session, caller, key_id)
        if row.is_active:
            row.revoked_at = row.updated_at = tables.now()
            record_event(session, caller, "key.revoked", "api_key", row.id, name=row.name)
    return row


@router.post("/{key_id:key_id}/extend")
def extend_key(caller: KeyHolder, key_id: KeyId, extension: KeyExtension, database: DatabaseDep) -> ApiKey:
    """Let the key hold for so many days from now, also one that has expired."""
    with database.writing() as session:
        row = _locked(session, caller, key_id)
        if not row.is_active:
            raise Problem(409, "A revoked key cannot be extended: make another")
        if row.successor_id is not None:
            raise Problem(409, f"This key was replaced by {row.successor_id}: use that one")
        _not_wider(caller, row)
        row.expires_at = tables.now() + timedelta(days=extension.expires_in_days)
        row.updated_at = tables.now()
        record_event(session, caller, "key.extended", "api_key", row.id, days=extension.expires_in_days)
    return ApiKey.model_validate(row)


@router.post("/{key_id:key_id}/rotate", status_code=201)
def rotate_key(
    caller: KeyHolder,
    key_id: KeyId,
    database: DatabaseDep,
    pepper: PepperDep,
    rotation: KeyRotation | None = None,
) -> RotatedApiKey:
    """Make the key's successor. Both open the door for the time of grace, then the new one alone."""
    with database.writing() as session:
        old = _locked(session, caller, key_id)
        _not_wider(caller, old)
        before = owned(tables.ApiKey, caller.workspace_id).where(tables.ApiKey.successor_id == old.id)
        new, text = rotated(old, session.exec(before).first(), rotation or KeyRotation(), pepper)
        demand_still_here(session, caller)
        session.add(new)
        record_event(session, caller, "key.rotated", "api_key", old.id, successor=new.id)
    shown = ApiKey.model_validate(new).model_dump()
    assert old.expires_at is not None
    return RotatedApiKey(**shown, key=text, replaces=old.id, old_key_expires_at=old.expires_at)


def _not_wider(caller: Caller, row: tables.ApiKey) -> None:
    """Who extends or replaces a key hands out what it may do: so they must hold that themselves."""
    lacking = sorted(set(row.permissions) - caller.permissions)
    if lacking:
        raise Problem(403, f"This key may do more than you: {', '.join(lacking)}")
