"""A fine-tune on two devices is the one on one device with a batch twice as large, and survives as that does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader

from tasks.checkpoint import checkpoints, fault, step_of
from tasks.child import Order
from tasks.footprint import ModelSize, memory_needed
from tasks.hardware import Device
from tasks.launch import run_child
from tasks.method import refuse_method
from tasks.pretrained import load_model, load_tokenizer
from tasks.train import train
from tests.tiny_model import make_broken_model, make_tiny_model
from tests.training_fixtures import points_in, train_plan
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput, Diverged

PARTED = {
    "distributed": "fsdp",
    "gradient_accumulation": 2,
    "epochs": 5,
    "eval_fraction": 0.3,
    "eval_every": 2,
    "report_every": 3,
    "checkpoint_every": None,
}
STOPPED: dict[str, dict[str, Any]] = {
    "full": {"learning_rate": 0.05, "schedule": "constant"},
    "lora": {"method": "lora", "learning_rate": 0.02, "lora": {"dropout": 0.2}},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, dict[str, Any]]:
    """A whole run of two ranks, on the CPU, and its result."""
    folder = tmp_path_factory.mktemp("work") / "both"
    folder.mkdir()
    return folder, on_two(folder, train_plan(folder, model, checkpoint_every=2, report_every=1))


@pytest.fixture(scope="module")
def parted(
    tmp_path_factory: pytest.TempPathFactory, model: Path, both: tuple[Path, dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """The same run, of which each rank holds a part of the model, and its result."""
    folder = tmp_path_factory.mktemp("work") / "parted"
    plan = train_plan(folder, model, checkpoint_every=2, report_every=1, distributed="fsdp")
    plan["config"]["dataset"] = str(both[0].parent / "rows.jsonl")
    return folder, on_two(folder, plan)


def written_by(folder: Path) -> dict[str, set[str]]:
    """Of each tensor in a checkpoint's half, the files with a piece of it: each rank writes one, of what it holds."""
    found: dict[str, set[str]] = {}
    for piece, place in FileSystemReader(folder).read_metadata().storage_data.items():
        found.setdefault(piece.fqn, set()).add(place.relative_path)
    return found


def curve(folder: Path) -> dict[int, tuple[Any, ...]]:
    """What was reported of each step."""
    names = ("train_loss", "eval_loss", "grad_norm", "learning_rate")
    return {point["step"]: tuple(point.get(name) for name in names) for point in points_in(folder)}


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


def test_parted_the_ranks_learn_the_same_and_each_keeps_its_part(
    both: tuple[Path, dict[str, Any]], parted: tuple[Path, dict[str, Any]]
) -> None:
    """Not to the bit: the norm that gradients are clipped by is summed part by part, so in another order."""
    assert parted[1]["tokens"] == both[1]["tokens"]
    for name in ("train_loss", "grad_norm", "learning_rate"):
        whole = [point[name] for point in points_in(both[0])]
        assert [point[name] for point in points_in(parted[0])] == pytest.approx(whole, rel=1e-5), name
    checkpoint = parted[0] / "checkpoints" / "checkpoint-4"
    assert fault(checkpoint) is None
    for half, kind in (("pytorch_model_fsdp_0", ".weight"), ("optimizer_0", ".exp_avg")):
        pieces = [files for name, files in written_by(checkpoint / half).items() if kind in name]
        assert len(pieces) >= 20
        assert all(files == {"__0_0.distcp", "__1_0.distcp"} for files in pieces)
        sizes = [path.stat().st_size for path in (checkpoint / half).glob("*.distcp")]
        assert max(sizes) < 0.6 * sum(sizes)


def test_parted_the_result_is_one_whole_model(
    both: tuple[Path, dict[str, Any]], parted: tuple[Path, dict[str, Any]]
) -> None:
    folder = Path(parted[1]["model_dir"])
    names = [{path.name for path in Path(run[1]["model_dir"]).iterdir()} for run in (both, parted)]
    assert names[0] == names[1]
    whole, mine = (load_model(Path(run[1]["model_dir"]), torch.float32) for run in (both, parted))
    assert mine.config.to_diff_dict() == whole.config.to_diff_dict()
    torch.testing.assert_close(dict(mine.state_dict()), dict(whole.state_dict()), rtol=1e-4, atol=1e-5)
    prompt = load_tokenizer(folder)("March 5th, 2031", return_tensors="pt")
    answers = [model.generate(**prompt, max_new_tokens=8, do_sample=False) for model in (mine, whole)]
    assert answers[0].tolist() == answers[1].tolist()


def test_parts_are_not_taken_up_by_another_kind_or_number_of_ranks(
    parted: tuple[Path, dict[str, Any]], tmp_path: Path, model: Path
) -> None:
    folder = shutil.copytree(parted[0], tmp_path / "run")
    plan = json.loads((folder / "plan.json").read_text())
    with pytest.raises(BadInput, match="made with 2, and this is 1") as number:
        train(Order(folder, plan, {}))
    assert number.value.field == "gpus"
    plan["config"]["distributed"] = "ddp"
    with pytest.raises(BadInput, match="made with fsdp, and this is ddp") as kind:
        on_two(folder, plan)
    assert kind.value.field == "distributed"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_parts_that_are_stopped_go_on_to_the_same_losses_and_weights(
    tmp_path: Path, model: Path, method: str
) -> None:
    """With evaluations, of which not the last is the best, and dropout, for which each rank has its own numbers."""
    config = json.loads((model / "config.json").read_text())
    model = shutil.copytree(model, tmp_path / "model")
    (model / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.2}))

    class Halt(BaseException):
        pass

    def watch() -> None:
        if any(line.startswith("step ") for line in lines):
            raise Halt

    lines: list[str] = []
    runs = [train_plan(tmp_path / name, model, **PARTED, **STOPPED[method]) for name in ("run", "unbroken")]
    with pytest.raises(Halt):
        on_two(tmp_path / "run", runs[0], watch=watch, say=lines.append)
    newest = checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert f"Told to stop at step {step_of(newest)}" in (tmp_path / "run" / "child.log").read_text()
    assert fault(newest) is None
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in newest.iterdir()}
    lines.clear()
    resumed = on_two(tmp_path / "run", runs[0], say=lines.append)
    assert f"Going on from {newest.name}" in lines
    unbroken = on_two(tmp_path / "unbroken", runs[1])
    same = ("weights_sha256", "first_loss", "last_loss", "eval_loss", "best_step", "steps")
    assert {name: resumed[name] for name in same} == {name: unbroken[name] for name in same}
    assert curve(tmp_path / "run") == curve(tmp_path / "unbroken")
    assert method == "lora" or resumed["best_step"] < resumed["steps"]


@pytest.mark.slow
def test_parts_whose_loss_is_no_number_end_the_run(tmp_path: Path) -> None:
    plan = train_plan(tmp_path / "run", make_broken_model(tmp_path / "broken"), distributed="fsdp")
    with pytest.raises(Diverged, match="the loss at step 1 is nan"):
        on_two(tmp_path / "run", plan)


def test_what_cannot_be_parted_is_refused_before_a_card_is_taken() -> None:
    card = Device("cuda", "cuda:0", has_bf16=True)
    for method in ("qlora", "dpo"):
        config = FinetuneConfig(model="m", dataset="d", gpus=2, distributed="fsdp", method=method)
        with pytest.raises(BadInput, match=f"use ddp with {method}") as caught:
            refuse_method(config, card, installed=lambda _: True)
        assert caught.value.field == "distributed"
    refuse_method(FinetuneConfig(model="m", dataset="d", gpus=2, distributed="fsdp"), card)


def test_a_part_needs_less_memory_than_the_whole() -> None:
    size = ModelSize(7 * 10**9, (), 65, 32, 4096, 32, 32_000)
    whole, half, eighth = (
        memory_needed(
            size,
            FinetuneConfig(model="m", dataset="d", gpus=gpus, distributed="fsdp"),
            "bf16",
            0,
            checkpointed=False,
        )
        for gpus in (1, 2, 8)
    )
    assert 0.5 * whole < half < 0.6 * whole
    assert 0.125 * whole < eighth < 0.25 * whole


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
