"""Test suites as people write them: JSON Lines, JSON, CSV, TSV, YAML or Parquet, every fault named by file and line.

In a table an empty cell says nothing; `tags` and `choices` are a JSON list or parted by `|`, `messages` and a scorer
with fields of its own are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from tuneyard.batch_shapes import Prompt
from tuneyard.config_files import yaml_if_there, yaml_loader
from tuneyard.data_kinds import PACKED, kind_of
from tuneyard.errors import BadInput
from tuneyard.faults import Fault, RowFault, quoted, refuse
from tuneyard.records import BOM, Records, read_records
from tuneyard.stored_file import StoredFile, local_content, unpacked
from tuneyard.suite_faults import fault_of

FIELDS = tuple(Prompt.model_fields)
LISTS = ("tags", "choices")
IN_JSON = (*LISTS, "messages", "scorer")
LONGEST_MESSAGE = 500


def read_suite(path: Path) -> list[Prompt]:
    """The prompts of a test suite's file: JSON Lines, where the name's ending says nothing else.

    Raises:
        BadInput: The file is missing, unreadable or empty, or rows are not such prompts; names all of those.
    """
    file = StoredFile(str(path), local_content(path))
    records = _records(file)
    if records.columns is not None:
        _refuse_unknown(records.columns, file.name)
    prompts, faults = list[Prompt](), list[Fault](records.faults)
    for line, record in records.rows:
        try:
            prompts.append(read_prompt(record, in_table=records.columns is not None))
        except RowFault as fault:
            faults.append(fault.at(file.name, line))
    if faults:
        refuse(sorted(faults, key=lambda fault: fault.line or 0))
    if not prompts:
        raise BadInput("there are no prompts in it", file=file.name)
    return prompts


def suite_name(path: Path) -> str:
    """The file's name without its endings."""
    name = path.name
    return Path(name).with_suffix("").stem if Path(name).suffix.lower() in PACKED else Path(name).stem


def _records(file: StoredFile) -> Records:
    path = PurePosixPath(file.name.lower())
    ending = (path.with_suffix("") if path.suffix in PACKED else path).suffix
    if ending in (".yaml", ".yml"):
        return _yaml_records(unpacked(file).removeprefix(BOM), file.name)
    return read_records(unpacked(file), kind_of(file.name) or "jsonl", file.name, frozenset(FIELDS))


def _yaml_records(content: bytes, file: str) -> Records:
    yaml = yaml_if_there()
    if yaml is None:
        raise BadInput("reading YAML needs PyYAML: pip install pyyaml", file=file)
    records = Records()
    try:
        loader = yaml_loader(yaml)(content.decode())
        root = loader.get_single_node()
        if root is None:
            return records
        if root.id != "sequence":
            raise BadInput("it is no list of prompts: begin each one with `- prompt: …`", file=file, line=1)
        for node in root.value:
            _add(records, loader, node, file)
    except UnicodeDecodeError:
        raise BadInput("it is not text in UTF-8", file=file) from None
    except RecursionError:
        raise BadInput("it is nested too deep", file=file) from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
        words = getattr(problem, "problem", None) or " ".join(str(problem).split())
        line = mark.line + 1 if mark else None
        raise BadInput(f"it is not YAML: {words}", file=file, line=line) from None
    return records


def _add(records: Records, loader: Any, node: Any, file: str) -> None:
    """One prompt's node, as a record or a fault at the line it begins at."""
    line = node.start_mark.line + 1
    names = [key.value for key, _ in node.value] if node.id == "mapping" else []
    twice = [name for name in names if names.count(name) > 1]
    if node.id != "mapping":
        records.faults.append(RowFault("unreadable_row", "is no mapping").at(file, line))
    elif twice:
        fault = RowFault("wrong_fields", "stands twice in one prompt", quoted(str(twice[0])))
        records.faults.append(fault.at(file, line))
    else:
        records.rows.append((line, loader.construct_document(node)))


def _refuse_unknown(columns: tuple[str, ...], file: str) -> None:
    for name in columns:
        if name not in FIELDS:
            raise BadInput(f"unknown column; there may be {', '.join(FIELDS)}", file=file, field=quoted(name))


def _from_cells(record: dict[str, Any]) -> dict[str, Any]:
    """A table's row, its texts read as what their columns hold."""
    found = {name: _without_nulls(value) for name, value in record.items() if value not in ("", None)}
    for name in IN_JSON:
        if isinstance(value := found.get(name), str):
            found[name] = _cell(name, value.strip())
    if isinstance(weight := found.get("weight"), str):
        found["weight"] = _number(weight)
    return found


def _cell(name: str, text: str) -> Any:
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise RowFault("wrong_fields", "is not JSON", name) from None
    return [part.strip() for part in text.split("|")] if name in LISTS else text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _without_nulls(value: Any) -> Any:
    """Parquet gives each of a struct's fields, also those that nothing was said of."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def read_prompt(record: dict[str, Any], *, in_table: bool) -> Prompt:
    """One row; a table's cells are read as what their columns hold. Raises RowFault where it is no prompt."""
    if in_table:
        record = _from_cells(record)
    for name in record:
        if name not in FIELDS:
            known = ", ".join(FIELDS)
            raise RowFault("wrong_fields", f"unknown field; a row may have {known}", quoted(str(name)))
    try:
        prompt = Prompt.model_validate(record)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        words = first["msg"].removeprefix("Value error, ")[:LONGEST_MESSAGE]
        raise RowFault("wrong_fields", words, where and quoted(where)) from None
    _demand_texts(prompt)
    if found := fault_of(prompt):
        raise RowFault("wrong_fields", found[1], found[0])
    return prompt


def _demand_texts(prompt: Prompt) -> None:
    for name in ("prompt", "expected"):
        if (value := getattr(prompt, name)) is not None and not value.strip():
            raise RowFault("empty_text", "is empty", name)
    for name, value in prompt.model_dump(mode="json", exclude_none=True).items():
        if any("\0" in text for text in _texts(value)):
            raise RowFault("wrong_fields", "holds the NUL character", name)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(inner)
