"""What a model is taught with, after reading and before rendering; each knows the file and line it came from.

`file` is the path or URL as it was given: a pathlib path would turn s3://bucket into s3:/bucket. `line` counts from 1
and is where the record starts in a text file; where a file has no lines (Parquet, a hub data set), the record's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that ends with an assistant's turn; a system turn, if any, is first."""

    turns: tuple[Turn, ...]
    line: int
    file: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text, all of it learnt."""

    text: str
    line: int
    file: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one conversation, of which `chosen` is the better. `prompt` ends with a user's turn."""

    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str
    line: int
    file: str


Taught = Example | Passage | Preference
