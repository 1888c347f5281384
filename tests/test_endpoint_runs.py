"""Batch tests of an endpoint on the real stack: answered, judged, cancelled, killed; and the key is nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import REPOSITORY, Stack
from tests.deployed import ended, finished, job_of, start, until
from tests.fake_openai import KEY, Asked, FakeOpenAI, Reply, fake_openai, said
from tests.test_crash import kill_flow
from tuneyard.batch_configs import PredictConfig
from tuneyard.errors import Conflict
from tuneyard.shapes import Job, Resume

PROMPTS = 30


@pytest.fixture(scope="module")
def served() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "suite.jsonl"
    rows = [{"prompt": f"Say {n}", "expected": str(n)} for n in range(PROMPTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def store(stack: Stack, *words: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """One call of `store-endpoint`."""
    return subprocess.run(
        [sys.executable, "-m", "deployments", "store-endpoint", *words],
        env=stack.environment,
        cwd=REPOSITORY,
        input=key + "\n",
        capture_output=True,
        text=True,
    )


@pytest.fixture
def fake(stack: Stack, served: FakeOpenAI) -> FakeOpenAI:
    served.reset()
    done = store(stack, "fake", "--base-url", served.url, "--model", "small")
    assert done.returncode == 0, done.stderr
    assert "endpoint:fake" in done.stdout
    assert KEY not in done.stdout + done.stderr
    return served


def run_of(stack: Stack, suite: Path, **changes: Any) -> str:
    config = {"model": "endpoint:fake", "suite": str(suite), "concurrency": 5, **changes}
    return start(stack, "batch-test/gpu", {"config": config})


def number(asked: Asked) -> str:
    return asked.prompt.rpartition(" ")[2]


def test_an_endpoint_is_tested_and_judged(stack: Stack, fake: FakeOpenAI, suite: Path) -> None:
    def behave(asked: Asked) -> Reply:
        if asked.order["model"] == "org/judge":
            is_lazy = "\nSay 7\n" in asked.order["messages"][1]["content"]
            return Reply(body=said("Fine!" if is_lazy else '{"mark": 9, "why": "right"}'))
        return Reply(500, b"") if number(asked) == "3" else Reply(body=said(number(asked)), wait=0.02)

    fake.behave = behave
    judge = {"kind": "judge", "endpoint": "fake/org/judge"}
    job = finished(stack, run_of(stack, suite, scorers=[{"kind": "exact"}, judge], patience_seconds=1))
    assert (job.status, job.error) == ("completed", None)
    with stack.client() as client:
        test = client.tests.get(job.id)
        found = {one.prompt_index: one for one in client.tests.iter_predictions(job.id)}
    assert (test.total_prompts, test.completed_prompts, test.failed_prompts) == (PROMPTS, PROMPTS - 1, 1)
    assert (found[3].error or "").startswith("500 Internal Server Error: (nothing) (given up after ")
    assert found[7].details["judge"]["error"].startswith("The judge's reply is not the JSON object")
    for at in set(range(PROMPTS)) - {3, 7}:
        one = found[at]
        assert (one.response, one.details) == (str(at), {"judge": {"mark": 9.0, "why": "right"}})
        assert (one.input_tokens, one.output_tokens, one.finish_reason) == (7, 3, "stop")
        assert json.loads(one.rendered or "") == [{"role": "user", "content": f"Say {at}"}]
    assert fake.most_at_once == 5
    judged = [asked for asked in fake.asked if asked.order["model"] == "org/judge"]
    assert len(judged) == PROMPTS  # one of them twice, one never


def test_a_run_that_is_cancelled_asks_no_more_and_is_cancelled(
    stack: Stack, fake: FakeOpenAI, suite: Path
) -> None:
    fake.behave = lambda asked: Reply(body=said("x"), wait=0.0 if number(asked) == "0" else 60.0)
    run_id = run_of(stack, suite)
    until(lambda: len(fake.asked) > 5)
    job = job_of(stack, run_id)
    with stack.client() as client:
        client.jobs.cancel(job.id)
    asked = time.monotonic()
    assert ended(stack, run_id)["state_type"] == "CANCELLED"
    assert time.monotonic() - asked < 25
    assert job_of(stack, run_id).status == "cancelled"
    assert len(fake.asked) == 6


@pytest.mark.timeout(300)
def test_a_run_that_is_killed_goes_on_and_asks_for_no_answer_twice(
    stack: Stack, fake: FakeOpenAI, suite: Path
) -> None:
    fake.behave = lambda asked: Reply(body=said(number(asked)), wait=0.5)
    run_id = run_of(stack, suite, concurrency=2)
    until(lambda: len(fake.asked) > 10)
    job_id = job_of(stack, run_id).id
    kill_flow(stack, job_id)
    with stack.client() as client:
        job: Job = until(lambda: (job := client.jobs.get(job_id)).status.is_final and job, 200)
        test = client.tests.get(job_id)
    assert (job.status, job.restarts) == ("completed", 1)
    assert (test.completed_prompts, test.passed_prompts) == (PROMPTS, PROMPTS)
    assert PROMPTS <= len(fake.asked) <= PROMPTS + 2  # what was under way is asked again


@pytest.mark.slow
def test_a_prediction_that_is_paused_goes_on_with_what_has_no_answer(stack: Stack, fake: FakeOpenAI) -> None:
    fake.behave = lambda asked: Reply(body=said(number(asked)), wait=60.0 if int(number(asked)) > 3 else 0)
    config = PredictConfig(model="endpoint:fake", prompts=[f"Say {n}" for n in range(8)], concurrency=2)
    with stack.client("admin") as desk:
        job_id = desk.jobs.predict(config).id
        until(lambda: len(fake.asked) > 5)
        assert desk.jobs.pause(job_id).status == "pausing"
        until(lambda: desk.jobs.get(job_id).status == "paused")
        fake.reset(lambda asked: Reply(body=said(number(asked))))
        with pytest.raises(Conflict, match="seed"):
            desk.jobs.resume(job_id, Resume(config={"seed": 3}))
        desk.jobs.resume(job_id)
        until(lambda: desk.jobs.get(job_id).ended_at)
        job = desk.jobs.get(job_id)
        made = desk.artifacts.get(job.artifact_id or "")
    assert (job.status, job.error, job.attempt) == ("completed", None, 2)
    assert sorted(fake.prompts()) == [f"Say {n}" for n in range(4, 8)]
    assert [one["response"] for one in made.details["predictions"]] == [str(n) for n in range(8)]


def test_what_cannot_be_asked_of_an_endpoint_fails_with_one_clear_error(
    stack: Stack, fake: FakeOpenAI, suite: Path
) -> None:
    asked = {
        "no block": run_of(stack, suite, model="endpoint:nobody"),
        "no judge": run_of(stack, suite, scorers=[{"kind": "judge", "endpoint": "nobody/x"}]),
        "likelihood": run_of(stack, suite, scorers=[{"kind": "choice_likelihood"}]),
    }
    jobs = {name: finished(stack, run_id) for name, run_id in asked.items()}
    assert {job.status for job in jobs.values()} == {"failed"}
    assert "there is no endpoint's credentials block called 'nobody'" in (jobs["no block"].error or "")
    assert (jobs["no judge"].error or "").startswith("scorers: there is no endpoint's credentials block")
    assert (jobs["likelihood"].error or "").startswith("scorers.0: an endpoint gives no likelihoods")
    assert not fake.asked


@pytest.mark.parametrize(
    "words",
    [
        ("gpt", "--base-url", f"http://me:{KEY}@127.0.0.1:1/v1"),
        ("gpt", "--base-url", f"http://127.0.0.1:1/v1?key={KEY}"),
        ("Gpt_4", "--base-url", "http://127.0.0.1:1/v1"),
    ],
)
def test_an_endpoint_that_cannot_be_stored_is_refused_by_field(stack: Stack, words: tuple[str, ...]) -> None:
    done = store(stack, *words)
    assert done.returncode == 1
    assert ("base_url: " in done.stderr) or ("name" in done.stderr)
    assert KEY not in done.stdout + done.stderr
