"""What is kept: data sets, and the models and reports that jobs made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tuneyard.addresses import object_path
from tuneyard.async_transfers import (
    AsyncDownload,
    AsyncFileContent,
    Progress,
    digest_of,
    flush_names,
)
from tuneyard.async_wire import AsyncWire
from tuneyard.errors import BadInput
from tuneyard.shapes import Artifact, ArtifactTree, Dataset, KeptFile, NewArtifact, NewDataset, Page
from tuneyard.staging import gathering

FILES_A_PAGE = 1000
Files = list[KeptFile]


def _tell_sum(told: Progress, before: int, total: int, here: int) -> None:
    told(before + here, total)


def _silent(_here: int, _in_all: int) -> None:
    pass


async def _holds(folder: Path, files: Files) -> bool:
    """Whether a folder is those files, byte for byte, and no more."""
    known = {file.path: file.sha256 for file in files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return there == known.keys() and not [
        path for path in there if await digest_of(folder / path) != known[path]
    ]


async def _is_there(folder: Path, files: Files) -> bool:
    """Whether the folder holds the files already. Raises BadInput where it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if folder.is_dir() and await _holds(folder, files):
        return True
    raise BadInput("it is there already and holds something else", file=str(folder))


def _publish(part: Path, files: Files, folder: Path) -> None:
    """Give the folder its name, without what an earlier download of something else left in it."""
    wanted = {part / file.path for file in files}
    for path in part.rglob("*"):
        if path.is_dir():
            flush_names(path)
        elif path not in wanted:
            path.unlink()
    flush_names(part)
    part.replace(folder)
    flush_names(folder.absolute().parent)


class AsyncDatasets:
    """Data sets, known by name, place and digest."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewDataset) -> Dataset:
        """Record a data set; the same name, uri and sha256 again answers the one that is there.

        Example:
            new = NewDataset(name="dates", uri="s3://bucket/rows.jsonl", sha256="0" * 64, rows=400)
            dataset = await client.datasets.create(new)
        """
        return await self._wire.ask(Dataset, "POST", "/api/v1/datasets", new)

    async def list(self, limit: int = 50, offset: int = 0, *, name: str | None = None) -> Page[Dataset]:
        """One page, the newest first; with `name`, of that one's versions.

        Example:
            for dataset in (await client.datasets.list(name="dates")).items:
                print(dataset.id, dataset.version, dataset.rows)
        """
        params = {"limit": limit, "offset": offset, "name": name}
        return await self._wire.ask(Page[Dataset], "GET", "/api/v1/datasets", params=params)

    async def get(self, dataset_id: str) -> Dataset:
        """One data set.

        Example:
            print((await client.datasets.get(dataset_id)).file_name)
        """
        return await self._wire.ask(Dataset, "GET", object_path("datasets", dataset_id))

    async def delete(self, dataset_id: str) -> None:
        """For good; one that a job still needs is refused.

        Example:
            await client.datasets.delete(dataset_id)
        """
        await self._wire.tell("DELETE", object_path("datasets", dataset_id))

    async def upload(self, path: Path | str, name: str | None = None) -> Dataset:
        """Keep a file as the next version of a data set; the same content again answers the one that is there.

        Args:
            path: Its name's ending says what is in it: .jsonl, .csv, .parquet, …, also packed.
            name: Default: the file's, without endings.

        Raises:
            BadInput: There is no such file.

        Example:
            dataset = await client.datasets.upload("rows.jsonl", name="dates")
            config = FinetuneConfig(model="org/base", dataset=f"dataset:{dataset.id}")
        """
        path = Path(path)
        if not path.is_file():
            raise BadInput("there is no such file", file=str(path))
        params = {"file_name": path.name, "name": name}
        content, size = AsyncFileContent(path), path.stat().st_size
        return await self._wire.send_file(Dataset, "/api/v1/datasets/$upload", content, size, params)

    async def download(self, dataset_id: str, path: Path | str, progress: Progress | None = None) -> Path:
        """Bring an uploaded data set into a file, whole and checked by SHA-256, or not at all; where the file is.

        Args:
            path: The file, replaced if it is there; or a folder that is there.

        Raises:
            BadInput: It was recorded, not uploaded.
            Damaged: What came has another digest than was recorded.

        Example:
            path = await client.datasets.download(dataset_id, "copy.jsonl")
        """
        found, told = await self.get(dataset_id), progress or _silent
        if found.file_name is None or found.size_bytes is None:
            raise BadInput(f"the data set {found.id} was recorded, not uploaded: it lies on {found.uri}")
        path = Path(path)
        path = path / Path(found.file_name).name if path.is_dir() else path
        source, size = object_path("datasets", found.id, "$download"), found.size_bytes
        wanted = AsyncDownload(self._wire, source, {}, size, found.sha256)
        with gathering(path, folder=False) as part:
            await wanted.into(part, partial(_tell_sum, told, 0, size))
            part.replace(path)
        flush_names(path.absolute().parent)
        return path


class AsyncArtifacts:
    """Models and reports that jobs made."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewArtifact) -> Artifact:
        """Record an artifact; with a job token it is recorded as that job's.

        Example:
            new = NewArtifact(name="dates", uri="/models/dates", size_bytes=1)
            artifact = await client.artifacts.create(new)
        """
        return await self._wire.ask(Artifact, "POST", "/api/v1/artifacts", new, as_job=True)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[Artifact]:
        """One page, the newest first; `limit` is at most 100.

        Example:
            for artifact in (await client.artifacts.list(limit=10)).items:
                print(artifact.id, artifact.kind, artifact.name)
        """
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[Artifact], "GET", "/api/v1/artifacts", params=params)

    async def get(self, artifact_id: str) -> Artifact:
        """What was recorded of one.

        Example:
            print((await client.artifacts.get(artifact_id)).base_model)
        """
        return await self._wire.ask(Artifact, "GET", object_path("artifacts", artifact_id))

    async def delete(self, artifact_id: str) -> None:
        """Delete one that no alias stands for and nothing was made from, and its files where the API keeps them.

        Example:
            await client.artifacts.delete(artifact_id)
        """
        await self._wire.tell("DELETE", object_path("artifacts", artifact_id))

    async def tree(self, artifact_id: str, *, root: bool = False) -> ArtifactTree:
        """The artifact and all that was made from it; with `root`, from its oldest ancestor.

        Example:
            tree = await client.artifacts.tree(artifact_id, root=True)
            print(tree.name, [child.name for child in tree.children])
        """
        path = object_path("artifacts", artifact_id, "$tree")
        return await self._wire.ask(ArtifactTree, "GET", path, params={"root": "true" if root else None})

    async def files(self, artifact_id: str) -> Files:
        """What was recorded of each of its files, by path.

        Example:
            print({file.path: file.sha256 for file in await client.artifacts.files(artifact_id)})
        """
        path = object_path("artifacts", artifact_id, "files")
        found: Files = []
        while True:
            params = {"limit": FILES_A_PAGE, "offset": len(found)}
            page = await self._wire.ask(Page[KeptFile], "GET", path, params=params)
            found += page.items
            if not page.items or len(found) >= page.total:
                return found

    async def download(self, artifact_id: str, folder: Path | str, progress: Progress | None = None) -> Path:
        """Bring the artifact's files into a folder that is there whole or not at all, each checked by SHA-256.

        What came before the connection broke, or this program ended, lies in `<folder>.part` and is not asked
        for again. A folder that holds the very files is left as it is.

        Raises:
            BadInput: The folder is there and holds something else, or the artifact has no files.
            Damaged: What came has another digest than was recorded.

        Example:
            folder = await client.artifacts.download(artifact_id, "model")
        """
        files, folder, told = await self.files(artifact_id), Path(folder), progress or _silent
        if not files:
            raise BadInput(f"no files were recorded with {artifact_id}: there is nothing to download")
        if await _is_there(folder, files):
            return folder
        total, had = sum(file.size_bytes for file in files), 0
        with gathering(folder, folder=True) as part:
            for file in files:
                await self._bring(artifact_id, file, part / file.path, partial(_tell_sum, told, had, total))
                had += file.size_bytes
            if await _is_there(folder, files):  # by another program, meanwhile
                shutil.rmtree(part)
            else:
                _publish(part, files, folder)
        return folder

    async def _bring(self, artifact_id: str, file: KeptFile, to: Path, told: Callable[[int], None]) -> None:
        source = object_path("artifacts", artifact_id, "$download")
        wanted = AsyncDownload(self._wire, source, {"path": file.path}, file.size_bytes, file.sha256)
        await wanted.into(to, told)
