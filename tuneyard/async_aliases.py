"""The client's part about aliases."""

from __future__ import annotations

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.batch_shapes import AliasMove, ModelAlias, Promotion, Undo
from tuneyard.shapes import Page


class AsyncAliases:
    """Names that stand for models, and move on evidence alone."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def list(self, limit: int = 50, offset: int = 0) -> Page[ModelAlias]:
        """One page, by name.

        Example:
            for alias in (await client.aliases.list()).items:
                print(alias.name, alias.artifact_id)
        """
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[ModelAlias], "GET", "/api/v1/aliases", params=params)

    async def get(self, name: str) -> ModelAlias:
        """The model that a name stands for.

        Example:
            print((await client.aliases.get("production")).artifact_id)
        """
        return await self._wire.ask(ModelAlias, "GET", object_path("aliases", name))

    async def moves(self, name: str, limit: int = 50, offset: int = 0) -> Page[AliasMove]:
        """One page of the alias's moves, the newest first.

        Example:
            for move in (await client.aliases.moves("production")).items:
                print(move.at, move.to_artifact_id, move.reason)
        """
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(
            Page[AliasMove], "GET", object_path("aliases", name, "moves"), params=params
        )

    async def promote(self, name: str, asked: Promotion) -> ModelAlias:
        """Let the alias stand for an artifact. Raises Conflict where the evidence does not carry it.

        Example:
            asked = Promotion(artifact_id=artifact_id, baseline=baseline, candidate=candidate)
            alias = await client.aliases.promote("staging", asked)
        """
        return await self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "promote"), asked)

    async def undo(self, name: str, move_id: str | None = None, reason: str | None = None) -> ModelAlias:
        """Take the newest move back; with `move_id`, only if it is that one.

        Example:
            await client.aliases.undo("production", reason="slower than it should be")
        """
        asked = Undo(move_id=move_id, reason=reason)
        return await self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "undo"), asked)
