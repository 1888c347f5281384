"""Configs that are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.shapes.kept import Artifact
from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import ClientId, Text, Utc

ConfigKind = Literal["finetune", "batch_test", "merge", "pipeline", "tabular", "predict"]


ConfigTag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,99}$")]


class _Keeping(Request):
    id: ClientId | None = Field(None, description="Sent again under the same id, it is one config.")
    name: Text = Field(min_length=1, max_length=255)
    tags: list[ConfigTag] = Field(default_factory=list, max_length=50)


class NewFinetuneConfig(_Keeping):
    kind: Literal["finetune"] = "finetune"
    data: FinetuneConfig


class NewBatchTestConfig(_Keeping):
    kind: Literal["batch_test"]
    data: BatchTestConfig


class NewMergeConfig(_Keeping):
    kind: Literal["merge"]
    data: MergeConfig


class NewPipelineConfig(_Keeping):
    kind: Literal["pipeline"]
    data: PipelineConfig


class NewTabularConfig(_Keeping):
    """Also what says no `kind`, and in `data` nothing but fields of this kind: seed 002's clients write `{}`."""

    kind: Literal["tabular"] = "tabular"
    data: TabularConfig


class NewPredictConfig(_Keeping):
    kind: Literal["predict"]
    data: PredictConfig


NewConfig = (
    NewFinetuneConfig
    | NewBatchTestConfig
    | NewMergeConfig
    | NewPipelineConfig
    | NewTabularConfig
    | NewPredictConfig
)


class KeptConfig(Shape):
    """`data` as it was given: what it leaves out is whatever the default is when work is asked for."""

    id: str
    kind: ConfigKind
    name: str
    data: dict[str, Any]
    tags: list[str] = Field(default_factory=list)
    created_at: Utc
    updated_at: Utc


class ExpandedArtifact(Artifact):
    """An artifact, and the config that its oldest ancestor was made with, if that is kept."""

    level_label: str
    hierarchy: str | None = None
    children: None = None
    config: KeptConfig | None = None
