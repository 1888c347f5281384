"""Points and buckets as JSON by row and by column, CSV, Arrow and Parquet.

pyarrow is loaded by the first request that needs it.
"""

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from api.metric_body import NUMBERS
from api.metric_reads import Chart, Found, Wanted
from api.metric_rollup import Bucket
from api.tables import START
from tuneyard.values import NOT_FINITE

_MICROSECOND = timedelta(microseconds=1)
_BLOCK = 2**18


class Format(StrEnum):
    """`json`: a list of points. `columns`: a list of values for each column."""

    JSON = "json"
    COLUMNS = "columns"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA = {
    Format.JSON: "application/json",
    Format.COLUMNS: "application/json",
    Format.CSV: "text/csv",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def accepted(header: str) -> Format:
    """The first format that an Accept header names; JSON for any other."""
    for part in header.split(","):
        kind = part.split(";")[0].strip().lower()
        for name, media in MEDIA.items():
            if kind == media:
                return name
    return Format.JSON


def _as_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def times(found: Found) -> list[datetime]:
    return [START + microseconds * _MICROSECOND for microseconds in found.columns["timestamp"]]


def _shown(found: Found, *, with_objects: bool = False) -> dict[str, list[Any]]:
    """The columns with `extra` as the JSON that it is, or as objects."""
    columns = dict(found.columns)
    if "extra" in columns:
        read = orjson.loads if with_objects else orjson.Fragment
        columns["extra"] = [read(text) for text in columns["extra"]]
    return columns


def items_of(found: Found, *, with_objects: bool = False) -> list[dict[str, Any]]:
    """Each point as an object."""
    columns = _shown(found, with_objects=with_objects)
    if "timestamp" in columns:
        columns["timestamp"] = times(found)
    names = tuple(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def page_of_rows(found: Found, page: dict[str, Any]) -> bytes:
    return _as_json({"items": items_of(found)} | page)


def page_of_columns(found: Found, page: dict[str, Any]) -> bytes:
    return _as_json({"columns": _shown(found)} | page)


def as_csv(chunks: Iterator[Found]) -> Iterator[bytes]:
    """A line a point under the columns' names; `extra` is JSON."""
    names: tuple[str, ...] = ()
    for found in chunks:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        columns = dict(found.columns)
        if "timestamp" in columns:
            columns["timestamp"] = [at.isoformat().replace("+00:00", "Z") for at in times(found)]
        if not names:
            names = tuple(columns)
            lines.writerow(names)
        lines.writerows(zip(*(columns[name] for name in names), strict=True))
        yield text.getvalue().encode()


def _schema(wanted: Wanted) -> Any:
    import pyarrow as pa

    kinds = {"step": pa.int64(), "attempt": pa.int32(), "timestamp": pa.timestamp("us", "UTC")}
    named = [*wanted.fixed, *wanted.extras]
    fields = [(name, kinds.get(name, pa.float64())) for name in named]
    if wanted.columns is None or "extra" in wanted.columns:
        fields.append(("extra", pa.string()))
    return pa.schema(fields)


def _batches(chunks: Iterator[Found], schema: Any) -> Iterator[Any]:
    import pyarrow as pa

    for found in chunks:
        arrays = []
        for field in schema:
            values = found.columns[field.name]
            if field.type == pa.float64():
                values = [NOT_FINITE.get(value, value) for value in values]
            arrays.append(pa.array(values, field.type))
        yield pa.record_batch(arrays, schema=schema)


def as_arrow(chunks: Iterator[Found], wanted: Wanted) -> Iterator[bytes]:
    """An Arrow IPC stream; `extra` is JSON."""
    import pyarrow as pa

    schema, sink = _schema(wanted), io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in _batches(chunks, schema):
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def as_parquet(chunks: Iterator[Found], wanted: Wanted) -> Iterator[bytes]:
    """A Parquet file, which is whole before its first byte is sent; `extra` is JSON."""
    import pyarrow.parquet as pq

    schema = _schema(wanted)
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _batches(chunks, schema):
                writer.write_batch(batch)
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def chart_columns(chart: Chart, chosen: Sequence[str] | None) -> dict[str, dict[str, list[Any]]]:
    """n, min, max and mean of each column, bucket by bucket."""
    buckets = [bucket for _, bucket in sorted(chart.buckets.items())]
    held = {name for bucket in buckets for name in bucket.columns if name}
    names = chosen or [*(n for n in NUMBERS if n in held), *sorted(held.difference(NUMBERS))]
    return {name: _summary(name, buckets) for name in names}


def _summary(name: str, buckets: list[Bucket]) -> dict[str, list[Any]]:
    none: list[Any] = [0, None, None, None]
    found: list[list[Any]] = [bucket.columns.get(name) or none for bucket in buckets]
    return {
        "n": [one[0] for one in found],
        "min": [one[1] for one in found],
        "max": [one[2] for one in found],
        "mean": [one[3] / one[0] if one[0] else None for one in found],
    }


def chart_as_json(chart: Chart, chosen: Sequence[str] | None) -> bytes:
    buckets = sorted(chart.buckets.items())
    return _as_json(
        {
            "width": chart.width,
            "total": chart.total,
            "step": [number * chart.width for number, _ in buckets],
            "points": [bucket.points for _, bucket in buckets],
            "not_finite": [bucket.not_finite for _, bucket in buckets],
            "columns": chart_columns(chart, chosen),
        }
    )
