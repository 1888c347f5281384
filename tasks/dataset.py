"""Reads training rows and test suites: JSON Lines, UTF-8, every fault named by file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneyard.errors import BadInput
from tuneyard.shapes import Prompt

ROW_FIELDS = ("prompt", "completion")
SUITE_FIELDS = ("prompt", "expected", "tags")


@dataclass(frozen=True)
class Row:
    """One training example; `line` counts from 1 in the file it came from."""

    prompt: str
    completion: str
    line: int


@dataclass(frozen=True)
class Rows:
    """A whole training file. `sha256` is that of the file's bytes."""

    rows: list[Row]
    sha256: str
    path: Path


def read_rows(path: Path) -> Rows:
    """The training rows {prompt, completion} of a JSONL file.

    Raises:
        BadInput: the file is missing, not UTF-8 or empty, or a line is not such a row.
    """
    content = _content(path)
    rows = []
    for line, record in _records(path, content):
        _refuse_unknown(record, ROW_FIELDS, path, line)
        rows.append(Row(_text(record, "prompt", path, line), _text(record, "completion", path, line), line))
    if not rows:
        raise BadInput("there are no rows in it", file=str(path))
    return Rows(rows, hashlib.sha256(content).hexdigest(), path)


def read_suite(path: Path) -> list[Prompt]:
    """The prompts {prompt, expected, tags?} of a test suite.

    Raises:
        BadInput: as `read_rows`.
    """
    prompts = []
    for line, record in _records(path, _content(path)):
        _refuse_unknown(record, SUITE_FIELDS, path, line)
        tags = record.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise BadInput("must be a list of texts", file=str(path), line=line, field="tags")
        prompt, expected = (_text(record, field, path, line) for field in ("prompt", "expected"))
        prompts.append(Prompt(prompt=prompt, expected=expected, tags=tags))
    if not prompts:
        raise BadInput("there are no prompts in it", file=str(path))
    return prompts


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no such file (looked in {Path.cwd()})", file=str(path)) from None
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", file=str(path)) from None


def _records(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's object with its line number; blank lines are passed over."""
    for line, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            record = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError:
            raise BadInput("the line is not UTF-8 text", file=str(path), line=line) from None
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
            raise BadInput(f"the line is not JSON: {reason}", file=str(path), line=line) from None
        if not isinstance(record, dict):
            raise BadInput("the line is not a JSON object", file=str(path), line=line)
        yield line, record


def _refuse_unknown(record: dict[str, Any], known: tuple[str, ...], path: Path, line: int) -> None:
    """A misspelt field is a fault in the data, not something to train without."""
    for field in record:
        if field not in known:
            raise BadInput(
                f"unknown field; a line may have {', '.join(known)}", file=str(path), line=line, field=field
            )


def _text(record: dict[str, Any], field: str, path: Path, line: int) -> str:
    if field not in record:
        raise BadInput("is missing", file=str(path), line=line, field=field)
    value = record[field]
    if not isinstance(value, str):
        raise BadInput("must be text", file=str(path), line=line, field=field)
    if not value.strip():
        raise BadInput("is empty", file=str(path), line=line, field=field)
    return value
