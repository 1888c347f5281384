"""Whether a method can run here, asked before anything is downloaded or loaded. Also a child's main.

`python -m tasks.method <folder>`: plan {"config": a FinetuneConfig as dict}; result {"device"}.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from tasks.child import Order, serve
from tasks.hardware import Device, this_device
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput

# method -> (the module it needs, the extra of ours that installs it)
EXTRAS = {"dpo": ("trl", "dpo"), "qlora": ("bitsandbytes", "qlora")}


def is_installed(module: str) -> bool:
    """Without importing it."""
    return find_spec(module) is not None


def refuse_method(
    config: FinetuneConfig, device: Device, installed: Callable[[str], bool] = is_installed
) -> None:
    """Raises BadInput, naming the config's field, where fields contradict one another or this host lacks what the
    method needs."""
    method = config.method
    if config.early_stopping is not None and config.eval_dataset is None and config.eval_fraction == 0:
        problem = "needs rows to evaluate on: give eval_dataset or eval_fraction"
        raise BadInput(problem, field="early_stopping")
    if config.distributed == "fsdp" and method in ("qlora", "dpo"):
        problem = f"fsdp is for the methods full and lora; use ddp with {method}"
        raise BadInput(problem, field="distributed")
    if config.packing and method == "dpo":
        raise BadInput("pairs of answers are not packed; leave it off with dpo", field="packing")
    if method == "qlora" and device.kind != "cuda":
        problem = f"qlora needs a CUDA card for its 4-bit weights, and this host has {device.words}; use lora"
        raise BadInput(problem, field="method")
    if method in EXTRAS:
        module, extra = EXTRAS[method]
        if not installed(module):
            problem = f"{method} needs {module}, which is not installed here: pip install 'tuneyard[{extra}]'"
            raise BadInput(problem, field="method")
    if config.attention == "flash" and not (device.kind == "cuda" and installed("flash_attn")):
        problem = (
            "flash needs a CUDA card and the flash_attn package, and this host lacks one of them; use auto"
        )
        raise BadInput(problem, field="attention")


def hangs_on_host(config: FinetuneConfig) -> bool:
    """Whether it is worth a look at this host before gigabytes of a model are fetched to it."""
    return config.method in EXTRAS or config.attention == "flash"


def attention_name(config: FinetuneConfig, device: Device, precision: str) -> str | None:
    """transformers' name of the implementation; None leaves it to the model (SDPA where it can).

    FlashAttention computes in bf16 alone.
    """
    if config.attention in ("sdpa", "eager"):
        return config.attention
    fits = device.kind == "cuda" and precision == "bf16" and is_installed("flash_attn")
    return "flash_attention_2" if config.attention == "flash" or fits else None


def check(order: Order) -> dict[str, Any]:
    """The child's work. Raises BadInput."""
    device = this_device()
    refuse_method(FinetuneConfig.model_validate(order.plan["config"]), device)
    return {"device": device.words}


if __name__ == "__main__":
    serve(check)
