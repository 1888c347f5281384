"""Seed 000: reads of training jobs, metrics and batch tests with an API key, every line of it as it is typed there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, served
from tests.seed_fixtures import curl, session
from tests.seed_fixtures import host as host
from tests.seed_fixtures import prefect_server as prefect_server
from tests.seed_fixtures import seeded as seeded
from tuneyard import Client

LOCAL, BATCH = "/api/training/local", "/api/batch-testing"
LIST = 'curl -s http://localhost:3000/api/training/local/jobs \\\n  -H "X-API-Key: YOUR_API_KEY" | jq'
STATUS = (
    'curl -s http://localhost:3000/api/training/local/JOB_ID/status \\\n  -H "X-API-Key: YOUR_API_KEY" | jq'
)
METRICS = (
    'curl -s "http://localhost:3000/api/training/local/metrics?job_id=JOB_ID&limit=10" \\\n'
    '  -H "X-API-Key: YOUR_API_KEY" | jq'
)
RUNNING = "f31b34ac-0000-4000-8000-000000000000"
# id, model, end, the step it reached, of how many: the progress that the document shows
JOBS = [
    (RUNNING, "Qwen3-1.7B-Base", None, 3783, 12355, 30.62),
    ("a48ce385-0000-4000-8000-000000000000", "Qwen3-1.7B-Base", "cancelled", 1143, 10_000, 11.43),
    ("00460e26-0000-4000-8000-000000000000", "Mistral-7B-Instruct", "failed", 1558, 10_000, 15.58),
    ("66c68427-0000-4000-8000-000000000000", "Qwen3-1.7B-Base", "completed", 399, 400, 100),
    ("7fd36d6d-0000-4000-8000-000000000000", "Qwen3-1.7B-Base", "failed", None, 400, 0),
]
SUITES = {
    "validation_questions_only": 50,
    "validation_set_Atlas_50_Qs": 50,
    "validation_set_25_fron_1166_atlas": 25,
}
RUNS = (25, 10, 10, 5, 10)


class Lab:
    """What the document found in its database, put there through the API."""

    def __init__(self, host: Office) -> None:
        self.host = host
        self.training, self.testing = host.key("training"), host.key("testing")
        self.tokens = {job[0]: self._train(*job) for job in JOBS}
        self.suites = {name: self._suite(name, size) for name, size in SUITES.items()}
        self.tests = [self._test(prompts) for prompts in RUNS]

    def call(self, method: str, path: str, who: str, body: Any) -> Any:
        answer = self.host.call(method, path, who, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def _train(self, job: str, model: str, end: str | None, reached: int | None, steps: int, _: float) -> str:
        body = {
            "job_id": job,
            "user_id": "u",
            "model_name": model,
            "dataset_path": "/d",
            "total_steps": steps,
        }
        token: str = self.call("POST", f"{LOCAL}/jobs", self.training, body)["job_token"]
        if reached is not None:
            shown = range(reached + 1) if job == RUNNING else [reached]
            points = [{"step": step, "epoch": step / 4000, "train_loss": 2.0} for step in shown]
            self.call("POST", f"{LOCAL}/metrics", token, {"job_id": job, "metrics": points})
        if end is not None:
            self.call("PATCH", f"{LOCAL}/{job}/status", token, {"status": end, "error": "out of memory"})
        return token

    def _suite(self, name: str, size: int) -> str:
        prompts = [f"Question {number}" for number in range(size)]
        found: str = self.call("POST", "/api/test-suites", self.testing, {"name": name, "prompts": prompts})[
            "test_suite"
        ]["id"]
        return found

    def _test(self, prompts: int) -> str:
        suite = self.suites["validation_questions_only"]
        config = {"model_id": "org/tuned", "test_suite_id": suite, "prompt_limit": prompts, "delay_ms": 0}
        started = self.call("POST", f"{BATCH}/run", self.testing, {"config": config})
        assert started["total_prompts"] == prompts
        test: str = started["test_run_id"]
        token = self.host.claim(test)
        answers = [
            {"prompt_index": n, "prompt": f"Question {n}", "response": "an answer"} for n in range(prompts)
        ]
        self.call("POST", f"/api/v1/batch-tests/{test}/predictions", token, {"predictions": answers})
        assert self.host.end(test, token).status_code == 200
        return test


@pytest.fixture(scope="module")
def lab(host: Office) -> Lab:
    return Lab(host)


def test_its_first_curl_lists_the_five_jobs(lab: Lab) -> None:
    status, _, listed = curl(lab.host, LIST, YOUR_API_KEY=lab.training)
    assert (status, listed["total"], listed["limit"], listed["offset"]) == (200, 5, 50, 0)
    shown = [(job["id"], job["model_name"], job["status"], job["progress"]) for job in listed["jobs"]]
    asked = [(job, model, end or "running", progress) for job, model, end, _, _, progress in JOBS]
    assert shown == asked[::-1]
    line = f'curl -s "HOST{LOCAL}/jobs?status=failed&limit=1&offset=1" -H "X-API-Key: YOUR_API_KEY" | jq'
    found = curl(lab.host, line, YOUR_API_KEY=lab.training)[2]
    assert ([job["id"][:8] for job in found["jobs"]], found["total"]) == (["00460e26"], 2)


@pytest.mark.parametrize(
    ("job", "model", "end", "reached", "steps", "progress"), JOBS, ids=[j[0][:8] for j in JOBS]
)
def test_its_second_curl_shows_each_job(
    lab: Lab, job: str, model: str, end: str | None, reached: int | None, steps: int, progress: float
) -> None:
    status, _, shown = curl(lab.host, STATUS, YOUR_API_KEY=lab.training, JOB_ID=job)
    assert (status, shown["job_id"], shown["model_name"]) == (200, job, model)
    assert (shown["status"], shown["progress"], shown["current_step"]) == (
        end or "running",
        progress,
        reached,
    )
    assert shown.get("error") == ("out of memory" if end == "failed" else None)
    assert (shown["completed_at"] is None) == (end is None)


def test_its_third_curl_reads_3784_metrics_each_once(lab: Lab) -> None:
    status, _, found = curl(lab.host, METRICS, YOUR_API_KEY=lab.training, JOB_ID=RUNNING)
    assert (status, found["total"], found["limit"]) == (200, 3784, 10)
    assert [point["step"] for point in found["metrics"]] == list(range(10))
    steps = []
    for offset in range(0, 3784, 1000):
        line = METRICS.replace("limit=10", f"limit=1000&offset={offset}")
        steps += [
            point["step"]
            for point in curl(lab.host, line, YOUR_API_KEY=lab.training, JOB_ID=RUNNING)[2]["metrics"]
        ]
    assert steps == list(range(3784))


def test_session_key_and_wrong_scope_are_told_apart(lab: Lab) -> None:
    host, token, production = lab.host, session(lab.host, "viewer"), lab.host.key("production")
    for line in (LIST, STATUS, METRICS):
        line = line.replace("JOB_ID", RUNNING)
        for header in ("X-API-Key", "X-Workspace-API-Key", "Authorization"):
            value = f"Bearer {lab.training}" if header == "Authorization" else lab.training
            assert curl(host, line, **{"X-API-Key": header, "YOUR_API_KEY": value})[0] == 200
        by_session = {"X-API-Key": "Authorization", "YOUR_API_KEY": f"Bearer {token}"}
        assert curl(host, line, **by_session)[0] == 200
        status, _, body = curl(host, line, YOUR_API_KEY=production)
        text = "API key does not have 'training' scope. Key scopes: production"
        assert (status, body["error"]) == (403, text)
        status, headers, body = curl(host, line.partition("\\")[0])
        assert (status, body["error"]) == (401, "Missing authorization header")
        assert "www-authenticate" in headers
        beside = f'-H "Authorization: Bearer {token}" ' + line.partition("|")[0].removeprefix("curl ")
        status, _, body = curl(host, beside, YOUR_API_KEY="wak_nonsense")
        assert (status, body["error"]) == (401, "Invalid API key")
        nobody = {"X-API-Key": "Authorization", "YOUR_API_KEY": "Bearer nobody"}
        assert curl(host, line, **nobody)[2]["error"] == "Authentication failed"


def test_the_training_server_s_posts_still_work_with_the_job_token(lab: Lab) -> None:
    made = lab.call("POST", f"{LOCAL}/jobs", lab.training, {"job_id": "pushing", "model_name": "m"})
    token, points = made["job_token"], [{"step": 1, "epoch": 0}]
    body = {"job_id": "pushing", "metrics": points}
    for path in (f"{LOCAL}/metrics", "/api/training/jobs/pushing/metrics"):
        assert lab.call("POST", path, token, body) == {"success": True, "count": 1, "job_status": "running"}
    rows = [
        {
            "job_id": "pushing",
            "step": step,
            "epoch": step,
            "sample_index": n,
            "prompt": f"p{n}",
            "prediction": "x",
        }
        for step in (1, 2)
        for n in range(3)
    ]
    assert lab.call("POST", f"{LOCAL}/predictions", token, {"predictions": rows})["count"] == 6
    refused = lab.host.call("POST", f"{LOCAL}/metrics", lab.training, json=body)
    assert refused.status_code == 401
    read = lab.host.call("GET", "/api/training/predictions/pushing?epoch=2&limit=2", lab.training).json()
    assert [row["sample_index"] for row in read["predictions"]] == [0, 1]
    assert (read["total"], read["total_count"], read["epoch_count"]) == (3, 6, 2)
    epochs = lab.host.call("GET", "/api/training/predictions/pushing/epochs", lab.training).json()["epochs"]
    assert epochs[1] == {"epoch": 2, "prediction_count": 3, "latest_step": 2}


def test_batch_testing_still_works(lab: Lab) -> None:
    for test, prompts in zip(lab.tests, RUNS, strict=True):
        line = f'curl -s HOST{BATCH}/status/{test} -H "X-API-Key: KEY"'
        status, _, shown = curl(lab.host, line, KEY=lab.testing)
        assert (status, shown["status"], shown["progress"]) == (200, "completed", 1.0)
        counts = [shown[f"{name}_prompts"] for name in ("total", "completed", "failed")]
        assert (counts, len(shown["results"])) == ([prompts, prompts, 0], prompts)
    listed = lab.host.call("GET", "/api/test-suites", lab.testing).json()["test_suites"]
    assert {suite["name"]: suite["prompt_count"] for suite in listed} == SUITES
    assert curl(lab.host, line, KEY=lab.training)[0] == 403


def test_an_sdk_fetches_jobs_and_metrics(lab: Lab) -> None:
    with Client(lab.host.served.url, lab.training) as client:
        assert {job[0] for job in JOBS} <= {job.id for job in client.jobs.iter()}
        assert sum(1 for _ in client.metrics.iter(RUNNING)) == 3784
    with Client(lab.host.served.url, lab.testing) as client:
        assert [client.tests.get(test).completed_prompts for test in lab.tests] == list(RUNS)


def test_the_platform_s_own_python_client_reads_logs_and_errors(lab: Lab) -> None:
    failed, token = JOBS[2][0], lab.tokens[JOBS[2][0]]
    for lines in (["Loading model", "Step 1/1000"], ["CUDA out of memory"]):
        assert lab.call("POST", f"{LOCAL}/{failed}/logs", token, {"logs": lines})["success"]
    page = {"limit": "2", "offset": "1"}  # that client writes its numbers as texts
    logs = lab.host.call("GET", f"{LOCAL}/{failed}/logs", lab.training, params=page).json()
    assert logs == {"logs": ["Step 1/1000", "CUDA out of memory"], "total_lines": 3, "offset": 1, "limit": 2}
    errors = lab.host.call("GET", f"{LOCAL}/{failed}/errors", lab.training).json()
    assert (errors["unique_error_count"], errors["error_count"]) == (1, 1)
    assert (errors["errors"][0]["message"], errors["errors"][0]["count"]) == ("out of memory", 1)
    assert lab.host.call("GET", "/api/training/jobs?limit=50&offset=0", lab.training).json()["total"] >= 5


def test_the_scope_registry_names_what_a_scope_opens_and_nothing_else(lab: Lab) -> None:
    answer = lab.host.call("GET", "/api/user/api-key-scopes", lab.training).json()["scopes"]
    assert set(answer) == {"all", "training", "production", "testing", "worker"}
    entry = answer["training"]
    assert entry["label"] == "Training"
    assert entry["description"] == "Training metrics, predictions, and job management"
    seed = {"local/metrics", "local/predictions", "predictions/*", "jobs/*/metrics"}
    new = {"local/jobs", "local/*/status", "local/*/metrics", "local/*/logs", "jobs"}
    assert {f"/api/training/{path}" for path in seed | new} <= set(entry["endpoints"])
    paths = {
        path
        for path in lab.host.served.app.openapi()["paths"]
        if path.startswith(("/api/training", "/api/batch"))
    }
    for scope, found in answer.items():
        key = lab.host.key(scope)
        for path in paths:
            methods = lab.host.served.app.openapi()["paths"][path]
            if "get" not in methods:
                continue
            status = lab.host.call("GET", re.sub("{.*?}", "unknown", path), key).status_code
            assert (status == 403) == (re.sub("{.*?}", "*", path) not in found["endpoints"]), (scope, path)


def test_a_person_manages_their_own_keys(host: Office) -> None:
    token, other = session(host, "member"), session(host, "member")
    page = 'HOST/api/user/api-keys -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json"'
    status, _, body = curl(host, f"""{page} -d '{{"name": "sdk", "scopes": ["training"]}}'""", TOKEN=token)
    assert status == 201
    made = body["apiKey"]
    assert curl(host, LIST, YOUR_API_KEY=made["key"])[0] == 200
    listed = curl(host, page, TOKEN=token)[2]["apiKeys"]
    fields = {
        "id",
        "name",
        "key_prefix",
        "is_active",
        "request_count",
        "last_used_at",
        "created_at",
        "scopes",
    }
    assert [key["id"] for key in listed] == [made["id"]]
    assert listed[0].keys() >= fields
    assert (len(listed[0]["key_prefix"]), listed[0]["request_count"]) == (12, 1)
    assert curl(host, page, TOKEN=other)[2]["apiKeys"] == []
    assert curl(host, f"""{page} -d '{{"name": "sdk"}}'""", TOKEN=token)[0] == 409
    assert curl(host, f"""{page} -d '{{"scopes": ["training"]}}'""", TOKEN=token)[0] == 400
    wrong = curl(host, f"""{page} -d '{{"name": "x", "scopes": ["boss", {{}}]}}'""", TOKEN=token)
    assert (wrong[0], wrong[2]["invalidScopes"]) == (400, ["boss", {}])
    assert wrong[2]["validScopes"] == ["all", "training", "production", "testing", "worker"]
    assert curl(host, f"""{page} -d '{{"name": "x", "scopes": ["worker"]}}'""", TOKEN=token)[0] == 403
    least = curl(host, f"""{page} -d '{{"name": "y", "scopes": []}}'""", TOKEN=token)
    assert least[2]["apiKey"]["scopes"] == ["production"]
    minting = page.replace("Authorization: Bearer TOKEN", "X-API-Key: KEY")
    assert curl(host, f"""{minting} -d '{{"name": "z"}}'""", KEY=made["key"])[0] == 403
    one = f'HOST/api/user/api-keys/{made["id"]} -H "Authorization: Bearer TOKEN"'
    usage = curl(host, one.replace(made["id"], made["id"] + "/usage"), TOKEN=token)
    assert (usage[0], usage[2]["request_count"]) == (200, 2)
    assert curl(host, f"-X DELETE {one}", TOKEN=other)[0] == 404
    assert curl(host, f"-X DELETE {one}", TOKEN=token)[0] == 200
    assert curl(host, LIST, YOUR_API_KEY=made["key"])[0] == 401


def test_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    options: dict[str, Any] = UNLIMITED | {"api_rate_limit_per_key": 5}
    settings = Settings(tuneyard_home=tmp_path, database_url=None, tuneyard_pepper=None, **options)
    with served(settings) as running:
        here = Office(running)
        key = here.key("training")
        answers = [curl(here, LIST, YOUR_API_KEY=key) for _ in range(6)]
        here.http.close()
    assert [status for status, _, _ in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1][1]["retry-after"]) <= 60
    assert "ratelimit" in answers[0][1]
