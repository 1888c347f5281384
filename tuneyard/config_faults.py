"""A config, or everything that its form is refused for: the same words in the CLI and the API."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from tuneyard.config_words import Config
from tuneyard.shapes import Diagnostic

CODE = "config"
C = TypeVar("C", bound=Config)


def read_form(form: type[C], given: Mapping[str, Any]) -> tuple[C | None, list[Diagnostic]]:
    """The config, or None and the faults in the order of its fields."""
    try:
        return form.model_validate(given), []
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
    return None, [_fault(form, error["type"], error["loc"], error["msg"]) for error in errors]


def _fault(form: type[Config], kind: str, where: tuple[int | str, ...], message: str) -> Diagnostic:
    if kind == "extra_forbidden":
        close = get_close_matches(str(where[-1]), form.model_fields, 1)
        message = "there is no such field" + (f": did you mean {close[0]}?" if close else "")
    field = ".".join(str(part) for part in where) or None
    return Diagnostic(severity="error", code=CODE, message=message.removeprefix("Value error, "), field=field)
