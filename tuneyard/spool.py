"""Lines on disk that wait to be sent, and how far they have been.

Three files in one folder, for a spool called `metrics`: `metrics.jsonl` (one line an entry, only ever appended to),
`metrics.ack` (the byte offset up to which the server has the lines) and `metrics.rejected.jsonl` (the lines that it
will never take, and why). A line survives the death of the process once `append` has returned; it is not synced
against a loss of power.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

LARGEST_READ = 1 << 20


class Line(NamedTuple):
    """One whole line without its newline, and the byte offset after it."""

    text: bytes
    end: int


class Spool:
    def __init__(self, folder: Path, name: str) -> None:
        """Open the spool called `name` in `folder`, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        self.rejected = folder / f"{name}.rejected.jsonl"
        self._ack = folder / f"{name}.ack"
        self._file = self.path.open("ab", buffering=0)
        self._torn = _is_torn(self.path)
        self.acknowledged = self._read_ack()

    def append(self, text: bytes) -> None:
        """Add one line.

        Raises:
            OSError: It could not be written whole, the disk being full for example.
        """
        # A torn line, of a process killed while writing, is closed with a newline of its own and not cut off:
        # another process that is not dead yet may be appending too.
        data = (b"\n" if self._torn else b"") + text + b"\n"
        self._torn = True
        written = self._file.write(data)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes could be written to {self.path}")
        self._torn = False

    def waiting(self, most: int) -> list[Line]:
        """The oldest unacknowledged whole lines: at most `most`, and about a MiB."""
        lines: list[Line] = []
        end = self.acknowledged
        with self.path.open("rb") as file:
            file.seek(end)
            while len(lines) < most and end - self.acknowledged < LARGEST_READ:
                text = file.readline()
                if not text.endswith(b"\n"):
                    break
                end += len(text)
                lines.append(Line(text[:-1], end))
        return lines

    def acknowledge(self, end: int) -> None:
        """Note that everything before byte `end` is done with."""
        beside = self._ack.with_name(f"{self._ack.name}.{os.getpid()}")
        beside.write_text(f"{end}\n", encoding="ascii")
        beside.replace(self._ack)
        self.acknowledged = end

    def set_aside(self, text: bytes, reason: str) -> None:
        """Keep a line that will never be taken, with the reason."""
        entry = json.dumps(
            {"reason": reason, "line": text.decode("utf-8", errors="replace")}, ensure_ascii=False
        )
        with self.rejected.open("ab", buffering=0) as file:
            file.write(entry.encode() + b"\n")

    def count_waiting(self) -> int:
        """How many whole lines are not acknowledged."""
        return self._count(self.acknowledged)

    def count(self) -> int:
        """How many whole lines there are, the acknowledged ones too."""
        return self._count(0)

    def _count(self, start: int) -> int:
        count = 0
        with self.path.open("rb") as file:
            file.seek(start)
            while block := file.read(LARGEST_READ):
                count += block.count(b"\n")
        return count

    def close(self) -> None:
        self._file.close()

    def _read_ack(self) -> int:
        """The noted offset; 0 (all is sent again) where the note is missing, torn or not a line's end."""
        try:
            noted = int(self._ack.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0
        if noted <= 0:
            return 0
        with self.path.open("rb") as file:
            file.seek(noted - 1)
            return noted if file.read(1) == b"\n" else 0


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
