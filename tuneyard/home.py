"""Where tuneyard keeps what it keeps on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`TUNEYARD_HOME`, or `~/.tuneyard`; made, readable by its owner alone, if it is not there."""
    folder = Path(os.environ.get("TUNEYARD_HOME") or Path.home() / ".tuneyard").expanduser().absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
