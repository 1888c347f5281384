"""Seed 002's guide, typed as it stands but for its host and the ids that the answers give: with real curl, on the
real stack, and every answer that it shows."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local_stack import Stack
from tests.api_fixtures import Office
from tests.test_tabular import FUTURE, SEEN, in_numpy

TRAIN_KEY, PREDICT_KEY = "sk_ml_train_abc123", "sk_ml_predict_xyz789"
TIME, ANY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), re.compile(".+", re.S)
CONFIG = "01K7CXYHJ7BR4E87VVTG8FNBMA"
# The ids that the guide's answers show, by what they are here.
SHOWN = {
    "job": "01K7CXYHJ7BR4E87VVTG8FNBMB",
    "model": "01K7CXYHJ7BR4E87VVTG8FNBMC",
    "prediction_job": "01K7CXYHJ7BR4E87VVTG8FNBMD",
    "prediction": "01K7CXYHJ7BR4E87VVTG8FNBME",
}

HEALTH = "curl http://127.0.0.1:8000/health"
NO_KEY = "curl http://127.0.0.1:8000/api/v1/configs"
SYSTEM = r"""
curl -H "X-API-Key: sk_ml_train_abc123" \
  http://127.0.0.1:8000/api/v1/system
"""
CREATE = r"""
curl -X POST http://127.0.0.1:8000/api/v1/configs \
  -H "X-API-Key: sk_ml_train_abc123" \
  -H "Content-Type: application/json" \
  -d '{
    "id": "01K7CXYHJ7BR4E87VVTG8FNBMA",
    "name": "secure_disease_model",
    "data": {}
  }'
"""
TRAIN = r"""
curl -X POST http://127.0.0.1:8000/api/v1/ml/\$train \
  -H "X-API-Key: sk_ml_train_abc123" \
  -H "Content-Type: application/json" \
  -d '{
    "config_id": "01K7CXYHJ7BR4E87VVTG8FNBMA",
    "data": {
      "columns": ["rainfall", "mean_temperature", "disease_cases"],
      "data": [
        [100.5, 25.3, 12],
        [85.2, 27.1, 8],
        [120.8, 24.5, 15],
        [95.3, 26.2, 10],
        [110.0, 26.0, 13],
        [75.5, 28.0, 6],
        [130.2, 23.8, 18],
        [88.9, 27.5, 9]
      ]
    }
  }'
"""
POLL = r"""
# Poll every 1-2 seconds until status is "completed"
curl -H "X-API-Key: sk_ml_train_abc123" \
  http://127.0.0.1:8000/api/v1/jobs/01K7CXYHJ7BR4E87VVTG8FNBMB
"""
MODEL = r"""
curl -H "X-API-Key: sk_ml_train_abc123" \
  http://127.0.0.1:8000/api/v1/artifacts/01K7CXYHJ7BR4E87VVTG8FNBMC
"""
PREDICT = r"""
# Using prediction-specific key
curl -X POST http://127.0.0.1:8000/api/v1/ml/\$predict \
  -H "X-API-Key: sk_ml_predict_xyz789" \
  -H "Content-Type: application/json" \
  -d '{
    "model_artifact_id": "01K7CXYHJ7BR4E87VVTG8FNBMC",
    "historic": {
      "columns": ["rainfall", "mean_temperature"],
      "data": []
    },
    "future": {
      "columns": ["rainfall", "mean_temperature"],
      "data": [
        [110.0, 26.0],
        [90.0, 28.0],
        [125.0, 24.0],
        [80.0, 29.0]
      ]
    }
  }'
"""
POLL_PREDICTION = r"""
curl -H "X-API-Key: sk_ml_predict_xyz789" \
  http://127.0.0.1:8000/api/v1/jobs/01K7CXYHJ7BR4E87VVTG8FNBMD
"""
PREDICTIONS = r"""
curl -H "X-API-Key: sk_ml_predict_xyz789" \
  http://127.0.0.1:8000/api/v1/artifacts/01K7CXYHJ7BR4E87VVTG8FNBME
"""

# The guide's reference: what needs a key, what is for anybody.
KEYED = """
POST   /api/v1/configs
GET    /api/v1/configs
GET    /api/v1/configs/{id}
PUT    /api/v1/configs/{id}
DELETE /api/v1/configs/{id}
GET    /api/v1/configs/$schema
POST   /api/v1/artifacts
GET    /api/v1/artifacts
GET    /api/v1/artifacts/{id}
GET    /api/v1/artifacts/{id}/$tree
DELETE /api/v1/artifacts/{id}
GET    /api/v1/jobs
GET    /api/v1/jobs/{id}
DELETE /api/v1/jobs/{id}
POST   /api/v1/ml/$train
POST   /api/v1/ml/$predict
GET    /api/v1/system
"""
PUBLIC = ("/health", "/docs", "/redoc", "/openapi.json", "/")


class Reader:
    """Types the guide's lines."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ids: dict[str, str] = {}

    def types(self, lines: str) -> tuple[int, str, Any]:
        """Status, media type and body of the answer to a block of the guide."""
        for name, text in self.ids.items():
            lines = lines.replace(SHOWN[name], text)
        lines = lines.replace("http://127.0.0.1:8000", self.host)
        quietly = 'curl() { command curl -sS -w "\\n%{http_code} %{content_type}" "$@"; }\n'
        done = subprocess.run(["bash", "-ec", quietly + lines], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        body, _, last = done.stdout.rpartition("\n")
        status, _, media = last.partition(" ")
        return int(status), media, json.loads(body) if "json" in media else body

    def until_completed(self, lines: str) -> Any:
        """Poll as the guide says, a little faster."""
        for _ in range(300):
            status, _, job = self.types(lines)
            assert status == 200, job
            if job["status"] not in ("pending", "running"):
                return job
            time.sleep(0.2)
        raise AssertionError(job)


def assert_shows(body: Any, shown: dict[str, Any]) -> None:
    """All that the guide shows is there; a pattern stands for what is another each time."""
    for name, value in shown.items():
        if isinstance(value, re.Pattern):
            assert value.fullmatch(str(body[name])), (name, body)
        elif isinstance(value, dict):
            assert_shows(body[name], value)
        else:
            assert body[name] == value, (name, body)


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Reader:
    return Reader(stack.api_url)


def test_the_guide_s_ten_steps_are_answered_as_it_shows(reader: Reader) -> None:
    status, _, health = reader.types(HEALTH)
    assert (status, health) == (200, {"status": "healthy", "checks": {"database": "healthy"}})

    status, media, refused = reader.types(NO_KEY)
    assert (status, media) == (401, "application/problem+json")
    shown = {
        "type": "urn:chapkit:error:unauthorized",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Missing authentication header: X-API-Key",
        "instance": "/api/v1/configs",
    }
    assert refused.items() >= shown.items()

    status, _, system = reader.types(SYSTEM)
    names = ("timezone", "python_version", "platform", "hostname")
    assert status == 200
    assert_shows(system, {"current_time": TIME} | dict.fromkeys(names, ANY))

    status, _, config = reader.types(CREATE)
    assert status == 201
    shown = {"id": CONFIG, "name": "secure_disease_model", "data": {}, "created_at": TIME, "updated_at": TIME}
    assert_shows(config, shown)

    began = time.monotonic()
    status, _, asked = reader.types(TRAIN)
    assert status == 202, asked
    shown = {
        "job_id": ANY,
        "model_artifact_id": ANY,
        "status": "pending",
        "message": "Training job submitted",
    }
    assert_shows(asked, shown)
    reader.ids |= {"job": asked["job_id"], "model": asked["model_artifact_id"]}
    if reader.types(POLL)[2]["status"] != "completed":
        assert reader.types(MODEL)[0] in (404, 200)  # known at submit, there when it is made
    job = reader.until_completed(POLL)
    sentence = "Training completed successfully"
    shown = {"id": reader.ids["job"], "status": "completed", "result": sentence}
    assert_shows(job, shown | {"created_at": TIME, "updated_at": TIME})
    assert_shows(job, {"submitted_at": TIME, "started_at": TIME, "finished_at": TIME, "error": None})
    assert (job["error_traceback"], job["artifact_id"]) == (None, reader.ids["model"])

    status, _, model = reader.types(MODEL)
    assert status == 200
    shown = {"id": reader.ids["model"], "parent_id": None, "level": 0}
    data = {"model_type": ANY, "trained_at": TIME}
    assert_shows(model, shown | {"data": data, "created_at": TIME, "updated_at": TIME})

    status, _, asked = reader.types(PREDICT)
    assert status == 202, asked
    shown = {"job_id": ANY, "prediction_artifact_id": ANY, "status": "pending"}
    assert_shows(asked, shown | {"message": "Prediction job submitted"})
    reader.ids |= {"prediction_job": asked["job_id"], "prediction": asked["prediction_artifact_id"]}

    assert reader.until_completed(POLL_PREDICTION)["status"] == "completed"
    took = time.monotonic() - began

    status, _, made = reader.types(PREDICTIONS)
    assert status == 200
    shown = {"id": reader.ids["prediction"], "parent_id": reader.ids["model"], "level": 1}
    assert_shows(made, shown | {"created_at": TIME, "updated_at": TIME})
    predictions = made["data"]["predictions"]
    assert predictions["columns"] == ["rainfall", "mean_temperature", "sample_0"]
    assert [row[:2] for row in predictions["data"]] == FUTURE
    wanted = in_numpy([row[:2] for row in SEEN], [row[2] for row in SEEN], FUTURE)
    assert [row[2] for row in predictions["data"]] == pytest.approx(list(wanted), abs=1e-6)
    print(f"from submit to predictions in {took:.1f} s")


def asked_for(lines: str) -> list[tuple[str, str]]:
    return [(method, path) for method, path in (line.split() for line in lines.strip().splitlines())]


@pytest.mark.parametrize(("method", "path"), asked_for(KEYED))
def test_nothing_of_the_reference_is_for_anybody(office: Office, method: str, path: str) -> None:
    path = path.replace("{id}", CONFIG)
    for headers, detail in (
        ({}, "Missing authentication header: X-API-Key"),
        ({"X-API-Key": "sk_ml_train_wrong_key"}, "Invalid API key"),
    ):
        answer = office.call(method, path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        body = answer.json()
        shown = {"type": "urn:chapkit:error:unauthorized", "title": "Unauthorized", "status": 401}
        assert body.items() >= (shown | {"detail": detail, "instance": path}).items()
        assert body["error"] == detail
        assert re.fullmatch("[0-9A-Z]{26}", answer.headers["X-Request-ID"])


def test_health_and_documentation_are_for_anybody(office: Office) -> None:
    assert [office.call("GET", path).status_code for path in PUBLIC] == [200] * 5


def test_a_dollar_may_be_escaped_and_an_unknown_path_is_told_nobody(office: Office) -> None:
    key = office.key("training")
    assert office.call("GET", "/api/v1/configs/%24schema", key).status_code == 200
    assert office.call("GET", "/api/v1/nothing").status_code == 401


def test_every_kind_of_error_has_its_urn(office: Office) -> None:
    key, reads = office.key("training"), office.key("production")
    missing = {"config_id": CONFIG, "data": {"columns": ["a"], "data": []}}
    held = {"id": CONFIG, "name": "n", "data": {}}
    assert office.call("POST", "/api/v1/configs", key, json=held).status_code == 201
    for method, path, who, body, status, kind in (
        ("GET", "/api/v1/configs/missing", key, None, 404, "not-found"),
        ("GET", "/api/v1/configs/not%20an%20id", key, None, 400, "invalid-ulid"),
        ("GET", "/api/v1/artifacts/not%20an%20id", key, None, 400, "invalid-ulid"),
        ("GET", "/api/v1/jobs/not%20an%20id/$stream", key, None, 400, "invalid-ulid"),
        ("GET", "/api/v1/jobs/not%20an%20id", key, None, 404, "not-found"),
        ("GET", "/api/v1/configs?page=1", key, None, 400, "bad-request"),
        ("GET", "/api/v1/configs?page=x&size=1", key, None, 422, "validation-failed"),
        ("GET", "/api/v1/configs?page=1&size=101", key, None, 422, "validation-failed"),
        ("POST", "/api/v1/configs", key, held | {"name": "other"}, 409, "conflict"),
        ("POST", "/api/v1/ml/$train", key, missing | {"config_id": "none"}, 400, "bad-request"),
        ("GET", "/api/v1/configs", reads, None, 403, "forbidden"),
    ):
        answer = office.call(method, path, who, **({"json": body} if body else {}))
        told = (answer.status_code, answer.json()["type"])
        assert told == (status, f"urn:chapkit:error:{kind}"), (path, answer.text)


def test_the_rest_of_the_reference_answers_on_the_stack(reader: Reader, stack: Stack) -> None:
    """After the walk: lists by page, the tree, metadata, links, and what is deleted is gone."""
    model, prediction = reader.ids["model"], reader.ids["prediction"]
    with httpx.Client(base_url=stack.api_url, headers={"X-API-Key": TRAIN_KEY}, timeout=30) as http:
        api = "/api/v1"
        page = http.get(f"{api}/artifacts?page=1&size=1").json()
        assert (page["page"], page["size"], len(page["items"]), page["pages"]) == (1, 1, 1, page["total"])
        listed = http.get(f"{api}/artifacts?page=1&size=100").json()["items"]
        [light] = [one for one in listed if one["id"] == prediction]
        assert "predictions" not in light["data"] | light["details"]
        tree = http.get(f"{api}/artifacts/{model}/$tree").json()
        assert [child["id"] for child in tree["children"]] == [prediction]
        facts = http.get(f"{api}/artifacts/{model}/$metadata").json()
        assert facts["status"] == "success"
        assert_shows(facts, {"config_id": CONFIG, "started_at": TIME, "completed_at": TIME})
        assert facts["duration_seconds"] == round(facts["duration_seconds"], 2) > 0
        assert (facts["model_type"], facts["model_size_bytes"] > 0) == (
            http.get(f"{api}/artifacts/{model}").json()["data"]["model_type"],
            True,
        )
        expanded = http.get(f"{api}/artifacts/{prediction}/$expand").json()
        assert (expanded["config"]["id"], expanded["children"], expanded["level"]) == (CONFIG, None, 1)
        assert http.get(f"{api}/artifacts/{prediction}/$config").json()["id"] == CONFIG
        linked = http.get(f"{api}/configs/{CONFIG}/$artifacts").json()
        assert [one["id"] for one in linked] == [model]
        assert http.get(f"{api}/artifacts/{model}/$download").status_code == 200
        done = http.get(f"{api}/jobs?status_filter=completed").json()
        assert {reader.ids["job"], reader.ids["prediction_job"]} <= {job["id"] for job in done}
        stream = http.get(f"{api}/jobs/{reader.ids['job']}/$stream").text
        [told] = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
        assert (told["status"], "event:" in stream) == ("completed", False)
        assert http.delete(f"{api}/artifacts/{model}").status_code == 409  # the prediction was made from it
        for path in (
            f"artifacts/{prediction}",
            f"artifacts/{model}",
            f"jobs/{reader.ids['job']}",
            f"configs/{CONFIG}",
        ):
            assert http.delete(f"{api}/{path}").status_code == 204, path
            assert http.get(f"{api}/{path}").status_code == 404
        folder = Path(stack.home) / "artifacts" / reader.ids["job"]
        assert not folder.exists()
