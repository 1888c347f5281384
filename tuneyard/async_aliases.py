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
        """One page, by name."""
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[ModelAlias], "GET", "/api/v1/aliases", params=params)

    async def get(self, name: str) -> ModelAlias:
        return await self._wire.ask(ModelAlias, "GET", object_path("aliases", name))

    async def moves(self, name: str, limit: int = 50, offset: int = 0) -> Page[AliasMove]:
        """One page of the alias's moves, the newest first."""
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(
            Page[AliasMove], "GET", object_path("aliases", name, "moves"), params=params
        )

    async def promote(self, name: str, asked: Promotion) -> ModelAlias:
        """Let the alias stand for an artifact. Raises Conflict where the evidence does not carry it."""
        return await self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "promote"), asked)

    async def undo(self, name: str, move_id: str | None = None, reason: str | None = None) -> ModelAlias:
        """Take the newest move back; with `move_id`, only if it is that one."""
        asked = Undo(move_id=move_id, reason=reason)
        return await self._wire.ask(ModelAlias, "POST", object_path("aliases", name, "undo"), asked)
