"""Configs that the API keeps: made, listed, changed, and what may stand in one."""

from __future__ import annotations

from typing import Any

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.identifiers import fresh_id
from tuneyard.shapes import ConfigKind, KeptConfig, NewConfig, Page


class AsyncConfigs:
    """Configs that are kept, to ask for work with again and again."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewConfig) -> KeptConfig:
        """Keep one; a request whose answer was lost is repeated as the same config.

        Example:
            data = FinetuneConfig(model="org/base", dataset="rows.jsonl")
            kept = await client.configs.create(NewFinetuneConfig(name="nightly", data=data))
        """
        body = new.model_copy(update={"id": new.id or fresh_id()})
        return await self._wire.ask(KeptConfig, "POST", "/api/v1/configs", body)

    async def list(
        self, kind: ConfigKind | None = None, tag: str | None = None, limit: int = 50, offset: int = 0
    ) -> Page[KeptConfig]:
        """One page, newest first; `limit` is at most 100.

        Example:
            for kept in (await client.configs.list(kind="finetune", tag="nightly")).items:
                print(kept.id, kept.name)
        """
        params = {"kind": kind, "tag": tag, "limit": limit, "offset": offset}
        return await self._wire.ask(Page[KeptConfig], "GET", "/api/v1/configs", params=params)

    async def get(self, config_id: str) -> KeptConfig:
        """One, with its `data` as it was given.

        Example:
            print((await client.configs.get(config_id)).data)
        """
        return await self._wire.ask(KeptConfig, "GET", object_path("configs", config_id))

    async def replace(self, config_id: str, new: NewConfig) -> KeptConfig:
        """All of it anew.

        Example:
            data = FinetuneConfig(model="org/base", dataset="rows.jsonl", epochs=3)
            await client.configs.replace(config_id, NewFinetuneConfig(name="nightly", data=data))
        """
        return await self._wire.ask(KeptConfig, "PUT", object_path("configs", config_id), new)

    async def delete(self, config_id: str) -> None:
        """Keep it no longer; what was started with it stays.

        Example:
            await client.configs.delete(config_id)
        """
        await self._wire.tell("DELETE", object_path("configs", config_id))

    async def schema(self, kind: ConfigKind = "finetune") -> dict[str, Any]:
        """JSON Schema of a kind's `data`, with every field's description and default.

        Example:
            print(sorted((await client.configs.schema("finetune"))["properties"]))
        """
        path = "/api/v1/configs/$schema"
        return await self._wire.ask(dict[str, Any], "GET", path, params={"kind": kind})
