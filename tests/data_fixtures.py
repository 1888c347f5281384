"""What the data sets' tests share: records written in every kind of file, and read again."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

Record = dict[str, Any]


def as_jsonl(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_json(records: Sequence[Record]) -> bytes:
    return json.dumps(records, indent=1, ensure_ascii=False).encode()


def as_table(delimiter: str) -> Callable[[Sequence[Record]], bytes]:
    def write(records: Sequence[Record]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(records[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue().encode()

    return write


def as_parquet(records: Sequence[Record]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(records)), sink)
    return sink.getvalue()


WRITERS: dict[str, Callable[[Sequence[Record]], bytes]] = {
    ".jsonl": as_jsonl,
    ".json": as_json,
    ".csv": as_table(","),
    ".tsv": as_table("\t"),
    ".parquet": as_parquet,
    ".jsonl.gz": lambda records: gzip.compress(as_jsonl(records)),
    ".parquet.gz": lambda records: gzip.compress(as_parquet(records)),
}


def write_data(folder: Path, records: Sequence[Record], name: str = "rows.jsonl") -> Path:
    """The records in a file whose name says how."""
    path = folder / name
    path.write_bytes(WRITERS[name[name.index(".") :]](records))
    return path
