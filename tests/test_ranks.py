"""A fine-tune on two devices is the one on one device with a batch twice as large, and survives as that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.child import Order
from tasks.hardware import Device
from tasks.launch import run_child
from tasks.method import refuse_method
from tasks.train import train
from tests.tiny_model import make_tiny_model
from tests.training_fixtures import points_in, train_plan
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, dict[str, Any]]:
    """A whole run of two ranks, on the CPU, and its result."""
    folder = tmp_path_factory.mktemp("work") / "both"
    folder.mkdir()
    return folder, on_two(folder, train_plan(folder, model, checkpoint_every=2, report_every=1))


def on_two(folder: Path, plan: dict[str, Any], **watching: Any) -> dict[str, Any]:
    options = {"watch": lambda: None, "say": print, **watching}
    return run_child("tasks.train", plan, folder, secrets={}, processes=2, interval=0.05, **options)


def test_two_ranks_learn_what_one_learns_from_batches_twice_as_large(
    both: tuple[Path, dict[str, Any]], tmp_path: Path, model: Path
) -> None:
    folder, result = both
    plan = train_plan(tmp_path / "one", model, batch_size=4, report_every=1)
    plan["config"]["dataset"] = str(folder.parent / "rows.jsonl")
    alone = train(Order(tmp_path / "one", plan, {}))
    assert (result["steps"], result["epochs"]) == (alone["steps"], alone["epochs"]) == (6, 1.0)
    assert result["tokens"] == alone["tokens"]
    losses = [point["train_loss"] for point in points_in(tmp_path / "one")]
    assert [point["train_loss"] for point in points_in(folder)] == pytest.approx(losses, rel=1e-3)


def test_only_the_first_of_two_ranks_tells_what_happens(both: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = both
    assert [point["step"] for point in points_in(folder)] == [1, 2, 3, 4, 5, 6]
    lines = (folder / "child.log").read_text().splitlines()
    assert len([line for line in lines if line.startswith("step 6/6")]) == 1
    assert not [line for line in lines if "Traceback" in line or "Warning" in line]


def test_fsdp_is_refused_before_a_card_is_taken() -> None:
    config = FinetuneConfig(model="m", dataset="d", gpus=2, distributed="fsdp")
    with pytest.raises(BadInput, match="use ddp") as caught:
        refuse_method(config, Device("cuda", "cuda:0", has_bf16=True))
    assert caught.value.field == "distributed"


@pytest.mark.slow
def test_two_ranks_that_are_stopped_go_on_to_the_same_weights(
    both: tuple[Path, dict[str, Any]], tmp_path: Path, model: Path
) -> None:
    class Halt(BaseException):
        pass

    def watch() -> None:
        if "Saved checkpoint-2" in lines:
            raise Halt

    lines: list[str] = []
    plan = train_plan(tmp_path / "run", model, checkpoint_every=2, report_every=1)
    plan["config"]["dataset"] = str(both[0].parent / "rows.jsonl")
    with pytest.raises(Halt):
        on_two(tmp_path / "run", plan, watch=watch, say=lines.append)
    result = on_two(tmp_path / "run", plan, say=lines.append)
    assert any(line.startswith("Going on from checkpoint-") for line in lines)
    assert result["sha256"] == both[1]["sha256"]
