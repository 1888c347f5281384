"""Every command of seed 004 as its reader types it, with `tuneyard` for `aitbc`; host, keys and ids are this test's.

The server is `python -m api serve` beside the document's `.env`; Prefect is a stand-in, but for the one prompt that the
real stack answers.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from api import tables
from api.database import Database
from api.settings import Settings
from deployments.local_stack import REPOSITORY, Stack
from deployments.processes import environment_without
from tests.cli_fixtures import Said
from tests.cli_fixtures import config_home as config_home
from tests.deployed import until
from tests.prefect_fixtures import StandIn, stand_in
from tuneyard import cli

ENV = """\
APP_ENV=dev
DATABASE_URL=sqlite:///./aitbc_coordinator.db
CLIENT_API_KEYS=["test_client_key_16_chars","client_dev_key_1_valid","client_dev_key_2_valid"]
MINER_API_KEYS=["test_key_16_characters_long_minimum","miner_dev_key_1_valid","miner_dev_key_2_valid"]
ADMIN_API_KEYS=["test_admin_key_16_chars_min","admin_dev_key_1_valid"]
"""
CLIENTS, MINERS, ADMINS = (json.loads(line.partition("=")[2]) for line in ENV.splitlines()[2:])
SUBMIT = """curl -X POST "http://127.0.0.1:8000/v1/jobs" \\
  -H "X-Api-Key: test_client_key_16_chars" \\
  -d '{"prompt":"test"}'"""


class Coordinator:
    """The server, its folder, and what was asked of Prefect."""

    def __init__(self, folder: Path, url: str, prefect: StandIn) -> None:
        self.folder, self.url, self.prefect = folder, url, prefect

    def curl(self, line: str, **words: str) -> tuple[int, Any]:
        """Type the document's line; the status and the body of the answer."""
        for said, meant in {"http://127.0.0.1:8000": self.url, **words}.items():
            line = line.replace(said, meant)
        name, *rest = shlex.split(line.replace("\\\n", " "))
        command = [name, "-s", "-w", "\n%{http_code}", *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """Started in the folder of the document's `.env`, which alone says the keys and the database."""
    folder = tmp_path_factory.mktemp("coordinator-api")
    (folder / ".env").write_text(ENV)
    named = {name.partition("=")[0]: "" for name in ENV.splitlines()}
    with ExitStack() as held:
        prefect = held.enter_context(stand_in())
        clean = {name: value for name, value in environment_without("PREFECT_").items() if name not in named}
        environment = clean | {
            "TUNEYARD_HOME": str(folder / "home"),
            "PREFECT_API_URL": prefect.url,
            "PYTHONPATH": str(REPOSITORY),
        }
        api = [sys.executable, "-m", "api"]
        subprocess.run([*api, "pepper"], cwd=folder, env=environment, check=True, capture_output=True)
        server = held.enter_context(
            subprocess.Popen(
                [*api, "serve", "--port", "0"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
            )
        )
        held.callback(server.kill)
        assert server.stderr
        url = next(found for line in server.stderr if (found := re.search(r"http://\S+:\d+", line)))[0]
        yield Coordinator(folder, url, prefect)


@pytest.fixture(scope="module")
def models(coordinator: Coordinator) -> None:
    """The document's model and a production one: aliases, as a promotion leaves them."""
    database = Database(
        Settings(database_url=f"sqlite:///{coordinator.folder}/aitbc_coordinator.db").database, 5
    )
    with database.writing() as session:
        workspace = session.exec(select(tables.Workspace.pk)).first()
        for name in ("gemma3-1b", "production"):
            session.add(tables.ModelAlias(workspace_id=workspace or 1, name=name, artifact_id=name))
    database.close()


class Shell:
    """Types the document's lines into the CLI."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, line: str) -> Said:
        name, *words = shlex.split(line)
        assert name == "aitbc"
        return Said(cli.run(words), *self._capsys.readouterr())


@pytest.fixture
def shell(
    coordinator: Coordinator,
    config_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    monkeypatch.setenv("TUNEYARD_API_URL", coordinator.url)
    return Shell(capsys)


def test_the_env_file_of_the_document_says_keys_and_database(coordinator: Coordinator) -> None:
    assert (coordinator.folder / "aitbc_coordinator.db").exists()
    read = 'curl "http://127.0.0.1:8000/v1/jobs/history" -H "X-Api-Key: KEY"'
    assert {coordinator.curl(read, KEY=key)[0] for key in CLIENTS} == {200}
    assert {coordinator.curl(read, KEY=key)[0] for key in MINERS} == {403}
    assert {coordinator.curl(read, KEY=key)[0] for key in ADMINS} == {200}


def test_401_is_the_key_and_404_the_endpoint(coordinator: Coordinator) -> None:
    """ "401 = key validation, 404 = endpoint not found": judged in that order."""
    line = SUBMIT.replace("/v1/jobs", "/v1/PATH")
    paths = ("agents/workflows", "swarm/join", "nothing")
    for path in ("jobs", *paths):
        status, body = coordinator.curl(line, PATH=path, test_client_key_16_chars="another_key_of_16_chars")
        assert status == 401
        assert body["detail"] == "invalid api key" or path == "nothing"
    for path in paths:
        status, body = coordinator.curl(line, PATH=path)
        assert (status, body["detail"].startswith(f"There is nothing at /v1/{path}")) == (404, True)


def test_the_curl_line_is_told_what_is_missing_and_then_makes_a_job(
    coordinator: Coordinator, request: pytest.FixtureRequest
) -> None:
    status, body = coordinator.curl(SUBMIT)
    assert (status, "none is called production" in body["detail"]) == (409, True)
    request.getfixturevalue("models")
    status, body = coordinator.curl(SUBMIT)
    assert (status, body["state"], body["payload"]["prompt"]) == (201, "queued", "test")
    one = f'curl http://127.0.0.1:8000/v1/jobs/{body["job_id"]} -H "X-Api-Key: test_client_key_16_chars"'
    assert coordinator.curl(one)[1]["state"] == "queued"
    assert coordinator.curl(one.replace(" -H", "/result -H"))[0] == 425
    assert coordinator.curl(one.replace(" -H", "/cancel -X POST -H"))[1]["state"] == "canceled"
    assert coordinator.curl(one.replace(" -H", "/cancel -X POST -H"))[0] == 409
    for key in MINERS:
        assert coordinator.curl(SUBMIT, test_client_key_16_chars=key)[0] == 403


def test_for_testing(coordinator: Coordinator, models: None, shell: Shell) -> None:
    """The document's section of that name, and its table of commands."""
    said = shell("aitbc auth login test_client_key_16_chars --environment default")
    assert (said.code, "client@default" in said.out) == (0, True)
    for line in (
        'aitbc client submit --prompt "What is AITBC?" --model gemma3:1b',
        'aitbc client submit --prompt "test" --model gemma3:1b',
    ):
        said = shell(line)
        assert (said.code, said.out.split()[1]) == (0, "queued"), said
        run = coordinator.prefect.run_of(said.out.split()[0])
        assert [one["parameters"]["config"]["model"] for one in run] == ["alias:gemma3-1b"]
    for line in (
        'aitbc agent create --name test-agent --description "Test agent"',
        "aitbc agent create --name test --description test",
    ):
        said = shell(line)
        assert (said.code, "key accepted, endpoint missing" in said.err) == (5, True)
        assert "$pipeline" in said.err
    assert shell("aitbc marketplace gpu list").code == 0
    said = shell("aitbc auth status")
    assert said.code == 0
    assert "authenticated" in said.out
    status = json.loads(shell("aitbc auth status --json").out)
    assert (status["status"], status["stored_credentials"]) == ("authenticated", ["client@default"])


def test_for_different_roles(coordinator: Coordinator, models: None, shell: Shell) -> None:
    submit = 'aitbc client submit --prompt "test" --model gemma3:1b'
    for key, role, code in (
        ("test_key_16_characters_long_minimum", "miner", 4),
        ("test_admin_key_16_chars_min", "admin", 0),
    ):
        assert shell(f"aitbc auth login {key} --environment default").code == 0
        assert json.loads(shell("aitbc auth whoami --json").out)["role"] == role
        said = shell(submit)
        assert (said.code, "predictions:write" in said.err) == (code, code != 0)


def test_a_key_that_is_wrong_is_told_before_anything_is_asked(shell: Shell) -> None:
    short = shell("aitbc auth login short --environment default")
    assert (short.code, "Invalid API key format" in short.err) == (1, True)
    wrong = shell("aitbc auth login another_key_of_16_chars --environment default")
    assert (wrong.code, "key refused" in wrong.err) == (4, True)
    assert json.loads(shell("aitbc auth status --json").out)["status"] == "not_authenticated"


def test_the_document_s_next_steps_are_there(shell: Shell, tmp_path: Path) -> None:
    """Missing endpoints, key generation, rotation and permissions, discovery, and keys checked before they are used."""
    for path in ("/v1/jobs", "/v1/jobs/history", "/api-keys", "/api-keys/a1B2c3D4e5F6/rotate"):
        assert shell(f"aitbc endpoints check {path}").code == 0
    assert shell("aitbc auth login test_admin_key_16_chars_min --environment default").code == 0
    made = shell("aitbc keys create ci --permission predictions:write").out.strip()
    assert shell(f"aitbc auth keys create client {made} --permissions predictions:write").code == 0
    assert json.loads(shell("aitbc client history --json").out)["items"] is not None
    assert shell("aitbc jobs list").code == 4
    unchanged = json.loads(shell("aitbc auth refresh --json").out)
    assert (unchanged["status"], "keys rotate" in unchanged["note"]) == ("unchanged", True)


def test_a_submitted_prompt_is_answered_by_a_model(
    stack: Stack,
    tiny_model: Path,
    config_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the GPU pool, from the CLI and back."""
    monkeypatch.setenv("TUNEYARD_API_URL", stack.api_url)
    monkeypatch.setenv("TUNEYARD_API_KEY", stack.key("admin"))
    shell = Shell(capsys)
    said = shell(f'aitbc client submit --prompt "What is AITBC?" --model {tiny_model} --max-tokens 8 --json')
    job_id = json.loads(said.out)["job_id"]
    until(lambda: json.loads(shell(f"aitbc client status {job_id} --json").out)["completed_at"])
    assert shell(f"aitbc client result {job_id}").code == 0
    found = json.loads(shell(f"aitbc client result {job_id} --json").out)
    assert (found["state"], found["error"]) == ("completed", None)
    assert isinstance(found["text"], str)
    assert found["usage"]["prompt_tokens"] > 0
    assert found["result"]["finish_reason"] in ("stop", "length")
    with stack.client("admin") as desk:
        job = desk.jobs.get(job_id)
        assert (job.kind, job.status, job.labels["type"]) == ("predict", "completed", "inference")
        assert job.artifact_id
        assert desk.artifacts.get(job.artifact_id).kind == "predictions"
