"""What a data file holds, by its name's ending."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet", "text"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "text",
    ".md": "text",
}
PACKED = {".gz", ".bz2", ".xz", ".zst"}


def ending_of(name: str) -> str:
    """The endings that say what is in it, such as `.jsonl.gz`, in small letters."""
    path = PurePosixPath(name.lower())
    return path.with_suffix("").suffix + path.suffix if path.suffix in PACKED else path.suffix


def kind_of(name: str) -> Kind | None:
    """What a file holds; .gz and its like are looked through."""
    path = PurePosixPath(name.lower())
    return KINDS.get((path.with_suffix("") if path.suffix in PACKED else path).suffix)
