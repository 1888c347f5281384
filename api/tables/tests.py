"""Suites, batch tests, answers, aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from api.tables.columns import (
    BIG,
    OPEN,
    ROW_NUMBER,
    count_from,
    link_to,
    list_column,
    new_id,
    open_column,
    pk_column,
    time_column,
)


class TestSuite(SQLModel, table=True):
    """One version of a suite; it never changes. `sha256` is of the prompts, as canonical JSON."""

    __tablename__ = "test_suite"
    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "name", "sha256"),
        Index(None, "workspace_id", "name", "version"),
    )
    __test__ = False  # pytest: not a test class

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    name: str = Field(max_length=255)
    description: str | None = None
    sha256: str = Field(max_length=64)
    version: int = count_from(1)
    prompt_count: int = Field(sa_type=BIG)
    prompts: list[dict[str, Any]] = Field(sa_type=OPEN)
    created_at: datetime = time_column(required=True)


class TestRun(SQLModel, table=True):
    """What a job of kind batch_test has beside its job row. The counts follow the predictions."""

    __tablename__ = "test_run"
    __test__ = False

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = link_to("workspace.pk")
    suite: str = Field(max_length=1024)
    suite_id: str | None = Field(default=None, max_length=26)
    completed_prompts: int = Field(default=0, sa_type=BIG)
    failed_prompts: int = Field(default=0, sa_type=BIG)
    passed_prompts: int = Field(default=0, sa_type=BIG)
    scored_prompts: int = Field(default=0, sa_type=BIG)
    score_sum: float = 0.0
    weight_sum: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    archived_at: datetime | None = time_column()

    @property
    def score(self) -> float | None:
        """Mean over the prompts that have an outcome, by weight; one that failed counts as 0. None before the first."""
        return round(self.score_sum / self.weight_sum, 6) if self.weight_sum else None


class Prediction(SQLModel, table=True):
    """One answer: a batch test's at step 0, a model's in training at the step it was given at."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    step: int = Field(default=0, sa_column=Column(BIG, primary_key=True, autoincrement=False))
    prompt_index: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    workspace_id: int = link_to("workspace.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    prompt: str
    expected: str | None = None
    response: str | None = None
    rendered: str | None = None
    template_sha256: str | None = Field(default=None, max_length=64)
    tags: list[str] = list_column()
    weight: float = 1.0
    scores: dict[str, float] = open_column()
    details: dict[str, Any] = open_column()
    score: float | None = None
    passed: bool | None = None
    error: str | None = None
    input_tokens: int | None = Field(default=None, sa_type=BIG)
    output_tokens: int | None = Field(default=None, sa_type=BIG)
    latency_ms: float | None = None
    finish_reason: str | None = Field(default=None, max_length=40)


class ModelAlias(SQLModel, table=True):
    """A name that stands for an artifact; None once its first move was undone."""

    __tablename__ = "model_alias"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    name: str = Field(max_length=63)
    artifact_id: str | None = Field(default=None, max_length=26)
    updated_at: datetime = time_column(required=True)


class AliasMove(SQLModel, table=True):
    """One move of an alias, and on what evidence; only ever added to."""

    __tablename__ = "alias_move"
    __table_args__ = (UniqueConstraint("workspace_id", "id"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    alias_pk: int = link_to("model_alias.pk")
    id: str = Field(default_factory=new_id, max_length=26)
    from_artifact_id: str | None = Field(default=None, max_length=26)
    to_artifact_id: str | None = Field(default=None, max_length=26)
    undoes: str | None = Field(default=None, max_length=26)
    evidence: dict[str, Any] = open_column()
    reason: str | None = Field(default=None, max_length=2000)
    actor: str = Field(max_length=255)
    at: datetime = time_column(required=True)
