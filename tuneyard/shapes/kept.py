"""Data sets and artifacts."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, computed_field

from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import ArtifactId, ClientId, Count, InnerPath, JsonObject, Sha256, Text, Utc


class NewDataset(Request):
    name: Text = Field(min_length=1, max_length=255)
    uri: Text = Field(max_length=2048)
    sha256: Sha256
    rows: Count


class Dataset(Shape):
    id: str
    name: str
    uri: str
    sha256: str
    rows: int = Field(
        description="Of an uploaded one: its lines that are not blank; 0 for JSON, Parquet and what is packed, "
        "which nobody counted."
    )
    version: int = Field(1, description="Counts what was uploaded under one name.")
    file_name: str | None = Field(None, description="Of an uploaded one, which `$download` gives back.")
    size_bytes: int | None = None
    created_at: Utc


class KeptFile(Request):
    """One file of a folder that is kept; `path` is relative to the folder, with `/` between its parts."""

    path: InnerPath
    size_bytes: Count
    sha256: Sha256


class NewArtifact(Request):
    """`kind`: base, a model that others are made from and that nobody here trained; model, a whole fine-tuned one;
    adapter, which needs its base; merged, an adapter added into its base; tabular, a model of a table's columns;
    predictions, what a model made of given input. What is small enough lies in `details`."""

    id: ArtifactId | None = Field(
        None, description="Default: what the run's job was given for it, if that is free; or one of ours."
    )
    kind: Literal["base", "model", "adapter", "merged", "tabular", "predictions", "report"] = "model"
    name: Text = Field(min_length=1, max_length=255)
    uri: Text = Field(
        max_length=2048, description="Where it lies: a path on the host that made it, or a URL."
    )
    sha256: Sha256 | None = None
    size_bytes: Count
    base_model: Text | None = Field(None, max_length=1024)
    parent_id: Text | None = None
    details: JsonObject = Field(default_factory=dict)
    files: list[KeptFile] = Field(
        default_factory=list,
        max_length=10_000,
        description="What lies under `uri`, and can be downloaded: each path once; `size_bytes` is their sum.",
    )


class NewArtifactData(Request):
    """An artifact that is nothing but what is said of it, in seed 002's words."""

    id: ArtifactId | None = None
    data: JsonObject
    parent_id: Text | None = None
    level: Count | None = Field(None, description="Is counted here, whatever is said.")


class Artifact(Shape):
    """Lists and trees leave `predictions` out of `details` and `data`."""

    id: str
    kind: str
    name: str
    uri: str
    sha256: str | None = None
    size_bytes: int
    base_model: str | None = None
    parent_id: str | None = None
    job_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    level: int = Field(0, description="How many ancestors it has.")
    created_at: Utc

    @computed_field
    def data(self) -> dict[str, Any]:
        """`details`, under the name that seed 002's clients know."""
        return self.details

    @computed_field
    def updated_at(self) -> Utc:
        """An artifact does not change."""
        return self.created_at

    def without_content(self) -> Self:
        """For lists."""
        light = {name: value for name, value in self.details.items() if name != "predictions"}
        return self.model_copy(update={"details": light})


class ArtifactMetadata(Shape):
    """How an artifact was made."""

    status: Literal["success"] = "success"
    config_id: str | None = None
    started_at: Utc | None = None
    completed_at: Utc | None = None
    duration_seconds: float | None = Field(None, description="Two decimals.")
    model_type: str | None = None
    model_size_bytes: int | None = None


class ArtifactTree(Artifact):
    """An artifact and all that was made from it, oldest first."""

    children: list[ArtifactTree] = Field(default_factory=list)


class LinkedArtifact(Request):
    artifact_id: ClientId
