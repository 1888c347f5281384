"""A fine-tune learns, reports, resumes to the same weights, and stops at once when told to."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint import checkpoints
from tasks.child import Order
from tasks.durable import folder_sha256
from tasks.hardware import Device, training_precision
from tasks.launch import run_child
from tasks.train import train
from tests.tiny_model import make_broken_model, make_tiny_model
from tests.training_fixtures import points_in, stand_in_api, train_plan, write_rows
from tuneyard.errors import BadInput, Diverged, WorkFailed


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, dict[str, Any]]:
    """One uninterrupted run in this process (where a warning is an error) and its result."""
    folder = tmp_path_factory.mktemp("work") / "whole"
    folder.mkdir()
    return folder, here(folder, train_plan(folder, model, checkpoint_every=4))


def here(folder: Path, plan: dict[str, Any], **secrets: str) -> dict[str, Any]:
    return train(Order(folder, plan, secrets))


def test_the_loss_falls_and_first_every_fifth_and_last_step_are_reported(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    points = points_in(folder)
    assert [point["step"] for point in points] == [1, 5, 10, 12]
    assert (result["steps"], result["epochs"], result["precision"]) == (12, 1.0, "fp32")
    assert result["last_loss"] < result["first_loss"]
    assert (result["first_loss"], result["last_loss"]) == (points[0]["train_loss"], points[-1]["train_loss"])
    for point in points:
        assert all(math.isfinite(point[name]) for name in ("learning_rate", "grad_norm", "epoch"))
        assert point["tokens_per_second"] > 0
        assert point["samples_per_second"] > 0


def test_the_model_is_whole_loadable_and_known_by_its_digest(
    whole: tuple[Path, dict[str, Any]], model: Path
) -> None:
    from tasks.pretrained import load_tokenizer

    folder, result = whole
    saved = Path(result["model_dir"])
    assert folder_sha256(saved) == (result["sha256"], result["size_bytes"])
    assert load_tokenizer(saved).chat_template == load_tokenizer(model).chat_template
    assert json.loads((saved / "config.json").read_text())["use_cache"] is True
    assert json.loads((saved / "generation_config.json").read_text())["eos_token_id"] == 1
    assert [path.name for path in checkpoints(folder / "checkpoints")] == ["checkpoint-4", "checkpoint-8"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_in_a_new_process_to_the_same_weights(
    tmp_path: Path, model: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    plan = train_plan(
        tmp_path / "run", model, checkpoint_every=4, dataset=str(whole[0].parent / "rows.jsonl")
    )
    lines: list[str] = []

    class Halt(BaseException):
        pass

    def watch() -> None:
        if "Saved checkpoint-4" in lines:
            raise Halt

    options = {"secrets": {}, "say": lines.append, "interval": 0.01}
    with pytest.raises(Halt):
        run_child("tasks.train", plan, tmp_path / "run", watch=watch, **options)
    assert not (tmp_path / "run" / "model").exists()
    result = run_child("tasks.train", plan, tmp_path / "run", watch=lambda: None, **options)
    assert any(line.startswith("Going on from checkpoint-") for line in lines)
    assert result["sha256"] == whole[1]["sha256"]
    assert not [line for line in lines if "arning" in line and "job_token not set" not in line]
    last = {point["step"]: point["train_loss"] for point in points_in(tmp_path / "run")}
    assert last[12] == whole[1]["last_loss"]


def test_a_row_longer_than_the_limit_is_refused_by_its_line(tmp_path: Path, model: Path) -> None:
    write_rows(tmp_path / "rows.jsonl")
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "x" * 300, "completion": "x"}) + "\n")
    for limits, words in (({"max_length": 150}, "max_length is 150"), ({}, "the model's context is 256")):
        with pytest.raises(BadInput, match=rf"rows\.jsonl:25: the row has \d+ tokens and {words}"):
            here(tmp_path, train_plan(tmp_path / "run", model, **limits))
    assert not (tmp_path / "run" / "model").exists()


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the loss at step 1 is nan"):
        here(tmp_path, train_plan(tmp_path / "run", make_broken_model(tmp_path / "broken")))
    assert not (tmp_path / "run" / "model").exists()


def test_a_run_that_only_wants_to_be_warned_goes_on_and_keeps_no_worthless_checkpoint(tmp_path: Path) -> None:
    config: dict[str, Any] = {"watchdog": {"nan": "warn"}, "checkpoint_every": 4}
    here(tmp_path, train_plan(tmp_path / "run", make_broken_model(tmp_path / "broken"), **config))
    assert [(point["step"], point["train_loss"]) for point in points_in(tmp_path)][-1] == (12, "NaN")
    assert checkpoints(tmp_path / "checkpoints") == []


def test_a_model_that_cannot_be_loaded_is_one_clear_message(tmp_path: Path, model: Path) -> None:
    broken = make_tiny_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(BadInput, match="the model cannot be loaded"):
        here(tmp_path, train_plan(tmp_path / "run", broken))


def test_the_api_is_told_points_and_facts_and_its_word_to_cancel_stops_the_run(
    tmp_path: Path, model: Path
) -> None:
    with stand_in_api("cancelling") as (url, got):
        plan = {**train_plan(tmp_path / "run", model, report_every=1, max_steps=20_000), "api_url": url}
        with pytest.raises(WorkFailed, match=r"Stopped at step \d+: the job was cancelled"):
            here(tmp_path, plan, job_token="t" * 43)
    facts = {key: value for method, _, body in got if method == "PATCH" for key, value in body.items()}
    assert (facts["total_steps"], facts["stage"]) == (20_000, "training")
    assert facts["device"].startswith(("cpu", "cuda"))
    assert any(method == "PUT" and body["metrics"][0]["step"] == 1 for method, _, body in got)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("report", "job facts"))]


def test_precision_is_bf16_only_where_the_hardware_multiplies_it() -> None:
    new, old = Device("cpu", "cpu", has_bf16=True), Device("cpu", "cpu", has_bf16=False)
    assert [training_precision("auto", device) for device in (new, old)] == ["bf16", "fp32"]
    assert training_precision("fp32", new) == "fp32"
    assert training_precision("bf16", old) == "bf16"
