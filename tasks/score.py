"""How an answer is judged: pure functions from (response, expected) to a score between 0 and 1."""

from __future__ import annotations


def exact(response: str, expected: str) -> float:
    """1.0 where the two texts are equal once outer white space is taken off, else 0.0."""
    return float(response.strip() == expected.strip())
