"""Finds text that no one meant to teach: broken encodings, control characters, a model's own signs in the words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tasks.examples import Example, Passage, Taught
from tasks.findings import finding
from tuneyard.shapes import Diagnostic

# All of C0 but tab and line breaks, delete, C1, and the code points that are no characters.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
# UTF-8 that was read as Windows-1252 or Latin-1 (\u00e9 as \u00c3\u00a9), and the sign for what could not be read.
MOJIBAKE = re.compile("\ufffd|Ã[\u0080-\u00bf]|Â[\u0080-\u00bf]|â€[\u2018-\u2122\u0080-\u00bfœžŸ]|ðŸ|ï»¿")


def text_findings(rows: Sequence[Taught], special: Iterable[str], file: str) -> list[Diagnostic]:
    """What is odd in the rows' texts.

    Args:
        special: The tokenizer's special tokens, which in a row's text end its turn or the whole row.
        file: The rows' file.
    """
    signs = re.compile("|".join(map(re.escape, sorted(special))) or r"(?!)")
    control, mojibake, marked = set[int](), set[int](), set[int]()
    for row in rows:
        for text in _texts(row):
            if text.isascii() and text.isprintable() and not signs.search(text):
                continue
            for pattern, lines in ((CONTROL, control), (MOJIBAKE, mojibake), (signs, marked)):
                if pattern.search(text):
                    lines.add(row.line)
    return [
        *finding("warning", "control_characters", "holds control characters", file, control),
        *finding("warning", "mojibake", "holds text that was read in a wrong encoding", file, mojibake),
        *finding(
            "warning",
            "special_tokens",
            "holds one of the model's special tokens as text: it will count as the token",
            file,
            marked,
        ),
    ]


def _texts(row: Taught) -> Iterator[str]:
    if isinstance(row, Passage):
        yield row.text
        return
    for turn in row.turns if isinstance(row, Example) else row.prompt:
        yield turn.text
    if not isinstance(row, Example):
        yield from (row.chosen, row.rejected)
