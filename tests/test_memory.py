"""A batch that does not fit is halved, and the step keeps its rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.child import Order
from tasks.launch import run_child
from tasks.memory import Batch, halved, run_within_memory
from tasks.train import train
from tests.tiny_model import make_tiny_model
from tests.training_fixtures import points_in, train_plan
from tuneyard.errors import OutOfMemory

ASKED = Batch(micro=8, accumulation=2)


def run(folder: Path, room: int, asked: Batch = ASKED) -> tuple[dict[str, Any], list[str]]:
    """(the result of a trainer with room for so many rows, what was told meanwhile)."""
    told: list[str] = []

    def start(batch: Batch) -> dict[str, Any]:
        plan = {"batch": asdict(batch), "room": room}
        options = {"secrets": {}, "watch": lambda: None, "say": lambda _line: None}
        return run_child("tests.memory_fixtures", plan, folder, interval=0.05, **options)

    return run_within_memory(start, asked, folder, lambda words, _batch: told.append(words)), told


@given(st.integers(1, 4096), st.integers(1, 64))
def test_halving_keeps_the_rows_of_a_step_and_ends_at_one(micro: int, accumulation: int) -> None:
    batch: Batch | None = Batch(micro, accumulation)
    while batch is not None and (smaller := halved(batch)) is not None:
        assert smaller.micro * smaller.accumulation == micro * accumulation
        assert 1 <= smaller.micro <= batch.micro / 2
        batch = smaller
    assert batch == Batch(1, micro * accumulation)


def test_a_trainer_that_runs_out_of_memory_goes_on_with_half_from_where_it_was(tmp_path: Path) -> None:
    result, told = run(tmp_path, room=2)
    assert result["steps"] == ["1 8x2", "2 8x2", "3 2x8", "4 2x8", "5 2x8", "6 2x8"]
    assert [words.split(",")[0] for words in told] == [
        "Out of memory with 8 rows at a time: going on with 4",
        "Out of memory with 4 rows at a time: going on with 2",
    ]
    assert "16 rows a step as before" in told[0]


def test_a_job_taken_up_again_starts_with_what_fitted_unless_it_asks_for_something_else(
    tmp_path: Path,
) -> None:
    run(tmp_path, room=2)
    (tmp_path / "steps").unlink()
    again, told = run(tmp_path, room=2)
    assert (again["steps"][0], told) == ("1 2x8", [])
    (tmp_path / "steps").unlink()
    other, _ = run(tmp_path, room=4, asked=Batch(4, 4))
    assert other["steps"][0] == "1 4x4"


def test_one_row_that_does_not_fit_is_the_end(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="does not hold 1 rows"):
        run(tmp_path, room=0)


def test_smaller_batches_bring_each_step_the_same_rows(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    losses = []
    for name, batch in (("asked", None), ("halved", {"micro": 2, "accumulation": 2})):
        plan = train_plan(tmp_path / name, model, batch_size=4, report_every=1)
        train(Order(tmp_path / name, plan if batch is None else {**plan, "batch": batch}, {}))
        losses.append([point["train_loss"] for point in points_in(tmp_path / name)])
    assert len(losses[0]) == 6
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
