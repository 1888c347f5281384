"""What artifacts were made from, and what was made from them; each in one question, however deep."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, literal
from sqlalchemy.orm import aliased, defer
from sqlmodel import Session, col, select

from api import tables
from api.access.owned import owned
from tuneyard.shapes import Artifact, ArtifactTree

DEEPEST = 50  # ancestors; what nests deeper, not every reader of JSON takes
WITHOUT_FILES = defer(col(tables.Artifact.files))  # type: ignore[arg-type]


def levels(session: Session, workspace_id: int, ids: Iterable[str]) -> dict[str, int]:
    """How many ancestors each of these has."""
    up = _upwards(workspace_id, ids)
    return dict(session.exec(select(up.c.id, func.max(up.c.level)).group_by(up.c.id)).all())


def oldest(session: Session, workspace_id: int, artifact_id: str) -> str:
    """The ancestor that was made from no other; without ancestors, itself."""
    up = _upwards(workspace_id, [artifact_id])
    found: str = session.exec(select(up.c.at).order_by(up.c.level.desc()).limit(1)).one()
    return found


def is_made_from(session: Session, workspace_id: int, artifact_id: str, model: str) -> bool:
    """Whether a config's `model` is one that this artifact was made from, however far back."""
    up = _upwards(workspace_id, [artifact_id])
    query = owned(tables.Artifact, workspace_id).where(col(tables.Artifact.id).in_(select(up.c.at)))
    rows = session.exec(query.options(WITHOUT_FILES)).all()
    names = {f"artifact:{row.id}" for row in rows if row.id != artifact_id}
    names |= {row.base_model or "" for row in rows}
    names |= {name for row in rows if row.kind == "base" for name in (row.name, row.uri)}
    return model in names


def _upwards(workspace_id: int, ids: Iterable[str]) -> Any:
    """(id, at, parent_id, level): a row for each artifact, and for each step up from it."""
    artifact, parent = tables.Artifact, aliased(tables.Artifact)
    columns: tuple[Any, ...] = (
        col(artifact.id).label("id"),
        col(artifact.id).label("at"),
        col(artifact.parent_id).label("parent_id"),
        literal(0).label("level"),
    )
    start = owned(artifact, workspace_id).where(col(artifact.id).in_([*ids])).with_only_columns(*columns)
    up = start.cte("up", recursive=True)
    above = select(up.c.id, col(parent.id), col(parent.parent_id), up.c.level + 1).join(
        parent, (col(parent.id) == up.c.parent_id) & (col(parent.workspace_id) == workspace_id)
    )
    return up.union_all(above)


def tree(session: Session, workspace_id: int, artifact_id: str) -> ArtifactTree:
    """The artifact and all its descendants."""
    artifact, child = tables.Artifact, aliased(tables.Artifact)
    start = owned(artifact, workspace_id).where(artifact.id == artifact_id)
    down: Any = start.with_only_columns(col(artifact.pk).label("pk"), col(artifact.id).label("id"))
    found = down.cte("down", recursive=True)
    below = select(col(child.pk), col(child.id)).join(
        found, (col(child.parent_id) == found.c.id) & (col(child.workspace_id) == workspace_id)
    )
    found = found.union_all(below)
    query = owned(artifact, workspace_id).where(col(artifact.pk).in_(select(found.c.pk)))
    rows = session.exec(query.order_by(col(artifact.pk)).options(WITHOUT_FILES)).all()
    return _joined(rows, levels(session, workspace_id, [artifact_id])[artifact_id])


def _joined(rows: Iterable[tables.Artifact], level: int) -> ArtifactTree:
    """Parents come before what was made from them."""
    known: dict[str, ArtifactTree] = {}
    for row in rows:
        parent = known.get(row.parent_id or "")
        known[row.id] = one = ArtifactTree.model_validate(
            Artifact.model_validate(row).without_content().model_dump()
        )
        one.level = parent.level + 1 if parent else level
        if parent:
            parent.children.append(one)
    return next(iter(known.values()))
