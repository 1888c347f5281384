"""Hub data sets: a split's files are found by name, fetched once, and had again without a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.hub_set import split_files
from tests.data_fixtures import as_jsonl, as_parquet
from tuneyard.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
COMMIT = "a" * 40
READ = """
import sys
from tasks.dataset import read_dataset
from tuneyard.errors import BadInput
try:
    data = read_dataset(sys.argv[1])
    print(data.uri, [(row.turns[1].text, row.line) for row in data.rows], data.sha256)
except BadInput as error:
    print(error)
"""


@contextmanager
def stand_in_hub(files: dict[str, bytes]) -> Iterator[str]:
    """The URL of a hub that holds one data set, nobody/numbers; the two answers that reading one takes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path.startswith("/api/datasets/nobody/numbers"):
                siblings = [{"rfilename": name} for name in files]
                body = json.dumps({"id": "nobody/numbers", "sha": COMMIT, "siblings": siblings}).encode()
                return self.answer(200, body, {"Content-Type": "application/json"})
            name = path.rpartition("/resolve/main/")[2]
            if name not in files or "/nobody/numbers/" not in path:
                return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            etag = sha1(files[name]).hexdigest()
            return self.answer(200, files[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        do_HEAD = do_GET  # noqa: N815

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def read(name: str, home: Path, **environment: str) -> str:
    """What a process of its own (the hub's client reads its settings when it is imported) says of the data set."""
    settings = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-W", "error", "-c", READ, name]
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=True).stdout


def test_a_split_is_fetched_from_the_hub_and_had_again_without_it(tmp_path: Path) -> None:
    first, second = ([{"prompt": "a", "completion": str(at)}] for at in (1, 2))
    files = {
        "README.md": b"# Numbers",
        "data/train-00000-of-00002.parquet": as_parquet(first),
        "data/train-00001-of-00002.parquet": as_parquet(second),
        "data/test-00000-of-00001.parquet": as_parquet([{"prompt": "a", "completion": "3"}]),
    }
    with stand_in_hub(files) as url:
        said = read("nobody/numbers", tmp_path, HF_ENDPOINT=url)
        assert said.startswith("nobody/numbers [('1', 1), ('2', 2)] ")  # rows are counted through its files
        assert "('3', 1)" in read("nobody/numbers:test", tmp_path, HF_ENDPOINT=url)
        refused = read("nobody/letters", tmp_path, HF_ENDPOINT=url)
        assert "there is no such file here, and the hub has no such data set" in refused
    assert read("nobody/numbers", tmp_path, HF_HUB_OFFLINE="1") == said


def test_without_a_hub_it_says_what_to_do(tmp_path: Path) -> None:
    said = read("nobody/numbers", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("nobody/numbers: there is no such file here, the hub cannot be reached")
    assert "Give a local file or a URL instead" in said


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        (["train.jsonl", "test.jsonl", "README.md"], "train", ["train.jsonl"]),
        (["train.jsonl", "test.jsonl"], "test", ["test.jsonl"]),
        (
            ["data/train-0.parquet", "data/train-1.parquet"],
            "train",
            ["data/train-0.parquet", "data/train-1.parquet"],
        ),
        (["rows.csv", "README.md"], "train", ["rows.csv"]),
        (["training_notes.txt", "train.csv.gz"], "train", ["train.csv.gz"]),
    ],
)
def test_a_splits_files_are_those_with_its_name(names: list[str], split: str, chosen: list[str]) -> None:
    assert split_files("a/b", names, split) == chosen


@pytest.mark.parametrize(
    ("names", "split", "words"),
    [
        (["test.jsonl"], "train", "no data file in it is its 'train'"),
        (
            ["a.jsonl", "b.jsonl"],
            "train",
            "no data file in it is its 'train'; name one file as hf://datasets/a/b/FILE",
        ),
        (["en/train.csv", "de/train.csv"], "train", "several sets of files are its 'train'"),
        (["train.csv", "train.parquet"], "train", "several sets of files"),
        (["model.bin"], "train", "of: none"),
    ],
)
def test_a_split_that_is_not_one_set_of_files_is_refused(names: list[str], split: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        split_files("a/b", names, split)


def test_rows_of_several_files_keep_their_numbers_where_one_is_bad(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": "b"}]
    files = {"train-0.jsonl": as_jsonl(rows) + b"{\n" + as_jsonl(rows), "train-1.jsonl": b'{"prompt": "a"}\n'}
    with stand_in_hub(files) as url:
        said = read("nobody/numbers", tmp_path, HF_ENDPOINT=url)
        assert "[('b', 1), ('b', 3)]" in said
