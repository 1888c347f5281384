"""Histories summed up in buckets of steps, small ones in larger ones. Pure.

A history of any length is in some width no more than a few thousand buckets, each with n, min, max and sum of every
number that was reported, so that a chart of it needs no look at its points, and no spike is lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
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
            have[3] = _bounded(have[3] + total)
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


def smallest_buckets(rows: Iterable[Row]) -> dict[int, Bucket]:
    """Rows, in the order of their steps, in buckets of the first width, by number."""
    width = WIDTHS[0]
    return {number: sum_up([*some]) for number, some in groupby(rows, lambda row: row[0] // width)}


def sum_up(rows: Sequence[Row]) -> Bucket:
    """One bucket of them all."""
    bucket, odd = Bucket(len(rows)), set[int]()
    for name, values in zip(NUMBERS, list(zip(*rows, strict=True))[1:TIME], strict=True):
        _note(bucket, name, values, odd)
    extras: dict[str, list[Any]] = {}
    for number, row in enumerate(rows):
        for name, value in (row[EXTRA] or {}).items():
            if name and name not in NUMBERS:  # PostgreSQL gives a whole number without a point
                whole = type(value) is int
                extras.setdefault(name, [None] * len(rows))[number] = float(value) if whole else value
    for name, told in extras.items():
        _note(bucket, name, told, odd)
    bucket.not_finite = len(odd)
    _drop_too_many(bucket.columns)
    return bucket


def _note(bucket: Bucket, name: str, values: Sequence[Any], odd: set[int]) -> None:
    kinds = set(map(type, values))
    finite = values if kinds == _FLOATS else [value for value in values if type(value) is float]
    if finite:
        bucket.columns[name] = [len(finite), min(finite), max(finite), _bounded(sum(finite))]
    if str in kinds:
        odd.update(number for number, value in enumerate(values) if type(value) is str)


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
