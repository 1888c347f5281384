"""The training platform's own paths: its clients and trainers work here as they are."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dialects.finetunelab.words import loss_trend, perplexity
from tests.api_fixtures import Office

LOCAL = "/api/training/local"
TOKEN = "t" * 43
STATUS_FIELDS = frozenset(
    re.findall(
        r"\w+",
        """job_id status model_name model_display_name job_name dataset_name dataset_path gpu_total_memory_gb
    current_step current_epoch total_steps total_epochs total_samples progress loss eval_loss best_eval_loss best_epoch
    best_step best_checkpoint_path loss_trend epochs_without_improvement train_perplexity eval_perplexity learning_rate
    grad_norm gpu_memory_allocated_gb gpu_memory_reserved_gb gpu_utilization_percent samples_per_second
    tokens_per_second started_at completed_at elapsed_seconds remaining_seconds warning resumed_from_job_id
    resume_from_checkpoint""",
    )
)
POINT_FIELDS = frozenset(
    re.findall(
        r"\w+",
        """step epoch train_loss eval_loss learning_rate grad_norm samples_per_second tokens_per_second
    gpu_memory_allocated_gb gpu_memory_reserved_gb gpu_utilization_percent perplexity train_perplexity
    timestamp""",
    )
)


def start(office: Office, **fields: Any) -> tuple[str, str]:
    """A job as the platform's backend records it: its id and its token."""
    body = {"model_name": "Qwen3-1.7B-Base", "dataset_path": "/d/rows.jsonl", "user_id": "anybody"} | fields
    answer = office.call("POST", f"{LOCAL}/jobs", office.key("training"), json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"], answer.json()["job_token"]


def put(office: Office, job_id: str, token: str, body: Any) -> Any:
    return office.call("PUT", f"{LOCAL}/{job_id}/metrics", token, json=body)


def test_a_job_is_recorded_with_the_clients_token_or_one_of_ours(any_office: Office) -> None:
    own = any_office.served.app.state.door.pepper.digest(any_office.key("all"))[:43]
    body = {"job_id": "job-1", "model_name": "m", "user_id": "mallory", "status": "pending", "job_token": own}
    key = any_office.key("training")
    made = any_office.call("POST", f"{LOCAL}/jobs", key, json=body).json()
    assert made.keys() == {"success", "persisted", "job_id", "user_id", "job_token"}
    assert (made["job_id"], made["job_token"]) == ("job-1", own)
    assert made["user_id"] != "mallory"
    again = any_office.call("POST", f"{LOCAL}/jobs", key, json=body | {"job_token": "x" * 43})
    assert again.status_code == 409
    assert "job_token" not in again.text
    assert own not in again.text
    _, ours = start(any_office, job_token="test-token-here")
    assert len(ours) == 43
    for path in ("/jobs", "/job-1/status", "/job-1/metrics"):
        assert own not in any_office.call("GET", LOCAL + path, key).text


def test_a_trainer_reports_and_a_client_reads(any_office: Office) -> None:
    job_id, token = start(any_office, total_steps=200)
    for step in range(0, 60, 10):
        point = {
            "step": step,
            "epoch": step / 100,
            "train_loss": 2.0 - step / 50,
            "gpu_memory_allocated_gb": 7.5,
        }
        answer = put(any_office, job_id, token, point | {"custom": 3, "note": "text"})
        assert (answer.status_code, answer.json()["success"]) == (200, True)
    key = any_office.key("training")
    status = any_office.call("GET", f"{LOCAL}/{job_id}/status", key).json()
    assert status.keys() == STATUS_FIELDS
    assert (status["status"], status["progress"], status["current_step"]) == ("running", 25.0, 50)
    assert (status["loss_trend"], status["gpu_memory_allocated_gb"]) == ("improving", 7.5)
    assert status["train_perplexity"] == pytest.approx(math.e)
    query = any_office.call("GET", f"{LOCAL}/metrics?job_id={job_id}&limit=4&offset=4", key).json()
    assert ([point["step"] for point in query["metrics"]], query["total"]) == ([40, 50], 6)
    assert query["metrics"][0].keys() == POINT_FIELDS | {"custom"}
    for path in (f"{LOCAL}/{job_id}/metrics", f"/api/training/jobs/{job_id}/metrics"):
        assert len(any_office.call("GET", path, key).json()["metrics"]) == 6
    for path in (f"{LOCAL}/jobs", "/api/training/jobs"):
        found = any_office.call("GET", path, key).json()
        assert (found["total"], found["limit"], found["offset"]) == (1, 50, 0)
        assert found["jobs"][0]["progress"] == 25.0


def test_a_retried_put_stores_one_row_and_a_late_one_moves_nothing_back(office: Office) -> None:
    job_id, token = start(office)
    for step in (20, 20, 10):
        put(office, job_id, token, {"step": step, "epoch": 1, "train_loss": step / 10})
    key = office.key("training")
    assert office.call("GET", f"{LOCAL}/{job_id}/metrics", key).json()["total"] == 2
    status = office.call("GET", f"{LOCAL}/{job_id}/status", key).json()
    assert (status["current_step"], status["loss"]) == (20, 2.0)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{broken", 400),
        (b"", 400),
        (b"[]", 400),
        (b'{"epoch": 1}', 400),
        (b'{"step": 1}', 400),
        (b'{"metrics": []}', 400),
        (b'{"metrics": "x"}', 400),
        (b'{"metrics": [1]}', 400),
        (b'{"step": -1, "epoch": 0}', 422),
        (b'{"step": "x", "epoch": 0}', 422),
        (b'{"step": 0, "epoch": 0}', 200),
        (b'{"step": 0, "epoch": 0, "train_loss": NaN}', 200),
    ],
)
def test_a_bad_point_is_refused_as_the_platform_does(office: Office, body: bytes, status: int) -> None:
    job_id, token = start(office)
    headers = {"Content-Type": "application/json"}
    answer = office.call("PUT", f"{LOCAL}/{job_id}/metrics", token, content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_tokens_are_judged_as_the_platform_does(office: Office) -> None:
    (job_a, token_a), (job_b, _) = start(office), start(office)
    point = {"step": 1, "epoch": 0}
    none = office.call("PUT", f"{LOCAL}/{job_a}/metrics", json=point)
    assert (none.status_code, none.json()["error"]) == (401, "Unauthorized: Bearer token required")
    crossed = put(office, job_b, token_a, point)
    assert (crossed.status_code, crossed.json()["error"]) == (401, "Unauthorized: Invalid token")
    unknown = put(office, "unknown", token_a, point)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Training job not found")
    assert put(office, job_a, "j" * 43, point).status_code == 401
    for job, status in ((job_a, 200), (job_b, 401), ("unknown", 404)):
        body = {"job_id": job, "metrics": [point]}
        assert office.call("POST", f"{LOCAL}/metrics", token_a, json=body).status_code == status


def test_a_missing_job_and_a_missing_parameter_are_told_apart(office: Office) -> None:
    key = office.key("training")
    for path in ("/gone/status", "/gone/metrics", "/metrics?job_id=gone"):
        answer = office.call("GET", LOCAL + path, key)
        assert (answer.status_code, answer.json()["error"]) == (404, "Training job not found")
    missing = office.call("GET", f"{LOCAL}/metrics", key)
    assert (missing.status_code, missing.json()["error"]) == (400, "job_id query parameter is required")
    for query in ("limit=abc", "limit=0", "offset=-1", "limit=101"):
        assert office.call("GET", f"{LOCAL}/jobs?{query}", key).status_code == 422


def test_a_status_is_written_and_there_is_no_way_back_from_a_final_one(office: Office) -> None:
    job_id, token = start(office)

    def write(**body: Any) -> int:
        return office.call("PATCH", f"{LOCAL}/{job_id}/status", token, json=body).status_code

    assert [write(status=status) for status in ("running", "paused", "running")] == [200] * 3
    assert write(status="done") == write() == 400
    assert write(status="failed", error="CUDA out of memory") == 200
    ended = office.job(job_id)["ended_at"]
    assert [write(status=status) for status in ("failed", "running", "completed")] == [200, 409, 409]
    assert office.job(job_id)["ended_at"] == ended
    status = office.call("GET", f"{LOCAL}/{job_id}/status", office.key("training")).json()
    assert (status["status"], status["error"]) == ("failed", "CUDA out of memory")


def test_a_job_that_is_being_cancelled_is_shown_as_running(office: Office) -> None:
    job_id, token = start(office)
    put(office, job_id, token, {"step": 1, "epoch": 0})
    office.call("POST", f"/api/v1/jobs/{job_id}/cancel", office.key("training"))
    key = office.key("training")
    assert office.call("GET", f"{LOCAL}/{job_id}/status", key).json()["status"] == "running"
    assert office.call("GET", f"{LOCAL}/jobs?status=running", key).json()["total"] == 1


def test_the_trend_needs_five_losses() -> None:
    assert loss_trend([1, 1, 1, 1]) is None
    assert loss_trend([2, 2, 1, 1, 1]) == "improving"
    assert loss_trend([1, 1, 2, 2, 2]) == "degrading"
    assert loss_trend([1, 1, 1, 1, 1.01]) == "stable"


@given(st.one_of(st.none(), st.floats()))
def test_a_perplexity_is_a_number_or_absent(loss: float | None) -> None:
    value = perplexity(loss)
    assert value is None or math.isfinite(value)
