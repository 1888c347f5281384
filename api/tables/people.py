"""Workspaces, people, keys, the audit trail."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index
from sqlmodel import Field, SQLModel

from api.tables.columns import (
    BIG,
    OPEN,
    ROW_NUMBER,
    UtcTime,
    link_to,
    new_id,
    now,
    open_column,
    pk_column,
    time_column,
)


class Workspace(SQLModel, table=True):
    pk: int = pk_column()
    name: str = Field(max_length=255, unique=True)
    created_at: datetime = time_column(required=True)


class User(SQLModel, table=True):
    """A person. `password_hash` is argon2's. A one-time password must be changed, and opens one log-in at most:
    from `password_expires_at` on it opens none."""

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    name: str = Field(max_length=100, unique=True)
    role: str = Field(max_length=20)
    password_hash: str = Field(max_length=255, repr=False)
    must_change_password: bool = True
    password_expires_at: datetime | None = time_column()
    created_by: str | None = Field(default=None, max_length=100)
    created_at: datetime = time_column(required=True)
    last_login_at: datetime | None = time_column()
    disabled_at: datetime | None = time_column()

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None


class LoginSession(SQLModel, table=True):
    """One log-in of one person. Its token is opaque, and stored as a digest."""

    __tablename__ = "session"

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    user_pk: int = Field(sa_column=Column(ROW_NUMBER, ForeignKey("user.pk"), index=True, nullable=False))
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    digest: str = Field(max_length=64, unique=True, repr=False)
    address: str | None = Field(default=None, max_length=100)
    agent: str | None = Field(default=None, max_length=255)
    created_at: datetime = time_column(required=True)
    expires_at: datetime = Field(sa_type=UtcTime)
    last_used_at: datetime | None = time_column()
    ended_at: datetime | None = time_column()


class ApiKey(SQLModel, table=True):
    """`permissions` is what the names stood for when the key was made: a later table does not widen old keys.

    Keys that replaced one another are a line: `successor_id` is the next in it.
    """

    __tablename__ = "api_key"

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(max_length=12, unique=True)
    digest: str = Field(max_length=64, repr=False)
    name: str = Field(max_length=255)
    description: str | None = Field(default=None, max_length=2000)
    scopes: list[str] = Field(sa_type=OPEN)
    permissions: list[str] = Field(sa_type=OPEN)
    rate_limit: int | None = None
    successor_id: str | None = Field(default=None, max_length=12, unique=True)
    created_by: str | None = Field(default=None, max_length=100)
    created_by_id: str | None = Field(default=None, max_length=26)
    created_at: datetime = time_column(required=True)
    updated_at: datetime = time_column(required=True)
    expires_at: datetime | None = time_column()
    revoked_at: datetime | None = time_column()
    last_used_at: datetime | None = time_column()
    usage_count: int = Field(default=0, sa_type=BIG)

    @property
    def key_prefix(self) -> str:
        return self.id

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    @property
    def is_valid(self) -> bool:
        return self.is_active and not self.is_expired


class AuditEvent(SQLModel, table=True):
    """Only ever added to: the database itself refuses to change or remove a row."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "workspace_id", "object_kind", "object_id"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26, unique=True)
    at: datetime = time_column(required=True)
    actor_kind: str = Field(max_length=20)
    actor_id: str = Field(max_length=100)
    actor_name: str = Field(max_length=255)
    action: str = Field(max_length=50)
    object_kind: str = Field(max_length=30)
    object_id: str = Field(max_length=100)
    details: dict[str, Any] = open_column()
    request_id: str | None = Field(default=None, max_length=26)
    address: str | None = Field(default=None, max_length=100)
