"""Scorers that compare texts as they stand, or by a pattern."""

from __future__ import annotations

import re
import string
import unicodedata

import regex

PATTERN_SECONDS = 2.0
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Unscorable(Exception):
    """A scorer cannot say anything about this one answer; the message says why. The answer's own error."""


def exact(response: str, expected: str) -> float:
    """1.0 where the two texts are equal once outer white space is taken off, else 0.0."""
    return float(response.strip() == expected.strip())


def normalized_exact(response: str, expected: str) -> float:
    """The same by SQuAD's rule. An expected text of which that leaves nothing, as `A`, is compared without it."""
    if not squad(expected):
        return float(folded(response).strip() == folded(expected).strip())
    return float(squad(response) == squad(expected))


def squad(text: str) -> str:
    """SQuAD's normal form: lower case, no punctuation, no English articles, single spaces; here for all scripts."""
    kept = "".join(character for character in folded(text) if not _is_punctuation(character))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def folded(text: str) -> str:
    """Without regard to case and width."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def contains(response: str, expected: str, *, ignore_case: bool) -> float:
    """Whether the expected text stands in the answer, outer white space aside."""
    wanted = expected.strip()
    if ignore_case:
        response, wanted = response.casefold(), wanted.casefold()
    return float(wanted in response)


def compiled(pattern: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    """A pattern of the `regex` library, which knows all of `re` and can be told to stop. Raises regex.error."""
    return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)


def matches(response: str, pattern: str, *, ignore_case: bool, seconds: float = PATTERN_SECONDS) -> float:
    """Whether a regular expression finds something. Raises Unscorable where it takes longer than `seconds`."""
    try:
        found = compiled(pattern, ignore_case=ignore_case).search(response, timeout=seconds, concurrent=True)
    except TimeoutError:
        raise Unscorable(f"the pattern took longer than {seconds:g} s on this answer") from None
    except (regex.error, RecursionError, MemoryError, OverflowError) as error:
        raise Unscorable(f"the pattern cannot be used: {error}") from None
    return float(found is not None)


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
