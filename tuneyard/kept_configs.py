# Generated from async_kept_configs.py by `python -m tests.unasync --write`; do not edit.
"""Configs that the API keeps: made, listed, changed, and what may stand in one."""

from __future__ import annotations

from typing import Any

from tuneyard.addresses import object_path
from tuneyard.identifiers import fresh_id
from tuneyard.shapes import ConfigKind, KeptConfig, NewConfig, Page
from tuneyard.wire import Wire


class Configs:
    """Configs that are kept, to ask for work with again and again."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewConfig) -> KeptConfig:
        """Keep one; a request whose answer was lost is repeated as the same config.

        Example:
            data = FinetuneConfig(model="org/base", dataset="rows.jsonl")
            kept = client.configs.create(NewFinetuneConfig(name="nightly", data=data))
        """
        body = new.model_copy(update={"id": new.id or fresh_id()})
        return self._wire.ask(KeptConfig, "POST", "/api/v1/configs", body)

    def list(
        self, kind: ConfigKind | None = None, tag: str | None = None, limit: int = 50, offset: int = 0
    ) -> Page[KeptConfig]:
        """One page, newest first; `limit` is at most 100.

        Example:
            for kept in client.configs.list(kind="finetune", tag="nightly").items:
                print(kept.id, kept.name)
        """
        params = {"kind": kind, "tag": tag, "limit": limit, "offset": offset}
        return self._wire.ask(Page[KeptConfig], "GET", "/api/v1/configs", params=params)

    def get(self, config_id: str) -> KeptConfig:
        """One, with its `data` as it was given.

        Example:
            print(client.configs.get(config_id).data)
        """
        return self._wire.ask(KeptConfig, "GET", object_path("configs", config_id))

    def replace(self, config_id: str, new: NewConfig) -> KeptConfig:
        """All of it anew.

        Example:
            data = FinetuneConfig(model="org/base", dataset="rows.jsonl", epochs=3)
            client.configs.replace(config_id, NewFinetuneConfig(name="nightly", data=data))
        """
        return self._wire.ask(KeptConfig, "PUT", object_path("configs", config_id), new)

    def delete(self, config_id: str) -> None:
        """Keep it no longer; what was started with it stays.

        Example:
            client.configs.delete(config_id)
        """
        self._wire.tell("DELETE", object_path("configs", config_id))

    def schema(self, kind: ConfigKind = "finetune") -> dict[str, Any]:
        """JSON Schema of a kind's `data`, with every field's description and default.

        Example:
            print(sorted(client.configs.schema("finetune")["properties"]))
        """
        path = "/api/v1/configs/$schema"
        return self._wire.ask(dict[str, Any], "GET", path, params={"kind": kind})
