"""Configs as people write them: a YAML or JSON file, changed field by field on the command line.

YAML as its version 1.2 means it: `1e-4` is a number; `on`, `no` and dates are texts. It is read where PyYAML is
installed, JSON always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tuneyard.batch_configs import BatchTestConfig
from tuneyard.config_faults import CODE
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import Diagnostic

_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$")
_FIRST_OF_FLOATS = list("-+.0123456789")
_FIELDS = FinetuneConfig.model_fields.keys() | BatchTestConfig.model_fields.keys()
_MEANT_AS_TEXT = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}


class Written(NamedTuple):
    """A config as it stands in its file; `lines` by the field's dotted name."""

    file: str
    values: dict[str, Any]
    lines: dict[str, int]

    def place(self, one: Diagnostic) -> Diagnostic:
        """The diagnostic with its file and line, where it is about a field of the config."""
        field = one.field or ""
        if one.file is not None or not (one.code == CODE or field.partition(".")[0] in _FIELDS):
            return one
        line = self.lines.get(field)
        return one.model_copy(update={"file": self.file, "lines": [line] if line else []})

    def refusal(self, faults: list[Diagnostic]) -> BadInput:
        first = self.place(faults[0])
        more = f" (and {len(faults) - 1} more: `tuneyard check {self.file}`)" if len(faults) > 1 else ""
        line = first.lines[0] if first.lines else None
        return BadInput(f"{first.message}{more}", file=self.file, line=line, field=first.field)


def read_config(path: Path, changes: Iterable[str] = ()) -> Written:
    """The file's values, also of one that wraps them in `config` as Prefect's parameters do, with the changes made.

    Args:
        changes: `field=value` or `lora.rank=8`; a value that is no JSON is a text.

    Raises:
        BadInput: Not a file of fields, with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput("it is not text in UTF-8", file=str(path)) from None
    yaml = yaml_if_there()
    values = _json(path, text) if path.suffix == ".json" or yaml is None else _read_yaml(yaml, path, text)
    lines = _lines_by_name(text) if yaml is None else dict(_lines(yaml.compose(text, yaml.SafeLoader)))
    if not isinstance(values, dict):
        raise BadInput("it holds no fields: write `model: …` and `dataset: …`", file=str(path))
    if list(values) == ["config"] and isinstance(values["config"], dict):
        values, lines = values["config"], {name.removeprefix("config."): line for name, line in lines.items()}
    for change in changes:
        _set(values, change)
    return Written(str(path), values, lines)


def changes_in(pairs: Iterable[str], onto: dict[str, Any] | None = None) -> dict[str, Any]:
    """`field=value` pairs as a config of these fields alone, or a copy of another with them changed."""
    values: dict[str, Any] = deepcopy(onto or {})
    for pair in pairs:
        _set(values, pair)
    return values


def _set(values: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    *way, last = name.strip().split(".")
    if not equals or not last or not all(way):
        raise BadInput(f"{change!r} is not of the form field=value")
    for part in way:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise BadInput(f"{part} has no fields of its own", field=name)
        values = inner
    try:
        values[last] = json.loads(text)
    except ValueError:
        values[last] = text


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        yaml = path.suffix in (".yaml", ".yml")
        hint = "; for YAML: pip install pyyaml" if yaml else ""
        raise BadInput(f"it is not JSON: {problem.msg}{hint}", file=str(path), line=problem.lineno) from None


def yaml_if_there() -> Any:
    """PyYAML, or None where it is not installed."""
    try:
        return import_module("yaml")
    except ModuleNotFoundError:
        return None


def _read_yaml(yaml: Any, path: Path, text: str) -> Any:
    try:
        return yaml.load(text, yaml_loader(yaml))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = mark.line + 1 if mark else None
        raise BadInput(f"it is not YAML: {problem.problem}", file=str(path), line=line) from None
    except yaml.YAMLError as problem:
        raise BadInput(f"it is not YAML: {' '.join(str(problem).split())}", file=str(path)) from None


def yaml_loader(yaml: Any) -> Any:
    """PyYAML's safe loader, reading as YAML 1.2 means it."""
    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag not in _MEANT_AS_TEXT]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), ["t", "f"])
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _FIRST_OF_FLOATS)
    return loader


def _lines(node: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Each field's dotted name and line, counted from 1."""
    for key, value in node.value if node is not None and node.id == "mapping" else ():
        inner = f"{name}.{key.value}" if name else str(key.value)
        yield inner, key.start_mark.line + 1
        yield from _lines(value, inner)


def _lines_by_name(text: str) -> dict[str, int]:
    """The same without PyYAML, for fields whose name stands in the file once before a colon."""
    places: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r'"(\w+)"\s*:', line):
            places.setdefault(name, []).append(number)
    return {name: lines[0] for name, lines in places.items() if len(lines) == 1}
