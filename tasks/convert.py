"""Child main: turns a GGUF file into a transformers folder (bf16 safetensors, tokenizer, chat template).

Plan: {"gguf": path, "target": an empty folder}. bf16 halves the disk of fp32 and is finer than any quantised
weight. Result: {"parameters": how many, "seconds": wall time}.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tuneyard.errors import BadInput, WorkFailed


def convert(order: Order) -> dict[str, Any]:
    """Loads, strips what marks the model as quantised, saves, and checks that the copy is equal."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    started = time.monotonic()
    gguf, target = Path(order.plan["gguf"]), Path(order.plan["target"])
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise BadInput(f"transformers cannot read this GGUF file: {error}", file=str(gguf)) from error
    _forget_quantisation(model)
    model.to(torch.bfloat16)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _demand_equal(model, target)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    seconds = time.monotonic() - started
    say(f"Converted {parameters / 1e6:.1f} M parameters in {seconds:.0f} s")
    return {"parameters": parameters, "seconds": round(seconds, 2)}


def _forget_quantisation(model: Any) -> None:
    """The loader leaves its quantiser on a model whose modules are all plain, and saving refuses such a model."""
    model.hf_quantizer = None
    for mark in ("is_quantized", "quantization_method"):
        if hasattr(model, mark):
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _demand_equal(model: Any, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    copy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).state_dict()
    for name, weight in model.state_dict().items():
        if not torch.equal(weight, copy[name]):
            raise WorkFailed(f"the converted copy differs from the GGUF file's weights in {name}")


if __name__ == "__main__":
    serve(convert)
