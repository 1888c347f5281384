"""What counts as the same text, when rows are compared: with others, with the suites, with the evaluation's rows."""

from __future__ import annotations

import re
import unicodedata

from tasks.examples import Example, Preference, Taught, Turn

# A word, or one sign of a script that is written without spaces.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")


def plain(text: str) -> str:
    """The text without case, compatibility forms (NFKC), spacing and a mark at its end: equal ones are near copies.

    Signs within the text stay: `1 + 1` is not `1 - 1`.
    """
    same = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(same.casefold().split()).rstrip(" .!?…。")


def words_of(text: str) -> list[str]:
    """The words of a plain text, without any signs."""
    return WORD.findall(text)


def asked_in(record: Taught) -> str:
    """What the model reads before the last answer; a passage has nothing before it."""
    if isinstance(record, Example):
        return _written(record.turns[:-1])
    return _written(record.prompt) if isinstance(record, Preference) else ""


def answered_in(record: Taught) -> str:
    """What is learnt last: the answer, the passage, or both of two compared answers."""
    if isinstance(record, Example):
        return record.turns[-1].text
    return f"{record.chosen}\n{record.rejected}" if isinstance(record, Preference) else record.text


def questions_in(record: Taught) -> list[str]:
    """Everything in it that a test's prompt could be equal to: each user's turn, or a whole passage."""
    if isinstance(record, Example | Preference):
        turns = record.turns if isinstance(record, Example) else record.prompt
        return [turn.text for turn in turns if turn.role == "user"]
    return [record.text]


def _written(turns: tuple[Turn, ...]) -> str:
    return "\n".join(turn.text for turn in turns)
