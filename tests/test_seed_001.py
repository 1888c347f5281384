"""Seed 001: a job's token, from the job's record through the agent to the metrics that the UI shows."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.tables import now
from tests.api_fixtures import Office
from tests.prefect_fixtures import StandIn
from tests.seed_fixtures import curl
from tests.seed_fixtures import host as host
from tests.seed_fixtures import prefect as prefect
from tests.seed_fixtures import prefect_server as prefect_server
from tests.seed_fixtures import seeded as seeded
from tuneyard.keys import mint_job_token
from tuneyard.reporter import Reporter
from tuneyard.shapes import MetricPoint

LOCAL, AGENT = "/api/training/local", "/api/training/agent"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
CREATE = r"""curl -X POST http://localhost:3000/api/training/local/jobs \
    -H "Content-Type: application/json" \
    -d '{
      "job_id": "test-123",
      "user_id": "<user-id>",
      "model_name": "test-model",
      "dataset_path": "/test/path",
      "status": "pending",
      "config": {},
      "job_token": "test-token-here"
    }'"""


@pytest.fixture
def key(host: Office) -> str:
    return host.key("training")


def recorded(host: Office, key: str, **fields: Any) -> tuple[str, str]:
    """A job as the platform's backend records it: its id and its token."""
    body = {"model_name": "test-model", "dataset_path": "/test/path", "status": "pending"} | fields
    answer = host.call("POST", f"{LOCAL}/jobs", key, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"], answer.json()["job_token"]


def report(host: Office, job: str, token: str, step: int = 10) -> int:
    """What the agent sends every ten steps."""
    point = {
        "step": step,
        "epoch": step / 100,
        "train_loss": 3.0 - step / 50,
        "gpu_memory_allocated_gb": 7.5,
        "gpu_utilization_percent": 93.0,
    }
    return host.call("PUT", f"{LOCAL}/{job}/metrics", token, json=point).status_code


def status(host: Office, job: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = host.call("GET", f"{LOCAL}/{job}/status", key).json()
    return found


def test_its_curl_records_a_job_whose_token_has_43_characters(host: Office, key: str) -> None:
    assert curl(host, CREATE)[0] == 401  # nobody records jobs for others, whatever user the body names
    assert curl(host, f'{CREATE} -H "X-API-Key: {host.key("production")}"')[0] == 403
    assert host.call("POST", f"{LOCAL}/jobs", key, json={}).status_code == 400
    keyed = f'{CREATE} -H "X-API-Key: {key}"'
    code, _, made = curl(host, keyed)
    assert (code, made["success"], made["persisted"], made["job_id"]) == (200, True, True, "test-123")
    assert TOKEN.fullmatch(made["job_token"])
    own = mint_job_token()
    assert TOKEN.fullmatch(own)
    for _ in range(2):  # a backend that got no answer asks again
        other = curl(host, keyed.replace("test-123", "test-124"), **{"test-token-here": own})
        assert (other[0], other[2]["job_token"]) == (200, own)
    assert status(host, "test-123", key)["status"] == "pending"
    again = curl(host, keyed)
    assert (again[0], "job_token" in again[2]) == (409, False)


def test_metrics_flow_every_ten_steps_and_the_ui_sees_them(host: Office, key: str) -> None:
    job, token = recorded(host, key, total_steps=100)
    seen = []
    for step in range(0, 100, 10):
        assert report(host, job, token, step) == 200
        seen.append(status(host, job, key))
    assert {one["status"] for one in seen} == {"running"}
    assert [one["current_step"] for one in seen] == list(range(0, 100, 10))
    assert [one["progress"] for one in seen] == [float(step) for step in range(0, 100, 10)]
    losses = [one["loss"] for one in seen]
    assert losses == sorted(losses, reverse=True)
    assert (seen[-1]["loss_trend"], seen[-1]["gpu_memory_allocated_gb"]) == ("improving", 7.5)
    # its two SQL checks: the job's row with a token that is there, and its ten newest metrics
    line = f'curl HOST{LOCAL}/{job}/metrics -H "X-API-Key: KEY"'
    newest = curl(host, line, KEY=key)[2]["metrics"][::-1][:10]
    assert [row["step"] for row in newest] == list(range(90, -10, -10))
    assert all(row["train_loss"] and row["gpu_memory_allocated_gb"] and row["timestamp"] for row in newest)
    assert token not in host.call("GET", f"/api/v1/jobs/{job}", key).text
    assert seen[-1]["warning"] is None
    host.moved(job, last_report_at=now() - timedelta(minutes=6))
    assert status(host, job, key)["warning"].startswith("No updates received in 6 minute(s)")


def test_a_token_writes_its_own_job_and_reads_nothing(host: Office, key: str) -> None:
    (job, token), (other, _) = recorded(host, key), recorded(host, key)
    assert report(host, other, token) == 401
    prediction = {"job_id": other, "user_id": "u", "step": 1, "sample_index": 0, "prompt": "p"}
    assert host.call("POST", f"{LOCAL}/predictions", token, json=prediction).status_code == 401
    for path in (
        f"{LOCAL}/{job}/status",
        f"{LOCAL}/jobs",
        "/api-keys",
        "/api/user/api-keys",
        f"{AGENT}/poll",
    ):
        assert host.call("GET", path, token).status_code in (401, 403)
    assert status(host, other, key)["status"] == "pending"


def test_an_ended_token_is_refused_after_a_grace_and_the_record_stays(host: Office, key: str) -> None:
    job, token = recorded(host, key)
    assert report(host, job, token) == 200
    end = host.call("PATCH", f"{LOCAL}/{job}/status", token, json={"status": "completed"})
    assert end.status_code == 200
    assert report(host, job, token, 20) == 200  # what was still in the spool
    host.end_long_ago(job, timedelta(minutes=11))
    assert report(host, job, token, 30) == 401
    assert (status(host, job, key)["status"], status(host, job, key)["progress"]) == ("completed", 100)
    assert host.call("GET", f"{LOCAL}/{job}/metrics", key).json()["total"] == 2


def test_a_trainer_without_a_token_says_so_and_trains_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        reporter = Reporter(None, "test-123", tmp_path)
    assert "Cannot report metrics - job_token not set for test-123" in caplog.text
    for step in range(0, 30, 10):
        reporter.report(MetricPoint(step=step, train_loss=1.0))
    assert (reporter.stop_reason, reporter.close(0)) == (None, 3)  # kept in the folder


def test_one_of_many_agents_gets_the_job_and_its_token(host: Office) -> None:
    office = Office(host.served)
    key, named = office.key("training"), {"X-Agent-ID": "agent_0123456789abcdef"}
    ask = {"headers": named}
    assert office.call("GET", f"{AGENT}/poll", key, **ask).json() == {
        "job": None,
        "poll_interval_seconds": 10,
        "message": "No pending jobs available",
    }
    (first, old), (second, _) = (recorded(office, key, config={"epochs": n}) for n in (1, 2))
    offered = office.call("GET", f"{AGENT}/poll", key, **ask).json()["job"]
    fields = {"id", "model_name", "dataset_path", "config", "total_epochs", "total_steps", "created_at"}
    assert (offered["id"], offered["config"], offered.keys()) == (first, {"epochs": 1}, fields)

    def claim(number: int) -> Any:
        agent = {"X-Agent-ID": f"agent_{number:08}"}
        return office.call("POST", f"{AGENT}/claim/{first}", key, headers=agent)

    with ThreadPoolExecutor(8) as agents:
        answers = list(agents.map(claim, range(8)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    lost = [answer for answer in answers if answer.status_code != 200]
    assert (len(won), {(one.status_code, one.json()["code"]) for one in lost}) == (
        1,
        {(409, "ALREADY_CLAIMED")},
    )
    assert TOKEN.fullmatch(won[0]["job_token"])
    assert won[0]["job"]["id"] == first
    assert status(office, first, key)["status"] == "queued"
    assert [report(office, first, token) for token in (old, won[0]["job_token"])] == [401, 200]
    assert status(office, first, key)["status"] == "running"
    assert office.call("GET", f"{AGENT}/poll", key, **ask).json()["job"]["id"] == second
    office.http.close()


def test_an_agent_is_told_why_it_gets_no_job(host: Office, key: str) -> None:
    job, token = recorded(host, key)
    assert host.call("PATCH", f"{LOCAL}/{job}/status", token, json={"status": "cancelled"}).status_code == 200
    abroad = Office(host.served)
    foreign, _ = recorded(abroad, abroad.key("training"))
    abroad.http.close()
    agent = {"X-Agent-ID": "agent_12345678"}
    for wanted, code, word in (
        (job, 409, "INVALID_STATUS"),
        ("unknown", 404, "JOB_NOT_FOUND"),
        (foreign, 404, "JOB_NOT_FOUND"),
    ):
        refused = host.call("POST", f"{AGENT}/claim/{wanted}", key, headers=agent)
        assert (refused.status_code, refused.json()["code"]) == (code, word)
    for headers, text in (({}, "Missing X-Agent-ID"), ({"X-Agent-ID": "me"}, "Invalid X-Agent-ID")):
        for method, path in (("GET", "/poll"), ("POST", f"/claim/{job}")):
            refused = host.call(method, AGENT + path, key, headers=headers)
            assert (refused.status_code, text in refused.json()["error"]) == (400, True)
    assert host.call("POST", f"{AGENT}/claim/{job}", host.key("testing"), headers=agent).status_code == 403


def execute(host: Office, key: str, **fields: Any) -> Any:
    """What the platform's backend sends to its agent."""
    config = {
        "model": {"name": "org/m", "dtype": "float16"},
        "tokenizer": {"name": "org/m"},
        "training": {"num_train_epochs": 2, "learning_rate": 1e-5, "use_lora": True, "max_steps": -1},
        "data": {"max_seq_length": 512},
        "seed": 7,
    }
    body = {"config": config, "dataset_path": "/d/rows.jsonl", "user_id": "u", "access_token": "t"} | fields
    return host.call("POST", "/api/training/execute", key, json=body)


def test_a_recorded_job_is_executed_with_its_token_and_no_token_travels(
    host: Office, key: str, prefect: StandIn
) -> None:
    job, token = recorded(host, key)
    assert execute(host, key, execution_id=job, job_token=mint_job_token()).status_code == 401
    assert not prefect.runs
    done = execute(host, key, execution_id=job, job_token=token)
    assert (done.status_code, done.json()["success"], done.json()["job_id"]) == (200, True, job)
    assert done.json()["ignored"] == ["model.dtype", "tokenizer.name"]
    (run,) = prefect.run_of(job)
    config = run["parameters"]["config"]
    shown = [config[name] for name in ("model", "dataset", "epochs", "method", "max_length", "seed")]
    assert shown == ["org/m", "/d/rows.jsonl", 2.0, "lora", 512, 7]
    assert run["parameters"].keys() == {"config", "job_id"}
    assert token not in str(run)
    assert report(host, job, token) == 401  # the run has one of its own, from its claim on
    assert report(host, job, host.claim(job)) == 200
    assert execute(host, key, execution_id=job).status_code == 409
    new = execute(host, key, execution_id="fresh-1", name="fresh")
    assert (new.status_code, len(prefect.run_of("fresh-1"))) == (200, 1)


def test_without_a_record_no_training_starts(host: Office, key: str, prefect: StandIn) -> None:
    for fields, code in (
        ({}, 400),
        ({"execution_id": "x", "config": {"model": "m"}, "dataset_path": None}, 409),
        ({"execution_id": "x", "dataset_content": "{}"}, 400),
        ({"execution_id": "unrecorded", "job_token": mint_job_token()}, 401),
    ):
        assert execute(host, key, **fields).status_code == code
    assert (
        host.call("POST", f"{LOCAL}/start", key, json={}).json()["error"]
        == "Missing required field: config_id"
    )
    assert host.call("POST", f"{LOCAL}/start", key, json={"config_id": "gone"}).status_code == 404
    assert not prefect.runs


def test_training_starts_from_a_kept_config(host: Office, key: str, prefect: StandIn) -> None:
    kept = {"name": "nightly", "data": {"model": "org/m", "dataset": "/d/rows.jsonl"}}
    config = host.call("POST", "/api/v1/configs", key, json=kept).json()["id"]
    body = {"config_id": config, "dataset_path": "/d/other.jsonl", "name": "tonight"}
    started = host.call("POST", f"{LOCAL}/start", key, json=body).json()
    assert (started["success"], started["message"]) == (True, "Training started successfully")
    (run,) = prefect.run_of(started["job_id"])
    assert run["parameters"]["config"]["dataset"] == "/d/other.jsonl"
    assert status(host, started["job_id"], key)["job_name"] == "tonight"


def test_a_resumed_job_can_report(host: Office, key: str, prefect: StandIn) -> None:
    job, token = recorded(host, key, config={"model": "org/m", "dataset": "/d/rows.jsonl"})
    report(host, job, token)
    control = host.call("POST", f"{LOCAL}/{job}/control", key, json={"action": "explode"})
    assert control.status_code == 400
    host.call("PATCH", f"{LOCAL}/{job}/status", token, json={"status": "failed", "error": "out of memory"})
    adjusted = {"checkpoint_path": "checkpoint-10", "config_adjustments": {"batch_size": 2}}
    resumed = host.call("POST", f"{LOCAL}/{job}/resume", key, json=adjusted)
    assert resumed.status_code == 200, resumed.text
    body = resumed.json()
    assert (body["resumed_from"], body["checkpoint_path"]) == (job, "checkpoint-10")
    (run,) = prefect.run_of(body["job_id"])
    assert run["parameters"]["config"]["batch_size"] == 2
    fresh = host.claim(body["job_id"])
    assert [report(host, body["job_id"], secret, 20) for secret in (token, fresh)] == [401, 200]
    shown = status(host, body["job_id"], key)
    assert (shown["status"], shown["resumed_from_job_id"], shown["current_step"]) == ("running", job, 20)
