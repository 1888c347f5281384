"""Who asks: a key or a person, and a run that holds a job's token. Values; how they are found is `auth`'s."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from api.problems import Problem


@dataclass(frozen=True)
class Caller:
    """A key's holder or a person, and what they may do.

    Attributes:
        id: The key's public id, or the person's id; what logs and the audit trail say.
        scopes: The names a key was made with; empty for a person.
        role: A person's role, or that of a key declared in the environment.
        rate_limit: Requests a window, where the key has its own limit.
    """

    kind: Literal["key", "person"]
    id: str
    name: str
    workspace_id: int
    workspace_name: str
    permissions: frozenset[str]
    scopes: tuple[str, ...] = ()
    role: str | None = None
    session_id: str | None = None
    must_change_password: bool = False
    rate_limit: int | None = None
    expires_at: datetime | None = None
    request_id: str | None = None
    address: str | None = None

    @property
    def maker(self) -> str:
        """What rows say of who made them: the person's name, or the key's public id."""
        return self.name if self.kind == "person" else self.id

    @property
    def mode(self) -> Literal["session", "apiKey"]:
        return "session" if self.kind == "person" else "apiKey"


@dataclass(frozen=True)
class JobCaller:
    """A run that holds the token of the job it works on, when it was looked up."""

    job_pk: int
    job_id: str
    workspace_id: int
    token_digest: str = field(repr=False)
    request_id: str | None = None
    address: str | None = None
    kind: Literal["job"] = "job"

    @property
    def id(self) -> str:
        return self.job_id

    @property
    def name(self) -> str:
        return self.job_id


def demand_settled(caller: Caller) -> None:
    """403 for a person who has only the one-time password that somebody passed on."""
    if caller.must_change_password:
        raise Problem(403, "Choose a password of your own first: POST /api/v1/auth/password")


def demand(caller: Caller, permission: str, scope: str | None = None) -> None:
    """403 where the caller lacks the permission; with `scope` the text names the scope that older clients know."""
    demand_settled(caller)
    if permission in caller.permissions:
        return
    lacking = f"'{scope}' scope" if scope else f"required permission: {permission}"
    if caller.kind == "person":
        raise Problem(403, f"Your role does not have required permission: {permission}. Role: {caller.role}")
    held = ", ".join(caller.scopes) or caller.role or "none"
    raise Problem(403, f"API key does not have {lacking}. Key scopes: {held}")
