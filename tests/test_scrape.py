"""`/metrics` tells Prometheus what the server does and how the key's workspace stands, and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from api.tables import now
from tests.api_fixtures import Office
from tests.test_api_process import api, serving

V1 = "/api/v1"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def scraped(office: Office, key: str | None = None) -> Series:
    answer = office.call("GET", "/metrics", key or office.key("monitoring"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def value(series: Series, name: str, /, **labels: str) -> float:
    return series.get((name, frozenset(labels.items())), 0.0)


def test_jobs_and_what_waits_are_the_workspaces_own(any_office: Office) -> None:
    another = Office(any_office.served)
    another.new_job()
    another.http.close()
    before = scraped(any_office)
    assert value(before, "tuneyard_queue_waiting") == value(before, "ml_train_jobs_total") == 0
    waiting = any_office.new_job()
    any_office.moved(waiting, created_at=now() - timedelta(hours=1))
    any_office.end(*any_office.claimed_job(), "failed")
    found = scraped(any_office)
    assert value(found, "tuneyard_jobs", kind="finetune", status="pending") == 1
    assert value(found, "tuneyard_jobs", kind="finetune", status="failed") == 1
    assert value(found, "tuneyard_jobs", kind="finetune", status="completed") == 0
    assert value(found, "tuneyard_queue_waiting") == 1
    assert 3600 <= value(found, "tuneyard_queue_oldest_wait_seconds") < 3700
    assert value(found, "ml_train_jobs_total") == 2


def test_deleted_batch_tests_stay_in_the_counter(office: Office) -> None:
    key = office.key("all")
    body = {"model": "m", "suite": "s", "total_prompts": 2}
    test = office.call("POST", f"{V1}/batch-tests", key, json=body)
    assert test.status_code == 201, test.text
    path = f"{V1}/batch-tests/{test.json()['id']}"
    assert value(scraped(office), "ml_predict_jobs_total") == 1
    assert office.call("POST", f"{path}/cancel", key).status_code == 200
    assert office.call("DELETE", path, key).status_code == 204
    assert value(scraped(office), "ml_predict_jobs_total") == 1


def test_requests_are_counted_by_their_routes_template(office: Office) -> None:
    key, template = office.key("all"), {"method": "GET", "route": f"{V1}/jobs/{{job_id}}"}
    before = scraped(office)
    for number in range(5):
        assert office.call("GET", f"{V1}/jobs/no-such-job-{number}", key).status_code == 404
        assert office.call("GET", f"/nowhere/{number}", key).status_code == 404
    found = scraped(office)
    for name, labels in (
        ("tuneyard_http_requests_total", template | {"status": "404"}),
        ("tuneyard_http_request_duration_seconds_count", template),
        ("tuneyard_http_requests_total", {"method": "GET", "route": "none", "status": "404"}),
    ):
        assert value(found, name, **labels) - value(before, name, **labels) == 5
    text = office.call("GET", "/metrics", office.key("monitoring")).text
    assert "no-such-job" not in text
    assert "nowhere" not in text


def test_reports_and_refusals_are_counted(office: Office) -> None:
    before = scraped(office)
    job, token = office.claimed_job()
    batch = {"metrics": [{"step": step, "train_loss": 1.0} for step in range(7)]}
    path = f"{V1}/jobs/{job}/metrics"
    assert office.call("PUT", path, token, json=batch).status_code == 200
    assert office.call("PUT", path, token, json={"metrics": [{"step": -1}]}).status_code == 422
    assert office.call("GET", f"{V1}/jobs").status_code == 401
    assert office.call("GET", f"{V1}/jobs", "wak_nonsense").status_code == 401
    assert office.call("GET", f"{V1}/jobs", office.key("monitoring")).status_code == 403
    nobody = {"name": "nobody-of-that-name", "password": "guessed-wrongly"}
    assert office.call("POST", f"{V1}/auth/login", json=nobody).status_code == 401
    after = scraped(office)

    def more(name: str, /, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("tuneyard_ingest_points_total") == 7
    assert more("tuneyard_ingest_bytes_total") > 100
    assert more("tuneyard_ingest_refused_total", status="422") == 1
    refusals = {
        kind: more("tuneyard_auth_refused_total", kind=kind) for kind in ("missing", "invalid", "password")
    }
    assert refusals == {"missing": 1, "invalid": 1, "password": 1}
    assert more("tuneyard_auth_refused_total", kind="forbidden") == 1


def sample(ago: float, **reading: Any) -> dict[str, Any]:
    card = {"uuid": "GPU-1", "index": 0, "name": "H200", "memory_total_gb": 141.0} | reading
    taken = (now() - timedelta(seconds=ago)).isoformat()
    return {"samples": [{"host": "gpu-1", "taken_at": taken, "interval_seconds": 10, "gpus": [card]}]}


def test_cards_show_their_newest_reading_until_nobody_reads_them(office: Office) -> None:
    labels = {"host": "gpu-1", "gpu": "0", "uuid": "GPU-1", "name": "H200"}
    worker = office.key("worker")
    read = sample(
        1, utilization_percent=50.0, memory_used_gb=2.0, power_w=300.0, energy_j=9e6, temperature_c=61
    )
    assert office.call("POST", f"{V1}/gpus/samples", worker, json=read).status_code == 201
    found = scraped(office)
    shown = {name: value(found, f"tuneyard_gpu_{name}", **labels) for name in GPU_SERIES}
    assert shown == GPU_SERIES
    assert value(found, "tuneyard_gpu_finding", **labels, kind="silent") == 0
    another = Office(office.served)
    others = scraped(another)
    another.http.close()
    assert not [name for name, _ in others if name.startswith("tuneyard_gpu_utilization")]


GPU_SERIES = {
    "utilization_ratio": 0.5,
    "memory_used_bytes": 2 * 2**30,
    "power_watts": 300,
    "temperature_celsius": 61,
    "energy_joules_total": 9e6,
}


def test_a_silent_card_has_a_finding_and_no_readings(office: Office) -> None:
    read = sample(3600, utilization_percent=50.0)
    assert office.call("POST", f"{V1}/gpus/samples", office.key("worker"), json=read).status_code == 201
    found = scraped(office)
    assert not [name for name, _ in found if name == "tuneyard_gpu_utilization_ratio"]
    silent = [value for (name, labels), value in found.items() if ("kind", "silent") in labels]
    assert silent == [1]


def test_several_server_processes_are_one_sum_and_one_that_dies_stays_in_it(tmp_path: Path) -> None:
    api(tmp_path, "pepper")
    key = api(tmp_path, "first-admin", "a").stdout.strip()
    labels = {"method": "GET", "route": "/health", "status": "200"}

    def counted(url: str) -> float:
        text = httpx.get(f"{url}/metrics", headers={"X-API-Key": key}, timeout=30).text
        assert key not in text
        assert not re.search(r"\bpid\b|_created\b", text)
        return value(parsed(text), "tuneyard_http_requests_total", **labels)

    with serving(tmp_path, "--workers", "3") as (process, url):
        for _ in range(30):  # each on a connection of its own: whichever process takes it
            assert httpx.get(f"{url}/health", timeout=30).status_code == 200
        assert [counted(url) for _ in range(6)] == [30] * 6
        workers = [
            one for one in psutil.Process(process.pid).children() if "spawn_main" in str(one.cmdline())
        ]
        assert len(workers) == 3
        for worker in workers[:2]:
            worker.kill()
        psutil.wait_procs(workers[:2], 10)
        assert [counted(url) for _ in range(3)] == [30] * 3
