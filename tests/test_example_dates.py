"""The dates example works as it stands: its script makes its files, and its configs are valid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.dataset import read_rows, read_suite
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.configs import FinetuneConfig

ROOT = Path(__file__).resolve().parent.parent
DATES = ROOT / "examples" / "dates"


def test_the_script_writes_the_shipped_files_again_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATES / "make_rows.py", tmp_path], check=True)
    for name in ("train.jsonl", "suite.jsonl"):
        assert (tmp_path / name).read_bytes() == (DATES / name).read_bytes()


def test_no_date_and_no_prompt_of_the_suite_is_in_the_training_rows() -> None:
    rows, suite = read_rows(DATES / "train.jsonl").rows, read_suite(DATES / "suite.jsonl")
    assert (len(rows), len(suite)) == (400, 50)
    assert not {row.prompt for row in rows} & {prompt.prompt for prompt in suite}
    assert not {row.completion for row in rows} & {prompt.expected for prompt in suite}


@pytest.mark.parametrize("name", ["finetune.json", "finetune_hub.json"])
def test_the_fine_tune_parameters_are_a_valid_config(name: str) -> None:
    config = FinetuneConfig(**json.loads((DATES / name).read_text())["config"])
    assert (ROOT / config.dataset).exists()


def test_the_batch_test_parameters_are_a_valid_config() -> None:
    config = BatchTestConfig(**json.loads((DATES / "batch_test.json").read_text())["config"])
    assert (ROOT / config.suite).exists()
