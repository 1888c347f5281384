"""A job's metrics as columns, and as a data frame where pandas or polars is installed."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import IO, Any

from tuneyard.errors import BadInput
from tuneyard.shapes import MetricBuckets, MetricColumns
from tuneyard.values import NOT_FINITE

_START = datetime(1970, 1, 1, tzinfo=UTC)


class MetricTable:
    """Columns of one length by name: lists of numbers, None where a point has none. `timestamp` is in UTC.

    Attributes:
        width: Steps in a row, where it is in buckets; a column `x` is `x.min`, `x.max` and `x.mean` then.
    """

    def __init__(self, columns: dict[str, list[Any]], width: int = 1) -> None:
        self.columns = columns
        self.width = width

    @classmethod
    def of_pages(cls, pages: Iterable[MetricColumns]) -> MetricTable:
        held: dict[str, list[Any]] = {}
        for page in pages:
            for name, values in page.columns.items():
                held.setdefault(name, []).extend(values)
        extra = held.pop("extra", [])
        for name in dict.fromkeys(name for one in extra for name in one):
            held[name] = [one.get(name) for one in extra]
        for name, values in held.items():
            held[name] = _times(values) if name == "timestamp" else _numbers(values)
        return cls(held)

    @classmethod
    def of_buckets(cls, found: MetricBuckets) -> MetricTable:
        columns: dict[str, list[Any]] = {"step": found.step, "points": found.points}
        columns["not_finite"] = found.not_finite
        for name, summary in found.columns.items():
            for part in ("min", "max", "mean"):
                columns[f"{name}.{part}"] = getattr(summary, part)
        return cls(columns, found.width)

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def svg(self) -> str:
        """Its losses as a small picture."""
        from tuneyard.notebook import chart_svg

        return chart_svg(self.columns)

    def _repr_html_(self) -> str:
        """What a notebook shows: the losses, and what else there is."""
        from tuneyard.notebook import caption

        return self.svg() + "<br>" + caption(f"{len(self)} rows: {', '.join(self.columns)}")

    def to_pandas(self) -> Any:
        """A pandas.DataFrame.

        Raises:
            BadInput: pandas is not installed.
        """
        return _library("pandas").DataFrame(self.columns)

    def to_polars(self) -> Any:
        """A polars.DataFrame.

        Raises:
            BadInput: polars is not installed.
        """
        return _library("polars").DataFrame(self.columns, strict=False)

    def write_csv(self, file: IO[str]) -> None:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(self.columns)
        for row in zip(*self.columns.values(), strict=True):
            lines.writerow([value.isoformat() if isinstance(value, datetime) else value for value in row])


def _times(values: list[Any]) -> list[datetime]:
    return [_START + timedelta(microseconds=value) for value in values]


def _numbers(values: list[Any]) -> list[Any]:
    return [NOT_FINITE.get(value, value) if isinstance(value, str) else value for value in values]


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise BadInput(f"{name} is not installed here: pip install {name}") from None
