"""The SDK's transfers: gone on with after any break, checked by digest, published whole; and the commands for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.kept_fixtures import CONTENT, WEIGHTS, Shelf, digest, kept_files
from tests.kept_fixtures import shelf as shelf
from tests.sdk_fixtures import KEY, NOW, URL, Make, page, problem
from tests.sdk_fixtures import make as make
from tuneyard import Client, errors


def read(folder: Path) -> dict[str, bytes]:
    there = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in there}


class Breaking(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A content whose connection breaks after some bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Any:
        yield self.content
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> Any:
        yield self.content
        raise httpx.ReadError("connection reset")


class Store:
    """Gives out files, and breaks off after so many bytes for each entry of `breaks`."""

    def __init__(self, content: dict[str, bytes], breaks: list[int] | None = None) -> None:
        self.content = content
        self.recorded = kept_files(content)
        self.breaks = breaks or []
        self.ranges: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert KEY not in str(request.url)
        if request.url.path.endswith("/files"):
            return httpx.Response(200, json=page(self.recorded, len(self.recorded), 1000, 0))
        content = self.content[request.url.params["path"]]
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        status = 206 if asked else 200
        if self.breaks:
            return httpx.Response(status, stream=Breaking(content[start : start + self.breaks.pop(0)]))
        return httpx.Response(status, content=content[start:])


def test_a_broken_connection_is_gone_on_with(make: Make, tmp_path: Path) -> None:
    store, told = Store({"w": WEIGHTS}, breaks=[1000, 0, 500_000]), list[tuple[int, int]]()
    ask = make(store, patience=5.0)
    found = ask(lambda c: c.artifacts.download("a1", tmp_path / "m", lambda n, of: told.append((n, of))))
    assert (found, read(found)) == (tmp_path / "m", {"w": WEIGHTS})
    assert store.ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=501000-"]
    assert told[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_an_ended_program_had_is_not_asked_for_again(make: Make, tmp_path: Path) -> None:
    store = Store(CONTENT, breaks=[1000])
    with pytest.raises(errors.Unreachable, match="connection reset"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    assert not (tmp_path / "m").exists()
    store.ranges.clear()
    make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    assert read(tmp_path / "m") == CONTENT
    assert store.ranges == ["bytes=1000-", None, None]  # an empty file is not asked for at all


def test_leftovers_of_another_download_do_no_harm(make: Make, tmp_path: Path) -> None:
    (tmp_path / "m.part").mkdir()
    (tmp_path / "m.part" / "w").write_bytes(b"x" * 100)
    (tmp_path / "m.part" / "other").write_bytes(b"x")
    make(Store({"w": WEIGHTS}))(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    assert read(tmp_path / "m") == {"w": WEIGHTS}


def test_a_wrong_digest_is_refused_and_nothing_published(make: Make, tmp_path: Path) -> None:
    store = Store({"w": WEIGHTS})
    store.content = {"w": WEIGHTS[:-1] + b"!"}
    with pytest.raises(errors.Damaged, match="w came with another SHA-256"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    store.content = {"w": WEIGHTS + b"!"}
    with pytest.raises(errors.Damaged, match="more than"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    assert not (tmp_path / "m").exists()


def test_a_folder_that_holds_it_is_left_and_another_refused(make: Make, tmp_path: Path) -> None:
    store = Store(CONTENT)
    for _ in range(2):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    assert len(store.ranges) == 3
    (tmp_path / "m" / "more").touch()
    with pytest.raises(errors.BadInput, match="holds something else"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))


def test_a_server_does_not_choose_where_files_go(make: Make, tmp_path: Path) -> None:
    store = Store({"../w": WEIGHTS})
    with pytest.raises(errors.ApiError, match="path inside a folder"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))
    store = Store({})
    with pytest.raises(errors.BadInput, match="no files"):
        make(store)(lambda c: c.artifacts.download("a1", tmp_path / "m"))


def test_two_programs_that_download_the_same_do_not_mix(tmp_path: Path) -> None:
    """The second finds the first in the middle of it, and fills another place."""
    store = Store({"w": WEIGHTS})
    second: list[Path] = []

    def meanwhile(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("$download") and not second:
            with Client(URL, KEY, transport=httpx.MockTransport(store)) as other:
                second.append(other.artifacts.download("a1", tmp_path / "m"))
        return store(request)

    with Client(URL, KEY, transport=httpx.MockTransport(meanwhile), patience=0) as first:
        assert first.artifacts.download("a1", tmp_path / "m") == second[0]
    assert read(second[0]) == {"w": WEIGHTS}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_upload_is_sent_again_as_a_whole(make: Make, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(WEIGHTS)
    got: list[tuple[bytes, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append((request.content, request.headers.get("Content-Length")))
        assert dict(request.url.params) == {"file_name": "rows.jsonl", "name": "n"}
        if len(got) == 1:
            return problem(503)
        made = {"id": "d1", "name": "n", "uri": "dataset:d1", "sha256": "0" * 64, "rows": 1}
        return httpx.Response(201, json=made | {"created_at": NOW})

    made = make(answer, patience=5.0)(lambda c: c.datasets.upload(tmp_path / "rows.jsonl", "n"))
    assert made.uri == "dataset:d1"
    assert got == [(WEIGHTS, str(len(WEIGHTS)))] * 2
    with pytest.raises(errors.BadInput, match="no such file"):
        make(answer)(lambda c: c.datasets.upload(tmp_path / "none.jsonl"))


def test_all_of_it_against_the_real_api(shelf: Shelf, tmp_path: Path) -> None:
    base = shelf.keep(kind="base")
    adapter = shelf.keep({"a": b"1"}, kind="adapter", parent_id=base)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"{}\n" * 500_000)
    with Client(shelf.office.served.url, shelf.worker) as client:
        tree = client.artifacts.tree(adapter, root=True)
        assert (tree.id, [one.id for one in tree.children]) == (base, [adapter])
        assert client.artifacts.tree(adapter).children == []
        assert read(client.artifacts.download(base, tmp_path / "m")) == CONTENT
        made = client.datasets.upload(rows)
        assert (made.name, made.rows, made.size_bytes) == ("rows", 500_000, 1_500_000)
        back = client.datasets.download(made.id, tmp_path / "back.jsonl")
        assert back.read_bytes() == rows.read_bytes()
        (tmp_path / "in").mkdir()
        assert client.datasets.download(made.id, tmp_path / "in").name == "rows.jsonl"
        assert [one.id for one in client.datasets.list(name="rows").items] == [made.id]
        (shelf.place / "x").mkdir(exist_ok=True)
        with pytest.raises(errors.Conflict, match="not where"):
            client.artifacts.download(shelf.record("/elsewhere"), tmp_path / "n")


def test_models_are_looked_at_and_downloaded(terminal: Terminal, tmp_path: Path) -> None:
    shelf = Shelf(terminal.office)
    base = shelf.keep(kind="base", name="base")
    adapter = shelf.keep({"a": b"1"}, kind="adapter", parent_id=base, base_model="org/base")
    terminal.use(shelf.worker)
    listed = terminal.well("models", "list").out.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [[adapter, "adapter", "1"], [base, "base", "0"]]
    shown = terminal.well("models", "show", base).out
    assert digest(WEIGHTS) in shown
    assert "tokenizer/vocab.txt" in shown
    assert json.loads(terminal.well("models", "show", base, "--json").out)["level"] == 0
    tree = terminal.well("models", "tree", adapter).out.splitlines()
    assert [line.split("  ")[0] or line.split("  ")[1] for line in tree] == [base, adapter]
    assert json.loads(terminal.well("models", "tree", base, "--json").out)["children"][0]["id"] == adapter
    said = terminal.well("models", "download", base, "--to", str(tmp_path / "m"))
    assert said.out == f"{tmp_path / 'm'}\n"
    assert "Downloading" in said.err
    assert read(tmp_path / "m") == CONTENT
    assert terminal("models", "download", "none", "--to", str(tmp_path / "n")).code == 5


def test_data_sets_are_uploaded_and_come_back(terminal: Terminal, tmp_path: Path) -> None:
    terminal.use(terminal.office.key("training"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}\n')
    said = terminal.well("datasets", "upload", str(rows), "--name", "dates")
    assert said.out.startswith("dataset:")
    assert "dates version 1, 1 rows" in said.err
    made = json.loads(terminal.well("datasets", "upload", str(rows), "--name", "dates", "--json").out)
    assert made["uri"] == said.out.strip()
    assert "dates" in terminal.well("datasets", "list", "--name", "dates").out
    assert "rows.jsonl" in terminal.well("datasets", "show", made["id"]).out
    got = terminal.well("datasets", "download", made["id"], "--to", str(tmp_path / "back.jsonl"))
    assert (got.out, (tmp_path / "back.jsonl").read_bytes()) == (
        f"{tmp_path / 'back.jsonl'}\n",
        rows.read_bytes(),
    )
    assert terminal("datasets", "upload", str(tmp_path / "none.jsonl")).code == 2
    nowhere = terminal("datasets", "download", made["id"], "--to", "/proc/none")
    assert (nowhere.code, nowhere.err.count("Traceback")) == (2, 0)
    assert terminal.well("datasets", "delete", made["id"]).out == f"{made['id']}  deleted\n"
    assert terminal("datasets", "delete", made["id"]).code == 5


def test_each_command_shows_how_it_is_called(terminal: Terminal) -> None:
    for group, commands in (
        ("models", "list show tree download"),
        ("datasets", "list show upload download delete"),
    ):
        for command in ("", *commands.split()):
            said = terminal.well(group, *command.split(), "--help")
            assert f"Example: tuneyard {group} {command}".strip() in said.out
