"""Models, reports and data sets as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from tuneyard.display import Column, fields, long_time, plain, short_time, table
from tuneyard.shapes import Artifact, ArtifactTree, Dataset, KeptFile

FILES_SHOWN = 30


def size(number: int | None) -> str | None:
    """`12.3 MiB`."""
    if number is None:
        return None
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def models_table(models: Iterable[Artifact], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("KIND"),
        Column("LEVEL", right=True),
        Column("SIZE", right=True),
        Column("CREATED (UTC)"),
        Column("NAME", elastic=True),
        Column("BASE", elastic=True),
    ]
    rows = [
        (
            one.id,
            one.kind,
            one.level,
            size(one.size_bytes),
            short_time(one.created_at, now),
            one.name,
            one.base_model,
        )
        for one in models
    ]
    return table(columns, rows, width)


def model_card(model: Artifact, now: datetime) -> str:
    return fields(
        [
            ("ID", model.id),
            ("Name", model.name),
            ("Kind", model.kind),
            ("Base model", model.base_model),
            ("Made from", model.parent_id),
            ("Level", model.level),
            ("Job", model.job_id),
            ("Size", size(model.size_bytes)),
            ("SHA-256", model.sha256),
            ("Lies on", model.uri),
            ("Created", long_time(model.created_at, now)),
        ]
    )


def files_table(files: Iterable[KeptFile]) -> str:
    """As wide as it has to be: half a path or digest is no use."""
    columns = [Column("FILE"), Column("SIZE", right=True), Column("SHA-256")]
    return table(columns, [(one.path, size(one.size_bytes), one.sha256) for one in files], 0)


def tree_lines(tree: ArtifactTree) -> str:
    """One line a model, each under what it was made from."""
    return "\n".join(_lines(tree, ""))


def _lines(tree: ArtifactTree, before: str) -> Iterator[str]:
    yield f"{before}{tree.id}  {plain(tree.name)}  ({tree.kind}, {size(tree.size_bytes)})"
    for child in tree.children:
        yield from _lines(child, before + "  ")


def datasets_table(sets: Iterable[Dataset], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("VERSION", right=True),
        Column("ROWS", right=True),
        Column("SIZE", right=True),
        Column("CREATED (UTC)"),
        Column("NAME", elastic=True),
        Column("FILE", elastic=True),
    ]
    rows = [
        (
            one.id,
            one.version,
            one.rows or None,
            size(one.size_bytes),
            short_time(one.created_at, now),
            one.name,
            one.file_name,
        )
        for one in sets
    ]
    return table(columns, rows, width)


def dataset_card(one: Dataset, now: datetime) -> str:
    return fields(
        [
            ("ID", one.id),
            ("Name", one.name),
            ("Version", one.version),
            ("File", one.file_name or "recorded, not uploaded"),
            ("Lies on", None if one.file_name else one.uri),
            ("Train with", one.uri if one.file_name else None),
            ("Rows", one.rows or None),
            ("Size", size(one.size_bytes)),
            ("SHA-256", one.sha256),
            ("Created", long_time(one.created_at, now)),
        ]
    )
