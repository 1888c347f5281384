"""What a run's checkpoints hang on: they go on only with the config, data and base model that they began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.checkpoint import checkpoints
from tasks.durable import write_json
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput

FILE = "fingerprint.json"
# Names, and what changes neither losses nor weights. Of data and model the content counts, not where they lie.
FREE = {
    "name",
    "model",
    "dataset",
    "eval_dataset",
    "report_every",
    "checkpoint_every",
    "keep_checkpoints",
    "max_restarts",
    "watchdog",
    "tests",
    "gpus",
}


def fingerprint(config: FinetuneConfig, hashes: dict[str, str | None]) -> dict[str, Any]:
    """A flat dict, config field by config field; `hashes` are those of the fields whose content counts."""
    fields = config.model_dump(mode="json", exclude=FREE) | {"learning_rate": config.peak_learning_rate}
    return {**_flat(fields), **hashes}


def hold_to(mine: dict[str, Any], folder: Path) -> None:
    """Writes the fingerprint beside the checkpoints in `folder`, or compares it with the one of those there.

    Raises:
        BadInput: they were made with something else; names the field.
    """
    path = folder / FILE
    if path.exists() and checkpoints(folder):
        theirs = json.loads(path.read_text(encoding="utf-8"))
        for field, value in mine.items():
            if field in theirs and theirs[field] != value:
                raise BadInput(_changed(field, theirs[field], value, folder), field=field)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, mine)


def _changed(field: str, then: Any, now: Any, folder: Path) -> str:
    if field in ("model", "dataset", "eval_dataset"):
        then, now = (f"content of sha256 {str(digest)[:12]}…" if digest else digest for digest in (then, now))
    return (
        f"the checkpoints in {folder} were made with {then}, and this is {now}; a run goes on only as it began. "
        "Put it back, or start a new job"
    )


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
