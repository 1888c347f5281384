"""The base model as a method wants it: its number format, how attention is computed, with or without an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.adapter import attach, is_adapter
from tasks.hardware import Device, Precision
from tasks.method import attention_name
from tasks.model import HUB_ID
from tasks.pretrained import load_model, load_tokenizer
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput

FULL_CARD = 0.9  # of a card's memory: above it, activations are rather computed twice than kept


@dataclass(frozen=True)
class Base:
    """What is trained, and with what precision; for dpo the adapter is not yet attached: TRL does that."""

    folder: Path
    model: Any
    tokenizer: Any
    device: Device
    precision: Precision


def load_base(folder: Path, config: FinetuneConfig, device: Device, precision: Precision) -> Base:
    """Model and tokenizer, ready to be trained.

    Raises:
        BadInput: they cannot be loaded, or do not go with the method.
    """
    tokenizer = load_tokenizer(folder)
    attention = attention_name(config, device, precision)
    model = load_model(folder, _dtype(config, device, precision), attention, _quantization(config, folder))
    hub = HUB_ID.fullmatch(config.model) and not Path(config.model).exists()
    model.name_or_path = config.model if hub else str(folder)  # what an adapter names as its base
    if config.method == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if config.method in ("lora", "qlora"):
        from transformers import set_seed

        set_seed(config.seed)  # an adapter begins at random weights
        model = attach(model, config.lora)
    return Base(folder, model, tokenizer, device, precision)


def wants_checkpointing(base: Base, config: FinetuneConfig, longest: int) -> bool:
    """auto: on a card whose memory would not hold a batch of the longest row (so many tokens) otherwise."""
    if config.activation_checkpointing != "auto" or base.device.kind != "cuda":
        return config.activation_checkpointing == "on"
    import torch

    from tasks.footprint import memory_needed
    from tasks.model_size import size_of, weightless

    size = size_of(base.model if config.method == "full" else weightless(base.folder))
    needed = memory_needed(size, config, base.precision, longest, checkpointed=False)
    return needed > FULL_CARD * torch.cuda.get_device_properties(0).total_memory


def _dtype(config: FinetuneConfig, device: Device, precision: Precision) -> Any:
    """What is trained is fp32: in bf16 small steps are rounded away. A frozen base on a card is in the format that is
    computed in, which halves it; on a CPU, where autocast converts weights anyway, it stays as exact as it is."""
    import torch

    frozen = config.method != "full" and device.kind == "cuda"
    return torch.bfloat16 if frozen and precision == "bf16" else torch.float32


def _quantization(config: FinetuneConfig, folder: Path) -> Any:
    if config.method != "qlora":
        return None
    if is_adapter(folder):
        raise BadInput("an adapter's base cannot be loaded in 4 bits; merge the adapter first", field="model")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
