"""`tuneyard train`, `check` and what follows a job: files in, jobs and plain words out, exit codes for scripts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sdk_fixtures import NOW, Record, job, refused, started
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import record as record
from tests.unasync import ROOT
from tuneyard import cli
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import Job, JobEvent, LogLine, Preflight, Validation

Output = pytest.CaptureFixture[str]

YAML = """\
model: org/base   # a comment
dataset: d.jsonl
learning_rate: 1e-4
name: 2026-11-21
activation_checkpointing: off
packing: true
lora:
  rank: 8
"""
PENDING = started()
DONE = job(status="completed", progress=100.0)
TRAIN, VALIDATE, MERGE = "/api/v1/ml/$train", "/api/v1/ml/$validate", "/api/v1/ml/$merge"
FAULT = {"severity": "warning", "code": "duplicates", "message": "3 rows are copies"}


def write(folder: Path, text: str, name: str = "c.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def sent(record: Record, path: str) -> dict[str, Any]:
    [body] = [body for method, target, body in record.asked if target == path and method == "POST"]
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_file_is_trained_as_it_is_meant(record: Record, tmp_path: Path, capsys: Output) -> None:
    record.answers[TRAIN] = [PENDING]
    changes = ["--set", "epochs=2", "--set", "lora.alpha=16", "--set", "eval_dataset=e.jsonl"]
    assert cli.run(["train", write(tmp_path, YAML), *changes, "--name", "nightly"]) == 0
    said = capsys.readouterr()
    assert said.out == "j1  pending\n"
    assert "tuneyard jobs watch j1" in said.err
    body = sent(record, TRAIN)
    assert body["config"] == {
        "model": "org/base",
        "dataset": "d.jsonl",
        "learning_rate": 1e-4,
        "name": "2026-11-21",
        "activation_checkpointing": "off",
        "packing": True,
        "lora": {"rank": 8, "alpha": 16},
        "epochs": 2.0,
        "eval_dataset": "e.jsonl",
    }
    assert (body["name"], len(body["id"])) == ("nightly", 26)


def test_an_adapter_is_merged_and_a_kept_config_trained_by_their_ids(record: Record, capsys: Output) -> None:
    record.answers[MERGE], record.answers[TRAIN] = [PENDING], [PENDING]
    assert cli.run(["merge", "a1", "--name", "whole"]) == 0
    assert capsys.readouterr().out == "j1  pending\n"
    assert sent(record, MERGE)["config"] == {"artifact": "a1", "name": "whole"}
    assert cli.run(["train", "--config-id", "c1"]) == 0
    body = sent(record, TRAIN)
    assert (body["config_id"], "config" in body) == ("c1", False)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("finetune*.json")), ids=lambda p: p.name)
def test_the_examples_are_files_to_train(record: Record, file: Path) -> None:
    """They are Prefect's parameters: the config is inside."""
    record.answers[TRAIN] = [PENDING]
    assert cli.run(["train", str(file)]) == 0
    FinetuneConfig.model_validate(sent(record, TRAIN)["config"])


def test_a_wrong_field_is_named_with_its_line_and_nothing_is_sent(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    file = write(tmp_path, YAML.replace("rank: 8", "rank: 0").replace("packing", "pakking"))
    assert cli.run(["train", file]) == 2
    said = capsys.readouterr().err
    assert f"{file}:8: lora.rank: Input should be greater than or equal to 1 (and 1 more" in said
    assert not record.asked
    assert cli.run(["check", file]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"error    {file}:8  lora.rank: ")
    assert lines[1] == f"error    {file}:6  pakking: there is no such field: did you mean packing?"
    assert lines[2] == "invalid: 2 errors"
    assert not record.asked


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.yaml", "model: [", ":1: it is not YAML"),
        ("c.yaml", "model: m\n\tdataset: d", ":2: it is not YAML"),
        ("c.yaml", "- model", ": it holds no fields"),
        ("c.yaml", "", ": it holds no fields"),
        ("c.json", '{"model": "m",\n "dataset"}', ":2: it is not JSON"),
        ("c.json", '{"config": {"model": "m"}}', ": dataset: Field required"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    record: Record, tmp_path: Path, capsys: Output, name: str, text: str, said: str
) -> None:
    file = write(tmp_path, text, name)
    assert cli.run(["train", file]) == 2
    error = capsys.readouterr().err
    assert f"{file}{said}" in error
    assert len(error.splitlines()) == 1


def test_without_pyyaml_json_is_read_and_yaml_says_what_to_install(
    record: Record, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    record.answers[TRAIN] = [PENDING]
    assert cli.run(["train", write(tmp_path, '{"model": "m", "dataset": "d"}', "c.json")]) == 0
    assert cli.run(["train", write(tmp_path, '{"model": "m",\n "dataset": 5}', "c.json")]) == 2
    assert "c.json:2: dataset: " in capsys.readouterr().err
    assert cli.run(["train", write(tmp_path, YAML)]) == 2
    assert "pip install pyyaml" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["epochs", "=2", "lora..rank=2", "model.x=1"])
def test_a_change_that_names_no_field_is_refused(record: Record, tmp_path: Path, change: str) -> None:
    assert cli.run(["train", write(tmp_path, YAML), "--set", change]) == 2
    assert not record.asked


def test_a_watched_training_ends_with_how_the_job_ended(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    file = write(tmp_path, YAML)
    record.answers = {TRAIN: [PENDING], "/api/v1/jobs/j1": [DONE]}
    assert cli.run(["train", file, "--watch"]) == 0
    assert "completed  100.00%" in capsys.readouterr().out
    record.answers["/api/v1/jobs/j1"] = [job(status="failed", error="CUDA out of memory")]
    assert cli.run(["train", file, "--watch", "--json"]) == 3
    said = capsys.readouterr()
    assert [Job.model_validate_json(line).status for line in said.out.splitlines()] == ["failed"]
    assert "CUDA out of memory" in said.err


def test_where_nothing_can_be_started_the_exit_code_says_away(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    record.answers[TRAIN] = [refused(503, "This API starts no runs: set PREFECT_API_URL")]
    assert cli.run(["--patience", "0", "train", write(tmp_path, YAML)]) == 6
    assert "PREFECT_API_URL" in capsys.readouterr().err


def test_a_config_is_checked_by_the_record(record: Record, tmp_path: Path, capsys: Output) -> None:
    file = write(tmp_path, YAML)
    gone = {"severity": "error", "code": "no_such_model", "message": "not recorded", "field": "model"}
    record.answers[VALIDATE] = [{"valid": True}, {"valid": False, "diagnostics": [gone]}, {"valid": True}]
    assert cli.run(["check", file]) == 0
    assert capsys.readouterr().out == "valid\n"
    assert cli.run(["check", file]) == 2
    assert capsys.readouterr().out == f"error    {file}:1  model: not recorded\ninvalid: 1 error\n"
    assert cli.run(["check", file, "--json"]) == 0
    assert Validation.model_validate_json(capsys.readouterr().out).valid


def test_a_full_check_waits_for_its_job_and_shows_what_it_found(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    file = write(tmp_path, YAML)
    look = job("c1", kind="check", status="pending")
    rows = FAULT | {"file": "d.jsonl", "lines": [4, 9, 11], "count": 3}
    found = {"valid": True, "diagnostics": [rows], "figures": {"rows": 1200, "memory_needed_gb": 7.25}}
    record.answers = {
        VALIDATE: [{"valid": True, "job": look}],
        "/api/v1/jobs/c1": [look | {"status": "completed", "result": found}],
    }
    assert cli.run(["check", file, "--run"]) == 0
    said = capsys.readouterr().out
    assert "warning  d.jsonl:4,9,11  3 rows are copies" in said
    assert "Rows           1,200" in said
    assert "Memory needed  7.25 GiB" in said
    assert said.endswith("valid\n")
    assert sent(record, VALIDATE)["run"] is True
    assert cli.run(["check", file, "--run", "--json"]) == 0
    assert Preflight.model_validate_json(capsys.readouterr().out).figures.rows == 1200
    record.answers["/api/v1/jobs/c1"] = [look | {"status": "failed", "error": "no such file"}]
    assert cli.run(["check", file, "--run"]) == 3


def test_a_job_is_paused_and_waited_for(record: Record, capsys: Output) -> None:
    record.answers = {
        "/api/v1/jobs/j1/pause": [job(status="pausing")],
        "/api/v1/jobs/j1": [job(status="pausing"), job(status="paused")],
    }
    assert cli.run(["jobs", "pause", "j1"]) == 0
    assert capsys.readouterr().out == "j1  pausing\n"
    assert cli.run(["jobs", "pause", "j1", "--wait"]) == 0
    assert capsys.readouterr().out == "j1  paused\n"
    record.answers["/api/v1/jobs/j1"] = [job(status="completed")]
    assert cli.run(["jobs", "pause", "j1", "--wait"]) == 3


def test_a_job_is_resumed_where_it_is_told(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs/j1/resume"] = [PENDING]
    asked = ["--checkpoint", "checkpoint-50", "--set", "epochs=3", "--max-restarts", "5"]
    assert cli.run(["jobs", "resume", "j1", *asked]) == 0
    assert capsys.readouterr().out == "j1  pending\n"
    assert sent(record, "/api/v1/jobs/j1/resume") == {
        "checkpoint": "checkpoint-50",
        "from_best": False,
        "config": {"epochs": 3},
        "max_restarts": 5,
    }
    assert cli.run(["jobs", "resume", "j1", "--best", "--checkpoint", "x"]) == 2
    record.answers["/api/v1/jobs/j1/resume"] = [refused(409, "A running job cannot be resumed")]
    assert cli.run(["jobs", "resume", "j1"]) == 2


def an_event(at: int) -> dict[str, Any]:
    return {"id": f"e{at}", "at": NOW, "attempt": 1, "kind": "checkpoint", "message": "saved", "step": at}


def a_line(number: int, text: str, level: str = "info") -> dict[str, Any]:
    return {"attempt": 1, "number": number, "at": NOW, "level": level, "text": text}


def test_events_are_a_table_and_the_log_is_lines(record: Record, capsys: Output) -> None:
    record.answers = {
        "/api/v1/jobs/j1/events": [[an_event(50)]],
        "/api/v1/jobs/j1/logs": [[a_line(0, "evil\x1b[31m"), a_line(1, "worse", "error")]],
    }
    assert cli.run(["jobs", "events", "j1", "--kind", "checkpoint"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-4:] == ["1", "checkpoint", "50", "saved"]
    assert "kind=checkpoint" in record.asked[0][1]
    assert cli.run(["jobs", "logs", "j1", "--level", "warning"]) == 0
    shown = capsys.readouterr().out
    assert shown == "2026-11-21 10:00:00  evil?[31m\n2026-11-21 10:00:00  ERROR  worse\n"
    assert "level=warning" in record.asked[1][1]


def test_a_log_is_followed_to_the_job_s_end_each_line_once(
    record: Record, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneyard.job_life_commands.EVERY", 0.01)
    lines = [a_line(at, f"line {at}") for at in range(5)]
    record.answers = {
        "/api/v1/jobs/j1": [job(), job(), DONE],
        "/api/v1/jobs/j1/logs": [lines[:2], lines[:2], lines],
        "/api/v1/jobs/j1/events": [[an_event(1)], [an_event(1), an_event(2)]],
    }
    assert cli.run(["jobs", "logs", "j1", "--follow", "--limit", "2", "--json"]) == 0
    shown = [LogLine.model_validate_json(line).number for line in capsys.readouterr().out.splitlines()]
    assert shown == [0, 1, 2, 3, 4]
    record.answers["/api/v1/jobs/j1"] = [job(), DONE]
    assert cli.run(["jobs", "events", "j1", "--follow", "--json"]) == 0
    events = [JobEvent.model_validate_json(line).step for line in capsys.readouterr().out.splitlines()]
    assert events == [1, 2]


def test_ctrl_c_ends_the_following_and_not_the_job(record: Record) -> None:
    record.answers = {"/api/v1/jobs/j1": [job()], "/api/v1/jobs/j1/logs": [[a_line(0, "first")]]}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    words = [sys.executable, "-u", "-m", "tuneyard.cli", "jobs", "logs", "j1", "--follow"]
    with subprocess.Popen(words, **pipes) as child:
        assert child.stdout is not None
        assert "first" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate()
        assert child.returncode == 7
    assert "The job goes on." in said


def test_errors_say_where_and_what_to_do(record: Record, capsys: Output) -> None:
    fault = {
        "at": NOW,
        "attempt": 2,
        "kind": "bad_input",
        "message": "no prompt",
        "file": "d.jsonl",
        "line": 7,
    }
    record.answers["/api/v1/jobs/j1/errors"] = [[fault | {"field": "prompt", "hint": "look at line 7"}], []]
    assert cli.run(["jobs", "errors", "j1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "bad_input  attempt 2  2026-11-21 10:00:00 UTC",
        "  d.jsonl:7  prompt",
        "  no prompt",
        "  -> look at line 7",
    ]
    assert cli.run(["jobs", "errors", "j1"]) == 0
    assert capsys.readouterr() == ("", "Nothing has gone wrong.\n")


def test_a_job_that_waits_says_why(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs/j1"] = [
        job(status="pending", wait_reason="all 2 cards are busy", queue_position=3)
    ]
    assert cli.run(["jobs", "show", "j1"]) == 0
    shown = capsys.readouterr().out
    assert "all 2 cards are busy" in shown
    assert "Before it  3" in shown
