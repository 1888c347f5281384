"""`tuneyard predict` and `tuneyard train` with a table: what is asked for, and what is shown of the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sdk_fixtures import NOW, Record, job, started
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import record as record
from tests.unasync import ROOT
from tuneyard import cli

Output = pytest.CaptureFixture[str]
PREDICT, TRAIN = "/api/v1/ml/$predict", "/api/v1/ml/$train"
ANSWERS = [
    {"prompt": "a", "response": "def f():\n    return 1"},
    {"prompt": "b", "response": None, "error": "too long"},
]
TABLE = {"columns": ["x", "sample_0"], "data": [[1, 2.5], ["a,b", 3]]}


def sent(record: Record, path: str) -> dict[str, Any]:
    [body] = [body for method, target, body in record.asked if target == path and method == "POST"]
    found: dict[str, Any] = json.loads(body)
    return found


def made(**details: Any) -> dict[str, Any]:
    return {
        "id": "a1",
        "kind": "predictions",
        "name": "greet",
        "uri": "/a1",
        "size_bytes": 1,
        "details": details,
        "created_at": NOW,
    }


def answer(record: Record, **details: Any) -> None:
    record.answers |= {
        PREDICT: [started(kind="predict")],
        "/api/v1/jobs/j1": [job(kind="predict", status="completed")],
        "/api/v1/artifacts/a1": [made(**details)],
    }


def test_a_model_is_asked_from_the_command_line_or_a_file(
    record: Record, tmp_path: Path, capsys: Output
) -> None:
    record.answers[PREDICT] = [started(), started(), started()]
    assert cli.run(["predict", "--model", "m", "--prompt", "a", "--prompt", "b", "--set", "seed=7"]) == 0
    assert capsys.readouterr().out == "j1  pending\n"
    assert sent(record, PREDICT)["config"] == {"model": "m", "prompts": ["a", "b"], "seed": 7}
    file = tmp_path / "ask.json"
    file.write_text('{"model": "m", "dataset": "rows.csv"}')
    record.asked.clear()
    assert cli.run(["predict", str(file), "--name", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["job_id"] == "j1"
    assert sent(record, PREDICT)["config"] == {"model": "m", "dataset": "rows.csv"}
    record.asked.clear()
    assert cli.run(["predict", "--config-id", "c1"]) == 0
    assert sent(record, PREDICT)["config_id"] == "c1"


@pytest.mark.parametrize(
    "words", [[], ["--model", "m"], ["--prompt", "a"], ["--model", "m", "--prompt", "a", "--dataset", "d"]]
)
def test_a_model_and_what_to_ask_it_are_needed(record: Record, words: list[str]) -> None:
    assert cli.run(["predict", *words]) == 2
    assert not record.asked


def test_the_answers_are_printed_when_they_are_there(record: Record, capsys: Output) -> None:
    ask = ["predict", "--model", "m", "--prompt", "a", "--watch"]
    answer(record, predictions=ANSWERS[:1])
    assert cli.run(ask) == 0
    assert capsys.readouterr().out == "def f():\n    return 1\n"
    answer(record, predictions=ANSWERS)
    assert cli.run(ask) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("> a\ndef f():\n    return 1\n\n> b\n", "tuneyard: too long\n")
    answer(record, predictions=TABLE)
    assert cli.run(ask) == 0
    assert capsys.readouterr().out == 'x,sample_0\n1,2.5\n"a,b",3\n'
    answer(record, file="predictions.json")
    assert cli.run(ask) == 0
    assert "tuneyard models download a1" in capsys.readouterr().err
    answer(record, predictions=ANSWERS)
    assert cli.run([*ask, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["details"]["predictions"] == ANSWERS


def test_a_prediction_that_fails_has_no_answers_and_its_own_exit_code(record: Record, capsys: Output) -> None:
    answer(record)
    record.answers["/api/v1/jobs/j1"] = [job(kind="predict", status="failed", error="no such model")]
    assert cli.run(["predict", "--model", "m", "--prompt", "a", "--watch"]) == 3
    assert "no such model" in capsys.readouterr().err


def test_a_table_is_trained_on_as_a_fine_tune_is(record: Record, capsys: Output) -> None:
    record.answers[TRAIN] = [started(kind="tabular")]
    assert cli.run(["train", str(ROOT / "examples/weather/tabular.json"), "--set", "target=rainfall"]) == 0
    config = sent(record, TRAIN)["config"]
    assert (config["method"], config["target"]) == ("tabular", "rainfall")
    assert cli.run(["train", str(ROOT / "examples/weather/tabular.json"), "--set", "targe=x"]) == 2
    assert "did you mean target?" in capsys.readouterr().err
