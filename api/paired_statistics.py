"""What paired scores say: McNemar's exact test, and bootstrap intervals of weighted means.

The same scores give the same figures, in whichever order they come. numpy is imported when it is first needed: the
server's memory stays small without.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneyard.batch_shapes import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

RESAMPLES = 10_000
SEED = 0
AT_A_TIME = 2_000_000  # draws: 16 MB
# Above SMALL, prompts that are all of ALIKE kinds are drawn by kind; above LARGE any prompts by GROUPS.
SMALL, ALIKE = 200, 32
LARGE, GROUPS = 5_000, 200
PRECISION = 6  # decimals


def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided and exact: how likely so uneven a split of the pairs that differ is, were both sides equally good."""
    differing = gained + lost
    ways = term = 1
    for k in range(min(gained, lost)):
        term = term * (differing - k) // (k + 1)
        ways += term
    p_value: float = 2 * ways / 2**differing
    return min(1.0, p_value)


def mean_interval(values: ArrayLike, weights: ArrayLike, alpha: float = 0.05) -> Interval:
    """The weighted mean and its percentile bootstrap interval: the prompts are drawn again, each with its weight."""
    import numpy as np

    value, weight = _in_order(values, weights)
    mean = float(value @ weight / weight.sum())
    if value[0] == value[-1]:
        return _interval(mean, mean, mean)
    means = np.concatenate([*_means_drawn(value, weight, mean)])
    low, high = np.percentile(means, [50 * alpha, 100 - 50 * alpha])
    return _interval(mean, low, high)


def difference_interval(differences: ArrayLike, weights: ArrayLike, alpha: float) -> Interval:
    """The same of paired differences; seen from the other side, it is the same interval mirrored, to the digit."""
    import numpy as np

    there, back = (np.stack(_in_order(side, weights)) for side in (differences, -np.asarray(differences)))
    unequal = np.flatnonzero((there != back).any(axis=0))
    if len(unequal) == 0 or tuple(there[:, unequal[0]]) > tuple(back[:, unequal[0]]):
        return mean_interval(there[0], there[1], alpha)
    found = mean_interval(back[0], back[1], alpha)
    return _interval(-found.value, -found.high, -found.low)


def prompts_needed(prompts: int, difference: Interval, margin: float) -> int:
    """About how many prompts would settle it, were the rest like these: the interval narrows as their root grows."""
    half = (difference.high - difference.low) / 2
    room = [abs(difference.value), margin - abs(difference.value)]  # to leave 0 out; to lie within the margin
    enough = min((math.ceil(prompts * (half / one) ** 2) for one in room if one > 0), default=0)
    return max(enough, prompts + 1)


def _interval(value: float, low: float, high: float) -> Interval:
    rounded = [round(float(one), PRECISION) + 0.0 for one in (value, low, high)]  # + 0.0: no -0.0
    return Interval(value=rounded[0], low=rounded[1], high=rounded[2])


def _in_order(values: ArrayLike, weights: ArrayLike) -> tuple[Numbers, Numbers]:
    """By value, then by weight: what comes of them must not hang on the prompts' order."""
    import numpy as np

    value, weight = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.lexsort((weight, value))
    return value[order], weight[order]


def _means_drawn(value: Numbers, weight: Numbers, mean: float) -> Iterator[Numbers]:
    """The means of all resamples, some at a time."""
    import numpy as np

    random, count = np.random.default_rng(SEED), len(value)
    kinds = np.flatnonzero((np.diff(value) != 0) | (np.diff(weight) != 0)) + 1
    if count > SMALL and len(kinds) < ALIKE:
        yield from _means_of_groups(value, weight, np.split(np.arange(count), kinds), random)
    elif count > LARGE:
        # Neighbours by what they move the mean by. The mean stays, and what is lost of the variance is far below what
        # 10,000 resamples can tell.
        order = np.argsort(weight * (value - mean), kind="stable")
        yield from _means_of_groups(value, weight, np.array_split(order, GROUPS), random)
    else:
        sums, some = value * weight, AT_A_TIME // count
        for done in range(0, RESAMPLES, some):
            drawn = random.integers(0, count, (min(some, RESAMPLES - done), count))
            yield sums[drawn].sum(axis=1) / weight[drawn].sum(axis=1)


def _means_of_groups(
    value: Numbers, weight: Numbers, groups: Sequence[NDArray[np.intp]], random: np.random.Generator
) -> Iterator[Numbers]:
    """How often each group is drawn, in place of each prompt."""
    import numpy as np

    sums, weights = (np.array([one[group].mean() for group in groups]) for one in (value * weight, weight))
    share = np.array([len(group) for group in groups]) / len(value)
    some = AT_A_TIME // len(groups)
    for done in range(0, RESAMPLES, some):
        counts = random.multinomial(len(value), share, min(some, RESAMPLES - done))
        yield (counts @ sums) / (counts @ weights)
