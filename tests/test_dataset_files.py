"""Every kind of file gives the same rows, wherever it lies; whatever bytes it holds, the worst is a BadInput."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pyarrow import parquet

from tasks.dataset import Dataset, read_dataset, read_suite, whole
from tasks.examples import Example, Passage
from tests.data_fixtures import WRITERS, as_jsonl, as_parquet, write_data
from tuneyard.data_kinds import KINDS
from tuneyard.errors import BadInput

ROWS = [{"prompt": 'a, "b"\n c', "completion": "d\te"}, {"prompt": " é", "completion": "日\r\n本"}]
TEXT = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
LOOSE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pairs(data: Dataset) -> list[tuple[str, str]]:
    return [(row.turns[0].text, row.turns[1].text) for row in data.rows if isinstance(row, Example)]


@pytest.mark.parametrize("ending", WRITERS)
@LOOSE
@given(
    records=some.lists(some.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}), min_size=1, max_size=5)
)
def test_rows_come_back_from_every_kind_of_file(tmp_path: Path, ending: str, records: list[Any]) -> None:
    file = write_data(tmp_path, records, f"rows{ending}")
    data = whole(read_dataset(str(file)))
    assert pairs(data) == [(record["prompt"], record["completion"]) for record in records]
    assert data.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", [*KINDS, ".yaml"])
@LOOSE
@given(
    content=some.binary(max_size=200)
    | some.text(alphabet='[]{}",:\n\r\0\t"prompt1é', max_size=60).map(str.encode)
)
def test_whatever_a_file_holds_nothing_but_bad_input_is_raised(
    tmp_path: Path, ending: str, content: bytes
) -> None:
    for name, stored in ((f"rows{ending}", content), (f"rows{ending}.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(stored)
        rows = [lambda path: whole(read_dataset(str(path)))] if ending != ".yaml" else []
        for read in (*rows, read_suite):
            try:
                read(tmp_path / name)
            except BadInput as error:
                assert error.file == str(tmp_path / name)  # noqa: PT017


@LOOSE
@given(where=some.integers(0, 10_000), byte=some.integers(0, 255))
def test_a_damaged_parquet_or_gzip_file_is_bad_input_or_reads(tmp_path: Path, where: int, byte: int) -> None:
    for name, content in (("rows.parquet", as_parquet(ROWS)), ("rows.jsonl.gz", WRITERS[".jsonl.gz"](ROWS))):
        damaged = bytearray(content)
        damaged[where % len(damaged)] = byte
        for stored in (bytes(damaged), content[: where % len(content)]):
            (tmp_path / name).write_bytes(stored)
            try:
                read_dataset(str(tmp_path / name))
            except BadInput as error:
                assert error.file == str(tmp_path / name)  # noqa: PT017


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path, ending: str) -> None:
    file = write_data(tmp_path, [{"prompt": "é", "completion": "b"}] * 3, f"rows{ending}")
    text = file.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\n", "\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    data = whole(read_dataset(str(file)))
    assert pairs(data) == [("é", "b")] * 3
    assert [row.line for row in data.rows] == [
        row.line for row in sorted(data.rows, key=lambda row: row.line)
    ]


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".json", ".parquet"])
def test_nul_and_very_long_text_are_read(tmp_path: Path, ending: str) -> None:
    long = "x" * 3_000_000
    data = whole(
        read_dataset(str(write_data(tmp_path, [{"prompt": "a\0b", "completion": long}], f"r{ending}")))
    )
    assert pairs(data) == [("a\0b", long)]


def test_a_row_of_a_table_is_named_by_the_line_it_starts_at(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('prompt,completion\n"two\nlines",b\n\nc,\nd\ne,f,g\nh,i\n')
    data = read_dataset(str(file))
    assert [(row.line) for row in data.rows] == [2, 8]
    assert [(fault.line, fault.field) for fault in data.faults] == [(5, "completion"), (6, None), (7, None)]
    file.write_text('prompt,completion\na,b\n"never closed,c\nd,e\n')
    with pytest.raises(BadInput, match=r"rows\.csv:3: the row's quotes or separators are wrong"):
        whole(read_dataset(str(file)))


def test_a_table_with_one_name_twice_or_no_header_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("prompt,completion,prompt\na,b,c\n")
    with pytest.raises(BadInput, match=r"rows\.csv:1: prompt: two columns have this name"):
        read_dataset(str(file))
    file.write_text("")
    with pytest.raises(BadInput, match="no header"):
        read_dataset(str(file))


def test_bytes_that_are_not_utf8_are_named_by_the_row_that_has_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"prompt,completion\na,b\nc,\xff\nd,e\n\xfe,f\n")
    data = read_dataset(str(file))
    assert [(fault.line, fault.field) for fault in data.faults] == [(3, "completion"), (5, "prompt")]
    (tmp_path / "rows.json").write_bytes(b'[{"prompt": "a",\n"completion": "b"},\n{"prompt": "\xff"}]')
    data = read_dataset(str(tmp_path / "rows.json"))
    assert [(fault.line, fault.field) for fault in data.faults] == [(3, "prompt")]


def test_objects_of_a_json_list_are_named_by_their_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[\n{"prompt": "a",\n "completion": "b"},\n 3,\n{"prompt": "c"}\n,{"prompt": "d",,}]')
    data = read_dataset(str(file))
    assert [row.line for row in data.rows] == [2]
    assert [fault.line for fault in data.faults] == [4, 5, 6]
    file.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    assert pairs(whole(read_dataset(str(file)))) == [
        ("a", "b"),
        ("c", "d"),
    ]  # many a .json file is JSON Lines


@pytest.mark.parametrize(
    "content", ["[", '[{"prompt": "a", "completion": "b"}', '[{"prompt": "a"}] x', "[1 2]"]
)
def test_a_json_list_that_is_cut_off_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(BadInput, match=r"rows\.json:1: "):
        whole(read_dataset(str(tmp_path / "rows.json")))


def test_parquet_rows_are_numbered_from_one_and_only_used_columns_are_read(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "prompt": pyarrow.array([b"a", b"\xff", b"c"], pyarrow.binary()).view(pyarrow.binary()),
            "completion": ["x", "y", None],
            "score": [1.0, 2.0, 3.0],
        }
    ).cast(
        pyarrow.schema([("prompt", pyarrow.binary()), ("completion", pyarrow.string()), ("score", "double")])
    )
    columns = [table["prompt"].combine_chunks().view(pyarrow.string()), table["completion"], table["score"]]
    parquet.write_table(pyarrow.table(columns, names=table.column_names), tmp_path / "rows.parquet")
    data = read_dataset(str(tmp_path / "rows.parquet"))
    assert [(row.line) for row in data.rows] == [1]
    assert [(fault.line, fault.field) for fault in data.faults] == [(2, None), (3, "completion")]
    assert data.unused == {"score": []}


def test_plain_text_is_passages_that_end_at_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_bytes(b"\n\nOne\r\n  indented\r\n\t\r\n\r\nTwo\n")
    assert read_dataset(str(file)).rows == [
        Passage("One\n  indented", 3, str(file)),
        Passage("Two", 7, str(file)),
    ]


def test_urls_are_opened_by_fsspec_and_a_missing_package_is_named(tmp_path: Path) -> None:
    with fsspec.open("memory://sets/rows.jsonl.gz", "wb") as file:
        file.write(gzip.compress(as_jsonl(ROWS)))
    data = whole(read_dataset("memory://sets/rows.jsonl.gz"))
    assert pairs(data) == [(row["prompt"], row["completion"]) for row in ROWS]
    local = write_data(tmp_path, ROWS)
    assert read_dataset(f"file://{local}").rows[0].file == f"file://{local}"
    for uri, words in {
        "memory://sets/none.jsonl": "there is no such file",
        f"file://{tmp_path}": "it is a folder",
        "s3://bucket/rows.jsonl": "needs a package that is not here: Install s3fs",
        "nosuch://x/rows.jsonl": "Protocol not known: nosuch",
        "https://[/rows.jsonl": "https://",
    }.items():
        with pytest.raises(BadInput, match=words) as caught:
            read_dataset(uri)
        assert caught.value.file == uri


def test_no_password_of_a_url_is_said() -> None:
    with pytest.raises(BadInput) as caught:
        read_dataset("nosuch://me:hush@host/rows.jsonl?signature=hush")
    assert str(caught.value).startswith("nosuch://host/rows.jsonl: ")
    assert "hush" not in str(caught.value)


def test_a_file_of_no_known_kind_is_refused_with_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("x")
    with pytest.raises(BadInput, match=r"its name ends in none of \.jsonl"):
        read_dataset(str(tmp_path / "rows.xlsx"))


@pytest.mark.parametrize("count", [1, 3])
def test_lines_are_those_of_the_file_also_with_blank_ones_between(tmp_path: Path, count: int) -> None:
    (tmp_path / "rows.jsonl").write_text(("\n" * count).join(json.dumps(row) for row in ROWS))
    assert [row.line for row in read_dataset(str(tmp_path / "rows.jsonl")).rows] == [1, 1 + count]
