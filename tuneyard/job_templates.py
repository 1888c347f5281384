"""Prompts that this machine remembers under a name, to be submitted again."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tuneyard import stored_keys
from tuneyard.errors import BadInput
from tuneyard.submission_shapes import WAIT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Template(BaseModel):
    name: str
    type: str = "inference"
    prompt: str | None = None
    model: str | None = None
    ttl: int = WAIT


def keep(template: Template) -> None:
    file = _file(template.name)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(template.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"it cannot be written: {error.strerror}", file=str(file)) from None


def find(name: str) -> Template:
    """Raises BadInput where there is none of that name, or its file is not as it was written."""
    file = _file(name)
    try:
        return Template.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise _missing(name) from None
    except (OSError, ValidationError):
        raise BadInput("not as tuneyard wrote it: delete it and save it again", file=str(file)) from None


def names() -> list[str]:
    return sorted(file.stem for file in _folder().glob("*.json"))


def forget(name: str) -> None:
    """Raises BadInput where there is none of that name."""
    try:
        _file(name).unlink()
    except FileNotFoundError:
        raise _missing(name) from None


def _missing(name: str) -> BadInput:
    return BadInput(f"there is no template {name!r}: tuneyard client template list")


def _folder() -> Path:
    return stored_keys.file().parent / "templates"


def _file(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name for a template: letters, digits, dots, dashes and underscores")
    return _folder() / f"{name}.json"
