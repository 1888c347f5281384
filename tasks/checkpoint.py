"""Checkpoints that a killed run can trust: under its final name a checkpoint is whole."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tasks.durable import publish

NAME = re.compile(r"checkpoint-(\d+)")
STAGING = ".staging"


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest step first."""
    if not folder.exists():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def newest_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint of the highest step, if there is any."""
    found = checkpoints(folder)
    return found[-1] if found else None


def clear_staging(folder: Path) -> Path:
    """An empty folder to write the next checkpoint in; what a killed writer left there is removed."""
    staging = folder / STAGING
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    return staging


def keep_checkpoint(staged: Path, folder: Path, keep: int) -> Path:
    """Publishes `staged` (named checkpoint-<step>) in `folder` and removes all but the `keep` newest.

    The old ones go only after the new one is on the disk.
    """
    final = folder / staged.name
    publish(staged, final)
    for old in checkpoints(folder)[:-keep]:
        doomed = folder / STAGING / old.name
        old.rename(doomed)  # a half-deleted checkpoint must not keep the name of a whole one
        shutil.rmtree(doomed)
    return final
