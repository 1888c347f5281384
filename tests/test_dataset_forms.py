"""Rows are understood in the forms in which people keep them; what is not understood is refused by turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tasks.dataset import read_dataset, whole
from tasks.examples import Example, Passage, Preference, Turn
from tests.data_fixtures import write_data
from tuneyard.errors import BadInput

SYSTEM, ASKED, TOLD = Turn("system", "Be brief."), Turn("user", "One?"), Turn("assistant", "1")


def chat(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def gpt(*turns: tuple[str, str], **rest: Any) -> dict[str, Any]:
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in turns], **rest}


def read(folder: Path, *records: dict[str, Any], name: str = "rows.jsonl", **asked: Any) -> Any:
    return read_dataset(str(write_data(folder, records, name)), **asked)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
@pytest.mark.parametrize(
    ("record", "form", "turns"),
    [
        ({"prompt": "One?", "completion": "1"}, "prompt_completion", (ASKED, TOLD)),
        (chat(("system", "Be brief."), ("user", "One?"), ("assistant", "1")), "chat", (SYSTEM, ASKED, TOLD)),
        (chat(("user", "One?"), ("assistant", "1")), "chat", (ASKED, TOLD)),
        ({"instruction": "One?", "input": "", "output": "1"}, "alpaca", (ASKED, TOLD)),
        (
            {"instruction": "Add.", "input": "1+1", "output": "2"},
            "alpaca",
            (Turn("user", "Add.\n\n1+1"), Turn("assistant", "2")),
        ),
        (gpt(("human", "One?"), ("gpt", "1")), "sharegpt", (ASKED, TOLD)),
        (gpt(("human", "One?"), ("gpt", "1"), system="Be brief."), "sharegpt", (SYSTEM, ASKED, TOLD)),
    ],
)
def test_the_first_row_decides_the_form(
    tmp_path: Path, name: str, record: dict[str, Any], form: str, turns: tuple[Turn, ...]
) -> None:
    data = whole(read(tmp_path, record, record, name=name))
    assert data.form == form
    assert [row.turns for row in data.rows if isinstance(row, Example)] == [turns, turns]
    assert data.unused == {}


def test_text_is_passages(tmp_path: Path) -> None:
    data = whole(read(tmp_path, {"text": " Once upon\na time "}))
    assert data.rows == [Passage(" Once upon\na time ", 1, data.uri)]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "One?", "chosen": "1", "rejected": "2"},
        {
            "input": {"messages": [{"role": "user", "content": "One?"}], "tools": []},
            "preferred_output": [{"role": "assistant", "content": "1"}],
            "non_preferred_output": [{"role": "assistant", "content": "2"}],
        },
        {"prompt": [{"role": "user", "content": "One?"}], "chosen": "1", "rejected": "2"},
        {
            "prompt": "One?",
            "chosen": [{"role": "assistant", "content": "1"}],
            "rejected": [{"role": "assistant", "content": "2"}],
        },
        {
            "chosen": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}],
            "rejected": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "2"}],
        },
    ],
)
def test_preferences_are_answers_or_conversations(tmp_path: Path, record: dict[str, Any]) -> None:
    data = whole(read(tmp_path, record))
    assert data.rows == [Preference((ASKED,), "1", "2", 1, data.uri)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (chat(("user", "One?")), "messages: the last turn must be assistant's"),
        (chat(("assistant", "1")), "messages.0: is assistant's turn, where user's was due"),
        (chat(("user", "a"), ("user", "b"), ("assistant", "c")), "messages.1: is user's turn"),
        (chat(("user", "a"), ("system", "b"), ("assistant", "c")), "messages.1: is system's turn"),
        (chat(("system", "a")), "messages: the last turn must be assistant's"),
        (chat(("user", "a"), ("tool", "b")), "messages.1.role: turns of tools cannot be taught yet"),
        (chat(("user", "a"), ("robot", "b")), "messages.1.role: must be one of system, user, assistant"),
        (chat(("user", "a"), ("assistant", " ")), "messages.1.content: is empty"),
        (chat(("user", "a"), ("assistant", None)), "messages.1.content: must be text"),
        (
            chat(("user", [{"type": "text", "text": "a"}]), ("assistant", "b")),
            "messages.0.content: must be text",
        ),
        ({"messages": []}, "messages: is empty"),
        ({"messages": "hello"}, "messages: must be a list of turns"),
        ({"messages": ["hello"]}, "messages.0: must be an object of role and content"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: is missing"),
        ({"messages": [{"content": "a"}]}, "messages.0.role: is missing"),
        (
            {"messages": [{"role": "user", "content": "a", "tool_calls": [1]}]},
            "messages.0.tool_calls: unknown field; tool calls cannot be taught yet",
        ),
        ({"messages": [{"role": "user", "content": "a", "weight": 0}]}, "messages.0.weight: unknown field"),
        (gpt(("human", "a"), ("observation", "b")), "conversations.1.from: turns of tools"),
        (gpt(("gpt", "a")), "conversations.0: is assistant's turn"),
        ({"instruction": "a"}, "output: is missing"),
        ({"instruction": "a", "input": 3, "output": "b"}, "input: must be text"),
        ({"prompt": "a", "chosen": "b"}, "rejected: is missing"),
        ({"chosen": "a", "rejected": "b"}, "prompt: is missing"),
        ({"preferred_output": [], "non_preferred_output": []}, "input: is missing"),
        ({"preferred_output": [], "input": "a", "non_preferred_output": []}, "input: must be an object"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "rejected: is the same as chosen"),
        (
            {**chat(("user", "a"), ("assistant", "b")), "prompt": "c", "chosen": "d", "rejected": []},
            "rejected: is empty",
        ),
    ],
)
def test_a_row_that_is_not_of_its_form_is_refused_by_turn(
    tmp_path: Path, record: dict[str, Any], words: str
) -> None:
    data = read(tmp_path, record)
    assert [str(fault) for fault in data.faults] == [f"{data.uri}:1: {fault_words(data)}"]
    assert fault_words(data).startswith(words)


def fault_words(data: Any) -> str:
    (fault,) = data.faults
    return f"{fault.field}: {fault.problem}"


def test_all_rows_are_held_to_the_first_ones_form_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    rows = [chat(("user", "a"), ("assistant", "b")), {"prompt": "a", "completion": "b"}]
    data = read(tmp_path, *rows)
    assert [(fault.line, fault.field) for fault in data.faults] == [(2, "messages")]
    data = read(tmp_path, *rows, form="prompt_completion")
    assert [(fault.line, fault.field) for fault in data.faults] == [(1, "messages")]


def test_fields_of_no_form_are_refused_with_the_forms(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"rows\.jsonl:1: its fields \(question, answer\) are those of no form"
    ):
        read(tmp_path, {"question": "a", "answer": "b"})


def test_what_a_form_does_not_use_is_said_once_and_of_ones_own_rows_refused(tmp_path: Path) -> None:
    own = {"prompt": "a", "completion": "b", "id": "1"}
    assert [fault.field for fault in read(tmp_path, own).faults] == ["id"]
    for name in ("rows.csv", "rows.parquet"):
        assert whole(read(tmp_path, own, name=name)).unused == {"id": []}
    other = chat(("user", "a"), ("assistant", "b"))
    data = whole(read(tmp_path, other, {**other, "id": 1, "score": None}, {**other, "id": 2}))
    assert data.unused == {"id": [2, 3], "score": [2]}


JSON = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(max_size=3),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(["role", "content", "from", "value"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELD = some.sampled_from(
    [
        "prompt",
        "completion",
        "messages",
        "conversations",
        "instruction",
        "output",
        "text",
        "chosen",
        "rejected",
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=some.lists(some.dictionaries(FIELD, JSON, min_size=1, max_size=4), min_size=1, max_size=4))
def test_no_row_is_lost_each_is_taught_or_named(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    data = read(tmp_path, *records)
    lines = [row.line for row in data.rows] + [fault.line for fault in data.faults]
    assert sorted(lines) == list(range(1, len(records) + 1))
