# Generated from async_models.py by `python -m tests.unasync --write`; do not edit.
"""The client's part about models: artifacts under the names that configs know them by."""

from __future__ import annotations

from pathlib import Path

from tuneyard.aliases import Aliases
from tuneyard.errors import BadInput
from tuneyard.kept import Artifacts
from tuneyard.shapes import Artifact, ArtifactTree, KeptFile
from tuneyard.transfers import Progress
from tuneyard.wire import Wire

Files = list[KeptFile]


class Models(Artifacts):
    """Models and adapters that jobs made. `model` is an id, or as a config has it: `artifact:ID`, `alias:NAME`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.aliases = Aliases(wire)

    def id_of(self, model: str) -> str:
        """The id that it stands for now.

        Raises:
            BadInput: An alias that stands for none.

        Example:
            print(client.models.id_of("alias:production"))
        """
        kind, colon, name = model.partition(":")
        if kind == "artifact" and colon:
            return name
        if kind != "alias" or not colon:
            return model
        found = self.aliases.get(name).artifact_id
        if found is None:
            raise BadInput(f"the alias {name} stands for no model", field="model")
        return found

    def get(self, model: str) -> Artifact:
        """What was recorded of it.

        Example:
            model = client.models.get("alias:production")
            print(model.name, model.base_model)
        """
        return super().get(self.id_of(model))

    def tree(self, model: str, *, root: bool = False) -> ArtifactTree:
        """It and all that was made from it; with `root`, from its oldest ancestor.

        Example:
            tree = client.models.tree(artifact_id, root=True)
        """
        return super().tree(self.id_of(model), root=root)

    def files(self, model: str) -> Files:
        """What was recorded of each of its files, by path.

        Example:
            print(sum(file.size_bytes for file in client.models.files(artifact_id)))
        """
        return super().files(self.id_of(model))

    def download(self, model: str, folder: Path | str, progress: Progress | None = None) -> Path:
        """Bring it into a folder that is there whole or not at all, as `artifacts.download` does.

        Example:
            folder = client.models.download(f"artifact:{artifact_id}", "model")
        """
        return super().download(self.id_of(model), folder, progress)
