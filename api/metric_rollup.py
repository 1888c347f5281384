"""Histories summed up in buckets of steps, small ones in larger ones. Pure.

A history of any length is in some width no more than a few thousand buckets, each with n, min, max and sum of every
number that was reported, so that a chart of it needs no look at its points, and no spike is lost.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from sys import float_info
from typing import Any

import orjson

from api.metric_body import EXTRA, NUMBERS, TIME, Row

WIDTHS = tuple(4**power for power in range(3, 9))  # 64 … 65536 steps
MOST_EXTRAS = 100  # a bucket with more names in `extra` sums up none of them
_TOO_MANY = ""  # stands in the place of names that were too many
_LARGEST = float_info.max
_FLOATS = {float}
Summary = list[float]  # n, min, max, sum


@dataclass
class Bucket:
    """`points`: how many; `not_finite`: how many of them hold a number that is not finite."""

    points: int = 0
    not_finite: int = 0
    columns: dict[str, Summary] = field(default_factory=dict)

    def add(self, more: "Bucket") -> None:
        self.points += more.points
        self.not_finite += more.not_finite
        columns = self.columns
        for name, (n, low, high, total) in more.columns.items():
            have = columns.get(name)
            if have is None:
                columns[name] = [n, low, high, total]
                continue
            have[0] += n
            if low < have[1]:
                have[1] = low
            if high > have[2]:
                have[2] = high
            total += have[3]
            have[3] = total if -_LARGEST <= total <= _LARGEST else _bounded(total)
        if len(columns) > MOST_EXTRAS or _TOO_MANY in columns:
            _drop_too_many(columns)

    def as_json(self) -> str:
        return orjson.dumps(self.columns).decode()


def _bounded(total: float) -> float:
    """A sum stays a number that JSON has."""
    return total if -_LARGEST <= total <= _LARGEST else _LARGEST if total > 0 else -_LARGEST


def _drop_too_many(columns: dict[str, Summary]) -> None:
    others = [name for name in columns if name not in NUMBERS]
    if _TOO_MANY in columns or len(others) > MOST_EXTRAS:
        for name in others:
            del columns[name]
        columns[_TOO_MANY] = [0, 0.0, 0.0, 0.0]


def in_buckets(rows: Sequence[Row], width: int = WIDTHS[0]) -> dict[int, Bucket]:
    """Rows, in the order of their steps, in buckets of so many steps, by number."""
    columns = [*zip(*rows, strict=True)]
    parts = [*_parts(columns[0], width)]
    buckets = {number: Bucket(end - start) for number, start, end in parts}
    odd = set[int]()
    for name, values in zip(NUMBERS, columns[1:TIME], strict=True):
        kinds = set(map(type, values))
        if str in kinds:
            odd.update(place for place, value in enumerate(values) if type(value) is str)
        if float in kinds:
            for number, start, end in parts:
                some = values[start:end]
                finite = some if kinds == _FLOATS else [value for value in some if type(value) is float]
                if finite:
                    total = _bounded(sum(finite))
                    buckets[number].columns[name] = [len(finite), min(finite), max(finite), total]
    for place, (step, extra) in enumerate(zip(columns[0], columns[EXTRA], strict=True)):
        if extra and _add_extra(buckets[step // width], extra):
            odd.add(place)
    for place in odd:
        buckets[columns[0][place] // width].not_finite += 1
    return buckets


def _parts(steps: Sequence[int], width: int) -> Iterator[tuple[int, int, int]]:
    """Each bucket's number, and where its rows begin and end."""
    start = 0
    while start < len(steps):
        number = steps[start] // width
        end = bisect_left(steps, (number + 1) * width, start)
        yield number, start, end
        start = end


def _add_extra(bucket: Bucket, extra: dict[str, Any]) -> bool:
    """Add the numbers of one point; whether one of them is not finite."""
    told = {name: value for name, value in extra.items() if name and name not in NUMBERS}
    numbers = [(name, float(value)) for name, value in told.items() if type(value) in (float, int)]
    bucket.add(Bucket(columns={name: [1, value, value, value] for name, value in numbers}))
    return any(isinstance(value, str) for value in told.values())


def in_larger(buckets: dict[int, Bucket], times: int) -> dict[int, Bucket]:
    """Buckets joined into ones so many times as wide; one that is joined with none is the same object."""
    found: dict[int, Bucket] = {}
    joined = set[int]()
    for number, bucket in buckets.items():
        larger = number // times
        if larger not in found:
            found[larger] = bucket
            continue
        if larger not in joined:
            joined.add(larger)
            alone, found[larger] = found[larger], Bucket()
            found[larger].add(alone)
        found[larger].add(bucket)
    return found
