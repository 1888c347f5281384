"""Answers do not depend on their neighbours, a killed run goes on, and one bad prompt spoils no other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from flows.answering import plan_of, refuse_engine, scored_answer, storable
from tasks.answers import (
    Answer,
    AnswerFile,
    Batch,
    Question,
    answer_all,
    answer_or_own_error,
    answered,
    failed,
)
from tasks.child import Order
from tasks.generate import generate
from tasks.launch import Tail, run_child
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput, OutOfMemory
from tuneyard.scorers import Exact

PROMPTS = ["March", "Write as an ISO date: March 5th, 2031", "the 12th of May 1999 " * 3, "user", "x y z"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), seed=3)
    # A maker's sampling settings must neither change greedy answers nor draw a warning.
    config = {"eos_token_id": [1, 5], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (folder / "generation_config.json").write_text(json.dumps(config))
    return folder


def plan(model: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "max_new_tokens": 6,
        "batch_size": 3,
        "memory_gb": None,
        "precision": "exact",
        "engine": "transformers",
    }
    decoding = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 42}
    where = {"model_dir": str(model), "answers_path": str(folder / "answers.jsonl")}
    prompts = [asked(prompt) for prompt in changes.pop("prompts", PROMPTS)]
    return {"prompts": prompts, **settings, **decoding, **where, **changes}


def asked(prompt: Any) -> dict[str, Any]:
    """A prompt as the generator is told it."""
    return prompt if isinstance(prompt, dict) else {"messages": [{"role": "user", "content": prompt}]}


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


def test_a_chat_is_answered_as_the_template_writes_it(tmp_path: Path, model: Path) -> None:
    turns = [("system", "Be long."), ("user", "March"), ("assistant", "2031"), ("user", "May")]
    chat = {"messages": [{"role": role, "content": content} for role, content in turns]}
    result = generate(Order(tmp_path, plan(model, tmp_path, prompts=[chat, "May"]), {}))
    whole = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    found = answers(tmp_path)
    assert found[0]["rendered"] == whole + "<|im_start|>assistant\n"
    assert found[1]["rendered"].startswith("<|im_start|>system\nBe brief.")
    digest = hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest()
    assert {line["template_sha256"] for line in found.values()} == {digest} == {result["template_sha256"]}


def test_a_model_without_a_template_takes_prompts_and_refuses_chats_one_by_one(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", chat=False)
    chat = {"messages": [{"role": role, "content": "May"} for role in ("user", "assistant", "user")]}
    generate(Order(tmp_path, plan(base, tmp_path, prompts=["March", chat]), {}))
    found = answers(tmp_path)
    assert (found[0]["rendered"], found[0]["template_sha256"], found[0]["error"]) == ("March", None, None)
    assert "no chat template" in found[1]["error"]


def test_how_it_was_answered_is_in_the_result(tmp_path: Path, model: Path) -> None:
    result = generate(Order(tmp_path, plan(model, tmp_path, top_p=0.9), {}))
    assert result["batch_sizes"] == [3, 2]
    assert (result["precision"], result["number_format"], result["engine"]) == (
        "exact",
        "fp32",
        "transformers",
    )
    assert result["decoding"] == {
        "max_new_tokens": 6,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 0,
        "seed": 42,
    }


@pytest.mark.parametrize(
    ("settings", "same"), [({}, True), ({"seed": 43}, False)], ids=["seed", "another seed"]
)
def test_sampled_answers_hang_on_the_seed_and_not_on_the_batch(
    tmp_path: Path, model: Path, settings: dict[str, Any], same: bool
) -> None:
    sampling = {"temperature": 1.5, "top_p": 0.95, "top_k": 50}
    found = []
    for size, change in ((1, {}), (5, settings)):
        folder = tmp_path / str(size)
        folder.mkdir()
        generate(Order(folder, plan(model, folder, batch_size=size, **sampling, **change), {}))
        found.append([line["response"] for _, line in sorted(answers(folder).items())])
    assert (found[0] == found[1]) is same
    assert len(set(found[0])) > 1


def test_the_likelihood_of_each_choice_is_what_the_models_own_logits_say(tmp_path: Path, model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    choices = ["2031", "March 5th, 2031", "x"]
    prompts = [asked("March") | {"choices": choices}, "May"]
    generate(Order(tmp_path, plan(model, tmp_path, prompts=prompts), {}))
    found = answers(tmp_path)
    tokenizer, lm = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model).eval()
    before = tokenizer(found[0]["rendered"])["input_ids"]
    for number, choice in enumerate(choices):
        after = tokenizer(choice)["input_ids"]
        with torch.inference_mode():
            chances = lm(torch.tensor([before + after])).logits[0].log_softmax(-1)
        by_hand = sum(float(chances[len(before) - 1 + at, token]) for at, token in enumerate(after))
        details = found[0]["details"]["choice_likelihood"]
        assert details["logprobs"][number] == pytest.approx(by_hand, abs=1e-4)
        assert details["tokens"][number] == len(after)
    assert found[1]["details"] == {}


def test_a_prompt_that_does_not_fit_has_its_own_error(tmp_path: Path, model: Path) -> None:
    prompts = ["March", "x" * 300, "May"]
    result = generate(Order(tmp_path, plan(model, tmp_path, prompts=prompts, precision="fast"), {}))
    found = answers(tmp_path)
    assert (result["answered"], result["failed"]) == (2, 1)
    assert "does not fit into the model's context of 256" in found[1]["error"]
    assert (found[1]["response"], found[0]["error"]) == (None, None)


def good(question: Question) -> Answer:
    return answered(question, "fine", 1, 1.0, "stop")


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
    asked_together = []

    def answer(batch: Batch) -> list[Answer]:
        asked_together.append([question.index for question in batch])
        return [good(question) for question in batch]

    questions = [Question(at, [0] * size) for at, size in enumerate((5, 1, 9, 1, 4))]
    list(answer_all(questions, lambda _: 2, answer))
    assert asked_together == [[1, 3], [4, 0], [2]]


def test_batches_are_halved_where_memory_does_not_hold_them() -> None:
    sizes = []

    def answer(batch: Batch) -> list[Answer]:
        if sum(len(question.ids) for question in batch) > 8:
            raise OutOfMemory("too many")
        sizes.append(len(batch))
        return [good(question) for question in batch]

    questions = [Question(at, [0] * 4) for at in range(8)] + [Question(8, [0] * 9)]
    found = [one for batch in answer_all(questions, len, answer) for one in batch]
    assert sizes == [2] * 4
    assert [one.error for one in found] == [None] * 8 + ["OutOfMemory: too many"]


def test_answers_survive_half_a_line(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "answers.jsonl")
    assert file.answered() == []
    file.add([good(Question(0, [1]))])
    with (tmp_path / "answers.jsonl").open("a") as torn:
        torn.write('{"prompt_')
    file = AnswerFile(tmp_path / "answers.jsonl")
    file.add([good(Question(1, [1]))])
    assert [answer.prompt_index for answer in file.answered()] == [0, 1]


def test_a_long_backlog_of_answers_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    lines = [json.dumps({"prompt_index": at, "response": "x" * 1000}) for at in range(400)]
    file.write_text("\n".join(lines) + "\n" + '{"half')
    tail = Tail(file, limit=None)
    assert tail.new_lines() == lines
    with file.open("a") as more:
        more.write("\n")
    assert tail.new_lines() == ['{"half']
    assert tail.new_lines() == []


def test_what_no_database_takes_is_replaced_before_an_answer_is_recorded() -> None:
    line = {"prompt_index": 0, "error": None}
    assert storable({**line, "response": "a\x00b"})["response"] == "a\ufffdb"
    assert storable({**line, "response": None})["response"] is None
    said = storable({**line, "response": "\x00"})
    assert scored_answer(said, Prompt(prompt="x", expected="y"), [Exact(kind="exact")]).passed is False


@pytest.mark.parametrize(("gpus", "problem"), [(0, "set gpus to 1"), (1, "the extra `vllm`")])
def test_vllm_is_refused_by_name_where_the_host_has_it_not(gpus: int, problem: str) -> None:
    config = BatchTestConfig(model="m", suite="s.jsonl", engine="vllm", gpus=gpus)
    with pytest.raises(BadInput, match=problem) as refused:
        refuse_engine(config)
    assert refused.value.field == "engine"


def test_choices_are_weighed_only_where_a_scorer_asks_for_it(tmp_path: Path) -> None:
    def told(config: dict[str, Any], prompt: dict[str, Any]) -> dict[str, Any]:
        test = BatchTestConfig.model_validate({"model": "m", "suite": "s.jsonl", **config})
        prompts = [Prompt.model_validate({"choices": ["a", "b"], **prompt})]
        return plan_of(test, prompts, tmp_path, tmp_path / "answers.jsonl")

    likelihood = {"scorers": ["exact", "choice_likelihood"]}
    turn = {"role": "user", "content": "May?"}
    found = told(likelihood, {"prompt": "May?"})
    assert found["prompts"] == [{"messages": [turn], "choices": ["a", "b"]}]
    assert (found["batch_size"], found["memory_gb"], found["precision"]) == (None, None, "exact")
    assert told({}, {"messages": [turn]})["prompts"] == [{"messages": [turn], "choices": None}]
    own = {"messages": [turn], "scorer": "exact"}
    assert told(likelihood, own)["prompts"][0]["choices"] is None
    assert told({}, {"prompt": "May?", "scorer": "choice_likelihood"})["prompts"][0]["choices"] == ["a", "b"]
