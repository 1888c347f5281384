"""Work that is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

from tuneyard.batch_configs import PredictConfig
from tuneyard.config_words import FORM
from tuneyard.configs import FinetuneConfig, MergeConfig, TabularConfig
from tuneyard.shapes.jobs import Job
from tuneyard.shapes.shape import Request
from tuneyard.values import Cell, ClientId, Column, Flag, JsonObject, Text

# Exactly one of a request's `config` and `config_id`, in the words of JSON Schema.
_GIVEN: dict[str, JsonValue] = {
    "required": ["config"],
    "properties": {"config": {"type": "object"}, "config_id": {"type": "null"}},
}


_KEPT: dict[str, JsonValue] = {
    "required": ["config_id"],
    "properties": {"config_id": {"type": "string"}, "config": {"type": "null"}},
}


_OLDER: dict[str, JsonValue] = {
    "required": ["model_artifact_id"],
    "properties": {"model_artifact_id": {"type": "string"}, "artifact_id": {"type": "null"}},
}


_NEWER: dict[str, JsonValue] = {
    "required": ["artifact_id"],
    "properties": {"artifact_id": {"type": "string"}, "model_artifact_id": {"type": "null"}},
}


class Asking(Request):
    """What is to be done stands in `config`, or is kept under `config_id`: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_GIVEN, _KEPT]})

    config_id: ClientId | None = Field(None, description="In place of `config`: one that is kept.")

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (getattr(self, "config", None) is None) == (self.config_id is None):
            raise ValueError("give either config or config_id")
        return self


class StartRequest(Asking):
    """`id`: asked again under the same id, it is one job."""

    name: Text | None = Field(None, min_length=1, max_length=255, description="In place of the config's own.")
    id: ClientId | None = None


class Table(Request):
    """Rows of equally many cells, in the order of `columns`."""

    columns: list[Column] = Field(min_length=1, max_length=1000)
    data: list[list[Cell]] = Field(max_length=100_000)


def _trained_form(config: Any) -> str:
    method = config.get("method") if isinstance(config, dict) else getattr(config, "method", None)
    return FORM + ("tabular" if method == "tabular" else "finetune")


# What is trained says `method: tabular`, or is a fine-tune.
TrainConfig = Annotated[
    Annotated[FinetuneConfig, Tag(FORM + "finetune")]
    | Annotated[TabularConfig, Tag(FORM + "tabular"), Field(json_schema_extra={"required": ["method"]})],
    Discriminator(_trained_form),
]


Geo = Annotated[
    JsonObject | None, Field(description="GeoJSON of the places that rows are about; nothing here reads it.")
]


class TrainRequest(StartRequest):
    """`data`: the rows to train on, in place of the config's `dataset`; they are kept as a data set."""

    config: TrainConfig | None = None
    data: Table | None = None
    geo: Geo = None


class PredictRequest(StartRequest):
    config: PredictConfig | None = None


class PredictRows(Request):
    """Rows for a model that is an artifact: the columns that it was trained by or, for a language model, `prompt`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_NEWER, _OLDER]})

    model_artifact_id: ClientId | None = None
    artifact_id: ClientId | None = Field(None, description="The same as `model_artifact_id`.")
    historic: Table | None = Field(None, description="What came before; a model of rows has no use for it.")
    future: Table = Field(description="What is predicted from; it may be empty.")
    geo: Geo = None
    name: Text | None = Field(None, min_length=1, max_length=255)
    id: ClientId | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model_artifact_id is None) == (self.artifact_id is None):
            raise ValueError("give either model_artifact_id or artifact_id")
        return self


class Started(Job):
    """A job that has been asked for. `artifact_id` is what it makes, once it is completed."""

    job_id: str
    message: str
    model_artifact_id: str | None = None
    prediction_artifact_id: str | None = None


class MergeRequest(StartRequest):
    config: MergeConfig | None = None


class ValidateRequest(Asking):
    config: JsonObject | None = None
    kind: Literal["finetune", "batch_test", "tabular", "predict"] = "finetune"
    run: Flag = Field(
        False,
        description="Of a fine-tune's: also start the `check` flow, which looks at the model and the data.",
    )
