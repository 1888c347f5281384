"""A model in training answers its suite, and trains on as if nobody had asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.answering import SETTINGS
from tasks.child import Order
from tasks.generate import generate
from tasks.launch import GENTLE, QUIET, REPOSITORY
from tasks.train import train
from tests.tiny_model import make_tiny_model
from tests.training_fixtures import points_in, train_plan
from tuneyard.batch_configs import TestSettings
from tuneyard.batch_shapes import NewPrediction

PROMPTS: list[dict[str, Any]] = [
    {"prompt": "Write as an ISO date: March 3, 2031", "expected": "2031-03-03"},
    {"prompt": "Write as an ISO date: March 4, 2031 please please", "expected": "2031-03-04", "weight": 3},
    {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "March 5"}],
        "scorer": {"kind": "regex", "pattern": "^"},
        "tags": ["chat"],
    },
    {"prompt": "long " * 300, "expected": "x"},
]
TESTS = {"suite": "s", "every_steps": 4, "max_new_tokens": 12, "batch_size": 2}
# 36 steps of two micro-batches; reports, evaluations and checkpoints that fall on a round and beside one.
HOW = {
    "gradient_accumulation": 2,
    "epochs": 6,
    "eval_fraction": 0.2,
    "eval_every": 6,
    "report_every": 5,
    "checkpoint_every": 4,
    "keep_checkpoints": 20,
}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": "lora", "learning_rate": 2e-2, "lora": {"dropout": 0.2}, "precision": "bf16"},
}
SAME = ("weights_sha256", "steps", "first_loss", "last_loss", "eval_loss", "best_step")
CURVE = ("train_loss", "eval_loss", "learning_rate", "grad_norm")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def run(folder: Path, model: Path, **how: Any) -> dict[str, Any]:
    folder.mkdir()
    plan = train_plan(folder, model, **HOW | how) | {"prompts": PROMPTS}
    return train(Order(folder, plan, {}))


def answers_in(folder: Path) -> dict[int, dict[int, NewPrediction]]:
    """By step and prompt; what was answered twice is the same both times."""
    found: dict[int, dict[int, NewPrediction]] = {}
    for line in (folder / "predictions.jsonl").read_text().splitlines():
        one = NewPrediction.model_validate_json(line).model_copy(update={"latency_ms": None})
        assert found.setdefault(one.step, {}).setdefault(one.prompt_index, one) == one
    return found


def curve(folder: Path) -> dict[int, list[Any]]:
    points = [point for point in points_in(folder) if "train_loss" in point]
    return {point["step"]: [point.get(name) for name in CURVE] for point in points}


def scores(folder: Path) -> dict[int, float]:
    return {
        p["step"]: p["extra"]["test_score"] for p in points_in(folder) if "test_score" in p.get("extra", {})
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_run_with_tests_is_the_run_without_them_to_the_last_bit(
    tmp_path: Path, model: Path, method: str
) -> None:
    plain = run(tmp_path / "plain", model, **METHODS[method])
    tested = run(tmp_path / "tested", model, **METHODS[method], tests=TESTS)
    assert {name: tested[name] for name in SAME} == {name: plain[name] for name in SAME}
    assert curve(tmp_path / "tested") == curve(tmp_path / "plain")
    kept = "generation_config.json"
    if method == "full":
        assert (tmp_path / "tested/model" / kept).read_text() == (tmp_path / "plain/model" / kept).read_text()
    steps = [*range(4, plain["steps"], 4), plain["steps"]]
    assert sorted(answers_in(tmp_path / "tested")) == sorted(scores(tmp_path / "tested")) == sorted({*steps})


def test_the_answers_are_those_that_the_model_of_that_step_gives_alone(tmp_path: Path, model: Path) -> None:
    how = {"keep_best": False, "eval_fraction": 0, "tests": TESTS}
    result = run(tmp_path / "run", model, **how)
    answers = answers_in(tmp_path / "run")[result["steps"]]
    assert len(answers) == len(PROMPTS)
    assert "do not fit into the context of 256" in str(answers[3].error)
    (tmp_path / "alone").mkdir()
    plan = {
        "model_dir": result["model_dir"],
        "prompts": [
            {"messages": [{"role": "user", "content": one["prompt"]}], "choices": None} for one in PROMPTS[:2]
        ],
        **TestSettings(suite="s", max_new_tokens=12, batch_size=1).model_dump(include=set(SETTINGS)),
        "answers_path": str(tmp_path / "alone.jsonl"),
    }
    generate(Order(tmp_path / "alone", plan, {}))
    lines = [json.loads(line) for line in (tmp_path / "alone.jsonl").read_text().splitlines()]
    assert {line["prompt_index"]: line["response"] for line in lines} == {
        index: answers[index].response for index in (0, 1)
    }
    chat = answers[2]
    assert (chat.passed, chat.tags, chat.prompt) == (True, ["chat"], "system: Be brief.\nuser: March 5")
    assert chat.rendered is not None
    assert chat.rendered.endswith("<|im_start|>assistant\n")
    # Weights 1, 3, 1 and 1; what failed counts as 0.
    expected = sum((one.score or 0) * one.weight for one in answers.values()) / 6
    assert scores(tmp_path / "run")[result["steps"]] == pytest.approx(expected)
    assert expected >= 1 / 6


def test_rounds_come_by_epochs_where_nothing_else_is_said(tmp_path: Path, model: Path) -> None:
    tests = {name: value for name, value in TESTS.items() if name != "every_steps"}
    run(tmp_path / "run", model, eval_fraction=0, tests=tests)
    assert sorted(answers_in(tmp_path / "run")) == [6, 12, 18, 24, 30, 36]
    run(tmp_path / "two", model, eval_fraction=0, max_steps=20, tests=tests | {"every_epochs": 2})
    assert sorted(answers_in(tmp_path / "two")) == [12, 20]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_in_a_round_goes_on_to_the_same_answers(
    tmp_path: Path, model: Path, number: int
) -> None:
    how = METHODS["lora"] | {"tests": TESTS | {"max_new_tokens": 40}}
    unbroken = run(tmp_path / "unbroken", model, **how)
    folder = tmp_path / "broken"
    folder.mkdir()
    plan = train_plan(folder, model, **HOW | how) | {"prompts": PROMPTS}
    for said in ("test score", "Saved checkpoint-8", "step 12: test", "Saved checkpoint-20", None):
        code = child(folder, plan, number, said)
    assert code == 0
    result = json.loads((folder / "result.json").read_text())
    assert {name: result[name] for name in SAME} == {name: unbroken[name] for name in SAME}
    assert answers_in(folder) == answers_in(tmp_path / "unbroken")
    assert scores(folder) == scores(tmp_path / "unbroken")


def child(folder: Path, plan: dict[str, Any], number: int, said: str | None) -> int:
    """A trainer of its own, sent a signal once it has said this."""
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "tasks.train", str(folder)]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | QUIET | GENTLE, **streams) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if said and said in line:
                process.send_signal(number)
                said = None
        return process.wait()
