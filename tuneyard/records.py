"""From a data file's bytes to its records, each with the line it starts at. What cannot be read is a fault by line.

Rows of Parquet have no lines: they are numbered from 1. Bytes that are not UTF-8 stay in the text as surrogates,
which whoever takes the row refuses.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tuneyard.data_kinds import Kind
from tuneyard.errors import BadInput
from tuneyard.faults import Fault, RowFault, quoted

BOM = b"\xef\xbb\xbf"
SPACE = re.compile(r"[ \t\r\n]*")
Found = Iterator[tuple[int, dict[str, Any] | RowFault]]


@dataclass
class Records:
    """A file's records and faults, in its order.

    `columns` are those of a table, which names them once for all its rows; of Parquet's, only the wanted ones are
    read. None where each record names its own fields.
    """

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    columns: tuple[str, ...] | None = None


def read_records(content: bytes, kind: Kind, file: str, wanted: frozenset[str] | None) -> Records:
    """Every record of one file.

    Args:
        content: Its bytes, unpacked.
        kind: What they are; a .json file that does not hold a list is read as JSON Lines.
        file: Its name in faults.
        wanted: Columns that some form of row can use; None: all.

    Raises:
        BadInput: nothing of it can be read as `kind`.
    """
    content = content.removeprefix(BOM)
    if kind == "parquet":
        return _parquet(content, file, wanted)
    if kind in ("csv", "tsv"):
        return _table(_text(content), "," if kind == "csv" else "\t", file)
    if kind == "text":
        return _sorted_out(_passages(_text(content)), file)
    as_list = kind == "json" and content.lstrip()[:1] == b"["
    return _sorted_out(_listed(_text(content)) if as_list else _lines(content), file)


def _sorted_out(found: Found, file: str) -> Records:
    records = Records()
    for line, record in found:
        if isinstance(record, RowFault):
            records.faults.append(record.at(file, line))
        else:
            records.rows.append((line, record))
    return records


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape")


class _Decoder:
    """JSON objects, in which a name that stands twice is a fault: json would keep the last value alone."""

    def __init__(self) -> None:
        self._repeated: list[str] = []
        self._json = json.JSONDecoder(object_pairs_hook=self._object, parse_int=_whole)

    def __call__(self, text: str, at: int = 0) -> tuple[dict[str, Any] | RowFault, int]:
        """The value at `at`, a fault if it is no plain object, and where it ends.

        Raises json.JSONDecodeError or RecursionError: then nobody knows where it ends.
        """
        self._repeated.clear()
        value, end = self._json.raw_decode(text, at)
        if not isinstance(value, dict):
            return RowFault("unreadable_row", f"is {_kind_words(value)}, not a JSON object"), end
        if self._repeated:
            return RowFault("wrong_fields", "stands twice in one object", self._repeated[0]), end
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            self._repeated.append(quoted(next(name for name in names if names.count(name) > 1)))
        return found


def _whole(digits: str) -> int | float:
    """As a float, a number of 5000 digits is no error."""
    return int(digits) if len(digits) < 20 else float(digits)


def _kind_words(value: Any) -> str:
    return {list: "a list", str: "a text", float: "a number", int: "a number"}.get(
        type(value), "true, false or null"
    )


def _lines(content: bytes) -> Found:
    """JSON Lines: an object a line; blank lines are passed over."""
    decode = _Decoder()
    for line, raw in enumerate(content.split(b"\n"), start=1):
        if raw.strip():
            yield line, _one_line(decode, raw)


def _one_line(decode: _Decoder, raw: bytes) -> dict[str, Any] | RowFault:
    try:
        text = raw.decode("utf-8").strip()
        record, end = decode(text)
    except UnicodeDecodeError:
        return RowFault("unreadable_row", "the line is not UTF-8 text")
    except (json.JSONDecodeError, RecursionError) as error:
        return RowFault("unreadable_row", f"the line is not JSON: {_json_words(error)}")
    if isinstance(record, RowFault) and record.code == "unreadable_row":
        return RowFault("unreadable_row", f"the line {record.problem}")
    if end < len(text):
        return RowFault("unreadable_row", "the line is not JSON: there is more after the object")
    return record


def _json_words(error: json.JSONDecodeError | RecursionError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"


def _listed(text: str) -> Found:
    """The objects of one JSON list, each with the line it starts at. After what is no JSON nothing more is found."""
    decode, at = _Decoder(), _past_space(text, text.index("[") + 1)
    line, counted = 1, 0
    more = text[at : at + 1] != "]"
    while more:
        line, counted = line + text.count("\n", counted, at), at
        try:
            record, at = decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            yield line, RowFault("unreadable_row", f"not JSON from here on: {_json_words(error)}")
            return
        yield line, record
        at = _past_space(text, at)
        more = text[at : at + 1] == ","
        at = _past_space(text, at + 1) if more else at
    line += text.count("\n", counted, at)
    if text[at : at + 1] != "]":
        yield line, RowFault("unreadable_row", "not JSON from here on: a comma or ] is missing")
    elif text[at + 1 :].strip():
        yield line, RowFault("unreadable_row", "there is more after the list")


def _past_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _passages(text: str) -> Found:
    """Plain text: a passage ends at a blank line.

    So a passage has a line to be named by, can be held back for evaluation, and is short enough for a default
    max_length; a whole document as one row is JSON Lines of {"text"}.
    """
    begun, passage = 0, list[str]()
    for line, words in enumerate([*text.split("\n"), ""], start=1):
        if words.strip():
            begun = begun if passage else line
            passage.append(words.removesuffix("\r"))
        elif passage:
            yield begun, {"text": "\n".join(passage)}
            passage = []


def _table(text: str, delimiter: str, file: str) -> Records:
    """CSV and TSV with a header; a quoted cell may hold line breaks, and a row's line is where it starts."""
    csv.field_size_limit(sys.maxsize)  # by itself the module refuses cells of more than 128 KiB
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _rows(reader)
    _, header = next(rows, (1, None))
    if header is None or isinstance(header, RowFault):
        raise BadInput("its first line is no header of column names", file=file, line=1)
    columns = tuple(header)
    _refuse_repeated(columns, file)

    def found() -> Found:
        for line, cells in rows:
            if isinstance(cells, RowFault):
                yield line, cells
            elif len(cells) != len(columns):
                words = f"the row has {len(cells)} cells and the header {len(columns)}"
                yield line, RowFault("unreadable_row", words)
            else:
                yield line, dict(zip(columns, cells, strict=True))

    records = _sorted_out(found(), file)
    records.columns = columns
    return records


def _rows(reader: Any) -> Iterator[tuple[int, list[str] | RowFault]]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, RowFault("unreadable_row", f"the row's quotes or separators are wrong: {error}")
        else:
            if cells:
                yield line, cells


def _refuse_repeated(columns: Iterable[str], file: str) -> None:
    seen = set[str]()
    for name in columns:
        if name in seen:
            raise BadInput("two columns have this name", file=file, line=1, field=quoted(name))
        seen.add(name)


def _parquet(content: bytes, file: str, wanted: frozenset[str] | None) -> Records:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise BadInput("reading Parquet needs pyarrow: pip install pyarrow", file=file) from None

    def clearly(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BadInput(f"it cannot be read as Parquet: {error}", file=file) from None

    stored = clearly(lambda: parquet.ParquetFile(pyarrow.BufferReader(content)))
    columns = tuple(stored.schema_arrow.names)
    _refuse_repeated(columns, file)
    used = [name for name in columns if wanted is None or name in wanted]
    batches = clearly(lambda: list(stored.iter_batches(columns=used)))
    records = _sorted_out(_arrow_rows(batches), file)
    records.columns = columns
    return records


def _arrow_rows(batches: Iterable[Any]) -> Found:
    row = 0
    for batch in batches:
        names = batch.schema.names
        for at in range(batch.num_rows):
            row += 1
            try:
                yield row, {name: batch.column(name)[at].as_py() for name in names}
            except (ValueError, OverflowError):
                yield (
                    row,
                    RowFault(
                        "unreadable_row", "the row holds text that is not UTF-8, or a time that is none"
                    ),
                )
