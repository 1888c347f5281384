"""A model's shapes, from its config alone; none of its weights is read. For child processes (torch comes with it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.adapter import base_of, is_adapter
from tasks.footprint import Linear, ModelSize
from tuneyard.errors import BadInput


def weightless(folder: Path) -> Any:
    """The model on torch's `meta` device, with its own generation config; of an adapter, its base model.

    Raises:
        BadInput: transformers cannot make a causal language model of the folder's config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    if is_adapter(folder):
        folder = base_of(folder)
    try:
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        if (folder / "generation_config.json").exists():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"the model cannot be loaded: {error}", file=str(folder), field="model") from error
    return model


def size_of(model: Any) -> ModelSize:
    """The shapes that memory and disk hang on."""
    from torch import nn

    config, head = model.config.get_text_config(), model.get_output_embeddings()
    linears = [
        Linear(name, module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    ]
    return ModelSize(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linears=tuple(linears),
        norms=sum("Norm" in type(module).__name__ for module in model.modules()),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
    )
