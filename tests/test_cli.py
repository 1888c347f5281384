"""What the command `tuneyard` promises: text for people, JSON for programs, exit codes for scripts."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.sdk_fixtures import NOW, Answer, Record, api_key, job, refused
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import record as record
from tests.unasync import ROOT
from tuneyard import cli, exit_codes
from tuneyard.batch_shapes import BatchTest, Prediction
from tuneyard.shapes import ApiKey, GpuHost, GpuReading, Job, JobGpu, MetricRow, Page

RUN = [sys.executable, "-m", "tuneyard.cli"]


Output = pytest.CaptureFixture[str]

FAILED = job(status="failed", error="CUDA out of memory\nat step 7", progress=15.58, current_step=7)
RUNNING = job(
    current_step=120, total_steps=500, loss=0.8213, tokens_per_second=321.4, gpu_memory_allocated_gb=12.1
)
ACCOUNT = {
    "job_id": "j1",
    "gpu_hours": 0.5,
    "utilization_percent": 93.2,
    "energy_wh": 240.0,
    "energy_source": "power",
    "peak_memory_gb": 61.5,
    "cost": 1.5,
    "currency": "CHF",
    "cards": [{"attempt": 1, "host": "a", "uuid": "GPU-1", "first_at": NOW, "last_at": NOW}],
}
DONE = job(status="completed", progress=100.0, current_step=500, total_steps=500, loss=0.01)


def a_test(**changes: Any) -> dict[str, Any]:
    shape = {
        "id": "t1",
        "name": "dates",
        "status": "completed",
        "model": "m",
        "suite": "suite.jsonl",
        "score": 0.5,
    }
    return (
        shape | {"created_at": NOW, "total_prompts": 6, "completed_prompts": 5, "failed_prompts": 1} | changes
    )


def a_prediction(at: int, **changes: Any) -> dict[str, Any]:
    return {"id": str(at), "prompt_index": at, "prompt": f"prompt {at}", "expected": "2031-03-05"} | changes


def test_jobs_are_listed_one_a_line_within_the_width(record: Record, capsys: Output) -> None:
    long = job(
        "01KA1B2C3D4E5F6G7H8J9K0MNP", name="a very long name " * 9, status="cancelling", progress=11.43
    )
    record.answers["/api/v1/jobs"] = [[long, job("j2", name="evil\x1b[31m\nname")]]
    assert cli.run(["jobs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 120 for line in lines)
    assert lines[0].split() == ["ID", "KIND", "STATUS", "DONE", "CREATED", "(UTC)", "NAME"]
    assert "01KA1B2C3D4E5F6G7H8J9K0MNP" in lines[1]
    assert "11.43%" in lines[1]
    assert lines[2].endswith("evil?[31m name")


def test_a_narrow_terminal_gets_eighty_columns(
    record: Record, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = job("01KA1B2C3D4E5F6G7H8J9K0MNP", name="a very long name " * 9, status="cancelling")
    record.answers["/api/v1/jobs"] = [[long]]
    assert cli.run(["jobs", "list"]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


def test_a_list_says_on_stderr_that_there_is_more(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs"] = [[job(f"j{at}") for at in range(5)]]
    assert cli.run(["jobs", "list", "--limit", "2", "--offset", "1", "--status", "running"]) == 0
    output = capsys.readouterr()
    assert "2 to 3 of 5; the next: --offset 3" in output.err
    assert "status=running" in record.asked[0][1]


def test_every_read_prints_its_shape_as_json(record: Record, capsys: Output) -> None:
    row = {"attempt": 1, "step": 10, "timestamp": NOW, "train_loss": 0.5}
    record.answers = {
        "/api/v1/jobs": [[job()]],
        "/api/v1/jobs/j1": [job()],
        "/api/v1/jobs/j1/metrics": [[row]],
        "/api/v1/batch-tests": [[a_test()]],
        "/api/v1/batch-tests/t1": [a_test()],
        "/api/v1/gpus": [[{"host": "h", "taken_at": NOW}]],
        "/api/v1/gpus/GPU-1/samples": [[{"taken_at": NOW, "power_w": 300}]],
        "/api/v1/jobs/j1/gpu": [ACCOUNT],
        "/api/v1/api-keys": [[api_key(name="n")]],
    }

    def printed(*arguments: str) -> str:
        assert cli.run([*arguments, "--json"]) == 0
        return capsys.readouterr().out

    assert Page[Job].model_validate_json(printed("jobs", "list")).items[0].id == "j1"
    assert Job.model_validate_json(printed("jobs", "show", "j1")).id == "j1"
    assert Page[MetricRow].model_validate_json(printed("metrics", "j1")).items[0].step == 10
    assert Page[BatchTest].model_validate_json(printed("tests", "list")).total == 1
    assert BatchTest.model_validate_json(printed("tests", "show", "t1")).score == 0.5
    for words in (["list"], ["top", "--once"]):
        assert GpuHost.model_validate(json.loads(printed("gpus", *words))[0]).host == "h"
    since = ["--since", "2026-11-21", "--until", "2026-11-21T12:00"]
    told = printed("gpus", "history", "GPU-1", *since)
    assert Page[GpuReading].model_validate_json(told).items[0].power_w == 300
    assert "since=2026-11-21T00%3A00%3A00%2B00%3A00&until=2026-11-21T12" in record.asked[-1][1]
    assert JobGpu.model_validate_json(printed("jobs", "gpu", "j1")).cost == 1.5
    assert Page[ApiKey].model_validate_json(printed("keys", "list")).items[0].name == "n"


def test_a_job_is_shown_with_its_error_and_times_in_utc(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs/j1"] = [FAILED]
    assert cli.run(["jobs", "show", "j1"]) == 0
    shown = capsys.readouterr().out
    assert "CUDA out of memory at step 7" in shown
    assert "2026-11-21 10:00:00 UTC (" in shown
    assert "15.58%" in shown


def test_metrics_are_a_table_by_step(record: Record, capsys: Output) -> None:
    rows = [
        {"attempt": 1, "step": step, "timestamp": NOW, "train_loss": 1 / step, "learning_rate": 1e-4}
        for step in (10, 20)
    ]
    record.answers["/api/v1/jobs/j1/metrics"] = [rows]
    assert cli.run(["metrics", "j1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["10", "1", "-", "0.1000"],
        ["20", "1", "-", "0.0500"],
    ]
    assert "1.00e-04" in lines[1]


def test_a_test_is_shown_with_its_first_failures(record: Record, capsys: Output) -> None:
    answers = [a_prediction(at, passed=True, response="2031-03-05") for at in range(4)]
    answers += [a_prediction(4, passed=False, response="March"), a_prediction(5, error="too long")]
    record.answers["/api/v1/batch-tests/t1"] = [a_test(passed_prompts=4)]
    record.answers["/api/v1/batch-tests/t1/predictions"] = [answers[4:], answers]
    assert cli.run(["tests", "show", "t1"]) == 0
    assert "passed=false" in record.asked[-1][1]
    shown = capsys.readouterr().out
    assert "4/6" in shown
    assert [line.split()[:2] for line in shown.splitlines()[-2:]] == [["4", "fail"], ["5", "error"]]
    assert cli.run(["tests", "show", "t1", "--predictions", "2"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["0", "pass"],
        ["1", "pass"],
    ]
    assert cli.run(["tests", "show", "t1", "--predictions", "3", "--json"]) == 0
    shape = json.loads(capsys.readouterr().out)
    assert [Prediction.model_validate(one).prompt_index for one in shape["predictions"]] == [0, 1, 2]


def test_a_test_without_failures_is_not_searched_for_them(record: Record, capsys: Output) -> None:
    whole = a_test(completed_prompts=6, failed_prompts=0, passed_prompts=6, score=1.0)
    record.answers["/api/v1/batch-tests/t1"] = [whole]
    assert cli.run(["tests", "show", "t1"]) == 0
    assert len(record.asked) == 1
    assert "6/6" in capsys.readouterr().out


def test_gpus_and_hosts_without_one_are_listed(record: Record, capsys: Output) -> None:
    gpu = {"uuid": "GPU-1", "index": 0, "name": "H200", "memory_used_gb": 12.5, "memory_total_gb": 139.8}
    gpu |= {"taken_at": NOW, "jobs": ["01KA1B2C3D4E5F6G7H8J9K0MNP"]}
    zombie = {"kind": "zombie", "since": NOW, "message": "20.0 GiB held, and no process that can be seen"}
    record.answers["/api/v1/gpus"] = [
        [
            {
                "host": "a",
                "taken_at": NOW,
                "gpus": [
                    gpu | {"utilization_percent": 97.0, "processes": [{"pid": 7}], "findings": [zombie]}
                ],
            },
            {"host": "b", "taken_at": NOW, "no_gpu": "no NVIDIA driver here"},
        ]
    ]
    assert cli.run(["gpus", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "12.5/139.8" in lines[1]
    assert "97%" in lines[1]
    assert "01KA1B2" in lines[1]
    assert "no NVIDIA driver here" in lines[2]
    words = r"zombie a GPU 0, for .*: 20.0 GiB held, and no process that can be seen \(GPU-1\)"
    assert re.fullmatch(words, lines[4])
    assert all(len(line) <= 120 for line in lines[:3])


def test_a_job_is_shown_with_what_it_had_of_cards(record: Record, capsys: Output) -> None:
    record.answers = {"/api/v1/jobs/j1": [job(host="a", pid=7)], "/api/v1/jobs/j1/gpu": [ACCOUNT]}
    assert cli.run(["jobs", "show", "j1"]) == 0
    shown = capsys.readouterr().out
    for words in ("GPU-hours   0.5000", "93.2%", "240.00 Wh (from its power)", "61.50 GiB", "1.50 CHF"):
        assert words in shown
    assert cli.run(["jobs", "gpu", "j1"]) == 0
    assert "GPU-1" in capsys.readouterr().out
    record.answers["/api/v1/jobs/j1/gpu"] = [{"job_id": "j1"}]
    assert cli.run(["jobs", "show", "j1"]) == 0
    assert "GPU-hours" not in capsys.readouterr().out


def test_a_card_s_history_is_a_table(record: Record, capsys: Output) -> None:
    reading = {"taken_at": NOW, "power_w": 300, "sm_clock_mhz": 1980, "throttle": ["power_cap"]}
    record.answers["/api/v1/gpus/GPU-1/samples"] = [[reading, {"taken_at": NOW, "error": "GPU is lost"}]]
    assert cli.run(["gpus", "history", "GPU-1"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == [
        "2026-11-21",
        "10:00:00",
        "-",
        "-",
        "-",
        "300",
        "W",
        "1980",
        "-",
        "power_cap",
        "-",
    ]
    assert "GPU is lost" in second


def test_top_goes_on_until_it_is_stopped(record: Record) -> None:
    record.answers["/api/v1/gpus"] = [[{"host": "h", "taken_at": NOW, "no_gpu": "none here"}]]
    words = [*RUN, "gpus", "top", "--every", "0.1", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for _ in range(3):
            assert json.loads(process.stdout.readline())[0]["host"] == "h"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == exit_codes.INTERRUPTED


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refused(401), 4),
        (refused(403), 4),
        (refused(404), 5),
        (refused(409), 2),
        (refused(422), 2),
        (refused(500), 6),
        (refused(418), 1),
    ],
)
def test_each_trouble_is_one_line_on_stderr_and_its_exit_code(
    record: Record, capsys: Output, answer: Answer, code: int
) -> None:
    record.answers["/api/v1/jobs/j1"] = [answer]
    assert cli.run(["jobs", "show", "j1"]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"tuneyard: {answer[0]} Problem: because")
    assert output.err.count("\n") == 1


def test_an_api_that_is_away_is_code_6(
    record: Record, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEYARD_API_URL", "http://127.0.0.1:9")
    assert cli.run(["--patience", "0", "gpus", "list"]) == 6
    assert "python -m api serve" in capsys.readouterr().err


def test_bad_usage_and_bad_input_are_code_2(
    record: Record, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["jobs", "list", "--status", "sleeping"]) == 2
    assert cli.run(["jobs", "no-such-command"]) == 2
    assert cli.run(["jobs", "show", ".."]) == 2
    assert cli.run(["keys", "create", "n" * 300, "--scope", "all"]) == 2
    assert cli.run(["--api-url", "nonsense", "gpus", "list"]) == 2
    monkeypatch.delenv("TUNEYARD_API_KEY")
    assert cli.run(["gpus", "list"]) == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    assert "TUNEYARD_API_KEY_FILE" in output.err
    assert not record.asked


def test_the_address_may_stand_before_or_after_the_command(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["TUNEYARD_API_URL"]
    monkeypatch.setenv("TUNEYARD_API_URL", "http://127.0.0.1:9")
    record.answers["/api/v1/jobs/j1"] = [job()]
    assert cli.run(["--api-url", url, "jobs", "show", "j1"]) == 0
    assert cli.run(["jobs", "show", "j1", "--api-url", url]) == 0
    assert cli.run(["--api-url", "http://127.0.0.1:9", "jobs", "show", "j1", "--api-url", url]) == 0


def test_watching_without_a_terminal_prints_lines_and_ends_with_the_job(
    record: Record, capsys: Output
) -> None:
    queued = job(status="queued", stage="downloading the model")
    record.answers["/api/v1/jobs/j1"] = [queued, queued, RUNNING, RUNNING, DONE]
    assert cli.run(["jobs", "watch", "j1", "--every", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "downloading the model" in lines[0]
    assert "step 120/500  0.8213 loss  321 tok/s  12.1 GiB GPU" in lines[1]
    assert "completed  100.00%" in lines[2]


def test_watching_as_json_prints_one_line_a_change(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs/j1"] = [RUNNING, RUNNING, RUNNING, DONE]
    assert cli.run(["jobs", "watch", "j1", "--every", "0.05", "--json"]) == 0
    seen = [Job.model_validate_json(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.status for one in seen] == ["running", "completed"]


@pytest.mark.parametrize("end", [FAILED, job(status="cancelled")])
def test_watching_a_job_that_does_not_end_well_is_code_3(
    record: Record, capsys: Output, end: dict[str, Any]
) -> None:
    record.answers["/api/v1/jobs/j1"] = [end]
    assert cli.run(["jobs", "watch", "j1"]) == 3
    assert (end.get("error") or "no reason was given").split("\n")[0] in capsys.readouterr().err


def test_cancelling_can_wait_for_the_end(record: Record, capsys: Output) -> None:
    record.answers["/api/v1/jobs/j1/cancel"] = [job(status="cancelling")]
    record.answers["/api/v1/jobs/j1"] = [job(status="cancelled")]
    assert cli.run(["jobs", "cancel", "j1"]) == 0
    assert cli.run(["jobs", "cancel", "j1", "--wait"]) == 0
    assert capsys.readouterr().out == "j1  cancelling\nj1  cancelled\n"
    record.answers["/api/v1/jobs/j1"] = [FAILED]
    assert cli.run(["jobs", "cancel", "j1", "--wait"]) == 3


def test_a_terminal_gets_a_bar(record: Record) -> None:
    queued = job(status="queued", stage="downloading the model")
    record.answers["/api/v1/jobs/j1"] = [queued, queued, RUNNING | {"progress": 24.0}, DONE]
    ours, theirs = pty.openpty()
    with subprocess.Popen([*RUN, "jobs", "watch", "j1", "--every", "0.05"], stdout=theirs, cwd=ROOT) as child:
        os.close(theirs)
        screen = b"".join(iter(lambda: _read(ours), b"")).decode()
        assert child.wait() == 0
    os.close(ours)
    assert "downloading the model" in screen
    assert "####" in screen
    assert " 24%  step 120/500" in screen
    assert "100%  step 500/500" in screen
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\w]*", "", screen))
    assert max(len(line.rstrip()) for line in lines) <= 80


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: the other end has been closed
        return b""


def test_ctrl_c_says_that_the_job_goes_on(record: Record) -> None:
    record.answers["/api/v1/jobs/j1"] = [RUNNING]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen([*RUN, "jobs", "watch", "j1"], **pipes) as child:
        assert child.stdout is not None
        assert "step 120/500" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate()
        assert child.returncode == 7
    assert "The job goes on. Look again with: tuneyard jobs watch j1" in said
    assert "Traceback" not in said


def test_a_reader_that_has_had_enough_is_no_news(record: Record) -> None:
    record.answers["/api/v1/jobs"] = [[job(f"j{at}", name="n" * 80) for at in range(100)]]
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*RUN, "jobs", "list", "--limit", "100"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
    )
    os.close(theirs)
    assert done.stderr == ""


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*path, name))


@pytest.mark.parametrize("path", list(_commands(cli.cli)), ids=" ".join)
def test_every_help_has_an_example(path: tuple[str, ...], capsys: Output) -> None:
    assert cli.run([*path, "--help"]) == 0
    assert "Example: tuneyard" in capsys.readouterr().out


def test_the_help_lists_the_exit_codes_and_the_version_is_said(capsys: Output) -> None:
    assert cli.run(["--help"]) == 0
    assert "6  the API cannot be reached" in capsys.readouterr().out
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tuneyard, version 0.")


def test_no_command_takes_a_key_as_an_argument() -> None:
    source = "".join(file.read_text() for file in Path(cli.__file__).parent.glob("*.py"))
    assert "--api-key" not in source
