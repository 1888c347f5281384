"""People, their log-ins, the audit trail."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import Text, Utc

UserName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,99}$")]


Password = Annotated[Text, Field(min_length=1, max_length=1000, repr=False)]


class Role(StrEnum):
    """viewer reads; member also works; admin also manages people and keys; owner also makes owners."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class NewUser(Request):
    name: UserName
    role: Role = Role.MEMBER


class User(Shape):
    id: str
    name: str
    role: Role
    workspace: str
    is_active: bool
    must_change_password: bool = Field(description="Has only the one-time password that an admin passed on.")
    created_at: Utc
    created_by: str | None = None
    last_login_at: Utc | None = None
    disabled_at: Utc | None = None


class CreatedUser(User):
    """The only answer that ever holds the one-time password; it opens one log-in, to choose another."""

    one_time_password: str = Field(repr=False)


class UserChanges(Request):
    role: Role


class Disabling(Request):
    """`keys`: what becomes of the person's own live keys. Needed when there are any."""

    keys: Literal["keep", "revoke"] | None = None


class Login(Request):
    name: Text = Field(min_length=1, max_length=100)
    password: Password


class NewPassword(Request):
    current: Password
    new: Text = Field(min_length=12, max_length=1000, repr=False)


class LoginSession(Shape):
    id: str
    created_at: Utc
    expires_at: Utc
    last_used_at: Utc | None = None
    address: str | None = None
    agent: str | None = Field(None, description="The browser or program that opened it, as it calls itself.")
    is_current: bool = False


class OpenedSession(Shape):
    """`token` is shown here and nowhere else: send it as `Authorization: Bearer`. Browsers get it as a cookie."""

    token: str = Field(repr=False)
    expires_at: Utc
    user: User


class WhoAmI(Shape):
    """Who the server takes the caller for."""

    mode: Literal["session", "apiKey"]
    user_id: str | None = None
    key_id: str | None = None
    name: str
    workspace: str
    role: str | None = None
    scopes: list[str]
    permissions: list[str]
    must_change_password: bool = False
    expires_at: Utc | None = None


class AuditEvent(Shape):
    """Who did what to which object. Rows are only ever added."""

    id: str
    at: Utc
    actor_kind: Literal["person", "key", "job", "host"]
    actor_id: str
    actor_name: str
    action: str = Field(description="For example key.created, session.opened, job.cancelled.")
    object_kind: str
    object_id: str
    details: dict[str, Any] = Field(default_factory=dict)
    request_id: str | None = None
    address: str | None = None
