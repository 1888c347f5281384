"""Rows held back for evaluation: the same ones every time, and nothing of them among those that are trained on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tasks.examples import Example, Passage, Turn
from tasks.held_back import hold_back, read_sides
from tasks.likeness import asked_in, plain
from tests.data_fixtures import write_data
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput


def row(prompt: str, answer: str, line: int) -> Example:
    return Example((Turn("user", prompt), Turn("assistant", answer)), line, "rows.jsonl")


ROWS = [row(f"What is {at}?", str(at), at) for at in range(1, 101)]


def config(data: Path, **rest: Any) -> FinetuneConfig:
    return FinetuneConfig(model="m", dataset=str(data), **rest)


def test_the_part_is_as_large_as_asked_and_the_same_whatever_the_order() -> None:
    kept, held = hold_back(ROWS, 0.1, seed=1)
    assert (len(kept), len(held)) == (90, 10)
    shuffled = random.Random(3).sample(ROWS, len(ROWS))
    assert set(hold_back(shuffled, 0.1, seed=1)[1]) == set(held)
    assert set(hold_back(ROWS, 0.1, seed=2)[1]) != set(held)


@given(
    prompts=some.lists(some.sampled_from(["a", "A", " a.", "b", "c", "d", "e"]), min_size=2, max_size=30),
    fraction=some.floats(0.01, 0.5),
)
def test_every_row_is_on_one_side_and_no_question_is_on_both(prompts: list[str], fraction: float) -> None:
    rows = [row(prompt, str(at), at) for at, prompt in enumerate(prompts)]
    if len({plain(prompt) for prompt in prompts}) < 2:
        with pytest.raises(BadInput, match="all ask the same"):
            hold_back(rows, fraction, seed=0)
        return
    kept, held = hold_back(rows, fraction, seed=0)
    assert sorted([*kept, *held], key=lambda row: row.line) == rows
    assert kept
    assert held
    assert not {plain(asked_in(row)) for row in kept} & {plain(asked_in(row)) for row in held}


def test_equal_passages_stay_together() -> None:
    passages = [Passage(text, at, "book.txt") for at, text in enumerate(["a", "b", "A", "c", "b."])]
    kept, held = hold_back(passages, 0.4, seed=0)
    assert not {plain(passage.text) for passage in kept} & {plain(passage.text) for passage in held}


def test_a_config_names_a_file_or_a_fraction(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {at}?", "completion": str(at)} for at in range(20)]
    data, other = write_data(tmp_path, rows), write_data(tmp_path, rows[:3], "eval.csv")
    train, held = read_sides(config(data, eval_fraction=0.25))
    assert held is not None
    assert (len(train.rows), len(held.rows), held.sha256) == (15, 5, train.sha256)
    train, held = read_sides(config(data, eval_dataset=str(other)))
    assert held is not None
    assert (len(train.rows), len(held.rows), held.uri) == (20, 3, str(other))
    assert read_sides(config(data))[1] is None
    with pytest.raises(ValueError, match="give one of them"):
        config(data, eval_dataset=str(other), eval_fraction=0.1)


def test_rows_to_evaluate_on_must_be_of_the_same_kind(tmp_path: Path) -> None:
    data = write_data(tmp_path, [{"prompt": "a", "completion": "b"}])
    other = write_data(tmp_path, [{"text": "a"}], "eval.jsonl")
    with pytest.raises(BadInput, match=r"eval\.jsonl: eval_dataset: its rows are text, those of"):
        read_sides(config(data, eval_dataset=str(other)))
