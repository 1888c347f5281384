"""Metric points: each kept once, read in order, never moving a job back."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

from tests.api_fixtures import Office
from tuneyard.shapes import MetricRow


def push(office: Office, job_id: str, token: str, body: Any) -> Any:
    answer = office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(office: Office, job_id: str, **query: Any) -> Any:
    return office.call("GET", f"/api/v1/jobs/{job_id}/metrics", office.key("training"), params=query).json()


def test_the_first_point_turns_the_job_running(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    assert any_office.job(job_id)["status"] == "queued"
    assert push(any_office, job_id, token, {"step": 0})["job_status"] == "running"
    job = any_office.job(job_id)
    assert (job["status"], job["current_step"]) == ("running", 0)
    assert job["started_at"]
    assert job["last_report_at"]


def test_a_point_sent_twice_is_stored_once_and_completed_by_what_comes_later(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    point = {"step": 10, "train_loss": 0.25, "timestamp": "2026-01-02T03:04:05+02:00", "extra": {"a": 1.5}}
    for body in (
        point,
        point,
        {"metrics": [point, point]},
        {"step": 10, "eval_loss": 0.5, "extra": {"b": 2.0}},
    ):
        push(any_office, job_id, token, body)
    found = read(any_office, job_id)
    assert found["total"] == 1
    row = found["items"][0]
    assert (row["train_loss"], row["eval_loss"], row["extra"]) == (0.25, 0.5, {"a": 1.5, "b": 2.0})
    assert row["timestamp"] == "2026-01-02T01:04:05Z"


def test_a_late_step_does_not_move_the_job_back(any_office: Office) -> None:
    job_id, token = any_office.claimed_job(total_steps=100)
    push(
        any_office,
        job_id,
        token,
        {"metrics": [{"step": 30, "train_loss": 0.3}, {"step": 20, "train_loss": 0.9}]},
    )
    push(any_office, job_id, token, {"step": 10, "train_loss": 1.5})
    job = any_office.job(job_id)
    assert (job["current_step"], job["loss"], job["progress"]) == (30, 0.3, 30.0)
    assert [row["step"] for row in read(any_office, job_id)["items"]] == [10, 20, 30]


def test_a_step_that_a_resumed_run_reports_again_is_there_once_with_its_newest_point(
    any_office: Office,
) -> None:
    job_id, first = any_office.claimed_job()
    push(any_office, job_id, first, {"metrics": [{"step": step, "train_loss": 1.0} for step in (1, 2, 3)]})
    second = any_office.claim(job_id)
    push(any_office, job_id, second, {"metrics": [{"step": 3, "train_loss": 2.0}, {"step": 2}]})
    found = read(any_office, job_id)
    assert [(row["step"], row["attempt"]) for row in found["items"]] == [(1, 1), (2, 2), (3, 2)]
    assert found["total"] == 3
    page = read(any_office, job_id, limit=2, offset=1)["items"]
    assert [row["train_loss"] for row in page] == [None, 2.0]


def test_paging_gives_each_point_of_a_long_job_once(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(
        any_office,
        job_id,
        token,
        {"metrics": [{"step": step, "train_loss": 1 / (step + 1)} for step in range(3784)]},
    )
    seen: list[int] = []
    while page := read(any_office, job_id, limit=1000, offset=len(seen))["items"]:
        seen += [row["step"] for row in page]
    assert seen == list(range(3784))


def test_numbers_that_are_not_finite_are_kept_and_the_job_shows_as_diverged(any_office: Office) -> None:
    """As words, whether they come as words or as what JSON has no number for."""
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, {"step": 0, "train_loss": 0.5, "extra": {"x": 1}})
    for body in (
        b'{"step": 1, "train_loss": NaN, "eval_loss": -Infinity, "grad_norm": 1e999, "extra": {"x": NaN, "y": 2}}',
        b'{"step": 1, "train_loss": "NaN", "eval_loss": "-Infinity", "grad_norm": "Infinity", "extra": {"x": "NaN"}}',
    ):
        answer = any_office.call(
            "POST",
            f"/api/v1/jobs/{job_id}/metrics",
            token,
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        path = f"/api/v1/jobs/{job_id}/metrics"
        raw = any_office.call("GET", path, any_office.key("training")).text
        row = json.loads(raw, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["items"][1]
        assert (row["train_loss"], row["eval_loss"], row["grad_norm"]) == ("NaN", "-Infinity", "Infinity")
        assert row["extra"] == {"x": "NaN", "y": 2}
        assert math.isnan(MetricRow.model_validate_json(json.dumps(row)).train_loss or 0.0)
        job = any_office.job(job_id)
        assert (job["diverged"], job["loss"], job["eval_loss"]) == (True, 0.5, None)
        summed = read(any_office, job_id, buckets=10, columns="train_loss,grad_norm,x")
        assert (summed["not_finite"], summed["points"]) == ([0, 1], [1, 1])
        assert summed["columns"]["train_loss"] == {
            "n": [1, 0],
            "min": [0.5, None],
            "max": [0.5, None],
            "mean": [0.5, None],
        }
        assert summed["columns"]["x"]["n"] == [1, 0]
        assert summed["columns"]["grad_norm"]["n"] == [0, 0]
    push(any_office, job_id, token, {"step": 2, "train_loss": 0.4})
    assert any_office.job(job_id)["diverged"] is False


def test_an_answered_write_is_there_for_the_next_reader(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    key, reader = any_office.key("training"), Office(any_office.served)
    for step in range(50):
        push(any_office, job_id, token, {"step": step})
        seen = reader.call("GET", f"/api/v1/jobs/{job_id}", key).json()["current_step"]
        assert seen == step
    reader.http.close()


def test_a_batch_of_five_thousand_points_is_taken_and_one_more_is_not(office: Office) -> None:
    job_id, token = office.claimed_job()
    points = [{"step": step, "train_loss": 0.1, "tokens_per_second": 123.456} for step in range(5001)]
    began = time.perf_counter()
    assert push(office, job_id, token, {"metrics": points[:5000]})["count"] == 5000
    print(f"5000 points in {time.perf_counter() - began:.3f} s")
    over = office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json={"metrics": points})
    assert over.status_code == 422


def test_a_wrong_point_is_refused_by_name(office: Office) -> None:
    job_id, token = office.claimed_job()
    for body, field in [
        ({"step": -1}, "step"),
        ({"train_loss": 1}, "step"),
        ({"step": 1, "train_loss": "nan"}, "train_loss"),
        ({"step": 1, "train_los": 1}, "train_los"),
        ({"step": 2**53 + 1}, "step"),
        ({"metrics": []}, "metrics"),
        ({"metrics": [{"step": 1}, {"step": "x"}]}, "metrics.1.step"),
        ({"step": 1, "timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
    ]:
        answer = office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["field"] == field, answer.text
