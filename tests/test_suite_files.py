"""Suites as people write them: every kind of file gives the same prompts, and every fault has its file and line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from pyarrow import parquet

from tests.data_fixtures import as_json, as_jsonl
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput
from tuneyard.suite_files import read_suite, suite_name

ROOT = Path(__file__).resolve().parent.parent
FULL: list[dict[str, Any]] = [
    {"prompt": "a", "expected": "b", "tags": ["x", "y"], "weight": 2},
    {"prompt": "c", "choices": ["d", "e"], "expected": "e", "scorer": "choice"},
    {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "scorer": {"kind": "json_schema", "json_schema": {"minLength": 3}},
    },
]
CELLS = """\
prompt,messages,expected,tags,choices,scorer,weight
a,,b,x|y,,,2
c,,e,,"[""d"", ""e""]",choice,
,"[{""role"": ""system"", ""content"": ""s""}, {""role"": ""user"", ""content"": ""u""}]",,,,"{""kind"": \
""json_schema"", ""json_schema"": {""minLength"": 3}}",
"""


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    table = [{name: row.get(name) for name in ("prompt", "messages", "expected", "tags")} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(table), sink)
    return bytes(sink.getvalue())


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.jsonl", as_jsonl(FULL)),
        ("s", as_jsonl(FULL)),
        ("s.json", as_json(FULL)),
        ("s.yaml", yaml.safe_dump(FULL)),
        ("s.csv", CELLS),
    ],
)
def test_every_kind_of_file_gives_the_same_prompts(tmp_path: Path, name: str, content: str | bytes) -> None:
    prompts = read_suite(write(tmp_path, name, content))
    assert prompts == [Prompt.model_validate(row) for row in FULL]
    dumped = prompts[2].model_dump_json()
    assert '"minLength":3}' in dumped, "a whole number stays one: a suite's digest hangs on it"


def test_parquet_has_lists_and_structs_of_its_own(tmp_path: Path) -> None:
    rows = [FULL[0] | {"weight": None}, {"messages": FULL[2]["messages"]}]
    first, second = read_suite(write(tmp_path, "s.parquet", as_parquet(rows)))
    assert (first.prompt, first.expected, first.tags) == ("a", "b", ["x", "y"])
    assert [turn.role for turn in second.messages or []] == ["system", "user"]


FAULTS = [
    ("s.jsonl", '{"prompt": "a"}\n{"expected": "b"}', ":2: give either prompt or messages"),
    ("s.jsonl", '{"prompt": " "}', ":1: prompt: is empty"),
    ("s.jsonl", '{"prompt": "a\\u0000"}', ":1: prompt: holds the NUL character"),
    ("s.jsonl", '{"prompt": "\\ud800"}', ":1: prompt: "),
    ("s.jsonl", '{"prompt": "a", "weight": 0}', ":1: weight: Input should be greater than or equal to 0.001"),
    ("s.jsonl", '{"prompt": "a", "scorer": "exakt"}', ":1: scorer: "),
    ("s.jsonl", '{"prompt": "a", "scorer": "exact"}', ":1: expected: is missing, and the scorer exact"),
    ("s.jsonl", '{"prompt": "a", "expected": "b", "scorer": "choice"}', ":1: choices: is missing"),
    (
        "s.jsonl",
        '{"messages": [{"role": "assistant", "content": "a"}]}',
        ":1: messages: the last turn must be the user's",
    ),
    ("s.csv", "prompt,id\na,1\n", ": id: unknown column"),
    ("s.csv", "prompt,weight\na,x\n", ":2: weight: a number is needed"),
    ("s.csv", "prompt,messages\n,[oh\n", ":2: messages: is not JSON"),
    ("s.yaml", "- prompt: a\n-\n  - b\n", ":3: is no mapping"),
    ("s.yaml", "# none\n- prompt: a\n\n- promt: b\n", ":4: promt: unknown field"),
    ("s.yaml", "- prompt: a\n  prompt: b\n", ":1: prompt: stands twice"),
    ("s.yaml", "- prompt: a\n- prompt: [b\n", ":3: it is not YAML"),
    ("s.yaml", "prompt: a\n", ":1: it is no list of prompts"),
    ("s.yaml", "- prompt: a\n  expected: 42\n", ":1: expected: Input should be a valid string"),
    ("s.yaml", "", ": there are no prompts"),
    ("s.yaml", "- " * 5000 + "a", ""),
    ("s.yaml", b"- \xff", ": it is not text in UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "said"), FAULTS)
def test_each_fault_is_named_by_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(BadInput) as caught:
        read_suite(path)
    assert str(caught.value).startswith(f"{path}{said}"), caught.value


def test_all_faults_of_a_file_are_said_at_once_in_its_order(tmp_path: Path) -> None:
    path = write(tmp_path, "s.yaml", "- prompt: a\n- b\n- expected: c\n- prompt: d\n  weight: x\n")
    with pytest.raises(BadInput) as caught:
        read_suite(path)
    assert [line.rpartition("s.yaml:")[2][:1] for line in str(caught.value).splitlines()[:3]] == [*"234"]


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("yaml", "s.yaml", "PyYAML"),
        ("pyarrow", "s.parquet", "pyarrow"),
        ("fsspec.compression", "s.jsonl.gz", "fsspec"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match=f"pip install {said.lower()}"):
        read_suite(write(tmp_path, name, b""))


def test_the_shipped_suite_asks_and_judges_in_every_way() -> None:
    prompts = read_suite(ROOT / "examples" / "suites" / "first_look.yaml")
    assert [prompt.scorer.kind for prompt in prompts if prompt.scorer] == [
        "normalized_exact",
        "numeric",
        "choice",
        "json_schema",
        "contains",
        "regex",
        "rouge_l",
    ]
    assert [prompt.weight for prompt in prompts] == [None, 2, None, None, None, 0.5, None]
    assert sum(prompt.messages is not None for prompt in prompts) == 2
    assert prompts[5].scorer.pattern == r"\b\d{4}-\d\d-\d\d\b"


@pytest.mark.parametrize("name", ["dates.jsonl", "dates.jsonl.gz", "dates.yaml", "dates"])
def test_a_suite_is_named_as_its_file(name: str) -> None:
    assert suite_name(Path("a") / name) == "dates"
