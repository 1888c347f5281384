"""The key service in seed 003: log-in with an email, and every answer in its envelope.

`/api-keys` is the canonical router. An answer's fields are there as they are, and again in `data` beside `status`,
`meta` and `error`, where that system's clients look. Its JWT is our session token: it can be revoked, and is not
refreshed. Nobody signs up here: an admin makes people.
"""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from api.access.auth import DatabaseDep, DoorDep, Newcomer, anybody, needs
from api.access.caller import Caller
from api.access.origin import demand_same_origin
from api.access.owned import Limit, Offset
from api.given import Open, object_in, shape_of
from api.problems import Problem
from api.routes import api_keys, data_sets, sessions
from api.strict_json import StrictRoute
from api.tables import now
from tuneyard.shapes import Dataset, Login, PermissionSets
from tuneyard.values import ShownAs, Text

FORM = "application/x-www-form-urlencoded"
NAMES = ("email", "username")
DataReader = Annotated[Caller, needs("datasets:read")]


def enveloped(answer: Any) -> Open:
    """An answer of ours in that system's words, beside our own."""
    shown: Open = answer.model_dump() if isinstance(answer, BaseModel) else answer
    meta: Open = {}
    data: Any = shown
    if "items" in shown:
        data, meta = shown["items"], {name: shown[name] for name in ("total", "limit", "offset")}
    if isinstance(answer, PermissionSets):
        data = {name: one.members for name, one in answer.permission_sets.items()}
    return shown | {"status": "success", "data": data, "meta": meta, "error": None}


def _in_envelope(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(endpoint)
    def answer(*args: Any, **given: Any) -> Open:
        return enveloped(endpoint(*args, **given))

    return answer


def _same_routes(canonical: APIRouter) -> APIRouter:
    """Another router's routes, their answers in the envelope."""
    made = APIRouter(tags=["key service"])
    for route in canonical.routes:
        assert isinstance(route, APIRoute)
        made.add_api_route(
            route.path,
            _in_envelope(route.endpoint),
            methods=list(route.methods or ()),
            status_code=route.status_code,
            response_model=Open,
            responses=route.responses,
            include_in_schema=route.include_in_schema,
            route_class_override=StrictRoute,
        )
    return made


class SignIn(BaseModel):
    """`email` or `username`: the name that the person has here."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"anyOf": [{"required": [name]} for name in NAMES]}
    )

    email: Text = Field("", min_length=1, max_length=100)
    username: Text = Field("", min_length=1, max_length=100)
    password: Text = Field(min_length=1, max_length=1000)


_FORM = {"schema": SignIn.model_json_schema()}
SIGN_IN: Open = {
    "dependencies": [anybody, Depends(demand_same_origin)],
    "responses": sessions.REFUSED | {400: {}},
    "openapi_extra": {"requestBody": {"required": True, "content": {FORM: _FORM}}},
}
router = APIRouter(tags=["key service"], route_class=StrictRoute)
router.routes.extend(_same_routes(api_keys.router).routes)


@router.post("/auth/login", **SIGN_IN)
@router.post("/auth/signin", **SIGN_IN)
@router.post("/signin", **SIGN_IN)
async def sign_in(
    request: Request, door: DoorDep, body: Annotated[Any, Body(), ShownAs(SignIn)] = None
) -> Open:
    """Open a session, asked in JSON or in OAuth2's form. No cookie is set: `access_token` is what to send."""
    given = dict(parse_qsl(body.decode("utf-8", "replace"))) if isinstance(body, bytes) else object_in(body)
    name = next((given[name] for name in NAMES if given.get(name)), None)
    if not isinstance(name, str) or not given.get("password"):
        raise Problem(400, "Missing required field: email (or username), password")
    login = shape_of(Login, {"name": name.lower(), "password": given["password"]})
    opened = await sessions.log_in(request, login, door, Response())
    user = opened.user.model_dump()
    until = {"expires_at": opened.expires_at, "expires_in": int((opened.expires_at - now()).total_seconds())}
    token = {"access_token": opened.token, "token_type": "bearer", "refresh_token": None}
    return enveloped(token | until | {"user": user | {"email": user["name"]}})


@router.post("/auth/logout")
@router.post("/auth/signout")
def sign_out(caller: sessions.Person, request: Request, database: DatabaseDep) -> Open:
    """End the session that this request came with: its token is refused from the next one on."""
    sessions.log_out(caller, request, database, Response())
    return enveloped({"message": "Signed out successfully"})


@router.get("/auth/me")
def who_am_i(caller: Newcomer) -> Open:
    """Who the server takes the caller for, and what they may do."""
    return enveloped(sessions.who_am_i(caller).model_dump() | {"id": caller.id, "email": caller.name})


@router.get("/training/datasets")
def list_datasets(caller: DataReader, database: DatabaseDep, limit: Limit = 100, offset: Offset = 0) -> Open:
    """The newest first."""
    found = data_sets.list_datasets(caller, database, limit, offset)
    shown = found.model_dump() | {"items": [_training_data(one) for one in found.items]}
    return enveloped(shown)


@router.get("/training/datasets/{dataset_id}")
def get_dataset(caller: DataReader, dataset_id: str, database: DatabaseDep) -> Open:
    """A data set as that service words it."""
    return enveloped(_training_data(data_sets.get_dataset(caller, dataset_id, database)))


def _training_data(one: Dataset) -> Open:
    return one.model_dump() | {"total_samples": one.rows, "samples": one.rows, "status": "ready"}
