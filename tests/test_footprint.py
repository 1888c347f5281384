"""The estimates of memory and disk hold: a run never needs more than was said before, nor a small part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from tasks.adapter import lora_config
from tasks.durable import folder_sha256
from tasks.footprint import LOGIT, ModelSize, disk_needed, memory_needed, trainable_parameters
from tasks.model_size import size_of, weightless
from tasks.pretrained import load_model
from tests.tiny_model import make_tiny_model
from tuneyard.configs import FinetuneConfig

ROWS, TOKENS = 4, 128
GIB = 2**30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def config(**rest: Any) -> FinetuneConfig:
    return FinetuneConfig(model="m", dataset="d", batch_size=ROWS, **rest)


def held_after_forward(model: Any, bf16: bool) -> int:
    """Bytes that autograd keeps for the backward pass, the weights themselves left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 300, (ROWS, TOKENS))
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        loss = model.train()(input_ids=ids, labels=ids).loss
    assert loss.isfinite()
    return sum(kept.values())


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks for it
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_autograd_keeps_is_within_the_estimate_and_more_than_a_third_of_it(
    folder: Path, method: Any, precision: Any
) -> None:
    asked = config(method=method)
    size = size_of(weightless(folder))
    model = load_model(folder, torch.float32)
    if method == "lora":
        model = peft.get_peft_model(model, lora_config(asked.lora))
        assert trainable_parameters(size, asked) == model.get_nb_trainable_parameters()[0]
    long, none = (
        memory_needed(size, asked, precision, tokens, checkpointed=False, on_card=False)
        for tokens in (TOKENS, 0)
    )
    step = (long - none) / 1.1 + (2 * size.parameters if precision == "bf16" else 0)  # and autocast's copies
    kept = held_after_forward(model, precision == "bf16")
    assert step / 3 < kept < step


def test_shapes_are_those_of_the_loaded_model(folder: Path) -> None:
    assert size_of(weightless(folder)) == size_of(load_model(folder, torch.float32))


LARGE = ModelSize(7 * 10**9, (), 65, 32, 4096, 32, 32_000)


def test_a_large_model_needs_what_the_literature_says() -> None:
    """16 bytes a parameter and autocast's 2, before any activation: 117 GiB for seven billion."""
    state = memory_needed(LARGE, config(), "bf16", 0, checkpointed=False)
    assert state == pytest.approx(1.1 * 18 * 7e9 + GIB)
    adapter = memory_needed(LARGE, config(method="lora"), "bf16", 0, checkpointed=False)
    assert adapter == pytest.approx(1.1 * 2 * 7e9 + GIB)


def test_each_saving_saves(folder: Path) -> None:
    size = size_of(weightless(folder))

    def needed(checkpointed: bool = False, **rest: Any) -> int:
        return memory_needed(size, config(**rest), "bf16", 2000, checkpointed=checkpointed)

    assert needed(checkpointed=True) < needed()
    assert needed(attention="eager") > needed(attention="sdpa")
    assert needed(method="dpo") > needed(method="lora")
    assert needed() > ROWS * 2000 * size.vocabulary * LOGIT


def test_disk_counts_the_checkpoints_that_lie_there_at_once(folder: Path) -> None:
    size = size_of(weightless(folder))
    weights = 4 * size.parameters
    assert disk_needed(size, config(keep_checkpoints=2), "fp32") == 3 * 3 * weights + weights
    assert (
        disk_needed(size, config(keep_checkpoints=2, eval_fraction=0.1), "fp32") == 4 * 3 * weights + weights
    )
    assert disk_needed(size, config(checkpoint_every=None), "fp32") == weights
    assert weights < folder_sha256(folder)[1] * 1.1
