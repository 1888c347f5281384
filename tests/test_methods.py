"""Every method learns, leaves a result that can be used, and refuses what it cannot do before it loads anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.child import Order
from tasks.durable import folder_sha256
from tasks.hardware import Device
from tasks.launch import run_child
from tasks.merge import merge
from tasks.method import attention_name, refuse_method
from tasks.model import fetch_model
from tasks.pretrained import load_model, load_tokenizer
from tasks.train import train
from tests.tiny_model import make_tiny_model
from tests.training_fixtures import points_in, train_plan, write_rows
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput

CPU, CARD = Device("cpu", "cpu (2 cores)", has_bf16=True), Device("cuda", "cuda:0", has_bf16=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, dict[str, Any]]:
    """A run by LoRA and its result."""
    folder = tmp_path_factory.mktemp("lora") / "run"
    return folder, here(folder, train_plan(folder, model, method="lora", learning_rate=2e-2, epochs=2))


def here(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return train(Order(folder, plan, {}))


def write_pairs(path: Path, count: int = 16) -> Path:
    rows = [
        {"prompt": f"March {day}, 2031", "chosen": f"2031-03-{day:02}", "rejected": f"03/{day:02}/31"}
        for day in range(1, count + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(model(**tokenizer("March 5th, 2031", return_tensors="pt")).logits)


def test_lora_learns_and_leaves_the_adapter_alone(adapter: tuple[Path, dict[str, Any]], model: Path) -> None:
    _, result = adapter
    saved = Path(result["model_dir"])
    assert result["kind"] == "adapter"
    assert result["last_loss"] < 0.9 * result["first_loss"]
    assert {path.name for path in saved.glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert result["size_bytes"] < folder_sha256(model)[1]
    assert load_tokenizer(saved).chat_template == load_tokenizer(model).chat_template
    assert json.loads((saved / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)


def test_an_adapters_folder_is_a_model_to_test_and_to_train_on(
    adapter: tuple[Path, dict[str, Any]], model: Path, tmp_path: Path
) -> None:
    saved = fetch_model(adapter[1]["model_dir"], tmp_path, print)
    tokenizer = load_tokenizer(saved)
    base, tuned = load_model(model, torch.float32), load_model(saved, torch.float32)
    assert type(tuned) is type(base)
    assert not torch.allclose(logits(base, tokenizer), logits(tuned, tokenizer), atol=1e-2)
    again = here(tmp_path / "run", train_plan(tmp_path / "run", saved, method="lora", max_steps=2))
    second = load_model(Path(again["model_dir"]), torch.float32)
    assert logits(second, tokenizer).shape == logits(base, tokenizer).shape


def test_an_adapter_whose_base_is_gone_says_so(
    adapter: tuple[Path, dict[str, Any]], model: Path, tmp_path: Path
) -> None:
    config = (Path(adapter[1]["model_dir"]) / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config.replace(str(model), "/nowhere"))
    with pytest.raises(BadInput, match=r"its base model is not at .*nowhere"):
        load_model(tmp_path, torch.float32)


def test_a_merged_model_answers_as_base_and_adapter_do(
    adapter: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    plan = {
        "adapter_dir": adapter[1]["model_dir"],
        "output_dir": str(tmp_path / "merged"),
        "prompts": ["March 5th"],
    }
    result = merge(Order(tmp_path, plan, {}))
    assert (result["same_answers"], result["prompts"]) == (1, 1)
    assert result["largest_difference"] < 1e-4
    merged, tokenizer = load_model(tmp_path / "merged", torch.float32), load_tokenizer(tmp_path / "merged")
    tuned = load_model(Path(adapter[1]["model_dir"]), torch.float32)
    torch.testing.assert_close(logits(merged, tokenizer), logits(tuned, tokenizer), atol=1e-4, rtol=1e-4)
    assert folder_sha256(tmp_path / "merged") == (result["sha256"], result["size_bytes"])
    facts = json.loads((tmp_path / "merged" / "training.json").read_text())
    assert facts["merged"]["adapter_sha256"] == folder_sha256(Path(adapter[1]["model_dir"]))[0]


def test_a_result_tells_where_it_comes_from(adapter: tuple[Path, dict[str, Any]]) -> None:
    saved = Path(adapter[1]["model_dir"])
    facts = json.loads((saved / "training.json").read_text())
    assert facts["config"]["method"] == "lora"
    assert set(facts["sha256"]) == {"model", "dataset", "eval_dataset"}
    assert {"python", "torch", "transformers", "peft"} <= set(facts["packages"])
    assert (facts["seed"], facts["hardware"]["precision"]) == (42, "fp32")
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nbase_model: tiny\nlibrary_name: peft\n")
    assert facts["sha256"]["dataset"] in card


def test_dpo_prefers_the_chosen_answers(tmp_path: Path, model: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    plan = train_plan(
        tmp_path / "run", model, method="dpo", dataset=str(pairs), eval_fraction=0.25, epochs=3, eval_every=6
    )
    result = here(tmp_path / "run", plan)
    points = points_in(tmp_path / "run")
    assert result["first_loss"] == pytest.approx(0.6931, abs=1e-3)  # log 2: adapter and reference are one
    assert result["eval_loss"] < 0.6
    assert points[-1]["extra"]["rewards/accuracies"] == 1
    assert points[-1]["extra"]["eval_rewards/accuracies"] == 1
    assert result["kind"] == "adapter"
    assert load_model(Path(result["model_dir"]), torch.float32).config.use_cache


def test_plain_text_continues_the_pre_training(tmp_path: Path, model: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("Write as an ISO date: March 5th, 2031 2031-03-05 the 12th of May 1999 " * 30)
    how = {"max_length": 64, "long_rows": "split", "packing": True, "epochs": 8}
    result = here(tmp_path / "run", train_plan(tmp_path / "run", model, dataset=str(book), **how))
    assert result["last_loss"] < 0.8 * result["first_loss"]


@pytest.mark.parametrize("how", [{}, {"method": "lora"}], ids=["full", "lora"])
def test_accumulated_and_packed_steps_are_those_of_the_whole_batch(
    tmp_path: Path, model: Path, how: dict[str, Any]
) -> None:
    """A step's loss is the mean over its tokens, however they were split: rows differ in how much is learnt of them."""
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, 6)
    with rows.open("a") as file:
        file.writelines(json.dumps({"prompt": "May", "completion": "no " * size}) + "\n" for size in (1, 30))
    curves = []
    for name, split in {
        "whole": {"batch_size": 8},
        "accumulated": {"batch_size": 2, "gradient_accumulation": 4},
        "packed": {"batch_size": 8, "packing": True, "max_length": 200},
    }.items():
        plan = train_plan(tmp_path / name, model, **how, **split, max_steps=3, report_every=1)
        here(tmp_path / name, plan)
        curves.append([point["train_loss"] for point in points_in(tmp_path / name)])
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert curves[2] == pytest.approx(curves[0], rel=1e-4)


def test_activations_computed_twice_change_nothing(tmp_path: Path, model: Path) -> None:
    digests = []
    for how in ("on", "off"):
        plan = train_plan(tmp_path / how, model, activation_checkpointing=how, max_steps=3)
        digests.append(here(tmp_path / how, plan)["weights_sha256"])
    assert digests[0] == digests[1]


def test_evaluations_are_reported_and_the_best_weights_are_the_result(tmp_path: Path, model: Path) -> None:
    """The rate is so high that later evaluations are worse."""
    how = {"eval_fraction": 0.3, "eval_every": 2, "learning_rate": 0.05, "schedule": "constant", "epochs": 4}
    result = here(tmp_path / "run", train_plan(tmp_path / "run", model, report_every=3, **how))
    points = points_in(tmp_path / "run")
    assert len({point["step"] for point in points}) == len(points)
    losses = {point["step"]: point["eval_loss"] for point in points if "eval_loss" in point}
    assert set(losses) == {*range(2, result["steps"], 2), result["steps"]}
    assert losses[result["best_step"]] == min(losses.values()) == result["eval_loss"]
    assert result["best_step"] < result["steps"]
    kept = here(tmp_path / "last", train_plan(tmp_path / "last", model, keep_best=False, **how))
    assert kept["eval_loss"] == losses[result["steps"]]
    assert kept["weights_sha256"] != result["weights_sha256"]


def test_a_run_that_gets_no_better_stops_early(tmp_path: Path, model: Path) -> None:
    how = {"eval_fraction": 0.3, "eval_every": 1, "learning_rate": 0.5, "schedule": "constant", "epochs": 20}
    result = here(tmp_path / "run", train_plan(tmp_path / "run", model, early_stopping=3, **how))
    assert result["steps"] == result["best_step"] + 3


def test_a_method_that_cannot_run_here_is_refused_before_a_model_is_fetched(tmp_path: Path) -> None:
    def config(**how: Any) -> FinetuneConfig:
        return FinetuneConfig(model="m", dataset="d", **how)

    def none(_: str) -> bool:
        return False

    with pytest.raises(BadInput, match="qlora needs a CUDA card") as refusal:
        refuse_method(config(method="qlora"), CPU)
    assert refusal.value.field == "method"
    with pytest.raises(BadInput, match=r"qlora needs bitsandbytes.*pip install 'tuneyard\[qlora\]'"):
        refuse_method(config(method="qlora"), CARD, none)
    with pytest.raises(BadInput, match=r"dpo needs trl.*pip install 'tuneyard\[dpo\]'"):
        refuse_method(config(method="dpo"), CPU, none)
    with pytest.raises(BadInput, match="flash needs a CUDA card"):
        refuse_method(config(attention="flash"), CPU)
    plan = {"config": config(method="qlora").model_dump()}
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="qlora needs a CUDA card"):
            run_child("tasks.method", plan, tmp_path, secrets={}, watch=lambda: None, say=print, interval=0.1)
    assert attention_name(config(attention="eager"), CPU, "bf16") == "eager"
    assert attention_name(config(), CPU, "bf16") is None


@pytest.mark.parametrize("how", [{"early_stopping": 2}, {"packing": True, "method": "dpo"}])
def test_fields_that_contradict_one_another_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refusal:
        refuse_method(FinetuneConfig(model="m", dataset="d", **how), CPU)
    assert refusal.value.field == next(iter(how))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"method": "dpo"}, "dpo learns from preferences"),
        ({"method": "lora", "lora": {"targets": ["nothing"]}}, "no adapter fits this model"),
    ],
)
def test_data_and_layers_that_do_not_go_with_the_method_are_refused(
    tmp_path: Path, model: Path, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        here(tmp_path / "run", train_plan(tmp_path / "run", model, **how))


def test_preferences_are_refused_by_methods_that_learn_from_answers(tmp_path: Path, model: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    with pytest.raises(BadInput, match=r"pairs\.jsonl:1.* use the method dpo"):
        here(tmp_path / "run", train_plan(tmp_path / "run", model, dataset=str(pairs)))
