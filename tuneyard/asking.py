# Generated from async_asking.py by `python -m tests.unasync --write`; do not edit.
"""Work that is asked for: trained, predicted, merged, put through the gate, or looked at first."""

from __future__ import annotations

from typing import Any, Literal

from tuneyard.batch_configs import PredictConfig
from tuneyard.batch_shapes import PipelineRequest
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.identifiers import fresh_id
from tuneyard.shapes import (
    MergeRequest,
    PredictRequest,
    PredictRows,
    Started,
    Table,
    TrainRequest,
    ValidateRequest,
    Validation,
)
from tuneyard.wire import Wire


def _asked(**given: Any) -> dict[str, Any]:
    """What is sent of what may be left out."""
    return {name: value for name, value in given.items() if value is not None}


class Asking:
    """The part of `jobs` that has new ones made."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def train(
        self,
        config: FinetuneConfig | TabularConfig | None = None,
        name: str | None = None,
        job_id: str | None = None,
        *,
        config_id: str | None = None,
        data: Table | None = None,
    ) -> Started:
        """Record a fine-tune, or a fit of a table, and have Prefect run it; a request whose answer was lost is
        repeated as the same job.

        Args:
            config: What to do; or `config_id`, one that is kept.
            name: In place of the config's own.
            job_id: An id of yours; default: a new one.
            data: Rows to train on, in place of the config's `dataset`.

        Example:
            config = FinetuneConfig(model="org/base", dataset="rows.jsonl", epochs=2)
            job = client.jobs.train(config, name="nightly")
        """
        if isinstance(config, TabularConfig):  # only what was set is sent, and its method says what it is
            config = config.model_copy(update={"method": config.method})
        asked = _asked(config=config, config_id=config_id, name=name, data=data)
        body = TrainRequest(**asked, id=job_id or fresh_id())
        return self._wire.ask(Started, "POST", "/api/v1/ml/$train", body)

    def predict(
        self,
        config: PredictConfig | None = None,
        name: str | None = None,
        job_id: str | None = None,
        *,
        config_id: str | None = None,
        rows: PredictRows | None = None,
    ) -> Started:
        """Have a model answer prompts or predict a column of rows, as `train` has one trained.

        Args:
            config: What to do; or `config_id`, one that is kept; or `rows`, a model that is an artifact and its input.

        Example:
            config = PredictConfig(model="org/base", prompts=["What is 2 + 2?"])
            started = client.jobs.predict(config)
            print(started.prediction_artifact_id)
        """
        named = _asked(name=name) | {"id": job_id or fresh_id()}
        body = (
            PredictRequest(**_asked(config=config, config_id=config_id), **named)
            if rows is None
            else rows.model_copy(update={**named, "id": job_id or rows.id or named["id"]})
        )
        return self._wire.ask(Started, "POST", "/api/v1/ml/$predict", body)

    def merge(
        self,
        config: MergeConfig | None = None,
        name: str | None = None,
        job_id: str | None = None,
        *,
        config_id: str | None = None,
    ) -> Started:
        """Have an adapter added into its base model, as `train` has a model trained.

        Example:
            job = client.jobs.merge(MergeConfig(artifact=adapter_id))
        """
        body = MergeRequest(**_asked(config=config, config_id=config_id, name=name), id=job_id or fresh_id())
        return self._wire.ask(Started, "POST", "/api/v1/ml/$merge", body)

    def pipeline(
        self,
        config: PipelineConfig | None = None,
        name: str | None = None,
        job_id: str | None = None,
        *,
        config_id: str | None = None,
    ) -> Started:
        """Have a model fine-tuned, tested and, where it is better, promoted, as `train` has one trained.

        Example:
            config = {"finetune": {"model": "org/base", "dataset": "rows.jsonl"}, "test": {"suite": suite_id}}
            job = client.jobs.pipeline(PipelineConfig.model_validate(config))
        """
        body = PipelineRequest(
            **_asked(config=config, config_id=config_id, name=name), id=job_id or fresh_id()
        )
        return self._wire.ask(Started, "POST", "/api/v1/ml/$pipeline", body)

    def validate(
        self,
        config: dict[str, Any] | None = None,
        run: bool = False,
        *,
        config_id: str | None = None,
        kind: Literal["finetune", "batch_test", "tabular", "predict"] | None = None,
    ) -> Validation:
        """What the API can see of a config, or of one that is kept; with `run`, the job that looks at the model and
        the rows of a fine-tune's.

        Args:
            kind: What it is a config of; default: a fine-tune.

        Example:
            found = client.jobs.validate({"model": "org/base", "dataset": "rows.jsonl", "epochs": 0})
            print([fault.message for fault in found.diagnostics])
        """
        body = ValidateRequest(**_asked(config=config, config_id=config_id, kind=kind), run=run)
        return self._wire.ask(Validation, "POST", "/api/v1/ml/$validate", body)
