"""Configs that are kept, and the fields of each kind, as text for a terminal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from tuneyard.display import Column, fields, long_time, short_time, table
from tuneyard.shapes import KeptConfig
from tuneyard.values import LARGEST

INDENT = "    "


def configs_table(configs: Iterable[KeptConfig], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("KIND"),
        Column("CHANGED (UTC)"),
        Column("TAGS", elastic=True),
        Column("NAME", elastic=True),
    ]
    rows = [
        (one.id, one.kind, short_time(one.updated_at, now), ", ".join(one.tags), one.name) for one in configs
    ]
    return table(columns, rows, width)


def config_card(one: KeptConfig, now: datetime) -> str:
    return fields(
        [
            ("Config", one.id),
            ("Name", one.name),
            ("Kind", one.kind),
            ("Tags", ", ".join(one.tags)),
            ("Made", long_time(one.created_at, now)),
            ("Changed", long_time(one.updated_at, now)),
            *((name, json.dumps(value, ensure_ascii=False)) for name, value in one.data.items()),
        ]
    )


def schema_lines(schema: dict[str, Any], width: int) -> str:
    """Each field of a JSON Schema: its name, what it may be, its default; below it what it means."""
    return "\n".join(_lines(schema, schema, "", width))


def _lines(schema: dict[str, Any], whole: dict[str, Any], prefix: str, width: int) -> Iterator[str]:
    for name, field in schema["properties"].items():
        inner = _inner(field, whole)
        if inner is not None:
            yield from _lines(inner, whole, f"{prefix}{name}.", width)
            continue
        needed = name in schema.get("required", ())
        default = "needed" if needed else f"default {json.dumps(field.get('default'))}"
        yield f"{prefix}{name}  {_form(field)}  {default}"
        text = field.get("description", "")
        yield from textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)


def _inner(field: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any] | None:
    """The fields that a field has of its own."""
    found: dict[str, Any] | None = whole.get("$defs", {}).get(field.get("$ref", "").rpartition("/")[2])
    return found


def _form(field: dict[str, Any]) -> str:
    if "enum" in field:
        return "|".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(_form(form) for form in field["anyOf"])
    if "const" in field:
        return str(field["const"])
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    said = "".join(
        f" {sign}{field[name]}" for name, sign in limits.items() if field.get(name, LARGEST) != LARGEST
    )
    return f"{field.get('type', 'any')}{said}"
