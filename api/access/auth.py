"""What a route's signature says about who may call it.

    caller: Annotated[Caller, needs("jobs:read")]        a key or a person that holds the permission
    caller: AnyCaller                                    any key or person (Newcomer: also one without a password)
    holder: Annotated[JobCaller, Depends(token_holder)]  a run, by its job token
    who: Annotated[Caller | JobCaller, key_or_token("artifacts:write")]
    dependencies=[anybody]                               who it is does not matter

`every_route_declares` refuses an app with a route that says none of these. The order is: 401, then 429, then 403,
and all before any row but the caller's own is read. A key that is present decides alone, then a Bearer token, then
the cookie.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import Response

from api.access.caller import Caller, JobCaller, demand, demand_settled
from api.access.door import Door
from api.access.origin import COOKIE, demand_same_origin
from api.access.pepper import Pepper
from api.access.permissions import PERMISSIONS
from api.database import Database
from api.kept_place import Place
from api.launches import Launches
from api.nearest import Endpoint, in_words
from api.problems import Problem, answer_to, problem_answer
from api.settings import Settings
from api.tables import now
from tuneyard import keys

log = logging.getLogger("tuneyard.auth")
KEY_HEADERS = ("X-API-Key", "X-Workspace-API-Key")
NOTICE = timedelta(days=7)  # how long before its end a key is told of it

# For /openapi.json alone: as FastAPI's own dependencies they would take part in every request.
SCHEMES = {
    "APIKeyHeader": {"type": "apiKey", "in": "header", "name": KEY_HEADERS[0]},
    "HTTPBearer": {"type": "http", "scheme": "bearer"},
}
KEY_OR_TOKEN, TOKEN, NOTHING = ("APIKeyHeader", "HTTPBearer"), ("HTTPBearer",), ()
Found = TypeVar("Found", Caller, JobCaller)
_declarations: dict[Callable[..., Any], tuple[str, ...]] = {}
needed: dict[Callable[..., Any], set[str]] = {}  # of those, what each lets in


async def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


async def _database(request: Request) -> Database:
    database: Database = request.app.state.door.database
    return database


async def _launches(request: Request) -> Launches:
    launches: Launches = request.app.state.launches
    return launches


async def _pepper(request: Request) -> Pepper:
    pepper: Pepper = request.app.state.door.pepper
    return pepper


async def _place(request: Request) -> Place:
    place: Place = request.app.state.place
    return place


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


DoorDep = Annotated[Door, Depends(_door)]
DatabaseDep = Annotated[Database, Depends(_database)]
LaunchesDep = Annotated[Launches, Depends(_launches)]
PlaceDep = Annotated[Place, Depends(_place)]
SettingsDep = Annotated[Settings, Depends(_settings)]
PepperDep = Annotated[Pepper, Depends(_pepper)]


def _declares(schemes: tuple[str, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a dependency that decides who may call, by which of SCHEMES."""

    def mark(dependency: Callable[..., Any]) -> Callable[..., Any]:
        _declarations[dependency] = schemes
        return dependency

    return mark


def presented_key(request: Request) -> str | None:
    """The API key that the request carries, well-formed or not."""
    for header in KEY_HEADERS:
        if (value := request.headers.get(header)) is not None:
            return value
    bearer = _bearer(request)
    return bearer if bearer and bearer.startswith(keys.PREFIX) else None


def _bearer(request: Request) -> str | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() or None if kind.lower() == "bearer" else None


def trace_of(request: Request) -> dict[str, str | None]:
    """What the audit trail says about where a request came from."""
    address = request.client.host[:100] if request.client else None  # a proxy may forward any text
    return {"request_id": request.state.request_id, "address": address}


def find_caller(request: Request, door: Door) -> Caller:
    """The key or person that the request comes from.

    Raises:
        Problem: 401 for none or one that is refused; 429 for too many requests, or too many that were refused;
            403 for another site's page that makes a browser ask.
    """
    if (key := presented_key(request)) is not None:
        return _let_in(request, door, _known(request, door, door.key_caller, key))
    if "Authorization" in request.headers:
        return _let_in(request, door, _known(request, door, door.person, _bearer(request) or ""))
    if cookie := request.cookies.get(COOKIE):
        caller = _let_in(request, door, _known(request, door, door.person, cookie))
        demand_same_origin(request)
        return caller
    request.state.refusal = "missing"
    log.info("auth.missing_key", extra=_where(request))
    raise Problem(401, "Missing authorization header")


def _known(request: Request, door: Door, find: Callable[..., Found], secret: Any) -> Found:
    """Find whose secret it is, and say in the log who came or that nobody did; never what they showed."""
    trace = trace_of(request)
    try:
        found = find(secret, **trace)
    except Problem:
        request.state.refusal = "invalid"
        log.warning("auth.invalid_key", extra=_where(request) | {"address": trace["address"]})
        door.limits.refused(trace["address"])
        raise
    log.info("auth.success", extra=_where(request) | _who(found))
    return found


def _let_in(request: Request, door: Door, caller: Caller) -> Caller:
    """The caller, unless they ask too often; a key that ends soon is told so in every answer."""
    notices = request.state.notices
    if caller.kind == "key" and caller.expires_at and caller.expires_at - now() <= NOTICE:
        notices["tuneyard-key-expires"] = caller.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        door.limits.let_in(caller, notices)
    except Problem:
        log.warning("auth.rate_limited", extra=_where(request) | _who(caller))
        raise
    return caller


def _where(request: Request) -> dict[str, str | None]:
    return {"method": request.scope["method"], "path": request.scope["path"]}


def _who(found: Caller | JobCaller) -> dict[str, str | None]:
    if isinstance(found, JobCaller):
        return {"job_id": found.job_id}
    return {"mode": found.mode, "user_id" if found.kind == "person" else "key_id": found.id}


def find_run(request: Request, door: Door) -> JobCaller:
    """The run whose job token the request carries.

    Raises:
        Problem: 401 for none or one that is refused; 429 for too many that were refused.
    """
    token = _bearer(request)
    if token is None:
        request.state.refusal = "missing"
        log.info("auth.missing_key", extra=_where(request))
        raise Problem(401, "Unauthorized: Bearer token required")
    return _known(request, door, door.run, token)


async def present_caller(request: Request) -> Caller:
    """Found, and counted, once a request."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        door = await _door(request)
        caller = request.state.caller = await door.look_up(find_caller, request, door)
    return caller


def needs(permission: str, scope: str | None = None, *, instead: str | None = None) -> Any:
    """Declares in a route's signature that its caller must hold the permission, or the one that does `instead`."""
    assert {permission, instead or permission} <= PERMISSIONS.keys(), permission

    @_declares(KEY_OR_TOKEN)
    async def allowed(request: Request) -> Caller:
        caller = await present_caller(request)
        demand(caller, instead if instead in caller.permissions else permission, scope)
        return caller

    needed[allowed] = {permission, instead or permission}
    return Depends(allowed)


@_declares(KEY_OR_TOKEN)
async def _newcomer(request: Request) -> Caller:
    return await present_caller(request)


@_declares(KEY_OR_TOKEN)
async def _any_caller(request: Request) -> Caller:
    caller = await present_caller(request)
    demand_settled(caller)
    return caller


AnyCaller = Annotated[Caller, Depends(_any_caller)]
Newcomer = Annotated[Caller, Depends(_newcomer)]  # also who must still choose a password


@_declares(NOTHING)
async def _anybody() -> None:
    pass


anybody = Depends(_anybody)


@_declares(TOKEN)
async def token_holder(request: Request, door: DoorDep) -> JobCaller:
    """The run whose job token the request carries.

    Raises:
        Problem: 401 as `find_run`; 403 for a token beside a key, which no run writes with.
    """
    await _refuse_key(request, door)
    return await door.look_up(find_run, request, door)


async def _refuse_key(request: Request, door: Door) -> None:
    if presented_key(request) is not None:
        await door.look_up(find_caller, request, door)
        if "Authorization" not in request.headers:
            raise Problem(401, "Unauthorized: Bearer token required, the job's own: no run writes with a key")
        raise Problem(403, "A run writes with its job token, not with an API key")


@_declares(TOKEN)
async def token_to_check(request: Request) -> str:
    """The digest of a job token, for a writer that looks it up where it writes: then `admit` has the last word."""
    door = await _door(request)  # each dependency costs a request of one step a twentieth of its time
    await _refuse_key(request, door)
    token = _bearer(request)
    if token is None or not keys.is_job_token(token):
        await door.look_up(find_run, request, door)
    return door.pepper.digest(token or "")


def job_token_alone(request: Request) -> str | None:
    """The digest of a well-formed job token that comes without a key beside it; for all else, `token_to_check`."""
    token = _bearer(request)
    if token is None or presented_key(request) is not None or not keys.is_job_token(token):
        return None
    door: Door = request.app.state.door
    return door.pepper.digest(token)


def admit(request: Request, door: Door, found: JobCaller | None) -> JobCaller:
    """Whom a writer has found by that digest.

    Raises:
        Problem: 401 for nobody; 429 for too many that were refused.
    """
    return _known(request, door, _whoever, found)


def _whoever(found: JobCaller | None, **_: Any) -> JobCaller:
    if found is None:
        raise Problem(401, "Unauthorized: Invalid token")
    return found


def key_or_token(permission: str) -> Any:
    """Declares a route that a key or person with the permission may use, or a run with its job token."""
    assert permission in PERMISSIONS, permission

    @_declares(KEY_OR_TOKEN)
    async def either(request: Request, door: DoorDep) -> Caller | JobCaller:
        token = _bearer(request)
        if presented_key(request) is None and token is not None and keys.is_job_token(token):
            return await door.look_up(find_run, request, door)
        caller = await present_caller(request)
        demand(caller, permission)
        return caller

    return Depends(either)


def every_route_declares(app: FastAPI) -> None:
    """Refuse an app in which a route does not say who may call it.

    Raises:
        TypeError: Names the routes.
    """
    silent = [
        f"{sorted(route.methods or ())} {route.path}"
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and schemes_of(route.dependant) is None
    ]
    if silent:
        raise TypeError(f"these routes do not declare who may call them: {', '.join(silent)}")


def schemes_of(dependant: Dependant) -> tuple[str, ...] | None:
    """By which of SCHEMES a route may be called; None: it does not say."""
    if dependant.call in _declarations:
        return _declarations[dependant.call]
    inner = [found for one in dependant.dependencies if (found := schemes_of(one)) is not None]
    return max(inner, key=len, default=None)


async def unknown_path(request: Request, _: Exception) -> Response:
    """The answer where nothing is served, which names what is near; who may not come in is not told so."""
    try:
        door: Door = request.app.state.door
        await door.look_up(find_caller, request, door)
    except Problem as refused:
        return await answer_to(request, refused)
    said, found = await run_in_threadpool(_nearest, request)
    return problem_answer(request, 404, said, members={"nearest": [one._asdict() for one in found]})


def _nearest(request: Request) -> tuple[str, list[Endpoint]]:
    served = [
        Endpoint(method.upper(), path)
        for path, methods in request.app.openapi()["paths"].items()
        for method in methods
    ]
    return in_words(request.method, request.url.path, served)
