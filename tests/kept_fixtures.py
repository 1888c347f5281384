"""A folder that is kept as an artifact: on the API's disk, and in its record."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api_fixtures import Office

ARTIFACTS = "/api/v1/artifacts"
WEIGHTS = bytes(range(256)) * 5000 + b"end"
CONTENT = {"model.safetensors": WEIGHTS, "config.json": b"{}", "tokenizer/vocab.txt": b"a\nb\n", "empty": b""}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept_files(content: dict[str, bytes]) -> list[dict[str, Any]]:
    return [{"path": n, "size_bytes": len(c), "sha256": digest(c)} for n, c in content.items()]


class Shelf:
    """Keeps folders where the API looks for artifacts."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.place = Path(office.served.app.state.settings.artifacts)
        self.worker = office.key("worker")
        self.made: list[Path] = []

    def folder(self, content: dict[str, bytes] | None = None, name: str | None = None) -> Path:
        folder = self.place / (name or uuid4().hex)
        self.made.append(folder)
        for path, content_of in (CONTENT if content is None else content).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content_of)
        return folder

    def record(self, uri: Path | str, content: dict[str, bytes] | None = None, **more: Any) -> str:
        content = CONTENT if content is None else content
        new = {"name": "dates", "uri": str(uri), "size_bytes": sum(map(len, content.values()))}
        answer = self.office.call(
            "POST", ARTIFACTS, self.worker, json=new | {"files": kept_files(content)} | more
        )
        assert answer.status_code == 201, answer.text
        artifact_id: str = answer.json()["id"]
        return artifact_id

    def keep(self, content: dict[str, bytes] | None = None, **more: Any) -> str:
        """A folder that lies there and is recorded."""
        return self.record(self.folder(content), content, **more)

    def download(self, artifact_id: str, path: str | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        query = {"params": {"path": path}} if path else {}
        where = f"{ARTIFACTS}/{artifact_id}/$download"
        return self.office.call("GET", where, self.worker, headers=named, **query)


@pytest.fixture
def shelf(office: Office) -> Iterator[Shelf]:
    found = Shelf(office)
    yield found
    for folder in found.made:
        shutil.rmtree(folder, ignore_errors=True)
