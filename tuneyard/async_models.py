"""The client's part about models: artifacts under the names that configs know them by."""

from __future__ import annotations

from pathlib import Path

from tuneyard.async_aliases import AsyncAliases
from tuneyard.async_kept import AsyncArtifacts
from tuneyard.async_transfers import Progress
from tuneyard.async_wire import AsyncWire
from tuneyard.errors import BadInput
from tuneyard.shapes import Artifact, ArtifactTree, KeptFile

Files = list[KeptFile]


class AsyncModels(AsyncArtifacts):
    """Models and adapters that jobs made. `model` is an id, or as a config has it: `artifact:ID`, `alias:NAME`."""

    def __init__(self, wire: AsyncWire) -> None:
        super().__init__(wire)
        self.aliases = AsyncAliases(wire)

    async def id_of(self, model: str) -> str:
        """The id that it stands for now.

        Raises:
            BadInput: An alias that stands for none.

        Example:
            print(await client.models.id_of("alias:production"))
        """
        kind, colon, name = model.partition(":")
        if kind == "artifact" and colon:
            return name
        if kind != "alias" or not colon:
            return model
        found = (await self.aliases.get(name)).artifact_id
        if found is None:
            raise BadInput(f"the alias {name} stands for no model", field="model")
        return found

    async def get(self, model: str) -> Artifact:
        """What was recorded of it.

        Example:
            model = await client.models.get("alias:production")
            print(model.name, model.base_model)
        """
        return await super().get(await self.id_of(model))

    async def tree(self, model: str, *, root: bool = False) -> ArtifactTree:
        """It and all that was made from it; with `root`, from its oldest ancestor.

        Example:
            tree = await client.models.tree(artifact_id, root=True)
        """
        return await super().tree(await self.id_of(model), root=root)

    async def files(self, model: str) -> Files:
        """What was recorded of each of its files, by path.

        Example:
            print(sum(file.size_bytes for file in await client.models.files(artifact_id)))
        """
        return await super().files(await self.id_of(model))

    async def download(self, model: str, folder: Path | str, progress: Progress | None = None) -> Path:
        """Bring it into a folder that is there whole or not at all, as `artifacts.download` does.

        Example:
            folder = await client.models.download(f"artifact:{artifact_id}", "model")
        """
        return await super().download(await self.id_of(model), folder, progress)
