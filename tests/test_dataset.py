"""Data files: what is in them is read as it is, and every fault is named by file and line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tasks.dataset import read_dataset, read_suite, whole
from tasks.examples import Example, Turn
from tuneyard.errors import BadInput

GOOD = '{"prompt": "a", "completion": "b"}\n'


def pair(prompt: str, completion: str, line: int, file: Path) -> Example:
    return Example((Turn("user", prompt), Turn("assistant", completion)), line, str(file))


def test_rows_keep_their_text_and_their_line_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + "\n" + '{"prompt": " é\\n", "completion": "日"}', encoding="utf-8")
    data = read_dataset(str(file))
    assert data.rows == [pair("a", "b", 1, file), pair(" é\n", "日", 3, file)]
    assert data.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a"}', "completion: is missing"),
        ('{"prompt": "a", "completion": ""}', "completion: is empty"),
        ('{"prompt": "a", "completion": 3}', "completion: must be text"),
        ('{"prompt": null, "completion": "b"}', "prompt: must be text"),
        ('{"prompt": "a", "completion": "b", "answer": "b"}', "answer: unknown field"),
        ('{"prompt": "a", "completion": "b", "prompt": "c"}', "prompt: stands twice"),
        (
            '{"prompt": "a", "completion": "\\ud800"}',
            "completion: is not UTF-8 text, or holds half a surrogate",
        ),
        ('["a", "b"]', "not a JSON object"),
        ('{"prompt": "a"', "not JSON"),
        (GOOD.strip() * 2, "there is more after the object"),
        ("[" * 100_000, "nested too deep"),
        ('{"prompt": ' + "9" * 10_000 + ', "completion": "b"}', "prompt: must be text"),
    ],
)
def test_a_bad_row_is_refused_by_file_line_and_field(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + line + "\n")
    with pytest.raises(BadInput, match=words) as caught:
        whole(read_dataset(str(file)))
    assert str(caught.value).startswith(f"{file}:2: ")


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(GOOD.encode() + b'{"prompt": "\xff", "completion": "b"}')
    with pytest.raises(BadInput, match=r"rows\.jsonl:2: the line is not UTF-8"):
        whole(read_dataset(str(file)))


def test_every_bad_row_is_found_and_an_error_names_the_first_twenty_and_their_number(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text((GOOD + '{"prompt": "a"}\n' + "{\n") * 15)
    data = read_dataset(str(file))
    assert len(data.rows) == 15
    assert [fault.line for fault in data.faults] == [at for at in range(1, 46) if at % 3 != 1]
    with pytest.raises(BadInput) as caught:
        whole(data)
    assert (caught.value.line, caught.value.field) == (2, "completion")
    said = str(caught.value).splitlines()
    assert said[19].startswith(f"{file}:30: ")
    assert said[20:] == ["30 rows cannot be used; these are the first 20"]


def test_no_message_holds_more_of_the_data_than_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + json.dumps({"prompt": "a", "completion": "b", "x\n" * 100_000: "c"}))
    with pytest.raises(BadInput) as caught:
        whole(read_dataset(str(file)))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_data_set_whose_every_row_is_bad_names_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{\n[]\n")
    with pytest.raises(BadInput, match=r"(?s)rows\.jsonl:1: .*rows\.jsonl:2: "):
        read_dataset(str(file))


@pytest.mark.parametrize("read", [lambda path: read_dataset(str(path)), read_suite])
def test_a_missing_folder_like_or_empty_file_is_one_clear_message(tmp_path: Path, read) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(BadInput, match="there is no such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "folder.jsonl")
    with pytest.raises(BadInput, match=r"there are no (rows|prompts) in it"):
        read(tmp_path / "empty.jsonl")


def test_a_suite_has_prompts_expected_answers_and_tags(tmp_path: Path) -> None:
    file = tmp_path / "suite.jsonl"
    good = json.dumps({"prompt": "a", "expected": "b", "tags": ["x"]}) + "\n"
    file.write_text(good + '{"prompt": "c", "expected": ""}\n{"prompt": "d", "expectd": "e"}')
    with pytest.raises(BadInput, match=r"suite\.jsonl:2: expected: is empty\n.*:3: expectd: unknown field"):
        read_suite(file)
    file.write_text(good)
    (prompt,) = read_suite(file)
    assert (prompt.prompt, prompt.expected, prompt.tags) == ("a", "b", ["x"])
