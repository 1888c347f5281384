"""Data files: what is in them is read as it is, and every fault is named by file and line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tasks.dataset import Row, read_rows, read_suite
from tuneyard.errors import BadInput

GOOD = '{"prompt": "a", "completion": "b"}\n'


def test_rows_keep_their_text_and_their_line_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + "\n" + '{"prompt": " é\\n", "completion": "日"}', encoding="utf-8")
    rows = read_rows(file)
    assert rows.rows == [Row("a", "b", 1), Row(" é\n", "日", 3)]
    assert rows.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a"}', "completion: is missing"),
        ('{"prompt": "a", "completion": ""}', "completion: is empty"),
        ('{"prompt": "a", "completion": 3}', "completion: must be text"),
        ('{"prompt": null, "completion": "b"}', "prompt: must be text"),
        ('{"prompt": "a", "completion": "b", "answer": "b"}', "answer: unknown field"),
        ('["a", "b"]', "not a JSON object"),
        ('{"prompt": "a"', "not JSON"),
    ],
)
def test_a_bad_row_is_refused_by_file_line_and_field(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + line + "\n")
    with pytest.raises(BadInput, match=words) as caught:
        read_rows(file)
    assert str(caught.value).startswith(f"{file}:2: ")


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(GOOD.encode() + b'{"prompt": "\xff", "completion": "b"}')
    with pytest.raises(BadInput, match=r"rows\.jsonl:2: the line is not UTF-8"):
        read_rows(file)


@pytest.mark.parametrize("read", [read_rows, read_suite])
def test_a_missing_folder_like_or_empty_file_is_one_clear_message(tmp_path: Path, read) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(BadInput, match="there is no such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(BadInput, match=r"there are no (rows|prompts) in it"):
        read(tmp_path / "empty.jsonl")


def test_a_suite_has_prompts_expected_answers_and_tags(tmp_path: Path) -> None:
    file = tmp_path / "suite.jsonl"
    file.write_text(
        json.dumps({"prompt": "a", "expected": "b", "tags": ["x"]}) + "\n" + '{"prompt": "c", "expected": ""}'
    )
    with pytest.raises(BadInput, match=r"suite\.jsonl:2: expected: is empty"):
        read_suite(file)
    file.write_text(file.read_text().splitlines()[0])
    (prompt,) = read_suite(file)
    assert (prompt.prompt, prompt.expected, prompt.tags) == ("a", "b", ["x"])
