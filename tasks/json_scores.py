"""Scorers of answers that should be JSON.

JSON is meant strictly, as RFC 8259 has it: NaN is none, and neither is an object that has a key twice.
The schemas' library matches patterns in linear time or gives up, and is told to fetch nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs

_BLOCK = re.compile(r"```(?:[A-Za-z0-9_+-]*\s)?(.*?)```", re.DOTALL)


class NotJson(ValueError):
    """The text is not JSON."""


def json_valid(response: str) -> float:
    """1.0 where the answer is JSON, by itself or as its one fenced block."""
    try:
        read_json(response)
    except NotJson:
        return 0.0
    return 1.0


def json_schema(response: str, schema: jsonschema_rs.Validator) -> float:
    """1.0 where it is, and fits the schema."""
    try:
        return float(schema.is_valid(read_json(response)))
    except (
        ValueError
    ):  # NotJson; or what no JSON library but Python's takes: half a surrogate, a depth of 1000
        return 0.0


def schema_of(given: dict[str, Any] | str) -> jsonschema_rs.Validator:
    """A schema, ready for use. Raises ValueError, in words, where it is not one or refers to what it does not hold."""
    schema = read_json(given) if isinstance(given, str) else given
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON Schema is an object")
    try:
        return jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(str(error).splitlines()[0]) from None


def read_json(response: str) -> Any:
    """The value that an answer is. Raises NotJson."""
    text = response.strip()
    blocks = _BLOCK.findall(text)
    if len(blocks) == 1 and not text.startswith(("{", "[", '"')):
        text = blocks[0]
    try:
        return json.loads(text, object_pairs_hook=_each_key_once, parse_constant=_refuse, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key stands twice in one object")
    return found


def _refuse(constant: str) -> Any:
    raise NotJson(f"{constant} is not JSON")


def _whole(digits: str) -> int | float:
    """Python makes no integer of more than 4300 digits."""
    return int(digits) if len(digits) <= 4300 else float(digits)


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not in the schema, and nothing is fetched")
