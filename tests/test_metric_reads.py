"""Metrics are read by cursor, by column, as files and summed up, and not again while nothing is new."""

from __future__ import annotations

import csv
import io
import math
import random
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.api_fixtures import Office


def push(office: Office, job_id: str, token: str, points: list[dict[str, Any]]) -> None:
    answer = office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json={"metrics": points})
    assert answer.status_code == 200, answer.text


def get(office: Office, job_id: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    path = f"/api/v1/jobs/{job_id}/metrics"
    return office.call("GET", path, office.key("training"), params=query, headers=headers or {})


def wavy(steps: range) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "train_loss": math.sin(step),
            "timestamp": "2026-01-01T00:00:00.5Z",
            "extra": {"reward": step * 2.0},
        }
        for step in steps
    ]


@pytest.fixture
def told(any_office: Office) -> tuple[Office, str]:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, wavy(range(25)))
    push(any_office, job_id, token, [{"step": 25, "train_loss": "Infinity"}])
    return any_office, job_id


def test_a_cursor_gives_each_point_once_whatever_comes_meanwhile(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, wavy(range(10, 30)))
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = get(any_office, job_id, limit=7, **cursor).json()
        seen += [row["step"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        push(any_office, job_id, token, wavy(range(len(seen) % 10, len(seen) % 10 + 1)))
    assert seen == list(range(10, 30))


def test_only_chosen_columns_are_read_by_row_and_by_column(told: tuple[Office, str]) -> None:
    office, job_id = told
    row = get(office, job_id, columns="train_loss,reward", limit=3).json()["items"][2]
    assert row == {
        "step": 2,
        "attempt": 1,
        "train_loss": math.sin(2),
        "timestamp": "2026-01-01T00:00:00.500000Z",
        "reward": 4.0,
    }
    found = get(office, job_id, columns="train_loss,reward", format="columns").json()
    assert found["columns"].keys() == {"step", "train_loss", "reward"}
    assert found["columns"]["train_loss"][24:] == [math.sin(24), "Infinity"]
    assert found["columns"]["reward"][23:] == [46.0, 48.0, None]
    assert (found["total"], found["next_cursor"]) == (26, None)
    assert len(get(office, job_id, format="columns").json()["columns"]["extra"]) == 26


@pytest.mark.parametrize("how", ["csv", "arrow", "parquet"])
def test_a_history_is_a_file_by_parameter_and_by_accept(told: tuple[Office, str], how: str) -> None:
    office, job_id = told
    named = get(office, job_id, format=how, columns="train_loss,timestamp,reward")
    media = {"csv": "text/csv", "arrow": "application/vnd.apache.arrow.stream"}
    accept = media.get(how, "application/vnd.apache.parquet")
    assert named.headers["content-type"].startswith(accept)
    same = get(office, job_id, {"Accept": accept}, columns="train_loss,timestamp,reward")
    assert same.headers["content-type"] == named.headers["content-type"]
    for answer in (named, same):
        steps, losses = opened(how, answer.content)
        assert steps == list(range(26))
        assert losses == [*(math.sin(step) for step in range(25)), math.inf]


def opened(how: str, content: bytes) -> tuple[list[int], list[float]]:
    if how == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return [int(row["step"]) for row in rows], [float(row["train_loss"]) for row in rows]
    table = pq.read_table(io.BytesIO(content)) if how == "parquet" else pa.ipc.open_stream(content).read_all()
    assert table.schema.field("timestamp").type == pa.timestamp("us", "UTC")
    return table["step"].to_pylist(), table["train_loss"].to_pylist()


def test_a_file_holds_more_than_a_page(office: Office) -> None:
    job_id, token = office.claimed_job()
    for first in range(0, 12_000, 4000):
        push(office, job_id, token, wavy(range(first, first + 4000)))
    lines = get(office, job_id, format="csv").text.splitlines()
    assert len(lines) == 12_001
    assert len(get(office, job_id, format="csv", limit=5).text.splitlines()) == 6


def test_an_etag_holds_until_more_is_written(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, wavy(range(3)))
    first = get(any_office, job_id)
    again = get(any_office, job_id, {"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert get(any_office, job_id, {"If-None-Match": first.headers["ETag"]}, limit=2).status_code == 200
    push(any_office, job_id, token, wavy(range(2, 3)))
    assert get(any_office, job_id, {"If-None-Match": first.headers["ETag"]}).status_code == 200


@pytest.mark.parametrize("steps", [1, 40, 5000])
def test_buckets_hold_every_point_and_keep_the_spikes(office: Office, steps: int) -> None:
    job_id, token = office.claimed_job()
    points = wavy(range(0, steps * 3, 3))
    random.Random(1).choice(points)["train_loss"] = 99.0
    push(office, job_id, token, points)
    for most in (1, 7, 100, 5000):
        found = get(office, job_id, buckets=most).json()
        assert len(found["step"]) <= most
        assert (sum(found["points"]), found["total"]) == (steps, steps)
        loss = found["columns"]["train_loss"]
        assert max(loss["max"]) == 99.0
        total = sum(n * mean for n, mean in zip(loss["n"], loss["mean"], strict=True))
        assert total == pytest.approx(sum(point["train_loss"] for point in points), abs=1e-9)
        assert found["columns"]["reward"]["n"] == loss["n"]
        assert all(step % found["width"] == 0 for step in found["step"])


def test_one_attempt_is_read_by_itself(any_office: Office) -> None:
    job_id, first = any_office.claimed_job()
    push(any_office, job_id, first, [{"step": step, "train_loss": 1.0} for step in range(100)])
    second = any_office.claim(job_id)
    push(any_office, job_id, second, [{"step": step, "train_loss": 2.0} for step in range(90, 110)])
    assert get(any_office, job_id, attempt=1).json()["total"] == 100
    assert [row["step"] for row in get(any_office, job_id, attempt=2).json()["items"]] == list(range(90, 110))
    every = get(any_office, job_id, buckets=5).json()
    assert (every["total"], every["columns"]["train_loss"]["n"]) == (110, every["points"])
    one = get(any_office, job_id, buckets=5, attempt=1).json()
    assert (one["total"], one["columns"]["train_loss"]["max"][0]) == (100, 1.0)
    assert get(any_office, job_id, attempt=3).json()["items"] == []
    assert get(any_office, job_id, attempt=3, buckets=3).json()["columns"] == {}
