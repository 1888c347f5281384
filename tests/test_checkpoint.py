"""A checkpoint or model under its final name is whole; old ones go only when a newer one is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.checkpoint import checkpoints, clear_staging, go_back, keep_checkpoint, newest_whole
from tasks.durable import folder_sha256, publish, staging_beside
from tuneyard.errors import BadInput


def staged(folder: Path, step: int, *, random_state: bool = True) -> Path:
    path = clear_staging(folder) / f"checkpoint-{step}"
    path.mkdir()
    (path / "optimizer.pt").write_text(str(step))
    if random_state:
        (path / "rng_state.pth").write_text("state")
    return path


def kept(folder: Path, *steps: int) -> None:
    for step in steps:
        keep_checkpoint(staged(folder, step), folder, keep=9)


def test_what_a_killed_writer_left_is_not_a_checkpoint(tmp_path: Path) -> None:
    said: list[str] = []
    assert newest_whole(tmp_path / "none", said.append) is None
    staged(tmp_path, 5)
    (tmp_path / "checkpoint-x").mkdir()
    assert newest_whole(tmp_path, said.append) is None
    assert said == []


def test_the_newest_is_the_highest_step_and_only_so_many_are_kept_and_the_best(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        keep_checkpoint(staged(tmp_path, step), tmp_path, keep=2, best=8)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "checkpoint-8",
        "checkpoint-10",
        "checkpoint-100",
    ]
    newest = newest_whole(tmp_path, print)
    assert newest is not None
    assert (newest / "optimizer.pt").read_text() == "100"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("optimizer.pt", "7", "optimizer.pt is not what was written"),
        ("optimizer.pt", None, "optimizer.pt is missing"),
        ("manifest.json", None, "it has no manifest.json"),
        ("manifest.json", "{", "its manifest.json cannot be read"),
    ],
)
def test_a_checkpoint_that_is_not_what_was_written_gives_way_to_the_one_before_it(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    kept(tmp_path, 4, 8)
    file = tmp_path / "checkpoint-8" / name
    file.unlink() if content is None else file.write_text(content)
    said: list[str] = []
    assert newest_whole(tmp_path, said.append) == tmp_path / "checkpoint-4"
    assert said == [
        f"checkpoint-8 is not used: {words}. It lies in refused-checkpoint-8; taking the one before it"
    ]
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-4"]


def test_a_checkpoint_without_the_state_of_the_random_numbers_is_not_used(tmp_path: Path) -> None:
    kept(tmp_path, 4)
    keep_checkpoint(staged(tmp_path, 8, random_state=False), tmp_path, keep=9)
    assert newest_whole(tmp_path, print) == tmp_path / "checkpoint-4"


def test_a_run_that_goes_back_begins_at_the_checkpoint_it_was_told(tmp_path: Path) -> None:
    kept(tmp_path, 10, 20, 30)
    for _ in range(2):  # told again, after a crash say, it is the same
        go_back(tmp_path, "checkpoint-10", print)
        newest = newest_whole(tmp_path, print)
        assert newest is not None
        assert newest.name == "checkpoint-10"
    assert (tmp_path / "passed-checkpoint-30").is_dir()


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    kept(tmp_path, 10, 20)
    with pytest.raises(BadInput, match="checkpoint-10, checkpoint-20"):
        go_back(tmp_path, "checkpoint-15", print)
    assert len(checkpoints(tmp_path)) == 2


def test_a_published_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "model"
    for content in ("old", "new"):
        staging = staging_beside(final)
        (staging / "weights").write_text(content)
        publish(staging, final)
    assert (final / "weights").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folders_digest_hangs_on_names_and_contents_alone(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / "one" / name).write_text(name)
    for name in ("a", "b"):
        (tmp_path / "two" / name).write_text(name)
        (tmp_path / "other" / name).write_text("ab".replace(name, ""))
    assert folder_sha256(tmp_path / "one") == folder_sha256(tmp_path / "two")
    assert folder_sha256(tmp_path / "one")[1] == 2
    assert folder_sha256(tmp_path / "one")[0] != folder_sha256(tmp_path / "other")[0]
