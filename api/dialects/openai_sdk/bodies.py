"""What OpenAI's client sends to start a fine-tune, and the config that it stands for."""

from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.config_checks import DATASET
from api.given import Open, shape_of
from tuneyard.configs import PEAK_LEARNING_RATES, FinetuneConfig
from tuneyard.values import JsonObject, Labels, ShownAs, Text

CLOSED = ConfigDict(protected_namespaces=(), extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
Auto = Literal["auto"]


def _a_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("a number is needed")
    return value


def _unless_auto(value: Any) -> Any:
    return None if value == "auto" else _a_number(value)


_OURS = BeforeValidator(_unless_auto)
_Epochs = Annotated[int, Field(ge=1, le=1000)]
_Rows = Annotated[int, Field(ge=1, le=4096)]
_Multiplier = Annotated[float, Field(gt=0, le=1000)]
_Beta = Annotated[float, Field(gt=0, le=10)]
Epochs = Annotated[_Epochs | None, _OURS, ShownAs(Auto | _Epochs | None)]
Rows = Annotated[_Rows | None, _OURS, ShownAs(Auto | _Rows | None)]
Multiplier = Annotated[_Multiplier | None, _OURS, ShownAs(Auto | _Multiplier | None)]
Beta = Annotated[_Beta | None, _OURS, ShownAs(Auto | _Beta | None)]


class Hyperparameters(BaseModel):
    """`auto`, which is the default, is tuneyard's own."""

    model_config = CLOSED

    n_epochs: Epochs = None
    batch_size: Rows = None
    learning_rate_multiplier: Multiplier = Field(
        None,
        description="Of the method's own peak rate: 1e-4 for full, 1e-3 for lora and qlora, 2e-5 for dpo.",
    )
    beta: Beta = Field(None, description="Of dpo alone.")


class OfMethod(BaseModel):
    model_config = CLOSED

    hyperparameters: Hyperparameters | None = None


class Method(BaseModel):
    model_config = CLOSED

    type: Literal["supervised", "dpo"]
    supervised: OfMethod | None = None
    dpo: OfMethod | None = None

    @property
    def hyperparameters(self) -> Hyperparameters:
        of_type = self.supervised if self.type == "supervised" else self.dpo
        return (of_type and of_type.hyperparameters) or Hyperparameters()


class FinetuneFields(FinetuneConfig):
    """Fields of a fine-tune's config, those that are to be different."""

    model: Text | None = Field(None, min_length=1, max_length=1024)  # type: ignore[assignment]
    dataset: Text | None = Field(None, min_length=1, max_length=1024)  # type: ignore[assignment]


class TuningJob(BaseModel):
    """`tuneyard`: fields of a fine-tune's config, which go before what the others say."""

    model_config = CLOSED

    model: Text = Field(min_length=1, max_length=1024, description="Whatever a config's `model` may be.")
    training_file: Text = Field(
        min_length=1, max_length=1024, description="A file's id, or a config's `dataset`."
    )
    validation_file: Text | None = Field(None, min_length=1, max_length=1024)
    suffix: Text | None = Field(None, max_length=64, description="What to call the job and its model.")
    seed: Annotated[int, Field(ge=0, lt=2**32), BeforeValidator(_a_number)] | None = None
    hyperparameters: Hyperparameters | None = Field(
        None, description="The older place; `method`'s go before."
    )
    method: Method | None = None
    metadata: Labels | None = Field(None, description="The job's labels.")
    integrations: Annotated[list[JsonObject], Field(max_length=0)] | None = Field(
        None, description="None: nothing is sent to other services."
    )
    tuneyard: FinetuneFields | None = None

    @property
    def config(self) -> FinetuneConfig:
        """What is run.

        Raises:
            Problem: 422 for fields that are right by themselves, but not together.
        """
        said = self._said()
        multiplier = said.pop("learning_rate_multiplier", 1)
        config = shape_of(FinetuneConfig, said)
        if multiplier != 1 and config.learning_rate is None:
            rate = {"learning_rate": multiplier * PEAK_LEARNING_RATES[config.method]}
            config = shape_of(FinetuneConfig, said | rate)
        return config

    def _said(self) -> Open:
        """The config's fields by name; what nobody said is left out."""
        method = self.method or Method(type="supervised")
        hyper = {"beta": None}
        for one in (self.hyperparameters or Hyperparameters(), method.hyperparameters):
            hyper |= one.model_dump(exclude_none=True)
        fields = {
            "model": self.model,
            "dataset": place_of(self.training_file),
            "eval_dataset": self.validation_file and place_of(self.validation_file),
            "name": self.suffix or None,
            "seed": self.seed,
            "method": "dpo" if method.type == "dpo" else None,
            "epochs": hyper.get("n_epochs"),
            "dpo_beta": hyper.pop("beta"),
            "batch_size": hyper.get("batch_size"),
            "learning_rate_multiplier": hyper.get("learning_rate_multiplier"),
        }
        ours = self.tuneyard.model_dump(exclude_unset=True, exclude_none=True) if self.tuneyard else {}
        return {name: value for name, value in fields.items() if value is not None} | ours


def place_of(file: str) -> str:
    """A file's id as a config says it; a path, a URL or a hub's name stays what it is."""
    return file if any(mark in file for mark in "/:.") else DATASET + file


# Taken as it comes and looked at in the route: a refusal is a 400, as the client knows it.
TuningBody = Annotated[Any, Body(), ShownAs(TuningJob)]
