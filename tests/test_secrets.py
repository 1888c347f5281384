"""No key and no job token lies anywhere it could be read: one look through everything that the stack wrote."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.access.pepper import load_pepper
from api.settings import Settings
from deployments.local_stack import Stack
from tests.deployed import artifacts, finished, flow_run, start, whole_log
from tests.fake_openai import KEY, Asked, Reply, fake_openai, said
from tests.test_endpoint_runs import store
from tuneyard import keys
from tuneyard.shapes import Job

WAK = re.compile(rb"wak_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}")
TOKEN_SHAPED = re.compile(rb"(?=(?<![A-Za-z0-9_-])([A-Za-z0-9_-]{43})(?![A-Za-z0-9_-]))")


@pytest.fixture(scope="module")
def run(stack: Stack, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Job]:
    """A fine-tune with a real service key in its block and a real job token, and one that fails."""
    rows = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 8)
    config: dict[str, Any] = {"model": str(tiny_model), "dataset": str(rows), "batch_size": 4}
    failing = start(stack, "finetune/gpu", {"config": config | {"max_length": 8}})
    run_id = start(stack, "finetune/gpu", {"config": config})
    assert finished(stack, failing).status == "failed"
    job = finished(stack, run_id)
    assert job.status == "completed", job.error
    return run_id, job


@pytest.fixture(scope="module")
def tested(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Job]]:
    """Batch tests of an endpoint that repeats its key wherever it can; by a good one, and by one that is refused."""

    def blab(asked: Asked) -> Reply:
        words = f"Your headers: {asked.headers}"
        status = {"b": 404, "c": 503}.get(asked.prompt, 200)
        return Reply(status, said(words) if status == 200 else {"error": {"message": words}})

    suite = tmp_path_factory.mktemp("data") / "suite.jsonl"
    suite.write_text("".join(json.dumps({"prompt": prompt, "expected": "a"}) + "\n" for prompt in "abc"))
    judge = {"kind": "judge", "endpoint": "blab/small"}
    config = {"model": "endpoint:blab/small", "suite": str(suite), "patience_seconds": 1, "scorers": [judge]}
    jobs = []
    with fake_openai() as fake:
        assert store(stack, "blab", "--base-url", fake.url).returncode == 0
        for key, status in ((KEY, "completed"), ("another", "failed")):
            fake.reset(blab)
            fake.key = key
            run_id = start(stack, "batch-test/gpu", {"config": config})
            jobs.append((run_id, finished(stack, run_id)))
            assert jobs[-1][1].status == status, jobs[-1][1].error
    return jobs


def _everything(stack: Stack, run_id: str, job: Job) -> Iterator[tuple[str, bytes]]:
    """Every file of the home, databases and their write-ahead logs included, and what both servers answer."""
    for path in stack.home.rglob("*"):
        if path.is_file() and path.parent != stack.key_file("user").parent:
            yield str(path), path.read_bytes()
    yield "flow run", json.dumps(flow_run(stack, run_id)).encode()
    yield "artifacts", json.dumps(artifacts(stack, run_id)).encode()
    yield "logs", whole_log(stack, run_id).encode()
    blocks = httpx.post(f"{stack.prefect_url}/block_documents/filter", json={}, timeout=30)
    yield "blocks", blocks.raise_for_status().content
    own = f"batch-tests/{job.id}/predictions" if job.kind == "batch_test" else f"jobs/{job.id}"
    for path in ("/api/v1/jobs", f"/api/v1/{own}", "/api/v1/artifacts", "/api/training/local/jobs"):
        answer = httpx.get(stack.api_url + path, headers={"X-API-Key": stack.key("user")}, timeout=30)
        yield path, answer.raise_for_status().content
    listed = httpx.get(
        stack.api_url + "/api/v1/api-keys", headers={"X-API-Key": stack.key("admin")}, timeout=30
    )
    yield "/api/v1/api-keys", listed.raise_for_status().content


def test_no_key_is_readable_outside_its_own_file(stack: Stack, run: tuple[str, Job]) -> None:
    found = {place for place, content in _everything(stack, *run) if WAK.search(content)}
    assert not found


def test_no_endpoint_s_key_is_readable_anywhere(stack: Stack, tested: list[tuple[str, Job]]) -> None:
    """Not even where the endpoint itself says it again and again: in answers, judgements, errors and refusals."""
    assert "refuses the key (401 Unauthorized: Incorrect key: Bearer [the key])" in (tested[1][1].error or "")
    with stack.client() as client:
        answers = list(client.tests.iter_predictions(tested[0][1].id))
    texts = [str(answers[0].response), *(str(one.error) for one in answers[1:])]
    assert all("Bearer [the key]" in text for text in texts)
    found = {
        place
        for run_id, job in tested
        for place, content in _everything(stack, run_id, job)
        if KEY.encode() in content
    }
    assert not found


def test_no_job_token_is_readable_anywhere(
    stack: Stack, run: tuple[str, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database holds digests: whatever looks like a token is digested and compared with them."""
    monkeypatch.setenv("TUNEYARD_HOME", str(stack.home))
    pepper = load_pepper(Settings())
    with sqlite3.connect(stack.home / "tuneyard.db") as database:
        digests = {row[0] for row in database.execute("SELECT token_digest FROM job")} - {None}
    database.close()
    assert digests
    leaks = {
        place
        for place, content in _everything(stack, *run)
        for match in TOKEN_SHAPED.finditer(content)
        if pepper.digest(match[1].decode()) in digests
    }
    assert not leaks


def test_the_search_would_find_a_token_and_a_key() -> None:
    """The net holds: a token and a key laid in a text are seen by the same patterns."""
    token, key = keys.mint_job_token(), keys.mint().text
    assert [m[1].decode() for m in TOKEN_SHAPED.finditer(f'{{"t": "{token}"}}'.encode())] == [token]
    assert WAK.search(f"x={key};".encode())


def test_the_files_that_hold_keys_are_their_owner_s_alone(stack: Stack) -> None:
    for name in ("admin", "user"):
        assert stack.key_file(name).stat().st_mode & 0o777 == 0o600
    assert (stack.home / "pepper").stat().st_mode & 0o777 == 0o600
    assert stack.home.stat().st_mode & 0o077 == 0
