"""From a request to who asks.

    caller: Annotated[Caller, needs("jobs:read")]       a key that holds the permission
    holder: Annotated[JobCaller, Depends(token_holder)]  a job token, whichever job's

A key that is present decides alone, whatever else the request carries. 401 comes before 403, and both before any
row but the key's or token's own is read.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from sqlmodel import select

from api.access.pepper import Pepper
from api.access.permissions import PERMISSIONS
from api.database import Database
from api.problems import Problem
from api.tables import ApiKey, Job, Workspace, now
from tuneyard import keys
from tuneyard.errors import BadInput

KEY_HEADERS = ("X-API-Key", "X-Workspace-API-Key")
GRACE = timedelta(minutes=10)  # how long after its end a job's late points are still taken

_shown_in_docs = Security(APIKeyHeader(name=KEY_HEADERS[0], auto_error=False))


@dataclass(frozen=True)
class Caller:
    """Who holds the key of this request, and what it allows."""

    key_id: str
    workspace_id: int
    workspace_name: str
    scopes: tuple[str, ...]
    permissions: frozenset[str]


@dataclass(frozen=True)
class JobCaller:
    """A run that holds the token of the job it works on, when it was looked up."""

    job_pk: int
    job_id: str
    workspace_id: int
    token_digest: str = field(repr=False)


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _pepper(request: Request) -> Pepper:
    pepper: Pepper = request.app.state.pepper
    return pepper


DatabaseDep = Annotated[Database, Depends(_database)]
PepperDep = Annotated[Pepper, Depends(_pepper)]


def presented_key(request: Request) -> str | None:
    """The API key that the request carries, well-formed or not."""
    for header in KEY_HEADERS:
        if value := request.headers.get(header):
            return value
    bearer = _bearer(request)
    return bearer if bearer and bearer.startswith(keys.PREFIX) else None


def _bearer(request: Request) -> str | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() or None if kind.lower() == "bearer" else None


def key_caller(
    request: Request, database: DatabaseDep, pepper: PepperDep, _: Annotated[Any, _shown_in_docs]
) -> Caller:
    """The caller of a request that must carry a key."""
    key = presented_key(request)
    if key is None:
        known = "Authorization" in request.headers
        raise Problem(401, "Authentication failed" if known else "Missing authorization header")
    return caller_of(key, database, pepper)


def caller_of(key: str, database: Database, pepper: Pepper) -> Caller:
    """Whose key it is: one indexed read.

    Raises:
        Problem: 401, the same for a malformed, unknown, wrong, revoked or expired key.
    """
    refused = Problem(401, "Invalid API key")
    try:
        public_id = keys.parse(key)
    except BadInput:
        raise refused from None
    with database.reading() as session:
        query = select(ApiKey, Workspace).join(Workspace).where(ApiKey.id == public_id)
        found = session.exec(query).first()
    if found is None:
        raise refused
    row, workspace = found
    if not pepper.matches(key, row.digest) or not row.is_active:
        raise refused
    return Caller(row.id, row.workspace_id, workspace.name, tuple(row.scopes), frozenset(row.permissions))


def demand(caller: Caller, permission: str, scope: str | None = None) -> None:
    """403 where the key lacks the permission; with `scope` the text names the scope that older clients know."""
    if permission in caller.permissions:
        return
    held = ", ".join(caller.scopes)
    lacking = f"'{scope}' scope" if scope else f"required permission: {permission}"
    raise Problem(403, f"API key does not have {lacking}. Key scopes: {held}")


def needs(permission: str, scope: str | None = None) -> Any:
    """Declares in a route's signature that its caller's key must hold the permission."""
    assert permission in PERMISSIONS, permission

    async def allowed(caller: Annotated[Caller, Depends(key_caller)]) -> Caller:
        demand(caller, permission, scope)
        return caller

    return Depends(allowed)


AnyCaller = Annotated[Caller, Depends(key_caller)]


def token_holder(request: Request, database: DatabaseDep, pepper: PepperDep) -> JobCaller:
    """The run whose job token the request carries.

    Raises:
        Problem: 401 for no token, a token that a newer attempt replaced or that never was, and one whose job ended
            longer ago than the grace; 403 for a key, which no run writes with.
    """
    if key := presented_key(request):
        caller_of(key, database, pepper)
        raise Problem(403, "A run writes with its job token, not with an API key")
    token = _bearer(request)
    if token is None:
        raise Problem(401, "Unauthorized: Bearer token required")
    return holder_of(token, database, pepper)


def holder_of(token: str, database: Database, pepper: Pepper) -> JobCaller:
    """Whose token it is: one indexed read, by digest."""
    refused = Problem(401, "Unauthorized: Invalid token")
    if not keys.is_job_token(token):
        raise refused
    with database.reading() as session:
        job = session.exec(select(Job).where(Job.token_digest == pepper.digest(token))).first()
    if job is None or job.token_digest is None or not pepper.matches(token, job.token_digest) or is_over(job):
        raise refused
    return JobCaller(job.pk, job.id, job.workspace_id, job.token_digest)


def is_over(job: Job) -> bool:
    """Whether the job ended so long ago that its token is dead."""
    return job.ended_at is not None and now() > job.ended_at + GRACE


def key_or_token(permission: str) -> Any:
    """Declares a route that a key with the permission may use, or a run with its job token."""
    assert permission in PERMISSIONS, permission

    def either(request: Request, database: DatabaseDep, pepper: PepperDep) -> Caller | JobCaller:
        if key := presented_key(request):
            caller = caller_of(key, database, pepper)
            demand(caller, permission)
            return caller
        token = _bearer(request)
        if token is None:
            raise Problem(401, "Missing authorization header")
        return holder_of(token, database, pepper)

    return Depends(either)
