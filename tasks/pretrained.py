"""Loads a local transformers folder; for child processes (torch and transformers come with it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.render import TokenRow
from tuneyard.errors import BadInput


def load_tokenizer(folder: Path) -> Any:
    """Raises BadInput where transformers cannot make a tokenizer of the folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"the model's tokenizer cannot be loaded: {error}", file=str(folder)) from error


def load_model(folder: Path, dtype: Any) -> Any:
    """The causal language model in `dtype`; greedy, with no sampling settings left over from its maker.

    Raises:
        BadInput: the folder does not hold a model that transformers can load.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadInput(f"the model cannot be loaded: {error}", file=str(folder)) from error
    return model


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


def refuse_long_rows(rows: list[TokenRow], max_length: int, context: int | None, path: Path) -> None:
    """Raises BadInput for the first row that is too long: cutting it would teach half an answer."""
    limit = max_length if context is None else min(max_length, context)
    whose = "max_length" if limit == max_length else "the model's context"
    for row in rows:
        if len(row.ids) > limit:
            problem = f"the row has {len(row.ids)} tokens and {whose} is {limit}; shorten the row or raise the limit"
            raise BadInput(problem, file=str(path), line=row.line)
