"""API keys: made, listed, revoked; with an admin's key alone."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from sqlmodel import col

from api import tables
from api.access.auth import Caller, DatabaseDep, PepperDep, needs
from api.access.owned import Limit, Offset, find, owned, page
from api.access.pepper import Pepper
from api.access.permissions import SCOPES, permissions_of
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard import keys
from tuneyard.shapes import ApiKey, CreatedApiKey, NewApiKey, Page

router = APIRouter(prefix="/api-keys", tags=["keys"], route_class=StrictRoute)


@router.post("", status_code=201)
def create_key(
    caller: Annotated[Caller, needs("keys:write")], new: NewApiKey, database: DatabaseDep, pepper: PepperDep
) -> CreatedApiKey:
    """Make a key. `key` is in this answer and in no other."""
    unknown = sorted(set(new.scopes) - SCOPES.keys())
    if unknown:
        raise Problem(
            422, f"unknown scope {', '.join(unknown)}; there are {', '.join(SCOPES)}", field="scopes"
        )
    row, text = make_key(caller.workspace_id, new, pepper)
    with database.writing() as session:
        session.add(row)
    return CreatedApiKey(**ApiKey.model_validate(row).model_dump(), key=text)


def make_key(workspace_id: int, new: NewApiKey, pepper: Pepper) -> tuple[tables.ApiKey, str]:
    """A key's row, and the key itself, which the row does not hold."""
    key = keys.mint()
    scopes = list(dict.fromkeys(new.scopes))
    lifetime = timedelta(days=new.expires_in_days) if new.expires_in_days else None
    row = tables.ApiKey(
        workspace_id=workspace_id,
        id=key.public_id,
        digest=pepper.digest(key.text),
        name=new.name,
        scopes=scopes,
        permissions=permissions_of(scopes),
        expires_at=tables.now() + lifetime if lifetime else None,
    )
    return row, key.text


@router.get("")
def list_keys(
    caller: Annotated[Caller, needs("keys:read")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[ApiKey]:
    """The newest first, also those that are revoked or have expired."""
    with database.reading() as session:
        query = owned(tables.ApiKey, caller.workspace_id)
        return page(session, query, [col(tables.ApiKey.pk).desc()], ApiKey.model_validate, limit, offset)


@router.post("/{key_id}/revoke")
def revoke_key(caller: Annotated[Caller, needs("keys:write")], key_id: str, database: DatabaseDep) -> ApiKey:
    """From the next request on the key is refused; revoking it again changes nothing."""
    with database.writing() as session:
        row = find(session, tables.ApiKey, caller.workspace_id, key_id, "API key not found")
        row.revoked_at = row.revoked_at or tables.now()
    return ApiKey.model_validate(row)
