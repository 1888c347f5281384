"""Loads a local transformers folder, or an adapter's; for child processes (torch and transformers come with it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.adapter import is_adapter, load_merged
from tuneyard.errors import BadInput


def load_tokenizer(folder: Path) -> Any:
    """Raises BadInput where transformers cannot make a tokenizer of the folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"the model's tokenizer cannot be loaded: {error}", file=str(folder)) from error


def load_model(folder: Path, dtype: Any, attention: str | None = None, quantization: Any = None) -> Any:
    """The causal language model in `dtype`; an adapter's folder gives its base model with the adapter merged in.

    Args:
        attention: transformers' name of an implementation; None: the one that the model prefers.
        quantization: A quantization config of transformers, for a model that is not an adapter's.

    Raises:
        BadInput: the folder does not hold a model that transformers can load.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    if is_adapter(folder):
        return load_merged(folder, load_model, dtype, attention)
    extra = {} if quantization is None else {"quantization_config": quantization, "device_map": {"": 0}}
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention, **extra
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadInput(f"the model cannot be loaded: {error}", file=str(folder)) from error


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids of the tokens at which an answer ends, from the generation config and the tokenizer."""
    configured = model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured]) | {tokenizer.eos_token_id}
    ends.discard(None)
    if not ends:
        raise BadInput(
            "the model names no end token, so it could never learn or be seen to stop", field="model"
        )
    return ends


def context_length(model: Any) -> int | None:
    """The most tokens the model was made for; None where its config does not say."""
    length: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return length
