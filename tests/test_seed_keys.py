"""The key flows of seeds 000, 003 and 004, as the curl lines that their readers type."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.api_fixtures import Office, served

CLIENT, MINER, ADMIN = "test_client_key_16_chars", "miner_dev_key_1_valid", "admin_dev_key_1_valid"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An API with the keys of seed 004 declared."""
    settings = Settings(
        tuneyard_home=tmp_path_factory.mktemp("seeds"),
        database_url=None,
        tuneyard_pepper=None,
        client_api_keys=json.dumps([CLIENT, "client_dev_key_1_valid"]),
        miner_api_keys=json.dumps([MINER]),
        admin_api_keys=json.dumps([ADMIN]),
        api_rate_limit_per_key=100_000,
    )
    with served(settings) as running:
        office = Office(running)
        yield office
        office.http.close()


def curl(host: Office, line: str, **words: str) -> tuple[int, dict[str, str], Any]:
    """Type the line; the status, the headers and the body of the answer."""
    line = line.replace("HOST", host.served.url)
    for name, value in words.items():
        line = line.replace(name, value)
    done = subprocess.run(
        ["curl", "-s", "-i", *shlex.split(line)], capture_output=True, text=True, timeout=30, check=True
    )
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    first, *rest = head.splitlines()
    headers = {name.lower(): value for name, _, value in (header.partition(": ") for header in rest)}
    return int(first.split()[1]), headers, json.loads(body) if body else None


def person(host: Office, role: str = "admin") -> str:
    """A person's session token: what stands where the seeds have a JWT."""
    admin = host.key("admin")
    name = f"p{len(host.key('production'))}{host.new_job()[-10:].lower()}"
    made = host.call("POST", "/api/v1/users", admin, json={"name": name, "role": role}).json()
    first = host.call(
        "POST", "/api/v1/auth/login", json={"name": name, "password": made["one_time_password"]}
    )
    chosen = "correct horse battery staple"
    answer = host.call(
        "POST",
        "/api/v1/auth/password",
        headers={"Authorization": f"Bearer {first.json()['token']}"},
        json={"current": made["one_time_password"], "new": chosen},
    )
    assert answer.status_code == 204, answer.text
    host.http.cookies.clear()
    token: str = host.call("POST", "/api/v1/auth/login", json={"name": name, "password": chosen}).json()[
        "token"
    ]
    host.http.cookies.clear()
    return token


def test_seed_003_an_admin_makes_a_key_for_a_workflow_and_the_workflow_uses_it(host: Office) -> None:
    token = person(host)
    status, _, made = curl(
        host,
        """-X POST HOST/api-keys/ -H "Authorization: Bearer YOUR_JWT_TOKEN" -H "Content-Type: application/json"
        -d '{"name": "training-pipeline", "description": "For training data collection",
             "permission_set": "training_pipeline"}'""",
        YOUR_JWT_TOKEN=token,
    )
    assert status == 201
    fields = {
        "id",
        "name",
        "description",
        "key",
        "key_prefix",
        "permissions",
        "scopes",
        "expires_at",
        "created_at",
    }
    assert made.keys() >= fields
    assert made["key"].startswith("wak_" + made["key_prefix"])
    jobs = 'HOST/api/v1/jobs -H "X-API-Key: KEY"'
    assert curl(host, jobs, KEY=made["key"])[0] == 200
    one = f'HOST/api-keys/{made["id"]} -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json"'
    status, _, read = curl(host, one, TOKEN=token)
    assert status == 200
    assert "key" not in read
    assert (read["usage_count"], read["is_active"], read["is_valid"]) == (1, True, True)
    assert curl(host, f'-X PUT {one} -d \'{{"name": "renamed"}}\'', TOKEN=token)[2]["name"] == "renamed"
    extended = curl(
        host,
        f"-X POST {one.replace(made['id'], made['id'] + '/extend')} -d '{{\"expires_in_days\": 7}}'",
        TOKEN=token,
    )
    assert extended[0] == 200
    assert extended[2]["expires_at"] < made["expires_at"]
    revoke = f"-X POST {one.replace(made['id'], made['id'] + '/revoke')}"
    assert curl(host, revoke, TOKEN=token)[2]["message"] == "API key revoked successfully"
    assert curl(host, jobs, KEY=made["key"])[0] == 401


def test_seed_003_the_sets_are_listed_and_the_wrong_are_refused(host: Office) -> None:
    admin, plain = host.key("admin"), host.key("training")
    line = 'HOST/api-keys/permission-sets -H "X-API-Key: KEY"'
    status, _, sets = curl(host, line, KEY=plain)
    assert status == 200
    assert {"read_only", "training_pipeline", "prefect_workflows", "full_access"} == sets[
        "permission_sets"
    ].keys()
    create = 'HOST/api-keys/ -H "X-API-Key: KEY" -H "Content-Type: application/json" -d '
    refused = curl(host, create + """'{"name": "n", "permission_set": "boss"}'""", KEY=admin)
    assert (refused[0], refused[2]["detail"]) == (400, "Unknown permission set: boss")
    refused = curl(host, create + """'{"name": "n", "permissions": []}'""", KEY=admin)
    assert (refused[0], "At least one permission is required" in refused[2]["detail"]) == (400, True)
    refused = curl(host, create + """'{"name": "n", "permission_set": "read_only"}'""", KEY=plain)
    assert refused[0] == 403
    assert "does not have required permission" in refused[2]["detail"]
    assert curl(host, """HOST/api-keys/ -d '{"name": "n", "permission_set": "read_only"}'""")[0] == 401
    assert curl(host, 'HOST/api-keys/not-a-uuid -H "X-API-Key: KEY"', KEY=admin)[0] == 422
    missing = "00000000-0000-4000-8000-000000000000"
    assert curl(host, f'HOST/api-keys/{missing} -H "X-API-Key: KEY"', KEY=admin)[0] == 404


def test_seed_000_a_training_key_reads_and_a_production_key_does_not(host: Office) -> None:
    training, production, token = host.key("training"), host.key("production"), person(host, "viewer")
    job, run = host.claimed_job()
    host.call("PUT", f"/api/v1/jobs/{job}/metrics", run, json={"step": 0, "epoch": 0, "train_loss": 1.5})
    paths = (
        "HOST/api/training/local/jobs",
        f"HOST/api/training/local/{job}/status",
        f'"HOST/api/training/local/metrics?job_id={job}&limit=10"',
    )
    for path in paths:
        for header in ("X-API-Key: KEY", "X-Workspace-API-Key: KEY", "Authorization: Bearer KEY"):
            assert curl(host, f'-s {path} -H "{header}"', KEY=training)[0] == 200
        assert curl(host, f'-s {path} -H "Authorization: Bearer TOKEN"', TOKEN=token)[0] == 200
        status, _, body = curl(host, f'-s {path} -H "X-API-Key: KEY"', KEY=production)
        assert status == 403
        assert body["error"] == "API key does not have 'training' scope. Key scopes: production"
        status, headers, body = curl(host, f"-s {path}")
        assert (status, body["error"]) == (401, "Missing authorization header")
        assert "www-authenticate" in headers
        bad = curl(
            host, f'-s {path} -H "X-API-Key: wak_nonsense" -H "Authorization: Bearer TOKEN"', TOKEN=token
        )
        assert (bad[0], bad[2]["error"]) == (401, "Invalid API key")
        bad = curl(host, f'-s {path} -H "Authorization: Bearer nobody"')
        assert (bad[0], bad[2]["error"]) == (401, "Authentication failed")


def test_seed_000_a_person_manages_their_own_keys(host: Office) -> None:
    token, other = person(host, "member"), person(host, "member")
    page = 'HOST/api/user/api-keys -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json"'
    status, _, body = curl(host, f"""{page} -d '{{"name": "sdk", "scopes": ["training"]}}'""", TOKEN=token)
    assert status == 201
    made = body["apiKey"]
    assert curl(host, 'HOST/api/training/local/jobs -H "X-API-Key: KEY"', KEY=made["key"])[0] == 200
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
    beyond = curl(host, f"""{page} -d '{{"name": "x", "scopes": ["worker"]}}'""", TOKEN=token)
    assert beyond[0] == 403
    least = curl(host, f"""{page} -d '{{"name": "y", "scopes": []}}'""", TOKEN=token)
    assert least[2]["apiKey"]["scopes"] == ["production"]
    minting = curl(
        host,
        """HOST/api/user/api-keys -H "X-API-Key: KEY" -H "Content-Type: application/json" -d '{"name": "z"}'""",
        KEY=made["key"],
    )
    assert minting[0] == 403
    one = f'HOST/api/user/api-keys/{made["id"]} -H "Authorization: Bearer TOKEN"'
    usage = curl(host, one.replace(made["id"], made["id"] + "/usage"), TOKEN=token)
    assert (usage[0], usage[2]["request_count"]) == (200, 2)
    assert curl(host, f"-X DELETE {one}", TOKEN=other)[0] == 404
    assert curl(host, f"-X DELETE {one}", TOKEN=token)[0] == 200
    assert curl(host, 'HOST/api/training/local/jobs -H "X-API-Key: KEY"', KEY=made["key"])[0] == 401


def test_seed_004_role_keys_tell_a_wrong_key_from_a_missing_path(host: Office) -> None:
    line = """-X POST HOST/v1/nothing -H "X-Api-Key: KEY" -d '{"prompt": "test"}'"""
    refused = curl(host, line, KEY="another_key_of_16_chars")
    assert refused[0] == 401
    assert curl(host, line, KEY=CLIENT)[0] == 404
    claim = """HOST/api/v1/jobs/x/claim -H "X-Api-Key: KEY" -H "Content-Type: application/json"
               -d '{"host": "h", "pid": 1}'"""
    assert [curl(host, claim, KEY=key)[0] for key in (CLIENT, MINER, ADMIN)] == [403, 404, 404]
    users = 'HOST/api/v1/users -H "X-Api-Key: KEY"'
    assert [curl(host, users, KEY=key)[0] for key in (CLIENT, MINER, ADMIN)] == [403, 403, 200]


def test_seed_000_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    settings = Settings(
        tuneyard_home=tmp_path, database_url=None, tuneyard_pepper=None, api_rate_limit_per_key=5
    )
    with served(settings) as running:
        here = Office(running)
        line = 'HOST/api/training/local/jobs -H "X-API-Key: KEY"'
        key = here.key("training")
        answers = [curl(here, line, KEY=key) for _ in range(6)]
        here.http.close()
    assert [status for status, _, _ in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1][1]["retry-after"]) <= 60
    assert "ratelimit" in answers[0][1]
