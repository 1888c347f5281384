"""The statistics of a comparison, held against scipy and statsmodels."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar

from api.paired_statistics import (
    LARGE,
    RESAMPLES,
    SEED,
    difference_interval,
    mcnemar_p,
    mean_interval,
    prompts_needed,
)

TABLES = [np.random.default_rng(number).integers(0, 60, 4) for number in range(100)]


@pytest.mark.parametrize("gained_lost", [(0, 0), (1, 0), (0, 6), (49, 0), (3, 3), (500, 430)])
def test_mcnemar_is_statsmodels_exact_one_at_the_edges(gained_lost: tuple[int, int]) -> None:
    gained, lost = gained_lost
    expected = mcnemar([[5, gained], [lost, 5]], exact=True).pvalue if gained + lost else 1.0
    assert mcnemar_p(gained, lost) == pytest.approx(expected, rel=1e-12)


def test_mcnemar_is_statsmodels_exact_one_on_100_random_tables() -> None:
    for both, gained, lost, neither in TABLES:
        expected = mcnemar([[both, gained], [lost, neither]], exact=True).pvalue
        assert mcnemar_p(int(gained), int(lost)) == pytest.approx(expected, rel=1e-12)


def mean_by_weight(value: np.ndarray, weight: np.ndarray, axis: int = -1) -> np.ndarray:
    return (value * weight).sum(axis=axis) / weight.sum(axis=axis)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_is_scipy_s_on_100_random_tables(weighted: bool) -> None:
    """To the digit: the same generator with the same seed draws the same prompts."""
    for number in range(100):
        random = np.random.default_rng(number)
        count = int(random.integers(6, 80))
        value = random.random(count) - random.random(count) if number % 2 else random.integers(-1, 2, count)
        weight = random.integers(1, 4, count) if weighted else np.ones(count)
        alpha = float(random.choice([0.01, 0.05, 0.2]))
        found = mean_interval(value, weight, alpha)
        order = np.lexsort((weight, value))
        if value[order[0]] == value[order[-1]]:
            continue
        expected = bootstrap(
            (value[order], weight[order]),
            mean_by_weight,
            paired=True,
            method="percentile",
            confidence_level=1 - alpha,
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(SEED),
        ).confidence_interval
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("kind", ["pass or fail", "graded", "weighted"])
def test_many_prompts_by_groups_give_the_interval_of_each_by_itself(kind: str) -> None:
    random = np.random.default_rng(1)
    count = LARGE + 1000
    value = random.integers(-1, 2, count).astype(float)
    if kind != "pass or fail":
        value = random.beta(0.4, 0.7, count) - random.beta(0.4, 0.9, count)
    weight = random.exponential(1, count) + 0.1 if kind == "weighted" else np.ones(count)
    found = mean_interval(value, weight)
    means = mean_by_weight(value, weight)
    # The delta method: what an interval of infinitely many resamples comes to at this size.
    error = np.sqrt(np.sum((weight * (value - means)) ** 2)) / weight.sum()
    assert found.value == pytest.approx(means, abs=1e-6)
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_100_000_prompts_take_seconds() -> None:
    random = np.random.default_rng(2)
    started = time.monotonic()
    mean_interval(random.random(100_000), random.random(100_000) + 0.5)
    mcnemar_p(30_000, 29_000)
    assert time.monotonic() - started < 20


scores = st.lists(
    st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), st.sampled_from([1.0, 2.0])),
    min_size=1,
    max_size=12,
)


@given(scores, st.randoms())
def test_neither_order_nor_side_changes_an_interval(rows: list[tuple[float, float]], random: object) -> None:
    values, weights = zip(*rows, strict=True)
    there = difference_interval(values, weights, 0.05)
    shuffled = random.sample(rows, len(rows))  # type: ignore[attr-defined]
    assert difference_interval(*zip(*shuffled, strict=True), 0.05) == there
    back = difference_interval([-value for value in values], weights, 0.05)
    symmetric = sorted(rows) == sorted((-value, weight) for value, weight in rows)
    if not symmetric:
        assert (-back.value, -back.high, -back.low) == (there.value, there.low, there.high)
    else:
        assert back == there
    assert there.low <= there.value <= there.high


def test_more_prompts_are_asked_for_than_there_are() -> None:
    wide = mean_interval([-1, 1, 1, -1, 0, 0, 1, 0, 0, 0], [1.0] * 10)
    assert 10 < prompts_needed(10, wide, 0.1) < 2000
    exact = mean_interval([0.5] * 10, [1.0] * 10)
    assert prompts_needed(10, exact, 0.5) == 11
