"""Which rows are trained on, and which are held back to evaluate on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tasks.dataset import Dataset, read_dataset
from tasks.examples import Taught
from tasks.likeness import answered_in, asked_in, plain
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput


def read_sides(config: FinetuneConfig) -> tuple[Dataset, Dataset | None]:
    """(the rows to train on, those to evaluate on), read with their faults.

    Raises:
        BadInput: a data set cannot be opened, or the two are of forms that cannot be compared.
    """
    data = read_dataset(config.dataset, config.format)
    if config.eval_dataset is not None:
        other = read_dataset(config.eval_dataset, config.format)
        if _kind(other) != _kind(data):
            problem = f"its rows are {other.form}, those of {data.uri} are {data.form}"
            raise BadInput(problem, file=other.uri, field="eval_dataset")
        return data, other
    if config.eval_fraction == 0 or not data.rows:
        return data, None
    kept, held = hold_back(data.rows, config.eval_fraction, config.seed)
    return replace(data, rows=kept), replace(data, rows=held, faults=[], unused={})


def hold_back(rows: Sequence[Taught], fraction: float, seed: int) -> tuple[list[Taught], list[Taught]]:
    """(kept, held back), each in the rows' order.

    A row's place comes from its text and the seed alone: neither its line nor the other rows' order moves it. Rows
    that ask the same (passages that say the same) lie on one side together, whole conversations always; so the part
    held back can be a little larger than `fraction`.

    Raises:
        BadInput: all rows ask the same, so that nothing would be left on one side.
    """
    groups: dict[bytes, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(_place(row, seed), []).append(at)
    if len(groups) < 2:
        problem = "its rows all ask the same, so none can be held back; give an eval_dataset"
        raise BadInput(problem, file=rows[0].file, field="eval_fraction")
    wanted, held = round(len(rows) * fraction), set[int]()
    for place in sorted(groups)[:-1]:
        held.update(groups[place])
        if len(held) >= wanted:
            break
    return (
        [row for at, row in enumerate(rows) if at not in held],
        [row for at, row in enumerate(rows) if at in held],
    )


def _place(row: Taught, seed: int) -> bytes:
    text = asked_in(row) or answered_in(row)
    return hashlib.sha256(f"{seed} {plain(text)}".encode()).digest()


def _kind(data: Dataset) -> str:
    return data.form if data.form in ("text", "preference") else "conversation"
