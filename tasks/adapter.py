"""LoRA adapters: put beside a base model, loaded with it, merged into it. peft comes with it, in child processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.hush import hushed
from tasks.model import fetch_model
from tasks.storage import fetched_model
from tuneyard.configs import LoraConfig
from tuneyard.errors import BadInput
from tuneyard.home import home

CONFIG = "adapter_config.json"
FACTS = "training.json"
Load = Callable[..., Any]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter alone, which needs its base model."""
    return (folder / CONFIG).exists()


def lora_config(lora: LoraConfig) -> Any:
    """peft's form of ours."""
    import peft

    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
    )


def attach(model: Any, lora: LoraConfig) -> Any:
    """The model with a fresh adapter, which alone is trained; its own weights are frozen.

    Raises:
        BadInput: the model has none of the layers that `targets` names.
    """
    import peft

    try:
        return peft.get_peft_model(model, lora_config(lora))
    except ValueError as error:
        raise BadInput(f"no adapter fits this model: {error}", field="lora.targets") from error


def load_merged(folder: Path, load: Load, dtype: Any, attention: str | None) -> Any:
    """The base model with the adapter in `folder` added into its weights: as fast as a model without one.

    They are added in fp32, whatever `dtype` is: in bf16 most of what the adapter learnt would be rounded away.
    """
    import torch

    merged = with_adapter(folder, load, torch.float32, attention).merge_and_unload()
    merged.name_or_path = str(folder)
    return merged.to(dtype)


def with_adapter(folder: Path, load: Load, dtype: Any, attention: str | None = None) -> Any:
    """The base model and, beside it, the adapter. Raises BadInput where one of them cannot be had."""
    import peft
    from safetensors import SafetensorError

    model = load(base_of(folder), dtype, attention)
    try:
        with hushed():
            return peft.PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"the adapter cannot be loaded: {error}", file=str(folder)) from error


def base_of(folder: Path) -> Path:
    """The base model's folder: where the adapter says it lay, among the models that this host fetched from where
    artifacts are kept, or else had again by the name that trained it.

    Raises:
        BadInput: it is in none of these places.
    """
    named = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    if Path(named).is_dir():
        return Path(named)
    reference, file = named, folder / FACTS
    if file.exists():
        facts = json.loads(file.read_text(encoding="utf-8"))
        reference = facts["config"]["model"]
        if (fetched := fetched_model(facts["sha256"]["model"])).is_dir():
            return fetched
    if reference.startswith("artifact:"):
        problem = f"its base model {reference} is not at {named}, nor fetched to this host"
        raise BadInput(problem, file=str(folder / CONFIG))
    try:
        return fetch_model(reference, home(), _quiet)
    except BadInput as error:
        problem = f"its base model is not at {named}, and {error.problem}"
        raise BadInput(problem, file=str(folder / CONFIG)) from error


def _quiet(_: str) -> None:
    """A base model that is fetched again is no news of the run's log."""
