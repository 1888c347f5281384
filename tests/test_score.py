"""Scores are what a person would say."""

from __future__ import annotations

import pytest

from tasks.score import exact


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [
        ("2031-03-05", "2031-03-05", 1.0),
        (" x\n", "x", 1.0),
        ("2031-03-05.", "2031-03-05", 0.0),
        ("X", "x", 0.0),
        ("", "x", 0.0),
    ],
)
def test_exact_forgives_only_outer_white_space(response: str, expected: str, score: float) -> None:
    assert exact(response, expected) == score
