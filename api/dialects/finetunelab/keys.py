"""The key pages of the training platform in seed 000: a person manages the keys that they made themselves.

Unlike there, a key without scopes holds the least of them, `production`, and not `all`; and its use is counted in
whole numbers, whoever is asked.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request

from api import tables
from api.access.audit import record_event
from api.access.auth import AnyCaller, DatabaseDep, DoorDep, PepperDep, needs
from api.access.caller import Caller
from api.access.key_making import demand_still_here, fresh_row, granted
from api.access.openings import permissions_at
from api.access.permissions import SCOPES
from api.dialects.finetunelab.bodies import KeyBody
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.routes import api_keys
from api.routes.api_keys import KeyId
from api.strict_json import BrokenJson, StrictRoute
from tuneyard.shapes import ApiKey, NewApiKey
from tuneyard.values import LARGEST

router = APIRouter(prefix="/api/user/api-keys", tags=["training platform"], route_class=StrictRoute)

scopes = APIRouter(tags=["training platform"], route_class=StrictRoute)
PLATFORM = "/api/(training|batch-testing|test-suites|user)"

KeyHolder = Annotated[Caller, needs("keys:own")]
LONGEST_NAME = 255
LEAST = ["production"]
VALID_SCOPES = ["all", "training", "production", "testing", "worker"]


WORDS = {
    "all": ("All Access", "Everything but administration"),
    "training": ("Training", "Training metrics, predictions, and job management"),
    "production": ("Production", "Models, to be fetched and served"),
    "testing": ("Testing", "Batch testing and evaluation"),
    "worker": ("Worker", "What runs the work: training, testing, and claiming jobs"),
}


@scopes.get("/api/user/api-key-scopes")
def list_scopes(request: Request, _: AnyCaller) -> dict[str, Any]:
    """What a key of each scope opens of the platform's paths, read from what the routes themselves demand."""
    needed = permissions_at(request.app)
    return {"scopes": {name: _registered(name, needed) for name in VALID_SCOPES}}


def _registered(scope: str, needed: dict[str, set[str]]) -> dict[str, Any]:
    label, description = WORDS[scope]
    opened = [path for path, permissions in needed.items() if permissions & SCOPES[scope]]
    endpoints = {re.sub(r"{.*?}", "*", path) for path in opened if re.match(PLATFORM, path)}
    return {"label": label, "description": description, "endpoints": sorted(endpoints)}


def _shown(row: tables.ApiKey | ApiKey) -> dict[str, Any]:
    fields = {"id", "name", "scopes", "last_used_at", "created_at", "expires_at"}
    also = {"key_prefix": row.key_prefix, "is_active": row.is_valid, "request_count": row.usage_count}
    return row.model_dump(include=fields) | also


@router.get("")
def list_keys(caller: KeyHolder, door: DoorDep) -> dict[str, Any]:
    """All of them, the newest first."""
    rows = api_keys.list_keys(caller, door, limit=LARGEST, offset=0, active_only=False).items
    return {"apiKeys": [_shown(row) for row in rows]}


@router.post("", status_code=201, **OWN_WORDS)
def create_key(
    caller: KeyHolder, database: DatabaseDep, pepper: PepperDep, body: KeyBody = None
) -> dict[str, Any]:
    """Make a key. `apiKey.key` is in this answer and in no other."""
    name, scopes = _wish(body)
    new = NewApiKey(name=name, scopes=scopes)
    row, text = fresh_row(caller.workspace_id, new, granted(caller, new), pepper)
    row.created_by, row.created_by_id = caller.maker, caller.id
    with database.writing() as session:
        demand_still_here(session, caller)
        if api_keys.live_key_named(session, caller, name):
            raise Problem(409, f"You have a key called {name} already")
        session.add(row)
        record_event(
            session, caller, "key.created", "api_key", row.id, name=name, permissions=row.permissions
        )
    return {"success": True, "apiKey": _shown(row) | {"key": text}}


def _wish(body: Any) -> tuple[str, list[str]]:
    """The name and the scopes that are asked for; 400 where they cannot be."""
    if isinstance(body, BrokenJson) or not isinstance(body, dict):
        raise Problem(400, "Invalid JSON body")
    name, scopes = body.get("name"), body.get("scopes")
    if scopes in (None, []):
        scopes = LEAST
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        raise Problem(400, "Missing required field: name")
    if not isinstance(scopes, list):
        raise Problem(400, "scopes must be a list", invalidScopes=[], validScopes=VALID_SCOPES)
    invalid = [scope for scope in scopes if not isinstance(scope, str) or scope not in SCOPES]
    if invalid:
        raise Problem(400, "Invalid scopes", invalidScopes=invalid, validScopes=VALID_SCOPES)
    return name, scopes


@router.delete("/{key_id}")
def delete_key(caller: KeyHolder, key_id: KeyId, database: DatabaseDep) -> dict[str, Any]:
    """Refuse the key from its next request on; its row stays."""
    api_keys.revoke(database, caller, key_id)
    return {"success": True}


@router.get("/{key_id}/usage")
def read_usage(caller: KeyHolder, key_id: KeyId, door: DoorDep) -> dict[str, Any]:
    """How often the key was let in, and when last. What was deleted is gone from here."""
    row = api_keys.get_key(caller, key_id, door)
    if not row.is_active:
        raise Problem(404, api_keys.MISSING)
    return {
        "id": row.id,
        "name": row.name,
        "request_count": row.usage_count,
        "last_used_at": row.last_used_at,
    }
