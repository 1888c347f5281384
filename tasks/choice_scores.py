"""Scorers of multiple choice: which of a prompt's choices an answer names, or the model finds likeliest."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from tasks.text_scores import Unscorable, folded

_OUTER = " \t\n\r*_`\"'\u201c\u201d\u2018\u2019.,;:!()[]{}$\\"
_LAST = 20  # statements that are looked at
_STATED = re.compile(
    r"\b(?:answer|correct (?:option|choice|one))\b(?: to (?:the|this) question)?[\s*_`]{0,5}"
    r"(?:is|would be|must be|should be)?(?: (?:option|choice|letter))?[\s*_`\"':=(\[{$-]{0,8}"
    r"(?:\\(?:boxed|text)\{){0,2}[(]?|\\boxed\{(?:\\text\{)?[(]?",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"^[\s*_`#>-]{0,8}(?:(?:option|choice)\s{1,3}[*(]{0,3}(?=[A-Z]\b)"
    r"|[*_`]{0,3}[(\[]?(?=[A-Z][*_`]{0,3}(?:[)\].:]|$))|[*_]{1,3}(?=[A-Z][*_]))",
    re.IGNORECASE | re.MULTILINE,
)
_LETTER = re.compile(r"([A-Za-z])(?![\w'\u2019])(?P<after>[)\].:},*_`]{0,4})")


def choice(response: str, expected: str, choices: Sequence[str]) -> float:
    """1.0 where the answer names the right choice and no other."""
    right = meant_choice(expected, choices)
    return float(right is not None and named_choice(response, choices) == right)


def choice_likelihood(found: Any, expected: str, choices: Sequence[str], *, by_token: bool) -> float:
    """1.0 where the right choice is likelier than each other one.

    Args:
        found: {"logprobs": [of each choice], "tokens": [how many it has]}.
    """
    logprobs, tokens = found.get("logprobs", ()), found.get("tokens", ())
    if len(logprobs) != len(choices) or (by_token and len(tokens) != len(choices)):
        raise Unscorable(f"there are likelihoods of {len(logprobs)} choices, not of {len(choices)}")
    marks = [mark / max(1, tokens[at]) if by_token else mark for at, mark in enumerate(logprobs)]
    if not all(map(math.isfinite, marks)):
        raise Unscorable("a likelihood is no number")
    right = meant_choice(expected, choices)
    return float(
        right is not None and all(marks[right] > mark for at, mark in enumerate(marks) if at != right)
    )


def meant_choice(expected: str, choices: Sequence[str]) -> int | None:
    """Which choice the expected text means: by its own text, else by its letter."""
    texts = plain_texts(choices)
    if _plain(expected) in texts:
        return texts.index(_plain(expected))
    return _by_letter(expected.strip(_OUTER), texts)


def plain_texts(choices: Sequence[str]) -> list[str]:
    """The choices as they are compared; two that are the same so cannot be told apart."""
    return [_plain(one) for one in choices]


def named_choice(response: str, choices: Sequence[str]) -> int | None:
    """The one choice that an answer names; None where it names none, or several.

    The first of these that is there decides: the whole answer is a choice or its letter; `the answer is …`; lines that
    begin with a marked letter, `B)` or `Option B`; the choices' texts, wherever they stand.
    """
    texts = plain_texts(choices)
    if _plain(response) in texts:
        return texts.index(_plain(response))
    alone = _by_letter(response.strip(_OUTER), texts)
    if alone is not None:
        return alone
    for named in (
        _after(_STATED, response, texts),
        _after(_MARKED, response, texts),
        _mentioned(response, texts),
    ):
        if named:
            return named.pop() if len(named) == 1 else None
    return None


def _after(sign: re.Pattern[str], response: str, texts: Sequence[str]) -> set[int]:
    """What is named right after each sign: a letter, a text, or `B) Paris`, which must not be two choices."""
    longest = max(map(len, texts)) + 20
    named: set[int] = set()
    for match in list(sign.finditer(response))[-_LAST:]:
        rest = response[match.end() : match.end() + longest]
        by_text = _beginning(rest, texts)
        letter = _LETTER.match(rest)
        if by_text is not None:
            named.add(by_text)
        elif letter and (letter[1].isupper() or letter["after"] or rest[letter.end() :][:1] in ("", "\n")):
            both = (_by_letter(letter[1], texts), _beginning(rest[letter.end() :], texts))
            named.update(at for at in both if at is not None)
    return named


def _beginning(rest: str, texts: Sequence[str]) -> int | None:
    """Which choice's text a text begins with; of several the longest."""
    said = folded(rest).lstrip(_OUTER + "-\u2013\u2014")
    found = [at for at, text in enumerate(texts) if re.match(_bounded(text), said)]
    return max(found, key=lambda at: len(texts[at]), default=None)


def _mentioned(response: str, texts: Sequence[str]) -> set[int]:
    longest_first = sorted(texts, key=len, reverse=True)
    pattern = "|".join(map(_bounded, longest_first))
    return {texts.index(match[0]) for match in re.finditer(pattern, " ".join(folded(response).split()))}


def _bounded(text: str) -> str:
    """A pattern for a text that is not part of a longer word; scripts without spaces have no such bounds."""
    before = r"(?<!\w)(?<!\w['\u2019])" if text[:1] < "\u2e80" else ""
    after = r"(?!\w)" if text[-1:] < "\u2e80" else ""
    return before + re.escape(text) + after


def _by_letter(letter: str, texts: Sequence[str]) -> int | None:
    if len(letter) != 1 or not (letter.isascii() and letter.isalpha()):
        return None
    at = ord(letter.upper()) - ord("A")
    return at if at < len(texts) else None


def _plain(text: str) -> str:
    tidy = " ".join(folded(text).split())
    return tidy.strip(_OUTER) or tidy
