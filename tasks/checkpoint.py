"""Checkpoints that a killed run can trust: under its final name a checkpoint is whole, and its manifest proves it.

The manifest holds every file's SHA-256 and is written last, so that a checkpoint whose bytes have changed since
(a torn disk, a hand that meant well) is told from one that has not.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tasks.durable import file_sha256, publish, write_json
from tuneyard.errors import BadInput

NAME = re.compile(r"checkpoint-(\d+)")
STAGING = ".staging"
MANIFEST = "manifest.json"
RANDOM_STATE = "rng_state*.pth"  # without it a run goes on, and to another end


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest step first."""
    if not folder.exists():
        return []
    return sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was made after."""
    return int(checkpoint.name.rpartition("-")[2])


def fault(checkpoint: Path) -> str | None:
    """Why a run must not go on from a checkpoint, in words; None where it may. Reads every byte of it."""
    if not (checkpoint / MANIFEST).exists():
        return f"it has no {MANIFEST}"
    try:
        written: dict[str, str] = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        return f"its {MANIFEST} cannot be read"
    for name, digest in written.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        if file_sha256(checkpoint / name) != digest:
            return f"{name} is not what was written"
    if not any(Path(name).match(RANDOM_STATE) for name in written):
        return "it has no state of the random numbers, without which the run would take another course"
    return None


def newest_whole(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The whole checkpoint of the highest step, if there is any.

    Those after it, which are not, get another name: they must not count among the newest that are kept.
    """
    for checkpoint in reversed(checkpoints(folder)):
        problem = fault(checkpoint)
        if problem is None:
            return checkpoint
        refused = checkpoint.with_name(f"refused-{checkpoint.name}")
        shutil.rmtree(refused, ignore_errors=True)
        checkpoint.rename(refused)
        say(f"{checkpoint.name} is not used: {problem}. It lies in {refused.name}; taking the one before it")
    return None


def go_back(folder: Path, name: str, say: Callable[[str], None]) -> None:
    """Make a checkpoint the newest: those after it get another name, and are used no more.

    Raises:
        BadInput: There is none of that name; says which there are.
    """
    there = checkpoints(folder)
    asked = next((path for path in there if path.name == name), None)
    if asked is None:
        names = ", ".join(path.name for path in there) or "none"
        raise BadInput(f"there is no {name} in {folder}: there are {names}", field="checkpoint")
    for later in there[there.index(asked) + 1 :]:
        passed = later.with_name(f"passed-{later.name}")
        shutil.rmtree(passed, ignore_errors=True)
        later.rename(passed)
        say(f"Beginning at {name}: {later.name} lies in {passed.name} now")


def clear_staging(folder: Path) -> Path:
    """An empty folder to write the next checkpoint in; what a killed writer left there is removed."""
    staging = folder / STAGING
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    return staging


def keep_checkpoint(staged: Path, folder: Path, keep: int, best: int | None = None) -> Path:
    """Publishes `staged` (named checkpoint-<step>) in `folder` with its manifest, and removes older ones.

    The `keep` newest stay, and that of step `best`; the others go only after the new one is on the disk.
    """
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    digests = {path.relative_to(staged).as_posix(): file_sha256(path) for path in files}
    write_json(staged / MANIFEST, {"sha256": digests})
    final = folder / staged.name
    publish(staged, final)
    for old in checkpoints(folder)[:-keep]:
        if step_of(old) == best:
            continue
        doomed = folder / STAGING / old.name
        old.rename(doomed)  # a half-deleted checkpoint must not keep the name of a whole one
        shutil.rmtree(doomed)
    return final
