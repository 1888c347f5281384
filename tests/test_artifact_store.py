"""What a job made is downloaded byte for byte, in parts if need be, from the one place where it may lie."""

from __future__ import annotations

import io
import logging
import os
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from api.byte_ranges import NoSuchPart, part_asked
from api.kept_place import Place, Source
from api.tar_layout import length, part_of, tar_of
from tests.api_fixtures import UNLIMITED, Office, Settings, served
from tests.kept_fixtures import ARTIFACTS, CONTENT, WEIGHTS, Shelf, digest, kept_files
from tests.kept_fixtures import shelf as shelf
from tuneyard.errors import BadInput

SHA = "0" * 64


def test_its_files_are_recorded_and_listed_by_path(shelf: Shelf) -> None:
    made = shelf.keep()
    read = shelf.office.call("GET", f"{ARTIFACTS}/{made}/files", shelf.worker).json()
    assert read["items"] == sorted(kept_files(CONTENT), key=lambda file: str(file["path"]))
    second = shelf.office.call("GET", f"{ARTIFACTS}/{made}/files?limit=1&offset=2", shelf.worker).json()
    assert (second["items"], second["total"]) == (read["items"][2:3], 4)
    assert "files" not in shelf.office.call("GET", f"{ARTIFACTS}/{made}", shelf.worker).json()


@pytest.mark.parametrize(
    "path",
    ["/a", "../a", "a/../b", "a/..", "a//b", "a/", "", ".", "./a", "a\\b", "a\nb", "C:/a", "a" * 1025],
)
def test_a_path_out_of_its_folder_is_refused_by_name(shelf: Shelf, path: str) -> None:
    files = [*kept_files({"fine/..a": b""}), {"path": path, "size_bytes": 0, "sha256": SHA}]
    body = {"name": "n", "uri": "/x", "size_bytes": 0, "files": files}
    answer = shelf.office.call("POST", ARTIFACTS, shelf.worker, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "files.1.path")


@pytest.mark.parametrize(
    ("paths", "size", "field"),
    [(["a", "a"], 2, "files"), (["a/b", "a"], 2, "files"), (["a", "b"], 3, "size_bytes")],
)
def test_files_that_cannot_be_so_are_refused_by_name(
    shelf: Shelf, paths: list[str], size: int, field: str
) -> None:
    files = [{"path": path, "size_bytes": 1, "sha256": SHA} for path in paths]
    body = {"name": "n", "uri": "/x", "size_bytes": size, "files": files}
    answer = shelf.office.call("POST", ARTIFACTS, shelf.worker, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_a_line_of_artifacts_is_a_tree(any_office: Office) -> None:
    worker = any_office.key("worker")

    def make(name: str, parent: str | None) -> dict[str, Any]:
        new = {"name": name, "uri": "/x", "size_bytes": 1, "parent_id": parent}
        made: dict[str, Any] = any_office.call("POST", ARTIFACTS, worker, json=new).json()
        return made

    base = make("base", None)
    left, right = make("left", base["id"]), make("right", base["id"])
    merged = make("merged", left["id"])
    assert [one["level"] for one in (base, left, right, merged)] == [0, 1, 1, 2]
    assert any_office.call("GET", f"{ARTIFACTS}/{merged['id']}", worker).json() == merged
    listed = any_office.call("GET", ARTIFACTS, worker).json()["items"]
    assert [one["level"] for one in listed] == [2, 1, 1, 0]
    of_left = left | {"children": [merged | {"children": []}]}
    whole = base | {"children": [of_left, right | {"children": []}]}
    for artifact, query, tree in (
        (base, "", whole),
        (left, "", of_left),
        (merged, "?root=true", whole),
        (base, "?root=true", whole),
    ):
        answer = any_office.call("GET", f"{ARTIFACTS}/{artifact['id']}/$tree{query}", worker)
        assert answer.json() == tree


def test_a_deep_tree_takes_as_few_questions_as_a_flat_one(office: Office) -> None:
    worker, parent = office.key("worker"), None
    for number in range(51):
        new = {"name": f"n{number}", "uri": "/x", "size_bytes": 1, "parent_id": parent}
        parent = office.call("POST", ARTIFACTS, worker, json=new).json()["id"]
    new = {"name": "too deep", "uri": "/x", "size_bytes": 1, "parent_id": parent}
    assert office.call("POST", ARTIFACTS, worker, json=new).status_code == 409
    asked: list[str] = []
    engine = office.served.database.engine
    event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    tree = office.call("GET", f"{ARTIFACTS}/{parent}/$tree?root=true", worker).json()
    assert len([one for one in asked if "artifact" in one]) <= 5
    names = [tree["name"]]
    while tree["children"]:
        [tree] = tree["children"]
        names.append(tree["name"])
    assert (names, tree["level"]) == ([f"n{number}" for number in range(51)], 50)


def test_a_file_comes_whole_or_in_part(shelf: Shelf) -> None:
    made, size = shelf.keep(), len(WEIGHTS)
    whole = shelf.download(made, "model.safetensors")
    assert (whole.status_code, whole.content) == (200, WEIGHTS)
    etag = f'"{digest(WEIGHTS)}"'
    told = [whole.headers[name] for name in ("Accept-Ranges", "ETag", "Content-Length", "Content-Type")]
    assert told == ["bytes", etag, str(size), "application/octet-stream"]
    assert whole.headers["Content-Disposition"].startswith('attachment; filename="model.safetensors"')
    for asked, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=10-{size * 2}", 10, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        part = shelf.download(made, "model.safetensors", Range=asked)
        assert (part.status_code, part.content) == (206, WEIGHTS[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["Content-Length"] == str(stop - start)
    for asked in ("bytes=0-1,3-4", "rows=1-2", "bytes=-", "bytes=5-4", "bytes=x-"):
        assert shelf.download(made, "model.safetensors", Range=asked).status_code == 200
    for asked in (f"bytes={size}-", "bytes=-0"):
        behind = shelf.download(made, "model.safetensors", Range=asked)
        assert (behind.status_code, behind.headers["Content-Range"]) == (416, f"bytes */{size}")
    had = shelf.download(made, "model.safetensors", Range="bytes=5-", If_Range=etag)
    other = shelf.download(made, "model.safetensors", Range="bytes=5-", If_Range='"other"')
    assert (had.status_code, other.status_code) == (206, 200)


def test_its_head_says_the_same_without_the_file(shelf: Shelf) -> None:
    where = f"{ARTIFACTS}/{shelf.keep()}/$download?path=model.safetensors"
    head = shelf.office.call("HEAD", where, shelf.worker)
    got = shelf.office.call("GET", where, shelf.worker)
    for name in ("Content-Length", "ETag", "Accept-Ranges", "Content-Disposition", "Content-Type"):
        assert head.headers[name] == got.headers[name]
    assert (head.status_code, head.content) == (200, b"")


def test_without_a_path_comes_the_only_file_or_a_tar(shelf: Shelf) -> None:
    one = shelf.keep({"report.md": b"fine"})
    assert shelf.download(one).content == b"fine"
    long = "é" * 90 + "/" + "x" * 150
    content = CONTENT | {long: b"deep"}
    first, again = shelf.keep(content), shelf.keep(content)
    answer = shelf.download(first)
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert 'filename="dates.tar"' in answer.headers["Content-Disposition"]
    other = shelf.download(again)
    assert (other.content, other.headers["ETag"]) == (answer.content, answer.headers["ETag"])
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        got = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    assert got == content
    part = shelf.download(first, Range="bytes=700-", If_Range=answer.headers["ETag"])
    assert (part.status_code, part.content) == (206, answer.content[700:])


def test_what_is_not_recorded_is_not_there(shelf: Shelf) -> None:
    folder = shelf.folder()
    (folder / "secret").write_text("s")
    made = shelf.record(folder)
    for path in ("secret", "../x", "/etc/passwd", "nothing"):
        assert shelf.download(made, path).status_code == 404
    empty = shelf.record(shelf.folder({}), {})
    assert shelf.download(empty).status_code == 409


def test_only_the_artifacts_place_is_opened(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"secret")
    shelf.place.mkdir(exist_ok=True)
    link = shelf.place / "link"
    link.symlink_to(tmp_path)
    shelf.made.append(link)
    beside = shelf.place.with_name("artifacts-not")
    folders = (
        tmp_path,
        f"file://{tmp_path}",
        f"{shelf.place}/../..{tmp_path}",
        link,
        shelf.place,
        beside,
        "artifacts/x",
        "",
        "memory://x",
        f"simplecache::file://{shelf.place}/x",
        "http://127.0.0.1:1/x",
    )
    for folder in folders:
        answer = shelf.download(shelf.record(folder, {"f": b"secret"}))
        assert (answer.status_code, "not where this API keeps artifacts" in answer.text) == (409, True), (
            folder
        )
    link.unlink()


def test_a_link_out_of_the_folder_is_not_followed(shelf: Shelf) -> None:
    other, folder = shelf.folder({"f": b"secret"}), shelf.folder({"real": b"secret"})
    (folder / "f").symlink_to(other / "f")
    (folder / "g").symlink_to("real")
    answer = shelf.download(shelf.record(folder, {"f": b"secret"}))
    assert (answer.status_code, answer.json()["detail"][:2]) == (409, "f ")
    assert shelf.download(shelf.record(folder, {"g": b"secret"})).content == b"secret"


def test_another_workspace_s_jobs_folder_is_not_read(shelf: Shelf) -> None:
    theirs = Office(shelf.office.served)
    job = theirs.new_job()
    folder = shelf.folder({"f": b"secret"}, name=job)
    assert shelf.download(shelf.record(folder, {"f": b"secret"})).status_code == 409
    mine = Shelf(theirs)
    assert mine.download(mine.record(folder, {"f": b"secret"})).content == b"secret"
    theirs.http.close()


def test_a_file_that_is_not_as_recorded_is_named_before_a_byte_is_sent(shelf: Shelf) -> None:
    for change in ("gone", "shorter", "folder", "pipe"):
        folder = shelf.folder()
        made = shelf.record(folder)
        config = folder / "config.json"
        config.unlink()
        if change == "shorter":
            config.write_bytes(b"{")
        if change == "folder":
            config.mkdir()
        if change == "pipe":
            os.mkfifo(config)
        for path in (None, "config.json"):
            answer = shelf.download(made, path)
            assert (answer.status_code, answer.json()["detail"][:12]) == (409, "config.json ")
        assert shelf.download(made, "model.safetensors").status_code == 200


def test_a_file_that_shrinks_breaks_the_transfer(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    large = 64 * 2**20
    folder = shelf.folder({"f": b""})
    os.truncate(folder / "f", large)
    files = [{"path": "f", "size_bytes": large, "sha256": SHA}]
    made = shelf.record(folder, {"f": b""}, files=files, size_bytes=large)
    caplog.set_level(logging.CRITICAL)
    where, headers = f"{ARTIFACTS}/{made}/$download", {"X-API-Key": shelf.worker}
    got = 0
    with shelf.office.http.stream("GET", where, headers=headers) as answer:
        assert answer.headers["Content-Length"] == str(large)
        content = answer.iter_bytes()
        got += len(next(content))
        os.truncate(folder / "f", large // 2)
        with pytest.raises(httpx.RemoteProtocolError):
            got += sum(map(len, content))
    assert got <= large // 2


def test_a_place_may_be_any_url(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name, content in {"j/a": b"first", "j/b": b"second", "k": b"other", "../k": b"up"}.items():
        memory.pipe(f"/yard/{name}", content)
    settings = Settings(tuneyard_home=tmp_path, tuneyard_artifacts="memory://yard", **UNLIMITED)
    with served(settings) as running:
        office = Office(running)
        shelf = Shelf(office)
        made = shelf.record("memory://yard/j", {"a": b"first", "b": b"second"})
        assert shelf.download(made, "a", Range="bytes=1-2").content == b"ir"
        with tarfile.open(fileobj=io.BytesIO(shelf.download(made).content)) as tar:
            assert tar.getnames() == ["a", "b"]
        for uri in ("memory://yardx/j", "memory://yard", "memory://yard/j/..", "memory://other/j", "/yard/j"):
            answer = shelf.download(shelf.record(uri, {"a": b"first"}))
            assert (answer.status_code, "not where" in answer.text) == (409, True), uri
        memory.rm("/yard/j/b")
        gone = shelf.download(made)
        assert (gone.status_code, gone.json()["detail"][:2]) == (409, "b ")
        office.http.close()


def test_a_place_that_cannot_be_opened_is_told_at_the_start() -> None:
    with pytest.raises(BadInput, match="TUNEYARD_ARTIFACTS"):
        Place("nonsense://x")


@given(st.data())
def test_any_part_of_a_tar_is_that_part_of_the_whole(data: st.DataObject) -> None:
    memory = fsspec.filesystem("memory")
    names = data.draw(st.lists(st.text("aé/", min_size=1, max_size=200), unique=True, max_size=4))
    sizes = [data.draw(st.sampled_from([0, 1, 511, 512, 513, 2000])) for _ in names]
    sources = []
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        memory.pipe(f"/{number}", bytes([number + 1]) * size)
        sources.append(Source(memory, f"/{number}", name, size))
    pieces = tar_of(sources)
    whole = b"".join(part_of(pieces, 0, sum(map(length, pieces))))
    assert len(whole) == sum(map(length, pieces))
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    assert b"".join(part_of(pieces, start, stop)) == whole[start:stop]
    assert b"".join(part_of(tar_of(sources[::-1]), 0, len(whole))) == whole
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert sorted(tar.getmembers()[i].size for i in range(len(names))) == sorted(sizes)


@given(st.text("bytes=0123456789-, x", max_size=12) | st.from_regex(r"bytes=\d{0,6}-\d{0,6}", fullmatch=True))
def test_a_part_lies_within_its_file(header: str) -> None:
    for size in (0, 1, 1000):
        try:
            part = part_asked(header, size)
        except NoSuchPart:
            continue
        if part is not None:
            assert 0 <= part[0] < part[1] <= size
