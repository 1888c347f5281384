"""Reports what a Hugging Face Trainer logs, from any script:

    trainer = Trainer(…, callbacks=[TuneyardCallback(client, job_id, "runs/1")])

What it logs is written down in the folder and sent from there in the background: training never waits for the API, and
stops where the job is cancelled or taken over by another run. This module alone of `tuneyard` needs transformers.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tuneyard.client import Client
from tuneyard.credentials import DEFAULT_URL
from tuneyard.errors import BadInput
from tuneyard.reporter import Reporter
from tuneyard.shapes import MetricPoint

log = logging.getLogger(__name__)
_NAMES = {"loss": "train_loss"}
_COLUMNS = set(MetricPoint.model_fields) - {"step", "timestamp", "extra"}


class TuneyardCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """One job's metrics; of several processes that train together the first reports.

    Args:
        client: Holds the job token, and stays the caller's to close. Default: one by TUNEYARD_API_URL and
            TUNEYARD_JOB_TOKEN, or the file that TUNEYARD_JOB_TOKEN_FILE names.
        job_id: Default: TUNEYARD_JOB_ID.
        folder: For what is not sent yet; a later run on the same folder sends it. Default: `tuneyard` in the
            Trainer's output folder.
        patience: Seconds to send what is left when training ends.

    Raises:
        BadInput: A variable that is needed is not set, or its file cannot be read.
    """

    def __init__(
        self,
        client: Client | None = None,
        job_id: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        patience: float = 60.0,
    ) -> None:
        self._job_id = job_id or os.environ.get("TUNEYARD_JOB_ID", "")
        if not self._job_id:
            raise BadInput("give a job_id, or set TUNEYARD_JOB_ID")
        self._client = client
        self._own = None if client else _client_of_environment()
        self._folder = folder
        self._patience = patience
        self._reporter: Reporter | None = None
        self._is_training = False

    @property
    def stop_reason(self) -> str | None:
        """ "cancelled" or "superseded" where the API has said so."""
        return self._reporter.stop_reason if self._reporter else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._is_training = True
        if state.is_world_process_zero:
            self._open(args)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        if not state.is_world_process_zero or not logs:
            return
        try:
            self._open(args).report(point_in(logs, state.global_step))
        except OSError as problem:  # of the disk: training is worth more than its chart
            log.warning("A point of step %s is lost: %s", state.global_step, problem)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self.stop_reason is not None:
            control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if not self._is_training:
            self._close()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._is_training = False
        self._close()

    def _open(self, args: Any) -> Reporter:
        if self._reporter is None or self._reporter.is_closed:
            folder = Path(self._folder or Path(args.output_dir) / "tuneyard")
            if self._client is None and self._own is None:  # closed when training ended
                self._own = _client_of_environment()
            self._reporter = Reporter(self._client or self._own, self._job_id, folder)
        return self._reporter

    def _close(self) -> None:
        if self._reporter is not None and (left := self._reporter.close(self._patience)):
            log.warning("%s points are left unsent: a later run on the same folder sends them", left)
        if self._own is not None:
            self._own.close()
            self._own = None


def point_in(logs: dict[str, Any], step: int) -> MetricPoint:
    """What the Trainer logs, as a point; the mean that it says at the end is not this step's loss."""
    numbers = {_NAMES.get(name, name): float(value) for name, value in logs.items() if _is_number(value)}
    if "train_runtime" in numbers and "train_loss" in numbers:
        numbers["mean_train_loss"] = numbers.pop("train_loss")
    known = {name: numbers.pop(name) for name in _COLUMNS & numbers.keys()}
    return MetricPoint(step=step, **known, extra=numbers)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str) and hasattr(value, "__float__")


def _client_of_environment() -> Client:
    url = os.environ.get("TUNEYARD_API_URL") or DEFAULT_URL
    return Client(url, job_token=_token(), patience=2.0, timeout=10.0)


def _token() -> str:
    if token := os.environ.get("TUNEYARD_JOB_TOKEN", "").strip():
        return token
    file = os.environ.get("TUNEYARD_JOB_TOKEN_FILE", "").strip()
    if not file:
        raise BadInput(
            "give a client, or set TUNEYARD_JOB_TOKEN, or TUNEYARD_JOB_TOKEN_FILE to a file that holds it"
        )
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise BadInput(f"TUNEYARD_JOB_TOKEN_FILE cannot be read: {reason}", file=file) from None
