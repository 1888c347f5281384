# Generated from async_aliases.py by `python -m tests.unasync --write`; do not edit.
"""The client's part about aliases."""

from __future__ import annotations

from tuneyard.addresses import object_path
from tuneyard.batch_shapes import AliasMove, ModelAlias, Promotion, Undo
from tuneyard.shapes import Page
from tuneyard.wire import Wire


class Aliases:
    """Names that stand for models, and move on evidence alone."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, limit: int = 50, offset: int = 0) -> Page[ModelAlias]:
        """One page, by name.

        Example:
            for alias in client.aliases.list().items:
                print(alias.name, alias.artifact_id)
        """
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[ModelAlias], "GET", "/api/v1/aliases", params=params)

    def get(self, name: str) -> ModelAlias:
        """The model that a name stands for.

        Example:
            print(client.aliases.get("production").artifact_id)
        """
        return self._wire.ask(ModelAlias, "GET", object_path("aliases", name))

    def moves(self, name: str, limit: int = 50, offset: int = 0) -> Page[AliasMove]:
        """One page of the alias's moves, the newest first.

        Example:
            for move in client.aliases.moves("production").items:
                print(move.at, move.to_artifact_id, move.reason)
        """
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[AliasMove], "GET", object_path("aliases", name, "moves"), params=params)

    def promote(self, name: str, asked: Promotion) -> ModelAlias:
        """Let the alias stand for an artifact. Raises Conflict where the evidence does not carry it.

        Example:
            asked = Promotion(artifact_id=artifact_id, baseline=baseline, candidate=candidate)
            alias = client.aliases.promote("staging", asked)
        """
        return self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "promote"), asked)

    def undo(self, name: str, move_id: str | None = None, reason: str | None = None) -> ModelAlias:
        """Take the newest move back; with `move_id`, only if it is that one.

        Example:
            client.aliases.undo("production", reason="slower than it should be")
        """
        asked = Undo(move_id=move_id, reason=reason)
        return self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "undo"), asked)
