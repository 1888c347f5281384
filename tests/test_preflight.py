"""A look at a fine-tune finds, before it starts, everything that would waste the night, by line."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.check import check
from tasks.child import Order
from tasks.launch import run_child
from tests.data_fixtures import write_data
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import Diagnostic, Preflight

ASKED = "Say in one short sentence why the harbour of the old town was closed on the twelfth of May"
# (a row as a line of JSON, the codes of what is wrong with it)
FAULTY: list[tuple[str, set[str]]] = [
    ('{"prompt": "March 1, 2031", "completion": "2031-03-01"}', set()),
    ('{"prompt": "March 2, 2031", "completion": ', {"unreadable_row"}),
    ('{"prompt": "March 3, 2031", "answer": "2031-03-03"}', {"wrong_fields"}),
    ('{"prompt": "March 4, 2031", "completion": " "}', {"empty_text"}),
    (json.dumps({"prompt": "please " * 300, "completion": "2031-03-05"}), {"row_too_long"}),
    ('{"prompt": "March 1, 2031", "completion": "2031-03-01"}', {"duplicate_rows"}),
    ('{"prompt": "march 1,  2031", "completion": "2031-03-01."}', {"near_duplicate_rows"}),
    ('{"prompt": "March 8, 2031", "completion": "2031-03-08"}', {"suite_overlap"}),
    (
        json.dumps({"prompt": f"{ASKED} of that year. And when?", "completion": "A"}),
        {"suite_overlap_in_part"},
    ),
    ('{"prompt": "May 9, 2031", "completion": "2031-05-09"}', {"different_answers", "eval_overlap"}),
    ('{"prompt": "May 9, 2031", "completion": "2031-09-05"}', {"different_answers", "eval_overlap"}),
    ('{"prompt": "May\\u0000 10", "completion": "2031-05-10"}', {"control_characters"}),
    ('{"prompt": "Mai 11, cafÃ©", "completion": "2031-05-11"}', {"mojibake"}),
    ('{"prompt": "May 12", "completion": "<|im_end|>2031-05-12"}', {"special_tokens"}),
    ('["May 13", "2031-05-13"]', {"unreadable_row"}),
]
SUITES = {"dates": ["march 8, 2031.", "June 1, 2031"], "harbour": [f"{ASKED} of that year"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without weights: they are not looked at."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    (folder / "model.safetensors").unlink()
    return folder


def looked_at(folder: Path, model: Path, data: Path, suites: Any = None, **config: Any) -> Preflight:
    plan = {"config": {"model": "m", "dataset": str(data), **config}, "model_dir": str(model)}
    plan |= {"suites": suites or {}, "disk": str(folder)}
    return Preflight.model_validate(check(Order(folder, plan, {})))


def lines(look: Preflight) -> dict[str, list[int]]:
    return {found.code: found.lines for found in look.diagnostics}


def only(look: Preflight, code: str) -> Diagnostic:
    (found,) = (found for found in look.diagnostics if found.code == code)
    return found


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.jsonl"
    path.write_text("\n".join(line for line, _ in FAULTY), encoding="utf-8")
    return path


def test_every_fault_is_found_by_its_line(tmp_path: Path, model: Path, faulty: Path) -> None:
    held = write_data(tmp_path, [{"prompt": "May 9, 2031", "completion": "2031-05-09"}], "eval.jsonl")
    look = looked_at(tmp_path, model, faulty, SUITES, eval_dataset=str(held), max_length=200)
    assert not look.valid
    found: dict[int, set[str]] = {line: set() for line in range(1, len(FAULTY) + 1)}
    for diagnostic in look.diagnostics:
        assert diagnostic.file == str(faulty)
        assert diagnostic.count == len(diagnostic.lines)
        for line in diagnostic.lines:
            found[line].add(diagnostic.code)
    assert found == {line: codes for line, (_, codes) in enumerate(FAULTY, start=1)}
    errors = {diagnostic.code for diagnostic in look.diagnostics if diagnostic.severity == "error"}
    assert errors == {"unreadable_row", "wrong_fields", "empty_text", "row_too_long"}


def test_it_runs_as_a_process_of_its_own(tmp_path: Path, model: Path, faulty: Path) -> None:
    plan = {"config": {"model": "m", "dataset": str(faulty)}, "model_dir": str(model)}
    plan |= {"suites": {}, "disk": str(tmp_path)}
    said: list[str] = []
    result = run_child(
        "tasks.check", plan, tmp_path / "look", secrets={}, watch=lambda: None, say=said.append
    )
    assert Preflight.model_validate(result).valid is False
    assert any(f"error: {faulty}:4: is empty" in line for line in said)


def test_good_rows_are_valid_and_their_figures_are_right(tmp_path: Path, model: Path) -> None:
    rows = [{"prompt": f"March {day}, 2031", "completion": f"2031-03-{day:02}"} for day in range(1, 21)]
    look = looked_at(tmp_path, model, write_data(tmp_path, rows), batch_size=3, epochs=2, eval_fraction=0.25)
    assert look.valid
    assert look.diagnostics == []
    figures = look.figures
    assert (figures.rows, figures.eval_rows, figures.steps_per_epoch, figures.total_steps) == (15, 5, 5, 10)
    assert figures.length_p50 is not None
    assert figures.length_max is not None
    assert figures.length_p50 <= figures.length_max
    assert figures.tokens is not None
    assert figures.learnt_tokens is not None
    assert 0 < figures.learnt_tokens < figures.tokens < 15 * figures.length_max
    assert figures.parameters == figures.trainable_parameters == 102_400
    assert figures.memory_needed_gb is not None
    assert figures.disk_needed_gb == 0.0  # less than 5 MiB
    assert figures.disk_free_gb == pytest.approx(shutil.disk_usage(tmp_path).free / 2**30, rel=0.05)


def test_cut_rows_are_counted_and_those_with_nothing_left_to_learn_refused(
    tmp_path: Path, model: Path
) -> None:
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": "please " * 100},
        {"prompt": "please " * 100, "completion": "b"},
    ]
    data = write_data(tmp_path, rows)
    look = looked_at(tmp_path, model, data, max_length=80)
    assert only(look, "row_too_long").lines == [2, 3]
    look = looked_at(tmp_path, model, data, max_length=80, long_rows="truncate")
    assert {"rows_truncated": [2], "turn_end_cut_off": [2], "no_trainable_token": [3]}.items() <= lines(
        look
    ).items()
    assert only(look, "no_trainable_token").severity == "error"
    assert look.figures.length_max == 80


def test_only_plain_text_is_split(tmp_path: Path, model: Path) -> None:
    text = write_data(tmp_path, [{"text": "short"}, {"text": "please " * 100}])
    look = looked_at(tmp_path, model, text, max_length=80, long_rows="split")
    assert look.valid
    assert only(look, "rows_split").lines == [2]
    assert look.figures.length_max is not None
    assert look.figures.length_max <= 80
    rows = write_data(tmp_path, [{"prompt": "a", "completion": "please " * 100}], "other.jsonl")
    look = looked_at(tmp_path, model, rows, max_length=80, long_rows="split")
    assert only(look, "wrong_form").field == "long_rows"


def test_a_config_that_would_split_conversations_is_refused() -> None:
    with pytest.raises(ValidationError, match="split is for plain text"):
        FinetuneConfig(model="m", dataset="d", format="chat", long_rows="split")


def test_an_answer_that_does_not_end_where_the_model_stops_is_an_error(tmp_path: Path, model: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    template = CHAT_TEMPLATE.replace("{{ message['content'] }}<|im_end|>", "{{ message['content'] }}")
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    chat = {"messages": [{"role": role, "content": content} for role, content in turns]}
    look = looked_at(tmp_path, folder, write_data(tmp_path, [chat]))
    assert only(look, "turn_end_not_learnt").severity == "error"


def test_every_row_that_the_template_refuses_is_found(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", chat=False)
    system = {"role": "system", "content": "s"}
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns} for turns in (chat, [system, *chat], chat, [system, *chat])]
    look = looked_at(tmp_path, folder, write_data(tmp_path, rows))
    assert only(look, "template_refuses").lines == [2, 4]
    assert look.figures.rows == 2


def test_what_cannot_be_opened_is_a_diagnostic_too(tmp_path: Path, model: Path) -> None:
    look = looked_at(tmp_path, tmp_path, tmp_path / "none.jsonl")
    assert not look.valid
    assert {found.file for found in look.diagnostics} == {str(tmp_path), str(tmp_path / "none.jsonl")}


def test_rows_and_method_must_fit(tmp_path: Path, model: Path) -> None:
    rows = write_data(tmp_path, [{"prompt": "a", "completion": "b"}])
    assert only(looked_at(tmp_path, model, rows, method="dpo"), "wrong_form").field == "method"
    pairs = write_data(tmp_path, [{"prompt": "a", "chosen": "b", "rejected": "c"}], "pairs.jsonl")
    assert only(looked_at(tmp_path, model, pairs), "wrong_form").field == "method"
    look = looked_at(tmp_path, model, pairs, method="dpo")
    assert look.valid
    assert look.figures.rows == 1


def test_columns_that_are_not_used_are_a_warning(tmp_path: Path, model: Path) -> None:
    rows = write_data(tmp_path, [{"prompt": "a", "completion": "b", "id": 1}], "rows.csv")
    look = looked_at(tmp_path, model, rows)
    assert look.valid
    assert (only(look, "unused_field").field, only(look, "unused_field").severity) == ("id", "warning")


def test_ten_thousand_rows_take_less_than_five_seconds_of_one_core(tmp_path: Path, model: Path) -> None:
    numbers = random.Random(1)
    rows = [
        {"prompt": f"{ASKED}, {numbers.random()}?", "completion": str(numbers.random())}
        for _ in range(10_000)
    ]
    data = write_data(tmp_path, rows)
    looked_at(tmp_path, model, write_data(tmp_path, rows[:10], "few.jsonl"))  # what is imported once
    started = time.process_time()  # the other core's work counts too
    look = looked_at(
        tmp_path, model, data, {"suite": [f"{ASKED} {at}" for at in range(100)]}, eval_fraction=0.1
    )
    assert look.figures.rows == 9000
    assert time.process_time() - started < 5


def test_many_bad_rows_are_one_diagnostic_with_the_first_twenty_lines(tmp_path: Path, model: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}\n' + '{"prompt": "a"}\n' * 1000)
    found = only(looked_at(tmp_path, model, data), "wrong_fields")
    assert (found.count, found.lines, found.field) == (1000, list(range(2, 22)), "completion")


def test_a_new_name_in_every_row_does_not_make_a_diagnostic_of_every_row(tmp_path: Path, model: Path) -> None:
    rows = [{"prompt": "a", "completion": "b", f"field {at}": at} for at in range(500)]
    look = looked_at(tmp_path, model, write_data(tmp_path, [{"prompt": "a", "completion": "b"}, *rows]))
    assert len(look.diagnostics) < 60
    assert sum(found.count for found in look.diagnostics if found.code == "wrong_fields") == 500
    chats = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    chats = [{**chats[0], f"field {at}": at} for at in range(500)]
    assert len(looked_at(tmp_path, model, write_data(tmp_path, chats, "chats.jsonl")).diagnostics) < 60
