"""lm-eval runs on the same folder; where it is not installed, that is said."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.child import Order
from tasks.harness import harness
from tasks.launch import run_child
from tuneyard.errors import BadInput

installed = importlib.util.find_spec("lm_eval") is not None
TASK = """task: own_dates
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}]
"""


def plan(model: Path, *tasks: str) -> dict[str, Any]:
    how = {"limit": 3, "batch_size": 2, "precision": "exact", "seed": 1}
    return {"model_dir": str(model), "tasks": list(tasks), **how}


def run(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    return run_child("tasks.harness", plan, folder, secrets={}, watch=lambda: None, say=print, interval=0.1)


@pytest.mark.skipif(installed, reason="lm-eval is installed here")
def test_without_lm_eval_it_is_said_what_to_install(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pip install 'tuneyard\[lm-eval\]'") as problem:
        harness(Order(tmp_path, plan(tiny_model, "arc_easy"), {}))
    assert problem.value.field == "lm_eval"


@pytest.mark.skipif(not installed, reason="needs the extra lm-eval")
def test_a_task_of_ones_own_runs_and_an_unknown_one_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = {"question": "March 5th, 2031 is", "choices": ["2031-03-05", "2031-05-03"], "answer": 0}
    rows.write_text("".join(json.dumps(row) + "\n" for _ in range(5)))
    task = tmp_path / "own.yaml"
    task.write_text(TASK.format(rows=rows))
    found = run(plan(tiny_model, str(task)), tmp_path / "work")
    assert found["limit"] == 3
    assert found["tasks"]["own_dates"]["acc,none"] in (0.0, 1.0)
    with pytest.raises(BadInput, match="knows no task no_such_task"):
        run(plan(tiny_model, "no_such_task"), tmp_path / "work")
