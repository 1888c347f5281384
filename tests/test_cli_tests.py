"""`tuneyard test` and `tuneyard tests`: files in, batch tests and plain words out, exit codes for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import NOW, Make, Record, Wire, paged
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import make as make
from tests.sdk_fixtures import record as record
from tests.unasync import ROOT
from tuneyard import cli
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import BatchTest, Prediction
from tuneyard.shapes import Page, Validation

Output = pytest.CaptureFixture[str]
TEST, VALIDATE = "/api/v1/ml/$test", "/api/v1/ml/$validate"


def a_test(**changes: Any) -> dict[str, Any]:
    shape = {"id": "t1", "name": "dates", "status": "running", "model": "m", "suite": "s", "created_at": NOW}
    return shape | changes


def sent(record: Record, path: str) -> dict[str, Any]:
    [body] = [body for method, target, body in record.asked if target == path and method == "POST"]
    found: dict[str, Any] = json.loads(body)
    return found


def write(folder: Path, text: str, name: str = "c.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_is_tested_as_it_is_meant(record: Record, tmp_path: Path, capsys: Output) -> None:
    record.answers[TEST] = [a_test(status="pending")]
    file = write(tmp_path, "model: org/m\nsuite: s.jsonl\nscorer: contains\n")
    assert cli.run(["test", file, "--set", "seed=7", "--suite", "other.jsonl", "--name", "nightly"]) == 0
    said = capsys.readouterr()
    assert said.out == "t1  pending\n"
    assert "tuneyard tests watch t1" in said.err
    body = sent(record, TEST)
    assert BatchTestConfig.model_validate(body["config"]) == BatchTestConfig.model_validate(
        {"model": "org/m", "suite": "other.jsonl", "scorers": ["contains"], "seed": 7}
    )
    assert (body["name"], len(body["id"])) == ("nightly", 26)


def test_a_model_and_a_suite_are_enough(record: Record, capsys: Output) -> None:
    record.answers[TEST] = [a_test()]
    assert cli.run(["test", "--model", "7", "--suite", "s.jsonl", "--json"]) == 0
    assert BatchTest.model_validate_json(capsys.readouterr().out).id == "t1"
    assert sent(record, TEST)["config"] == {"model": "7", "suite": "s.jsonl"}


def test_a_kept_config_is_tested_by_its_id_and_with_changes(record: Record, capsys: Output) -> None:
    record.answers[TEST] = [a_test()]
    data = {"model": "org/m", "suite": "s.jsonl"}
    kept = {"id": "c1", "kind": "batch_test", "name": "k", "data": data, "created_at": NOW, "updated_at": NOW}
    record.answers["/api/v1/configs/c1"] = [kept]
    assert cli.run(["test", "--config-id", "c1"]) == 0
    body = sent(record, TEST)
    assert (body["config_id"], "config" in body) == ("c1", False)
    record.asked.clear()
    assert cli.run(["test", "--config-id", "c1", "--model", "org/other"]) == 0
    assert sent(record, TEST)["config"] == data | {"model": "org/other"}


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("batch_test*.json")), ids=lambda p: p.name)
def test_the_examples_are_files_to_test(record: Record, file: Path) -> None:
    record.answers[TEST] = [a_test()]
    assert cli.run(["test", str(file)]) == 0
    BatchTestConfig.model_validate(sent(record, TEST)["config"])


def test_what_cannot_be_a_test_is_refused_before_anything_is_sent(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    file = write(tmp_path, "model: org/m\nsuite: s.jsonl\nsedd: 7\n")
    for words in (["test"], ["test", "--model", "m"], ["test", file, "--config-id", "c1"], ["test", file]):
        assert cli.run(words) == 2
    assert f"{file}:3: sedd: there is no such field: did you mean seed?" in capsys.readouterr().err
    assert not record.asked


def test_a_test_is_followed_to_its_end(record: Record, capsys: Output) -> None:
    counts = {"total_prompts": 4, "completed_prompts": 1, "failed_prompts": 1, "passed_prompts": 1}
    begun = a_test(stage="Starting the generator")
    done = a_test(status="completed", total_prompts=4, completed_prompts=4, passed_prompts=3)
    readings = [begun, a_test(**counts), done]
    record.answers[TEST] = [begun]
    record.answers["/api/v1/batch-tests/t1"] = list(readings)
    assert cli.run(["test", "--model", "m/m", "--suite", "s.jsonl", "--watch"]) == 0
    lines = [line.split(" UTC  ")[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        "running  0.00%  Starting the generator",
        "running  50.00%  2/4 answered  1 right  1 failed",
        "completed  100.00%  4/4 answered  3 right  completed",
    ]
    record.answers["/api/v1/batch-tests/t1"] = [begun, begun, a_test(status="failed", error="no memory")]
    assert cli.run(["tests", "watch", "t1", "--every", "0.05", "--json"]) == 3
    said = capsys.readouterr()
    assert [BatchTest.model_validate_json(line).status for line in said.out.splitlines()] == [
        "running",
        "failed",
    ]
    assert "no memory" in said.err


def test_check_tells_a_batch_test_by_its_fields(record: Record, tmp_path: Path, capsys: Output) -> None:
    diagnostic = {"severity": "error", "code": "no_such_suite", "message": "no such suite", "field": "suite"}
    record.answers[VALIDATE] = [{"valid": False, "diagnostics": [diagnostic]}]
    file = write(tmp_path, "model: org/m\nsuite: gone\n")
    assert cli.run(["check", file]) == 2
    assert f"{file}:2" in capsys.readouterr().out
    assert sent(record, VALIDATE) == {
        "config": {"model": "org/m", "suite": "gone"},
        "kind": "batch_test",
        "run": False,
    }
    assert cli.run(["check", file, "--run"]) == 2
    assert cli.run(["check", file, "--kind", "finetune", "--json"]) == 2
    said = capsys.readouterr().out
    fields = [one.field for one in Validation.model_validate_json(said).diagnostics]
    assert fields == ["dataset", "suite"]
    assert cli.run(["configs", "schema", "--kind", "batch_test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == BatchTestConfig.model_json_schema()


def recorded(office: Office, **fields: Any) -> tuple[str, str]:
    """A batch test with three answers, of which one is right: its id and its token."""
    new = {"suite": "s.jsonl", "model": "m"} | fields
    test = office.call("POST", "/api/v1/batch-tests", office.key("testing"), json=new).json()["id"]
    token = office.claim(test)
    answers = [
        {"prompt_index": 0, "prompt": "p0", "response": "r", "score": 1, "passed": True, "tags": ["a"]},
        {"prompt_index": 1, "prompt": "p1", "response": "r", "score": 0, "passed": False},
        {"prompt_index": 2, "prompt": "p2", "error": "too long", "tags": ["a"]},
    ]
    path = f"/api/v1/batch-tests/{test}/predictions"
    assert office.call("POST", path, token, json={"predictions": answers}).status_code == 200
    return test, token


def test_tests_and_answers_are_found_by_filters(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("testing"))
    test, _ = recorded(terminal.office)
    other, _ = recorded(terminal.office, model="m2")

    def listed(*words: str) -> list[str]:
        page = Page[BatchTest].model_validate_json(terminal.well("tests", "list", *words, "--json").out)
        return [one.id for one in page.items]

    def answers(*words: str) -> list[int]:
        said = terminal.well("tests", "answers", test, *words, "--json").out
        return [one.prompt_index for one in Page[Prediction].model_validate_json(said).items]

    assert (listed(), listed("--model", "m2"), listed("--status", "failed")) == ([other, test], [other], [])
    assert (answers(), answers("--wrong"), answers("--failed")) == ([0, 1, 2], [1, 2], [2])
    assert (answers("--tag", "a", "--wrong"), answers("--limit", "1", "--offset", "1")) == ([2], [1])
    shown = terminal.well("tests", "answers", test, "--limit", "1")
    assert (shown.out.splitlines()[1].split()[:2], "--offset 1" in shown.err) == (["0", "pass"], True)
    assert terminal("tests", "answers", "gone").code == 5


def test_a_test_is_cancelled_put_away_and_deleted(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("testing"))
    test, token = recorded(terminal.office)
    assert terminal("tests", "delete", test).code == 2
    assert terminal.well("tests", "cancel", test).out == f"{test}  cancelling\n"
    terminal.office.end(test, token, "cancelled")
    assert terminal("tests", "cancel", test).code == 2
    assert terminal.well("tests", "archive", test).out == f"{test}  archived\n"
    assert test not in terminal.well("tests", "list").out
    assert test in terminal.well("tests", "list", "--archived").out
    assert "Archived" in terminal.well("tests", "show", test).out
    terminal.well("tests", "restore", test)
    assert terminal.well("tests", "delete", test).out == f"{test}  deleted\n"
    assert terminal("tests", "show", test).code == 5


def test_predictions_are_asked_for_by_their_filters_on_every_page(make: Make) -> None:
    rows = [{"id": str(at), "prompt_index": at, "prompt": "p"} for at in range(3)]
    wire = Wire(lambda request: paged(rows, request))
    driver = make(wire)
    got = driver(lambda c: c.tests.iter_predictions("t1", 2, passed=False, failed=True, tag="ä"))
    assert [one.prompt_index for one in got] == [0, 1, 2]
    for request in wire.requests:
        asked = request.url.params
        assert (asked["passed"], asked["failed"], asked["tag"]) == ("false", "true", "ä")
    plain = make(Wire(lambda request: paged(rows, request)))
    assert len(plain(lambda c: c.tests.predictions("t1")).items) == 3
