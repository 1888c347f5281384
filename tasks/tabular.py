"""A linear model of one column of a table by others. Fitting's main: `python -m tasks.tabular <folder>`.

Plan: {"dataset", "target" and "features" (null: the last column, all the others), "output_dir"}.
Result: {"model_dir", "kind", "sha256", "size_bytes", "files"} and the model's own figures (see `fit`), with
"dataset_sha256". The folder holds model.json: the model (`LinearModel`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import mul
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tasks.durable import files_sha256, folder_files, publish, staging_beside, write_json
from tasks.table_rows import Table, demand_columns, numbers, read_table
from tuneyard.errors import BadInput

MODEL_TYPE = "torch.linalg.lstsq LinearRegression"
FILE = "model.json"
SAMPLE = "sample_0"  # the column that is predicted


@dataclass(frozen=True)
class LinearModel:
    """target = intercept + the sum of coefficient · feature."""

    target: str
    features: list[str]
    coefficients: list[float]
    intercept: float

    def of(self, row: Sequence[float]) -> float:
        return self.intercept + math.fsum(map(mul, self.coefficients, row))


def fit_file(order: Order) -> dict[str, Any]:
    """Reads the rows, fits the model and keeps it."""
    plan = order.plan
    table = read_table(plan["dataset"])
    target, features = chosen(table, plan["target"], plan["features"])
    say(f"Fitting {target} by {', '.join(features)}: {len(table.rows)} rows")
    model, figures = fit(table, target, features)
    facts = {
        "model_type": MODEL_TYPE,
        "trained_at": datetime.now(UTC).isoformat(),
        **asdict(model),
        **figures,
    }
    if figures["rank"] <= len(features):
        say("Warning: columns hang on one another, so their coefficients are one choice of many")
    say(f"r2 {figures['r2']}, rmse {figures['rmse']:.6g}")
    kept = store(Path(plan["output_dir"]), "tabular", {FILE: facts})
    return {**kept, **facts, "dataset_sha256": table.sha256}


def chosen(table: Table, target: str | None, features: list[str] | None) -> tuple[str, list[str]]:
    """(the column that is modelled, those it is modelled by). Raises BadInput where they cannot be."""
    target = table.columns[-1] if target is None else target
    demand_columns(table, [target], "target")
    if features is None:
        features = [name for name in table.columns if name != target]
    demand_columns(table, features, "features")
    if target in features:
        raise BadInput("the target cannot be one of the columns it is modelled by", field="features")
    if not features:
        raise BadInput("there is no other column to model the target by", file=table.file, field="features")
    if len(table.rows) <= len(features):
        raise BadInput(
            f"there are {len(table.rows)} rows: a model by {len(features)} columns needs {len(features) + 1} or more",
            file=table.file,
        )
    return target, features


def fit(table: Table, target: str, features: list[str]) -> tuple[LinearModel, dict[str, Any]]:
    """The model with the least squares, and how well it fits: {"rows", "rank", "r2" (null: the target is constant),
    "rmse"}. Of several such models, the one with the smallest coefficients, as numpy chooses.

    Raises:
        BadInput: cells are no numbers, or so large that their squares are none.
    """
    import torch

    rows = torch.tensor(numbers(table, [*features, target]), dtype=torch.float64)
    inputs, wanted = rows[:, :-1], rows[:, -1]
    design = torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), inputs], dim=1)
    solved = torch.linalg.lstsq(design, wanted[:, None], driver="gelsd")  # what numpy.linalg.lstsq calls
    weights = solved.solution[:, 0]
    squares = float(((design @ weights - wanted) ** 2).sum())
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    if not all(map(math.isfinite, [*weights.tolist(), squares, spread])):
        raise BadInput("its numbers are too large to be fitted", file=table.file)
    figures = {
        "rows": len(rows),
        "rank": int(solved.rank),
        "r2": 1 - squares / spread if spread else None,
        "rmse": math.sqrt(squares / len(rows)),
    }
    return LinearModel(target, features, weights[1:].tolist(), float(weights[0])), figures


def predicted(model: LinearModel, table: Table) -> dict[str, Any]:
    """{"columns", "data"}: the table as it is, with what the model makes of each row as the last column.

    Raises:
        BadInput: a column that the model needs is missing or its cells are no numbers.
    """
    demand_columns(table, model.features, "dataset")
    if SAMPLE in table.columns:
        raise BadInput(f"there is a column {SAMPLE} already", file=table.file, field="dataset")
    inputs = numbers(table, model.features)
    made = [model.of(cells) for cells in inputs]
    if not all(map(math.isfinite, made)):
        raise BadInput("its numbers are too large to predict from", file=table.file)
    data = []
    for (_, row), cells, value in zip(table.rows, inputs, made, strict=True):
        known = dict(zip(model.features, cells, strict=True))
        data.append([_shown(row.get(name), known.get(name)) for name in table.columns] + [value])
    return {"columns": [*table.columns, SAMPLE], "data": data}


def _shown(value: Any, number: float | None) -> Any:
    """A cell as JSON has it: a number as a number, also where the file has it as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value) if number is None else number


def store(output: Path, kind: str, files: dict[str, Any]) -> dict[str, Any]:
    """Writes each file's JSON into a folder that is whole or not there; what `flows.lineage.keep_result` takes."""
    staging = staging_beside(output)
    for name, value in files.items():
        write_json(staging / name, value)
    publish(staging, output)
    kept = folder_files(output)
    return {
        "model_dir": str(output),
        "kind": kind,
        "sha256": files_sha256(kept),
        "size_bytes": sum(file.size_bytes for file in kept),
        "files": [file.model_dump() for file in kept],
    }


if __name__ == "__main__":
    serve(fit_file)
