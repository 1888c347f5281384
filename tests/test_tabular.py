"""A model of a table: what numpy's least squares would say, whatever the columns; and every wrong cell named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest

from deployments.local_stack import Stack
from tasks.child import Order
from tasks.table_rows import Table, numbers, read_table
from tasks.tabular import LinearModel, chosen, fit, fit_file, predicted
from tests.deployed import until
from tests.unasync import ROOT
from tuneyard.configs import TabularConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import PredictRows, Started
from tuneyard.shapes import Table as Rows

# Seed 002's own numbers.
WEATHER = ["rainfall", "mean_temperature", "disease_cases"]
SEEN = [
    [100.5, 25.3, 12],
    [85.2, 27.1, 8],
    [120.8, 24.5, 15],
    [95.3, 26.2, 10],
    [110.0, 26.0, 13],
    [75.5, 28.0, 6],
    [130.2, 23.8, 18],
    [88.9, 27.5, 9],
]
FUTURE = [[110.0, 26.0], [90.0, 28.0], [125.0, 24.0], [80.0, 29.0]]


def table_of(columns: list[str], data: list[list[Any]]) -> Table:
    rows = [(at, dict(zip(columns, cells, strict=True))) for at, cells in enumerate(data, start=1)]
    return Table("rows.jsonl", "0" * 64, tuple(columns), rows)


def in_numpy(seen: Any, wanted: Any, new: Any) -> Any:
    """What numpy.linalg.lstsq predicts, with a column of ones before the others."""
    one, other = (numpy.column_stack([numpy.ones(len(rows)), rows]) for rows in (seen, new))
    return other @ numpy.linalg.lstsq(one, wanted, rcond=None)[0]


def ours(seen: Any, wanted: Any, new: Any) -> Any:
    names = [f"x{at}" for at in range(numpy.shape(seen)[1])]
    table = table_of([*names, "y"], numpy.column_stack([seen, wanted]).tolist())
    model, _ = fit(table, *chosen(table, None, None))
    found = predicted(model, table_of(names, numpy.asarray(new).tolist()))
    return numpy.array([row[-1] for row in found["data"]])


def assert_same(seen: Any, wanted: Any, new: Any) -> None:
    numpy.testing.assert_allclose(
        ours(seen, wanted, new), in_numpy(seen, wanted, new), rtol=1e-6, atol=1e-6 * numpy.abs(wanted).max()
    )


def test_seed_002_s_rows_give_what_numpy_s_least_squares_give() -> None:
    seen = numpy.array(SEEN)
    assert_same(seen[:, :2], seen[:, 2], FUTURE)


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_give_what_numpy_s_least_squares_give(seed: int) -> None:
    chance = numpy.random.default_rng(seed)
    columns = int(chance.integers(1, 12))
    rows = int(chance.integers(columns + 1, 80))
    seen = chance.normal(size=(rows, columns)) * 10.0 ** chance.integers(-3, 4, size=columns)
    assert_same(seen, seen @ chance.normal(size=columns) + chance.normal(size=rows), seen[:5] * 1.5)


def test_columns_that_hang_on_one_another_are_solved_as_numpy_solves_them() -> None:
    chance = numpy.random.default_rng(1)
    seen = chance.normal(size=(30, 4))
    seen[:, 2] = seen[:, 0] + 2 * seen[:, 1]
    seen[:, 3] = 7.0  # as the intercept
    wanted = chance.normal(size=30)
    assert_same(seen, wanted, seen + 1)
    names = [f"x{at}" for at in range(4)]
    table = table_of([*names, "y"], numpy.column_stack([seen, wanted]).tolist())
    assert fit(table, "y", names)[1]["rank"] == 3


@pytest.mark.parametrize("scales", [(1e-6, 1e6), (1e-9, 1.0), (1.0, 1e9), (1e-12, 1e12), (1e-150, 1e100)])
def test_badly_scaled_columns_are_solved_as_numpy_solves_them(scales: tuple[float, float]) -> None:
    chance = numpy.random.default_rng(2)
    seen = chance.normal(size=(40, 2)) * numpy.array(scales)
    assert_same(seen, seen @ numpy.array([1 / scales[0], 2 / scales[1]]) + 3, seen[:7] * 2)


def test_a_perfect_line_is_found_and_a_constant_target_has_no_r2() -> None:
    table = table_of(["x", "y"], [[x, 2 * x + 1] for x in range(5)])
    model, figures = fit(table, "y", ["x"])
    assert [model.intercept, *model.coefficients] == pytest.approx([1, 2])
    assert (figures["r2"], figures["rmse"]) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert fit(table_of(["x", "y"], [[1, 3], [2, 3], [4, 3]]), "y", ["x"])[1]["r2"] is None


def test_the_target_is_the_last_column_and_the_features_all_others_unless_said() -> None:
    table = table_of(["a", "b", "c"], [[1, 2, 3]] * 4)
    assert chosen(table, None, None) == ("c", ["a", "b"])
    assert chosen(table, "a", None) == ("a", ["b", "c"])
    assert chosen(table, "b", ["c"]) == ("b", ["c"])


@pytest.mark.parametrize(
    ("target", "features", "said"),
    [
        ("gone", None, "target: there is no column gone; there are a, b"),
        (None, ["gone"], "features: there is no column gone"),
        (None, ["a", "a"], "features: the column a is named twice"),
        ("a", ["a"], "features: the target cannot be"),
        (None, ["a"], "there are 1 rows: a model by 1 columns needs 2 or more"),
    ],
)
def test_columns_that_cannot_be_fitted_are_named(
    target: str | None, features: list[str] | None, said: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        chosen(table_of(["a", "b"], [[1, 2]]), target, features)
    assert said in str(refusal.value)


def test_each_cell_that_is_no_number_is_named_by_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n,x\n1_000,nan\n1e999,3\n 4 ,5e-1\n")
    with pytest.raises(BadInput) as refusal:
        numbers(read_table(str(file)), ["a", "b"])
    said = str(refusal.value)
    for line, words in (
        (3, "a: is empty"),
        (3, "b: x is no number"),
        (4, "a: 1_000 is no"),
        (4, "b: nan is no"),
    ):
        assert f"rows.csv:{line}: {words}" in said
    assert "rows.csv:5: a: 1e999 is no finite number" in said
    assert "rows.csv:6" not in said


def test_json_s_booleans_and_nulls_are_no_numbers(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": true}\n{"a": null}\n{"a": 1}\n{"a": [1]}\n')
    with pytest.raises(BadInput) as refusal:
        numbers(read_table(str(file)), ["a"])
    assert "4 rows" not in str(refusal.value)
    assert all(f"rows.jsonl:{line}" in str(refusal.value) for line in (1, 2, 4))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rows.csv", "a,a\n1,2\n", "two columns have this name"),
        ("rows.csv", "a,b\n1\n", "the row has 1 cells and the header 2"),
        ("rows.jsonl", '{"a": 1}\n{"a": 1, "b": 2}\n', "rows.jsonl:2: b: is no column of the first row"),
        ("rows.jsonl", '{"a": 1, "a": 2}\n', "stands twice"),
        ("rows.jsonl", "\n", "no rows in it"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_its_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput) as refusal:
        read_table(str(tmp_path / name))
    assert said in str(refusal.value)


def test_the_example_s_table_is_fitted_and_its_next_weeks_predicted(tmp_path: Path) -> None:
    config = json.loads((ROOT / "examples/weather/tabular.json").read_text())["config"]
    read = TabularConfig.model_validate(config)
    plan = {
        "dataset": str(ROOT / read.dataset) if read.dataset else "",
        "target": read.target,
        "features": read.features,
        "output_dir": str(tmp_path / "model"),
    }
    made = fit_file(Order(tmp_path, plan, {}))
    names = ("target", "features", "coefficients", "intercept")
    model = LinearModel(**{name: made[name] for name in names})
    found = predicted(model, read_table(str(ROOT / "examples/weather/next.csv")))
    seen = numpy.array(SEEN)
    expected = in_numpy(seen[:, :2], seen[:, 2], FUTURE)
    assert [row[-1] for row in found["data"]] == pytest.approx(expected, abs=1e-6)
    kept = json.loads((tmp_path / "model" / "model.json").read_text())
    assert {name: kept[name] for name in names} == {name: made[name] for name in names}
    assert (made["kind"], made["size_bytes"]) == (
        "tabular",
        (tmp_path / "model" / "model.json").stat().st_size,
    )


def test_predictions_keep_the_rows_as_they_are_and_no_row_gives_none(tmp_path: Path) -> None:
    model = LinearModel("y", ["b", "a"], [2.0, 1.0], 0.5)
    file = tmp_path / "rows.csv"
    file.write_text("where,a,b\nhere,1,2\n")
    found = predicted(model, read_table(str(file)))
    assert found == {"columns": ["where", "a", "b", "sample_0"], "data": [["here", 1.0, 2.0, 5.5]]}
    file.write_text("a,b\n")
    assert predicted(model, read_table(str(file))) == {"columns": ["a", "b", "sample_0"], "data": []}
    file.write_text("a,sample_0\n1,2\n")
    with pytest.raises(BadInput, match="no column b"):
        predicted(model, read_table(str(file)))


def test_seed_002_s_walk_from_rows_to_predictions(stack: Stack) -> None:
    """Submitted in its words; what is said at submit is what is there at the end."""
    with stack.client("admin") as desk:
        fitted: Started = desk.jobs.train(
            TabularConfig(name="disease"), data=Rows(columns=WEATHER, data=SEEN)
        )
        assert (fitted.status, fitted.message) == ("pending", "Training job submitted")
        until(lambda: desk.jobs.get(fitted.job_id).ended_at)
        done = desk.jobs.get(fitted.job_id)
        assert (done.status, done.error, done.kind) == ("completed", None, "tabular")
        model = desk.artifacts.get(fitted.model_artifact_id or "")
        assert (model.kind, model.parent_id, model.level, model.job_id) == ("tabular", None, 0, done.id)
        assert model.details["model_type"] == "torch.linalg.lstsq LinearRegression"
        assert model.details["features"] == WEATHER[:2]
        assert done.gpu_uuids == []
        rows = PredictRows(
            model_artifact_id=model.id,
            historic=Rows(columns=WEATHER[:2], data=[]),
            future=Rows(columns=WEATHER[:2], data=FUTURE),
        )
        asked = desk.jobs.predict(rows=rows)
        until(lambda: desk.jobs.get(asked.job_id).ended_at)
        assert desk.jobs.get(asked.job_id).error is None
        made = desk.artifacts.get(asked.prediction_artifact_id or "")
    assert (made.kind, made.parent_id, made.level) == ("predictions", model.id, 1)
    found = made.details["predictions"]
    assert found["columns"] == ["rainfall", "mean_temperature", "sample_0"]
    assert [row[:2] for row in found["data"]] == FUTURE
    seen = numpy.array(SEEN)
    expected = in_numpy(seen[:, :2], seen[:, 2], FUTURE)
    assert all(
        math.isclose(row[2], float(value), abs_tol=1e-6)
        for row, value in zip(found["data"], expected, strict=True)
    )
    kept = json.loads((Path(made.uri) / "predictions.json").read_text())
    assert kept == found
