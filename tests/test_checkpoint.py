"""A checkpoint or model under its final name is whole; old ones go only when a newer one is there."""

from __future__ import annotations

from pathlib import Path

from tasks.checkpoint import checkpoints, clear_staging, keep_checkpoint, newest_checkpoint
from tasks.durable import folder_sha256, publish, staging_beside


def staged(folder: Path, step: int) -> Path:
    path = clear_staging(folder) / f"checkpoint-{step}"
    path.mkdir()
    (path / "optimizer.pt").write_text(str(step))
    return path


def test_what_a_killed_writer_left_is_not_a_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    staged(tmp_path, 5)
    (tmp_path / "checkpoint-x").mkdir()
    assert newest_checkpoint(tmp_path) is None


def test_the_newest_is_the_highest_step_and_only_so_many_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        keep_checkpoint(staged(tmp_path, step), tmp_path, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-100"]
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert (newest / "optimizer.pt").read_text() == "100"


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
