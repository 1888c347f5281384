"""A data set is uploaded once, whole or not at all, under versions that no two share, and given back as it was."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from api.access.permissions import SCOPES
from api.uploads import STALE_SECONDS, Incoming
from tests.api_fixtures import UNLIMITED, Office, Settings, served
from tests.kept_fixtures import digest

UPLOAD = "/api/v1/datasets/$upload"
ROWS = b'{"prompt": "a"}\n\n  \r\n{"prompt": "b"}\n{"prompt": "c"}'


def send(
    office: Office, content: Any, file_name: str = "rows.jsonl", name: str | None = None, key: str = ""
) -> httpx.Response:
    params = {"file_name": file_name} | ({"name": name} if name else {})
    return office.call("POST", UPLOAD, key or office.key("training"), content=content, params=params)


def kept(office: Office) -> list[str]:
    """What lies on the disk for the workspace."""
    folder = office.served.app.state.settings.datasets / str(office.workspace_id)
    return sorted(path.name for path in folder.iterdir())


def download(office: Office, dataset_id: str, **headers: str) -> httpx.Response:
    where = f"/api/v1/datasets/{dataset_id}/$download"
    return office.call("GET", where, office.key("worker"), headers=headers)


def test_what_is_uploaded_comes_back_as_it_was(any_office: Office) -> None:
    made = send(any_office, ROWS, name="dates")
    assert made.status_code == 201, made.text
    body = made.json()
    expected = {"name": "dates", "uri": f"dataset:{body['id']}", "sha256": digest(ROWS), "rows": 3}
    expected |= {"version": 1, "file_name": "rows.jsonl", "size_bytes": len(ROWS)}
    assert {name: body[name] for name in expected} == expected
    assert kept(any_office) == [f"{digest(ROWS)}.jsonl"]
    whole, part = download(any_office, body["id"]), download(any_office, body["id"], Range="bytes=5-")
    assert (whole.status_code, whole.content, part.status_code, part.content) == (200, ROWS, 206, ROWS[5:])
    assert whole.headers["ETag"] == f'"{digest(ROWS)}"'
    behind = download(any_office, body["id"], Range="bytes=1000-")
    assert (behind.status_code, behind.headers["Content-Range"]) == (416, f"bytes */{len(ROWS)}")


def test_each_content_of_a_name_is_a_version(any_office: Office) -> None:
    first, second = send(any_office, b"1\n", name="n").json(), send(any_office, b"2\n", name="n").json()
    again, other = send(any_office, b"1\n", name="n"), send(any_office, b"1\n", name="m").json()
    assert (first["version"], second["version"], other["version"]) == (1, 2, 1)
    assert (again.status_code, again.json()) == (200, first)
    assert other["id"] != first["id"]
    key = any_office.key("training")
    listed = any_office.call("GET", "/api/v1/datasets?name=n", key).json()
    assert [one["version"] for one in listed["items"]] == [2, 1]
    assert any_office.call("GET", "/api/v1/datasets?name=none", key).json()["total"] == 0


def test_two_at_once_never_make_the_same_version(any_office: Office) -> None:
    key = any_office.key("training")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: send(any_office, f"{n % 8}\n".encode(), name="n", key=key), range(16)))
    assert {answer.status_code for answer in made} <= {200, 201}
    versions = {answer.json()["id"]: answer.json()["version"] for answer in made}
    assert sorted(versions.values()) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("file_name", "content", "rows", "ending"),
    [
        ("a.csv", b"x,y\n1,2\n", 2, ".csv"),
        ("A.TXT", b"one\n\ntwo", 2, ".txt"),
        ("a.b.JSONL.GZ", gzip.compress(b"{}\n"), 0, ".jsonl.gz"),
        ("a.json", b"[]", 0, ".json"),
        ("a.parquet", b"PAR1", 0, ".parquet"),
        ("é ü.md.zst", b"x", 0, ".md.zst"),
    ],
)
def test_its_ending_says_what_is_in_it(
    office: Office, file_name: str, content: bytes, rows: int, ending: str
) -> None:
    made = send(office, content, file_name)
    assert (made.status_code, made.json()["rows"]) == (201, rows)
    assert made.json()["name"] == file_name[: -len(ending)]
    assert kept(office) == [digest(content) + ending]
    assert download(office, made.json()["id"]).content == content


@pytest.mark.parametrize(
    "file_name", ["", "rows", "rows.exe", "rows.gz", ".jsonl", "../a.jsonl", "a/b.csv", "a\\b.csv", "a\n.csv"]
)
def test_another_ending_is_refused_by_name(office: Office, file_name: str) -> None:
    answer = send(office, b"{}", file_name)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file_name")


def test_lines_are_counted_however_the_bytes_arrive(tmp_path: Path) -> None:
    for cut in range(len(ROWS)):
        file = Incoming(tmp_path, "jsonl")
        file.write(ROWS[:cut])
        file.write(ROWS[cut:])
        file.publish(".jsonl")
        assert file.rows == 3


def test_an_empty_one_leaves_nothing(office: Office) -> None:
    answer = send(office, b"")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
    assert kept(office) == []


def delete(office: Office, dataset_id: str) -> int:
    return office.call("DELETE", f"/api/v1/datasets/{dataset_id}", office.key("training")).status_code


def test_a_deleted_one_leaves_its_file_to_whoever_has_the_same(any_office: Office) -> None:
    first, other = (send(any_office, ROWS, name=name).json()["id"] for name in "ab")
    assert delete(any_office, first) == 204
    assert (delete(any_office, first), download(any_office, first).status_code) == (404, 404)
    assert download(any_office, other).content == ROWS
    assert delete(any_office, other) == 204
    assert kept(any_office) == []
    again = send(any_office, ROWS, name="a")
    assert (again.status_code, download(any_office, again.json()["id"]).content) == (201, ROWS)
    new = {"name": "d", "uri": "/d.jsonl", "sha256": digest(ROWS), "rows": 3}
    recorded = any_office.call("POST", "/api/v1/datasets", any_office.key("training"), json=new).json()["id"]
    assert (delete(any_office, recorded), len(kept(any_office))) == (204, 1)


def test_what_a_job_still_needs_is_not_deleted(any_office: Office) -> None:
    made = send(any_office, ROWS).json()
    job_id = any_office.new_job(config={"finetune": {"dataset": made["uri"]}})
    refused = any_office.call("DELETE", f"/api/v1/datasets/{made['id']}", any_office.key("training"))
    assert (refused.status_code, job_id in refused.json()["detail"]) == (409, True)
    any_office.end(job_id, any_office.key("worker"), "failed")
    assert delete(any_office, made["id"]) == 204


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Office]:
    """An API that takes 8 MiB."""
    limit: Any = "8MiB"
    settings = Settings(tuneyard_home=tmp_path, tuneyard_upload_limit=limit, **UNLIMITED)
    with served(settings) as running:
        found = Office(running)
        yield found
        found.http.close()


def test_more_than_the_limit_is_refused_and_leaves_nothing(small: Office) -> None:
    most = 8 * 2**20
    assert send(small, bytes(most)).status_code == 201
    before = kept(small)
    for content in (bytes(most + 1), iter([bytes(2**20)] * 9)):
        answer = send(small, content)
        assert (answer.status_code, "TUNEYARD_UPLOAD_LIMIT" in answer.json()["detail"]) == (413, True)
    assert kept(small) == before


def test_a_full_disk_is_told_and_leaves_nothing(small: Office) -> None:
    """As full as a limit on the size of files makes it."""
    key = small.key("training")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 2**20 + 100, before[1]))
    try:
        answer = send(small, bytes(7 * 2**20), key=key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (answer.status_code, answer.json()["title"]) == (507, "Insufficient Storage")
    assert kept(small) == []
    assert small.call("GET", "/api/v1/datasets", key).json()["total"] == 0


def test_an_upload_that_breaks_off_leaves_nothing(office: Office) -> None:
    where = urlsplit(office.served.url)
    head = f"POST {UPLOAD}?file_name=a.txt HTTP/1.1\r\nHost: x\r\nX-API-Key: {office.key('training')}\r\n"
    with socket.create_connection((where.hostname or "", where.port or 0)) as line:
        line.sendall(f"{head}Content-Length: 3000000\r\n\r\n".encode() + bytes(2_000_000))
        _until(lambda: _exists(office) and len(kept(office)) == 1)
    _until(lambda: not kept(office))
    assert office.call("GET", "/api/v1/datasets", office.key("training")).json()["total"] == 0


def _exists(office: Office) -> bool:
    folder: Path = office.served.app.state.settings.datasets / str(office.workspace_id)
    return folder.is_dir()


def _until(true: Any) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_killed_server_left_is_swept(tmp_path: Path) -> None:
    old, new = Incoming(tmp_path, None), Incoming(tmp_path, None)
    past = time.time() - STALE_SECONDS - 60
    [first, _] = sorted(tmp_path.iterdir(), key=lambda path: path.name != old._staging.name)
    os.utime(first, (past, past))
    Incoming(tmp_path, None).drop()
    assert [path.name for path in tmp_path.iterdir()] == [new._staging.name]
    old.drop()
    new.drop()


def test_one_that_was_only_recorded_cannot_be_downloaded(office: Office) -> None:
    new = {"name": "rows", "uri": "/x", "sha256": "a" * 64, "rows": 4}
    made = office.call("POST", "/api/v1/datasets", office.key("training"), json=new).json()
    assert (made["version"], made["file_name"]) == (1, None)
    answer = download(office, made["id"])
    assert (answer.status_code, "recorded, not uploaded" in answer.json()["detail"]) == (409, True)
    assert send(office, b"x", "rows.txt").json()["version"] == 2


def test_one_that_is_gone_from_the_disk_is_told(office: Office) -> None:
    made = send(office, ROWS).json()
    folder = office.served.app.state.settings.datasets / str(office.workspace_id)
    (folder / f"{digest(ROWS)}.jsonl").unlink()
    assert download(office, made["id"]).status_code == 409
    assert send(office, ROWS).status_code == 200  # which also heals it
    assert download(office, made["id"]).content == ROWS


def test_a_worker_s_key_downloads_what_runs_need() -> None:
    assert {"datasets:read", "artifacts:read"} <= SCOPES["worker"]


def test_uploads_do_not_keep_others_waiting(office: Office) -> None:
    """The server answers while a slow client is still sending."""
    begun, done = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"a\n"
        begun.set()
        done.wait(20)
        yield uuid4().bytes

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, office, slowly(), "a.txt")
        assert begun.wait(20)
        assert office.call("GET", "/health").status_code == 200
        done.set()
        assert sending.result().status_code == 201
