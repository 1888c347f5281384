"""Bad input is one clear message, a failed job that says why, and never a job left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local_stack import REPOSITORY, Stack, running_stack
from deployments.processes import StartFailed, free_port
from tests.deployed import ended, finished, prefect, start, whole_log


def test_an_unknown_config_field_is_refused_by_name_before_a_run_exists(stack: Stack) -> None:
    config = {"config": {"model": "m", "dataset": "d", "learning_rat": 1}}
    done = prefect(stack, "deployment", "run", "finetune/gpu", "--params", "-", given=json.dumps(config))
    assert done.returncode != 0
    assert "learning_rat" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def bad_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "bad.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "no answer"}\n')
    return path


def test_bad_data_suites_and_models_fail_the_job_with_the_reason(
    stack: Stack, tiny_model: Path, bad_rows: Path
) -> None:
    good = bad_rows.with_name("good.jsonl")
    good.write_text('{"prompt": "a", "completion": "b"}\n')
    cases = [
        ("finetune/gpu", {"model": str(tiny_model), "dataset": "nowhere.jsonl"}, "nowhere.jsonl"),
        ("finetune/gpu", {"model": str(tiny_model), "dataset": str(bad_rows)}, f"{bad_rows}:2"),
        ("finetune/gpu", {"model": "/no/such/model", "dataset": str(good)}, "/no/such/model"),
        (
            "finetune/gpu",
            {"model": "not/fetched", "dataset": str(good), "method": "qlora"},
            "needs a CUDA card",
        ),
        ("batch-test/gpu", {"model": str(tiny_model), "suite": "nowhere-suite.jsonl"}, "nowhere-suite.jsonl"),
        ("batch-test/gpu", {"model": "artifact:NOSUCH", "suite": "examples/dates/suite.jsonl"}, "NOSUCH"),
    ]
    started = [(start(stack, deployment, {"config": config}), said) for deployment, config, said in cases]
    for run_id, said in started:
        job = finished(stack, run_id)
        assert job.status == "failed"
        assert job.error
        assert said in job.error
        run = ended(stack, run_id)
        assert run["state_type"] == "FAILED"
        assert said in run["state"]["message"]


@pytest.mark.slow
def test_an_api_that_is_down_at_start_fails_the_run_with_one_clear_message(
    stack: Stack, tiny_model: Path
) -> None:
    store = [
        sys.executable,
        "-c",
        "from blocks.credentials import TuneyardCredentials as C; "
        f"C(api_url='http://127.0.0.1:{free_port()}', api_key='wak_unused').save('nobody-there')",
    ]
    subprocess.run(store, env=stack.environment, cwd=REPOSITORY, check=True, capture_output=True)
    config = {"model": str(tiny_model), "dataset": "examples/dates/train.jsonl"}
    run_id = start(stack, "finetune/gpu", {"config": config, "credentials": "nobody-there"})
    run = ended(stack, run_id)
    assert run["state_type"] == "FAILED"
    assert "python -m api serve" in run["state"]["message"]
    said = whole_log(stack, run_id)
    # Prefect's engine adds a traceback of its own to every failed run: ours is the line before it.
    assert said.index("python -m api serve") < (said + "Traceback").index("Traceback")


def test_a_credentials_block_that_is_not_there_says_how_to_store_one(stack: Stack, tiny_model: Path) -> None:
    config = {"model": str(tiny_model), "dataset": "examples/dates/train.jsonl"}
    run_id = start(stack, "finetune/gpu", {"config": config, "credentials": "not-stored"})
    run = ended(stack, run_id)
    assert run["state_type"] == "FAILED"
    assert "python -m deployments store-key" in run["state"]["message"]


def test_a_taken_port_is_named_before_anything_starts(stack: Stack, tmp_path: Path) -> None:
    taken = int(stack.api_url.rsplit(":", 1)[1])
    with pytest.raises(StartFailed, match=str(taken)), running_stack(tmp_path, taken, free_port()):
        pass


def test_two_stacks_cannot_share_a_home(stack: Stack) -> None:
    with (
        pytest.raises(StartFailed, match="already runs"),
        running_stack(stack.home, free_port(), free_port()),
    ):
        pass


def test_setting_up_without_a_prefect_server_says_what_to_start() -> None:
    environment = os.environ | {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    done = subprocess.run(
        [sys.executable, "-m", "deployments"], env=environment, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no Prefect server answers" in done.stderr
    assert "Traceback" not in done.stderr
