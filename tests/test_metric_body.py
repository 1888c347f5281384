"""A body is read quickly only where the shapes would have made the same of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from api.metric_body import NUMBERS, quick_job_rows, quick_rows, row_of
from api.strict_json import BrokenJson, read_json, word_of
from tuneyard.shapes import MetricBatch, MetricPoint

TIMES = (
    "2026-01-02T03:04:05Z",
    "2026-01-02 03:04:05.123456+02:00",
    "2026-01-02t03:04:05",
    "2026-01-02",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "2026-13-01T00:00:00Z",
    17,
)
ODD = (
    True,
    False,
    "1",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    [],
    {},
    2**53,
    2**53 + 1,
    10**400,
    1.0,
    -1,
    -0.0,
)
number = some.one_of(some.none(), some.floats(), some.integers(), some.sampled_from(ODD))
names = some.one_of(some.text(max_size=5), some.sampled_from(("a", "b", "\0", "\ud800", "é", "train_loss")))
point = some.fixed_dictionaries(
    {"step": some.one_of(some.integers(0, 99), number)},
    optional={
        **dict.fromkeys(NUMBERS[:4], number),
        "timestamp": some.one_of(some.none(), some.sampled_from(TIMES)),
        "extra": some.one_of(some.none(), some.dictionaries(names, number, max_size=3)),
        "surprise": number,
    },
)


def by_the_shapes(body: bytes) -> list[tuple[Any, ...]] | None:
    value = read_json(body, odd_number=word_of)
    if isinstance(value, BrokenJson):
        return None
    try:
        if isinstance(value, dict) and "metrics" in value:
            return [row_of(point) for point in MetricBatch.model_validate(value).metrics]
        return [row_of(MetricPoint.model_validate(value))]
    except ValidationError:
        return None


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    some.one_of(point, some.lists(point, max_size=4).map(lambda points: {"metrics": points})), some.booleans()
)
@example({"step": 1, "extra": {"a\0b": 1.0}}, False)
@example({"step": 1, "extra": {"a": None, "b": 2}}, True)
def test_what_is_read_quickly_is_what_the_shapes_read(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    quick = quick_rows(body)
    if quick is not None:
        assert repr(quick) == repr(by_the_shapes(body))


def test_what_is_right_is_read_quickly() -> None:
    right = {"step": 0, "train_loss": 1, "timestamp": TIMES[0], "extra": {"a": 2}, "grad_norm": "NaN"}
    for value in (right, {"metrics": [right, {"step": 2**53}]}):
        body = json.dumps(value).encode()
        assert quick_rows(body) == by_the_shapes(body)
    assert quick_job_rows(json.dumps({"job_id": "j", "metrics": [right]}).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"step": 1, "extra": {"\x00": 1}}'])
def test_what_is_wrong_is_left_to_the_shapes(body: bytes) -> None:
    assert quick_rows(body) is None
