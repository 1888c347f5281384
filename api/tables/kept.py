"""Data sets, configs, artifacts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from api.tables.columns import (
    BIG,
    ROW_NUMBER,
    count_from,
    link_to,
    list_column,
    new_id,
    open_column,
    pk_column,
    time_column,
)


class Dataset(SQLModel, table=True):
    """`identity` is a digest of name, uri and sha256: together they are too long for an index."""

    __table_args__ = (UniqueConstraint("workspace_id", "id"), UniqueConstraint("workspace_id", "identity"))

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    identity: str = Field(max_length=64)
    name: str = Field(max_length=255)
    uri: str = Field(max_length=2048)
    sha256: str = Field(max_length=64)
    rows: int = Field(sa_type=BIG)
    version: int = count_from(1)
    file_name: str | None = Field(default=None, max_length=255)
    size_bytes: int | None = Field(default=None, sa_type=BIG)
    created_at: datetime = time_column(required=True)


class Config(SQLModel, table=True):
    """What a person keeps to ask for work with, again and again."""

    __table_args__ = (UniqueConstraint("workspace_id", "id"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=100)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    data: dict[str, Any] = open_column()
    tags: list[str] = list_column()
    created_at: datetime = time_column(required=True)
    updated_at: datetime = time_column(required=True)


class ConfigArtifact(SQLModel, table=True):
    """That an artifact belongs to a config: it was made with it, or somebody said so."""

    __tablename__ = "config_artifact"
    __table_args__ = ({"sqlite_with_rowid": False},)

    config_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("config.pk"), primary_key=True, autoincrement=False)
    )
    artifact_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("artifact.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = link_to("workspace.pk")


class Artifact(SQLModel, table=True):
    """`identity` is a digest of everything that was said of it, and of its job: a repeated request stores one row."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "identity"),
        Index(None, "workspace_id", "parent_id"),
    )

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    identity: str = Field(max_length=64)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=255)
    uri: str = Field(max_length=2048)
    sha256: str | None = Field(default=None, max_length=64)
    size_bytes: int = Field(sa_type=BIG)
    base_model: str | None = Field(default=None, max_length=1024)
    parent_id: str | None = Field(default=None, max_length=26)
    job_id: str | None = Field(default=None, max_length=100)
    details: dict[str, Any] = open_column()
    files: list[dict[str, Any]] = list_column()
    created_at: datetime = time_column(required=True)
