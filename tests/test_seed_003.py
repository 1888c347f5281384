"""Seed 003: API keys for automated workflows: three ways to make one, its endpoints, its examples as they run."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, update

from api.access.permissions import COARSE
from api.tables import ApiKey
from deployments.local_stack import Stack
from tests.api_fixtures import Office
from tests.deployed import prefect as prefect_cli
from tests.people_fixtures import PASSWORD, events
from tests.seed_fixtures import curl, session
from tests.seed_fixtures import host as host
from tests.seed_fixtures import prefect_server as prefect_server
from tests.seed_fixtures import seeded as seeded

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "admin@example.com"
CREATE = r"""curl -X POST http://127.0.0.1:8000/api-keys/ \
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "training-pipeline",
    "description": "For training data collection",
    "permission_set": "training_pipeline"
  }'"""
SIGN_IN = """curl -X POST HOST/auth/login -H "Content-Type: application/json" \\
  -d '{"email": "WHO", "password": "SECRET"}'"""
PIPELINE = [
    "training_data_collection",
    "observations_ingest",
    "preprocessing_process",
    "differencing_process",
    "detection_process",
]
SETS = {
    "read_only": ["read_data", "read_public"],
    "training_pipeline": ["read_data", "manage_operations", "training_data_collection"],
    "prefect_workflows": ["read_data", "manage_operations", *PIPELINE],
    "full_access": ["read_data", "write_data", "manage_operations", "admin_access", *PIPELINE],
}


def sign_in(host: Office, who: str = EMAIL, secret: str = PASSWORD, line: str = SIGN_IN) -> Any:
    return curl(host, line, WHO=who, SECRET=secret)


@pytest.fixture(scope="module")
def token(host: Office) -> str:
    """An admin's, who came as people do: made by another, with a password that they then chose."""
    admin = host.key("admin")
    new = {"name": EMAIL, "role": "admin"}
    once = host.call("POST", "/api/v1/users", admin, json=new).json()["one_time_password"]
    first: str = sign_in(host, secret=once)[2]["access_token"]
    change = {"current": once, "new": PASSWORD}
    assert host.call("POST", "/api/v1/auth/password", first, json=change).status_code == 204
    status, headers, body = sign_in(host, who=EMAIL.title())
    assert (status, body["token_type"], body["data"]["access_token"]) == (200, "bearer", body["access_token"])
    assert 0 < body["expires_in"] <= 60 * 86_400
    assert (body["status"], body["data"]["user"]["email"], body["error"]) == ("success", EMAIL, None)
    assert "set-cookie" not in headers
    found: str = body["access_token"]
    return found


def script(host: Office, name: str, *lines: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an example as a person at a terminal does."""
    environment = os.environ | {"TUNEYARD_API_URL": host.served.url} | variables
    command = [sys.executable, f"examples/notebooks/{name}.py"]
    given = "".join(f"{line}\n" for line in lines)
    return subprocess.run(command, cwd=ROOT, env=environment, input=given, capture_output=True, text=True)


def reads(host: Office, key: str) -> int:
    return curl(host, 'curl HOST/training/datasets -H "X-API-Key: KEY"', KEY=key)[0]


def test_a_script_that_asks_makes_a_key(host: Office, token: str) -> None:
    done = script(host, "create_api_key", EMAIL, PASSWORD, "nightly", "For cron", "read_only", "30")
    assert done.returncode == 0, done.stderr
    assert "training_pipeline: read_data, manage_operations, training_data_collection" in done.stdout
    key = done.stdout.split()[-1]
    assert (done.stdout.count(key), reads(host, key)) == (1, 200)
    refused = script(host, "create_api_key", EMAIL, "not my password")
    assert (refused.returncode, "Wrong name or password" in refused.stdout) == (1, True)


def test_a_notebook_s_helper_makes_a_key_and_uses_it(
    host: Office, token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNEYARD_API_URL", host.served.url)
    cell: dict[str, Any] = {}
    exec((ROOT / "examples/notebooks/auth_template.py").read_text(), cell)
    assert cell["authenticate_user"](EMAIL, PASSWORD)
    api_key = cell["create_api_key"](
        name="prefect-workflows",
        description="For Prefect automated workflows",
        permission_set="prefect_workflows",
    )
    assert cell["authenticate_with_api_key"](api_key)
    assert cell["AUTH_HEADERS"] == {"X-API-Key": api_key}
    response = httpx.get(f"{cell['API_BASE']}/training/datasets", headers=cell["AUTH_HEADERS"])
    assert (response.status_code, response.json()["data"]) == (200, [])
    assert api_key not in capsys.readouterr().out
    assert not cell["authenticate_with_api_key"]("wak_nonsense")
    assert cell["create_api_key"]("x") is None


def test_a_direct_call_makes_a_key_that_is_shown_once(host: Office, token: str) -> None:
    status, _, made = curl(host, CREATE, YOUR_JWT_TOKEN=token)
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
    assert (status, made["status"], made["data"]["key"]) == (201, "success", made["key"])
    assert made.keys() >= fields <= made["data"].keys()
    assert made["key"].startswith("wak_" + made["key_prefix"])
    granted = frozenset().union(*(COARSE[name] for name in SETS["training_pipeline"]))
    assert set(made["permissions"]) == granted
    assert reads(host, made["key"]) == 200
    for path in (f"/api-keys/{made['id']}", "/api-keys/", "/api-keys"):
        assert made["key"] not in host.call("GET", path, token).text


def test_every_endpoint_of_its_list_answers_in_the_envelope(host: Office, token: str) -> None:
    made = curl(host, CREATE, YOUR_JWT_TOKEN=token)[2]
    one = f'HOST/api-keys/{made["id"]} -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json"'
    assert reads(host, made["key"]) == 200
    status, _, read = curl(host, one, TOKEN=token)
    assert (status, read["data"]["id"], read["id"], "key" in read) == (200, made["id"], made["id"], False)
    assert (read["usage_count"], read["is_active"], read["is_expired"], read["is_valid"]) == (
        1,
        True,
        False,
        True,
    )
    fields = {"name", "description", "last_used_at", "created_at", "updated_at", "scopes"}
    assert read["data"].keys() >= fields
    renamed = curl(host, f'-X PUT {one} -d \'{{"name": "renamed", "description": "d"}}\'', TOKEN=token)[2]
    assert (renamed["name"], renamed["data"]["name"]) == ("renamed", "renamed")
    extend = f"-X POST {one.replace(made['id'], made['id'] + '/extend')} -d '{{\"expires_in_days\": DAYS}}'"
    status, _, extended = curl(host, extend, TOKEN=token, DAYS="7")
    until = datetime.fromisoformat(extended["data"]["expires_at"])
    assert (status, (until - datetime.now(UTC)).days) == (200, 6)
    assert curl(host, extend, TOKEN=token, DAYS="0")[0] == 422
    for slash in ("/", ""):
        line = (
            f'curl "HOST/api-keys{slash}?limit=1&offset=0&active_only=true" -H "Authorization: Bearer TOKEN"'
        )
        listed = curl(host, line, TOKEN=token)[2]
        assert ([key["id"] for key in listed["data"]], listed["items"]) == ([made["id"]], listed["data"])
        assert listed["meta"] == {"total": listed["total"], "limit": 1, "offset": 0}
    revoke = f"-X POST {one.replace(made['id'], made['id'] + '/revoke')}"
    status, _, revoked = curl(host, revoke, TOKEN=token)
    assert (status, revoked["data"]["message"]) == (200, "API key revoked successfully")
    assert reads(host, made["key"]) == 401  # at once
    assert curl(host, extend, TOKEN=token, DAYS="7")[0] == 409
    trail = events(host, "key.created", "key.updated", "key.extended", "key.revoked")
    done = [event.action for event in trail if event.object_id == made["id"]]
    assert done == ["key.created", "key.updated", "key.extended", "key.revoked"]


def test_the_permission_sets_are_exactly_its_four(host: Office) -> None:
    line = 'curl HOST/api-keys/permission-sets -H "X-API-Key: KEY"'
    status, _, found = curl(host, line, KEY=host.key("training"))
    assert (status, found["data"]) == (200, SETS)
    assert {name: one["members"] for name, one in found["permission_sets"].items()} == SETS


def test_an_expired_key_is_refused_until_it_is_extended(host: Office, token: str) -> None:
    made = curl(host, CREATE, YOUR_JWT_TOKEN=token)[2]
    with host.served.database.writing() as rows:
        past = datetime.now(UTC) - timedelta(seconds=1)
        rows.exec(update(ApiKey).where(col(ApiKey.id) == made["id"]).values(expires_at=past))
    assert reads(host, made["key"]) == 401
    shown = host.call("GET", f"/api-keys/{made['id']}", token).json()
    assert (shown["is_expired"], shown["is_valid"]) == (True, False)
    path = f"/api-keys/{made['id']}/extend"
    assert host.call("POST", path, token, json={"expires_in_days": 1}).status_code == 200
    assert reads(host, made["key"]) == 200


def test_only_an_admin_makes_keys_and_only_of_what_there_is(host: Office, token: str) -> None:
    plain = host.key("training")
    create = 'curl HOST/api-keys/ -H "X-API-Key: KEY" -H "Content-Type: application/json" -d '
    admin = create.replace("X-API-Key: KEY", "Authorization: Bearer KEY")
    refused = curl(host, admin + """'{"name": "n", "permission_set": "boss"}'""", KEY=token)
    assert (refused[0], refused[2]["detail"]) == (400, "Unknown permission set: boss")
    refused = curl(host, admin + """'{"name": "n", "permissions": []}'""", KEY=token)
    assert (refused[0], "At least one permission is required" in refused[2]["detail"]) == (400, True)
    assert curl(host, admin + """'{"name": "n", "permissions": ["fly"]}'""", KEY=token)[0] == 422
    both = """'{"name": "n", "permission_set": "read_only", "permissions": ["write_data"]}'"""
    made = curl(host, admin + both, KEY=token)[2]
    assert "jobs:write" not in made["permissions"]  # the set decides
    refused = curl(host, create + """'{"name": "n", "permission_set": "read_only"}'""", KEY=plain)
    assert (refused[0], "does not have required permission" in refused[2]["detail"]) == (403, True)
    assert curl(host, """HOST/api-keys/ -d '{"name": "n", "permission_set": "read_only"}'""")[0] == 401
    assert host.call("GET", "/api-keys/not-a-uuid", token).status_code == 422
    assert host.call("GET", "/api-keys/00000000-0000-4000-8000-000000000000", token).status_code == 404


def test_people_log_in_by_json_or_form_and_their_token_can_be_revoked(host: Office, token: str) -> None:
    form = "curl -X POST HOST/auth/login -d grant_type=password -d username=WHO --data-urlencode 'password=SECRET'"
    for line in (form, SIGN_IN.replace("/auth/login", "/signin")):
        status, _, opened = sign_in(host, line=line)
        assert status == 200, opened
    fresh = opened["access_token"]
    me = host.call("GET", "/auth/me", fresh).json()
    assert (me["data"]["email"], me["mode"], me["role"]) == (EMAIL, "session", "admin")
    out = host.call("POST", "/auth/logout", fresh).json()
    assert out["data"] == {"message": "Signed out successfully"}
    assert host.call("GET", "/auth/me", fresh).status_code == 401
    assert host.call("GET", "/auth/me", token).status_code == 200
    for who, secret in ((EMAIL, "wrong"), ("nobody@example.com", PASSWORD)):
        refused = sign_in(host, who, secret)
        assert (refused[0], refused[2]["detail"]) == (401, "Wrong name or password")
    assert curl(host, "curl -X POST HOST/auth/login -d grant_type=password")[0] == 400


def test_all_endpoints_take_a_session_and_a_key(host: Office) -> None:
    person, key = session(host, "viewer"), host.key("all")
    for path in (
        "/training/datasets",
        "/api/v1/gpus",
        "/api/v1/batch-tests",
        "/api/v1/test-suites",
        "/api-keys",
    ):
        assert host.call("GET", path, person).status_code == 200
        assert host.call("GET", path, key).status_code == (403 if path == "/api-keys" else 200)
        both = {"X-API-Key": "wak_nonsense", "Authorization": f"Bearer {person}"}
        assert host.call("GET", path, headers=both).status_code == 401  # a key that is present decides alone
    rows = {"name": "rows", "uri": "/d/rows.jsonl", "sha256": "a" * 64, "rows": 4}
    made = host.call("POST", "/api/v1/datasets", key, json=rows).json()["id"]
    for path in ("/training/datasets", f"/training/datasets/{made}"):
        found = host.call("GET", path, key).json()["data"]
        assert (found[0] if path.endswith("s") else found)["total_samples"] == 4


def test_its_test_script_and_a_worker_run(host: Office, token: str) -> None:
    done = script(host, "test_api_keys", EMAIL, PASSWORD)
    assert (done.returncode, "with the key: 200; once it is revoked: 401" in done.stdout) == (0, True), (
        done.stderr
    )
    key = host.key("training")
    worked = script(host, "worker", ASTRID_API_KEY=key)
    assert (worked.returncode, worked.stdout) == (0, "data sets: rows\n"), worked.stderr
    assert key not in worked.stdout


def test_a_prefect_flow_has_its_key_from_a_block(stack: Stack) -> None:
    stored = prefect_cli(stack, "block", "ls")
    assert "tuneyard-credentials" in stored.stdout.replace("\n", "")
    command = [sys.executable, "-m", "examples.notebooks.prefect_flow"]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True)
    assert "jobs: " in done.stdout, done.stderr
    assert "wak_" not in done.stdout + done.stderr
