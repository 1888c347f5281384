"""Who may do what: keys, scopes, job tokens, and the order in which they are judged."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select, update

from api import tables
from api.access.permissions import PERMISSIONS, SCOPES
from tests.api_fixtures import Office, Served
from tuneyard import keys

JOBS = "/api/v1/jobs"


def test_without_a_key_nothing_but_health_docs_and_the_log_in_answers(office: Office) -> None:
    public = {"/", "/health", "/docs", "/redoc", "/openapi.json"}
    for path in public:
        assert office.call("GET", path).status_code == 200, path
    paths = office.call("GET", "/openapi.json").json()["paths"]
    public |= {
        "/api/v1/auth/login",
        "/auth/login",
        "/auth/signin",
        "/signin",
    }  # where one comes without a key
    closed = [(method, path) for path, methods in paths.items() for method in methods if path not in public]
    assert len(closed) > 30
    for method, path in closed:
        answer = office.call(method.upper(), path.replace("{job_id}", "x"), content=b"not json")
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["X-API-Key", "x-workspace-api-key", "Authorization"])
def test_a_key_is_taken_from_each_header(office: Office, header: str) -> None:
    key = office.key("training")
    value = f"Bearer {key}" if header == "Authorization" else key
    assert office.call("GET", JOBS, headers={header: value}).status_code == 200


def test_a_key_that_is_present_decides_alone(office: Office) -> None:
    good, (job_id, token) = office.key("worker"), office.claimed_job()
    bad = keys.mint().text
    both = office.call("GET", JOBS, headers={"X-API-Key": bad, "Authorization": f"Bearer {good}"})
    assert both.status_code == 401
    workspace = office.call("GET", JOBS, headers={"X-API-Key": bad, "X-Workspace-API-Key": good})
    assert workspace.status_code == 401
    for key, status in ((bad, 401), (good, 403)):
        headers = {"X-API-Key": key, "Authorization": f"Bearer {token}"}
        assert office.call("PATCH", f"{JOBS}/{job_id}", headers=headers, json={}).status_code == status


@pytest.mark.parametrize("key", ["x", "wak_", "wak_é", "wak_" + "0" * 51, "sk_" + "a" * 40])
def test_a_malformed_key_is_refused_like_an_unknown_one(office: Office, key: str) -> None:
    answer = office.call("GET", JOBS, headers={"X-API-Key": key.encode()})
    unknown = office.call("GET", JOBS, keys.mint().text)
    assert answer.status_code == unknown.status_code == 401
    assert answer.json()["detail"] == unknown.json()["detail"] == "Invalid API key"


def test_the_right_id_with_a_wrong_secret_is_refused(office: Office) -> None:
    right = office.key("training")
    body = right[:17] + keys.mint().text[17:49]
    assert office.call("GET", JOBS, body + keys._checksum(body)).status_code == 401


def test_a_revoked_key_is_refused_at_once(office: Office) -> None:
    admin = office.key("admin")
    made = office.call("POST", "/api/v1/api-keys", admin, json={"name": "n", "scopes": ["training"]}).json()
    assert office.call("GET", JOBS, made["key"]).status_code == 200
    for _ in range(2):
        gone = office.call("POST", f"/api/v1/api-keys/{made['id']}/revoke", admin)
        assert gone.status_code == 200
        assert gone.json()["is_active"] is False
    assert office.call("GET", JOBS, made["key"]).status_code == 401


def test_an_expired_key_is_refused(office: Office) -> None:
    key = office.key("training")
    with office.served.database.writing() as session:
        past = tables.now() - timedelta(seconds=1)
        session.exec(
            update(tables.ApiKey).where(col(tables.ApiKey.id) == keys.parse(key)).values(expires_at=past)
        )
    assert office.call("GET", JOBS, key).status_code == 401


def test_a_key_without_the_permission_gets_403_before_any_row_is_looked_for(office: Office) -> None:
    production = office.key("production")
    for job_id in (office.new_job(), "no-such-job"):
        answer = office.call("POST", f"{JOBS}/{job_id}/claim", production, content=b"{broken")
        assert answer.status_code == 403
        assert (
            answer.json()["detail"]
            == "API key does not have required permission: jobs:claim. Key scopes: production"
        )


def test_a_missing_object_is_told_before_a_wrong_body(office: Office) -> None:
    worker, job_id = office.key("worker"), office.new_job()
    for body in (b"{broken", b'{"host": 1, "nobody": 2}'):
        given: dict[str, Any] = {"content": body, "headers": {"Content-Type": "application/json"}}
        assert office.call("POST", f"{JOBS}/gone/claim", worker, **given).status_code == 404
        assert office.call("POST", f"{JOBS}/{job_id}/claim", worker, **given).status_code == 422


def test_another_workspaces_objects_answer_like_missing_ones(office: Office, sqlite_served: Served) -> None:
    other = Office(sqlite_served)
    job_id, _ = other.claimed_job()
    admin = other.key("admin")
    sha = "0" * 64
    test = other.call("POST", "/api/v1/batch-tests", admin, json={"suite": "s", "model": "m"}).json()["id"]
    suite = {"name": "s", "prompts": [{"prompt": "a", "expected": "b"}]}
    ids = {
        "jobs": job_id,
        "batch-tests": test,
        "datasets": other.call(
            "POST", "/api/v1/datasets", admin, json={"name": "d", "uri": "u", "sha256": sha, "rows": 1}
        ).json()["id"],
        "artifacts": other.call(
            "POST", "/api/v1/artifacts", admin, json={"name": "d", "uri": "u", "size_bytes": 1}
        ).json()["id"],
        "test-suites": other.call("POST", "/api/v1/test-suites", admin, json=suite).json()["id"],
    }
    mine = office.key("admin")
    paths = [("GET", f"/api/v1/{kind}/{{}}", real) for kind, real in ids.items()]
    paths += [(m, f"/api/v1/jobs/{{}}/{p}", job_id) for m, p in [("GET", "metrics"), ("POST", "cancel")]]
    paths += [
        ("GET", "/api/v1/batch-tests/{}/predictions", test),
        ("GET", "/api/training/local/{}/status", job_id),
    ]
    paths += [
        ("GET", "/api/training/local/metrics?job_id={}", job_id),
        ("GET", "/api/batch-testing/status/{}", test),
    ]
    paths += [("POST", "/api/v1/api-keys/{}/revoke", keys.parse(admin))]
    for method, path, real in paths:
        assert other.call(method, path.format(real), admin).status_code == 200, path
        foreign, missing = (office.call(method, path.format(x), mine) for x in (real, "missing-object"))
        assert foreign.status_code == missing.status_code == 404, path
        assert _without_request(foreign.json()) == _without_request(missing.json())
    for kind in ids:
        assert office.call("GET", f"/api/v1/{kind}", mine).json()["total"] == 0
    other.http.close()


def _without_request(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("instance", "request_id")}


def test_a_job_token_reads_nothing_and_manages_no_keys(office: Office) -> None:
    job_id, token = office.claimed_job()
    for method, path in [
        ("GET", JOBS),
        ("GET", f"{JOBS}/{job_id}"),
        ("GET", f"{JOBS}/{job_id}/metrics"),
        ("POST", JOBS),
        ("POST", f"{JOBS}/{job_id}/claim"),
        ("POST", f"{JOBS}/{job_id}/cancel"),
        ("GET", "/api/v1/api-keys"),
        ("POST", "/api/v1/api-keys"),
        ("GET", "/api/training/local/jobs"),
        ("GET", f"/api/training/local/{job_id}/status"),
        ("POST", "/api/v1/gpus/samples"),
        ("POST", "/api/v1/test-suites"),
    ]:
        assert office.call(method, path, token, json={}).status_code == 401, path


def test_a_job_token_writes_its_own_job_alone(office: Office) -> None:
    (job_a, token_a), (job_b, _) = office.claimed_job(), office.claimed_job()
    point = {"step": 1}
    own, others, unknown, junk = (
        office.call("PUT", f"{JOBS}/{job}/metrics", token, json=point).status_code
        for job, token in [(job_a, token_a), (job_b, token_a), ("unknown", token_a), (job_a, "j" * 43)]
    )
    assert (own, others, unknown, junk) == (200, 401, 404, 401)
    assert office.end(job_b, token_a).status_code == 401
    assert office.call("PATCH", f"{JOBS}/{job_b}", token_a, json={}).status_code == 401


def test_a_superseded_token_is_dead(office: Office) -> None:
    job_id, old = office.claimed_job()
    new = office.claim(job_id)
    for method, path, body in [
        ("PUT", "/metrics", {"step": 1}),
        ("PATCH", "", {}),
        ("POST", "/end", {"status": "failed"}),
    ]:
        assert office.call(method, f"{JOBS}/{job_id}{path}", old, json=body).status_code == 401
    assert office.call("PUT", f"{JOBS}/{job_id}/metrics", new, json={"step": 1}).status_code == 200


def test_late_points_are_taken_for_ten_minutes_after_the_end(office: Office) -> None:
    job_id, token = office.claimed_job()
    assert office.end(job_id, token, "cancelled").status_code == 200
    late = office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 3})
    assert (late.status_code, late.json()["job_status"]) == (200, "cancelled")
    artifact = {"name": "m", "uri": "/m", "size_bytes": 1}
    assert office.call("POST", "/api/v1/artifacts", token, json=artifact).status_code == 401
    assert office.call("PATCH", f"{JOBS}/{job_id}", token, json={"stage": "x"}).status_code == 409
    office.end_long_ago(job_id, timedelta(minutes=11))
    for method, path, body in [
        ("PUT", "/metrics", {"step": 4}),
        ("PATCH", "", {}),
        ("POST", "/end", {"status": "cancelled"}),
    ]:
        assert office.call(method, f"{JOBS}/{job_id}{path}", token, json=body).status_code == 401


def test_a_token_that_was_not_given_is_asked_for(office: Office) -> None:
    answer = office.call("PUT", f"{JOBS}/x/metrics", json={"step": 1})
    assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized: Bearer token required")


def test_a_key_is_shown_once_and_holds_what_its_scopes_stand_for(office: Office) -> None:
    admin = office.key("admin")
    new = {"name": "n", "scopes": ["training", "testing", "training"], "expires_in_days": 7}
    made = office.call("POST", "/api/v1/api-keys", admin, json=new)
    assert made.status_code == 201
    assert keys.parse(made.json()["key"]) == made.json()["id"]
    assert made.json()["scopes"] == ["training", "testing"]
    assert set(made.json()["permissions"]) == SCOPES["training"] | SCOPES["testing"]
    listed = office.call("GET", "/api/v1/api-keys", admin)
    assert made.json()["id"] in [key["id"] for key in listed.json()["items"]]
    assert made.json()["key"] not in listed.text
    assert "digest" not in listed.text


def test_only_an_admin_makes_keys(office: Office) -> None:
    for scope in SCOPES.keys() - {"admin"}:
        new = {"name": "n", "scopes": [scope]}
        assert office.call("POST", "/api/v1/api-keys", office.key(scope), json=new).status_code == 403
    unknown = office.call(
        "POST", "/api/v1/api-keys", office.key("admin"), json={"name": "n", "scopes": ["boss"]}
    )
    assert unknown.status_code == 422
    assert "boss" in unknown.json()["detail"]
    assert SCOPES["admin"] == PERMISSIONS.keys() - {"owners:write"}


def test_no_key_and_no_token_is_kept_or_logged(
    office: Office, sqlite_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin, (job_id, token) = office.key("admin"), office.claimed_job()
    made = office.call("POST", "/api/v1/api-keys", admin, json={"name": "n", "scopes": ["all"]}).json()["key"]
    own = "T" * 42 + "0"
    office.call("POST", "/api/training/local/jobs", admin, json={"model_name": "m", "job_token": own})
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 1, "oops": made})
    office.call("GET", f"{JOBS}?status={made}", admin)
    secrets = [admin, token, made, own]
    logged = "\n".join(
        r.getMessage() for r in caplog.records if r.name.startswith(("tuneyard", "sqlalchemy"))
    )
    assert logged.count("/api/v1/jobs") > 1
    with sqlite_served.database.reading() as session:
        session.connection().exec_driver_sql("PRAGMA wal_checkpoint(FULL)")
        assert session.exec(select(tables.ApiKey)).first() is not None
    kept = b"".join(path.read_bytes() for path in _database_files(sqlite_served))
    for secret in secrets:
        assert secret not in logged
        assert secret[17:49].encode() not in kept
        assert secret.encode() not in kept


def _database_files(served: Served) -> list[Any]:
    path = Path(served.database.url.database or "")
    return list(path.parent.glob(path.name + "*"))
