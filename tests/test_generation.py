"""Answers do not depend on their neighbours, a killed run goes on, and one bad prompt spoils no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.answers import Answer, AnswerFile, Batch, Question, answer_or_own_error, batches, failed
from tasks.child import Order
from tasks.generate import generate
from tasks.launch import run_child
from tests.tiny_model import make_tiny_model

PROMPTS = ["March", "Write as an ISO date: March 5th, 2031", "the 12th of May 1999 " * 3, "user", "x y z"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), seed=3)
    # A maker's sampling settings must neither change greedy answers nor draw a warning.
    config = {"eos_token_id": [1, 5], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (folder / "generation_config.json").write_text(json.dumps(config))
    return folder


def plan(model: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {"max_new_tokens": 6, "batch_size": 3, "precision": "exact", "seed": 42}
    where = {"model_dir": str(model), "answers_path": str(folder / "answers.jsonl")}
    return {"prompts": PROMPTS, **settings, **where, **changes}


def answers(folder: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert len({line["prompt_index"] for line in lines}) == len(lines)
    return {line["prompt_index"]: line for line in lines}


def without_time(found: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {at: {**line, "latency_ms": None} for at, line in found.items()}


def test_batches_answer_as_one_by_one_does(tmp_path: Path, model: Path) -> None:
    found = []
    for size in (1, 3, 50):
        folder = tmp_path / str(size)
        folder.mkdir()
        result = generate(Order(folder, plan(model, folder, batch_size=size), {}))
        assert (result["answered"], result["failed"], result["precision"]) == (5, 0, "exact")
        found.append(without_time(answers(folder)))
    assert found[0] == found[1] == found[2]
    assert sum(line["output_tokens"] for line in found[0].values()) == result["output_tokens"]
    for line in found[0].values():
        assert (line["finish_reason"] == "length") == (line["output_tokens"] == 6) or line[
            "output_tokens"
        ] == 6


def test_a_killed_run_goes_on_and_answers_nothing_twice(tmp_path: Path, model: Path) -> None:
    generate(Order(tmp_path, plan(model, tmp_path), {}))
    whole = answers(tmp_path)
    file = tmp_path / "answers.jsonl"
    first, second, *_ = file.read_text().splitlines(keepends=True)
    file.write_text(first + second + '{"prompt_index": 4, "resp')
    lines: list[str] = []
    options = {"secrets": {}, "watch": lambda: None, "say": lines.append, "interval": 0.1}
    result = run_child("tasks.generate", plan(model, tmp_path), tmp_path, **options)
    assert lines[0] == "2 of 5 prompts are answered already"
    assert not [line for line in lines if "warn" in line.lower() or "ignored" in line]
    assert result["answered"] == 5
    assert file.read_text().startswith(first + second)
    assert without_time(answers(tmp_path)) == without_time(whole)


def test_a_prompt_that_does_not_fit_has_its_own_error(tmp_path: Path, model: Path) -> None:
    prompts = ["March", "x" * 300, "May"]
    result = generate(Order(tmp_path, plan(model, tmp_path, prompts=prompts, precision="fast"), {}))
    found = answers(tmp_path)
    assert (result["answered"], result["failed"]) == (2, 1)
    assert "does not fit into the model's context of 256" in found[1]["error"]
    assert (found[1]["response"], found[0]["error"]) == (None, None)


def good(question: Question) -> Answer:
    return Answer(question.index, "fine", len(question.ids), 1, 1.0, "stop", None)


def test_a_batch_that_fails_is_tried_one_by_one() -> None:
    def answer(batch: Batch) -> list[Answer]:
        if any(question.index == 1 for question in batch):
            raise RuntimeError("out of memory")
        return [good(question) for question in batch]

    batch = [Question(at, [1]) for at in range(3)]
    expected = [good(batch[0]), failed(batch[1], "RuntimeError: out of memory"), good(batch[2])]
    assert answer_or_own_error(batch, answer) == expected


def test_a_batch_that_fails_only_as_a_whole_leaves_no_error() -> None:
    def answer(batch: Batch) -> list[Answer]:
        if len(batch) > 1:
            raise RuntimeError("out of memory")
        return [good(batch[0])]

    batch = [Question(at, [1]) for at in range(3)]
    assert answer_or_own_error(batch, answer) == [good(question) for question in batch]


def test_prompts_of_like_length_are_answered_together() -> None:
    questions = [Question(at, [0] * size) for at, size in enumerate((5, 1, 9, 1, 4))]
    assert [[one.index for one in batch] for batch in batches(questions, 2)] == [[1, 3], [4, 0], [2]]


def test_answers_survive_half_a_line(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "answers.jsonl")
    assert file.answered() == []
    file.add([good(Question(0, [1]))])
    with (tmp_path / "answers.jsonl").open("a") as torn:
        torn.write('{"prompt_')
    file = AnswerFile(tmp_path / "answers.jsonl")
    file.add([good(Question(1, [1]))])
    assert [answer.prompt_index for answer in file.answered()] == [0, 1]
