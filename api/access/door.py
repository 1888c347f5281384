"""From a key, a session token or a job token to whose it is: one indexed read each."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import col

from api.access.caller import Caller, JobCaller
from api.access.declared import DeclaredKeys
from api.access.pepper import Pepper
from api.access.permissions import ROLES
from api.access.rate_limits import RateLimits
from api.access.usage import Usage
from api.database import Database
from api.problems import Problem
from api.tables import ApiKey, Job, LoginSession, User, Workspace, now, token_is_over
from api.workspaces import first_workspace
from tuneyard import keys
from tuneyard.errors import BadInput

P = ParamSpec("P")
Found = TypeVar("Found")

_KEY = (
    columns(
        col(ApiKey.pk),
        col(ApiKey.id),
        col(ApiKey.digest),
        col(ApiKey.name),
        col(ApiKey.scopes),
        col(ApiKey.permissions),
        col(ApiKey.rate_limit),
        col(ApiKey.expires_at),
        col(ApiKey.revoked_at),
        col(ApiKey.workspace_id),
        col(Workspace.name).label("workspace_name"),
    )
    .join(Workspace)
    .where(col(ApiKey.id) == bindparam("public_id"))
)
_SESSION = (
    columns(
        col(LoginSession.pk),
        col(LoginSession.id).label("session_id"),
        col(LoginSession.expires_at),
        col(LoginSession.ended_at),
        col(User.id),
        col(User.name),
        col(User.role),
        col(User.must_change_password),
        col(User.disabled_at),
        col(User.workspace_id),
        col(Workspace.name).label("workspace_name"),
    )
    .join(User, col(User.pk) == col(LoginSession.user_pk))
    .join(Workspace, col(Workspace.pk) == col(User.workspace_id))
    .where(col(LoginSession.digest) == bindparam("digest"))
)
_STAYING = (
    columns(col(LoginSession.ended_at), col(User.disabled_at))
    .join(User, col(User.pk) == col(LoginSession.user_pk))
    .where(col(LoginSession.id) == bindparam("session_id"))
)
_JOB = columns(
    col(Job.pk), col(Job.id), col(Job.workspace_id), col(Job.token_digest), col(Job.ended_at)
).where(col(Job.token_digest) == bindparam("digest"))


class Door:
    """Everything that a look-up needs; one for each process."""

    def __init__(
        self, database: Database, pepper: Pepper, declared: DeclaredKeys, limits: RateLimits
    ) -> None:
        self.database = database
        self.pepper = pepper
        self.declared = declared
        self.limits = limits
        self.usage = Usage(database)
        self._first: tuple[int, str] | None = None

    async def look_up(self, find: Callable[P, Found], *given: P.args, **named: P.kwargs) -> Found:
        """Find something out, in a thread where a server has to be asked for it. SQLite's answer, and a count in
        memory, take less time than the way to a thread and back."""
        if self.database.is_sqlite and self.limits.in_memory:
            return find(*given, **named)
        return await run_in_threadpool(find, *given, **named)

    def key_caller(self, key: str, **trace: Any) -> Caller:
        """Whose key it is. One with a wrong checksum costs no read.

        Raises:
            Problem: 401, the same for a malformed, unknown, wrong, revoked or expired key.
        """
        caller = self._stored_key(key, trace) or self._declared_key(key, trace)
        if caller is None:
            raise Problem(401, "Invalid API key")
        return caller

    def _stored_key(self, key: str, trace: dict[str, Any]) -> Caller | None:
        try:
            row = self.database.first_row(_KEY, public_id=keys.parse(key))
        except BadInput:
            return None
        if row is None or not self.pepper.matches(key, row.digest) or row.revoked_at is not None:
            return None
        if row.expires_at is not None and row.expires_at <= now():
            return None
        self.usage.key_used(row.pk)
        return Caller(
            kind="key",
            id=row.id,
            name=row.name,
            workspace_id=row.workspace_id,
            workspace_name=row.workspace_name,
            permissions=frozenset(row.permissions),
            scopes=tuple(row.scopes),
            rate_limit=row.rate_limit,
            expires_at=row.expires_at,
            **trace,
        )

    def _declared_key(self, key: str, trace: dict[str, Any]) -> Caller | None:
        found = self.declared.find(key)
        if found is None:
            return None
        if self._first is None:
            with self.database.writing() as session:
                workspace = first_workspace(session)
            self._first = workspace.pk, workspace.name
        pk, name = self._first
        return Caller(
            kind="key",
            id=found.id,
            name=f"declared {found.role}",
            workspace_id=pk,
            workspace_name=name,
            permissions=ROLES[found.role],
            role=found.role,
            **trace,
        )

    def person(self, token: str, **trace: Any) -> Caller:
        """Whose session it is.

        Raises:
            Problem: 401, the same for a token that never was, one that has ended, and a disabled person's.
        """
        row = None
        if token.startswith(keys.SESSION_PREFIX):
            row = self.database.first_row(_SESSION, digest=self.pepper.digest(token))
        if row is None or row.ended_at or row.disabled_at or row.expires_at <= now():
            raise Problem(401, "Authentication failed")
        self.usage.session_used(row.pk)
        return Caller(
            kind="person",
            id=row.id,
            name=row.name,
            workspace_id=row.workspace_id,
            workspace_name=row.workspace_name,
            permissions=ROLES[row.role],
            role=row.role,
            session_id=row.session_id,
            must_change_password=row.must_change_password,
            expires_at=row.expires_at,
            **trace,
        )

    def still_in(self, caller: Caller) -> bool:
        """Whether who came in a while ago would be let in now; what they stay for is one request."""
        if caller.expires_at is not None and caller.expires_at <= now():
            return False
        if caller.session_id is not None:
            row = self.database.first_row(_STAYING, session_id=caller.session_id)
            return row is not None and row.ended_at is None and row.disabled_at is None
        if caller.role is not None:  # a declared key lasts as long as the server
            return True
        row = self.database.first_row(_KEY, public_id=caller.id)
        return row is not None and row.revoked_at is None and caller.permissions <= set(row.permissions)

    def run(self, token: str, **trace: Any) -> JobCaller:
        """The run whose job token it is.

        Raises:
            Problem: 401 for a token that a newer attempt replaced or that never was, and one whose job ended
                longer ago than the grace.
        """
        refused = Problem(401, "Unauthorized: Invalid token")
        if not keys.is_job_token(token):
            raise refused
        row = self.database.first_row(_JOB, digest=self.pepper.digest(token))
        if row is None or token_is_over(row.ended_at):
            raise refused
        return JobCaller(row.pk, row.id, row.workspace_id, row.token_digest, **trace)
