"""What a server offers, as its OpenAPI document says it. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

from pydantic import BaseModel

METHODS = ("get", "post", "put", "patch", "delete", "head")


class Endpoint(BaseModel):
    method: str
    path: str
    summary: str


def endpoints_in(document: dict[str, Any]) -> list[Endpoint]:
    """Every operation, by path."""
    return [
        Endpoint(method=method.upper(), path=path, summary=operations[method].get("summary", ""))
        for path, operations in sorted(document.get("paths", {}).items())
        for method in METHODS
        if method in operations
    ]


def served_at(endpoints: list[Endpoint], path: str) -> list[Endpoint]:
    """The operations at a path, with ids or as the document writes it; a path that is written out is no object's."""
    literal = [one for one in endpoints if one.path == path]
    return literal or [one for one in endpoints if _pattern(one.path).fullmatch(path)]


def nearest(endpoints: list[Endpoint], path: str, at_most: int = 3) -> list[Endpoint]:
    """Those whose paths are most like it, the likest first."""

    def likeness(one: Endpoint) -> float:
        return SequenceMatcher(None, one.path, path).ratio()

    return sorted(endpoints, key=likeness, reverse=True)[:at_most]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", template)
    return re.compile("[^/]+".join(map(re.escape, parts)))
