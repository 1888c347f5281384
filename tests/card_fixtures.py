"""A stand-in driver with cards that a test changes while processes run, and a job that leases them.

`python -m tests.card_fixtures <folder> <count> <job>` leases cards, says every wait reason and then the cards, one JSON
line each, and holds them until its stdin ends. A number on stdin asks whether their memory is back, and for how long
to wait for it. It has a child, as a flow has, which outlives it by three seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.lease import lease_cards
from tasks.release import released
from tuneyard.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
CHILD: Any = {"close_fds": False, "stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-{number:012}" for number in range(2))


def build_driver(folder: Path) -> Path:
    """Builds the stand-in library in `folder`, to be named in LD_LIBRARY_PATH."""
    source, library = ROOT / "tests" / "fake_nvml.c", folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)
    return folder


class Cards:
    """The cards that processes with `environment` see, from now on as last put."""

    def __init__(self, driver: Path, file: Path) -> None:
        self._file = file
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"},
            "LD_LIBRARY_PATH": str(driver),
            "FAKE_NVML_FILE": str(file),
        }

    def put(self, *lines: str) -> None:
        """One line a card: "<letter> <number> <MiB used> <percent busy> [<pid>:<MiB> ...]", and more (fake_nvml.c)."""
        new = self._file.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self._file)


class Claimant:
    """A process that leases cards and holds them."""

    def __init__(self, cards: Cards, folder: Path, count: int, job: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.card_fixtures", str(folder), str(count), job],
            env={**cards.environment, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> dict[str, Any]:
        """The next thing that it says: {"reason"}, {"uuids", "words", "environment", "child"}, {"refused", "field"} or
        {"seconds", "words"} of a release."""
        assert self.process.stdout
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def cards(self) -> list[str]:
        """The cards it gets, whatever it says before."""
        while "uuids" not in (said := self.said()):
            pass
        return list(said["uuids"])

    def waits(self, words: str) -> str:
        """Its first reason with these words in it."""
        while words not in str(reason := self.said()["reason"]):
            pass
        return reason

    def released(self, limit: float) -> dict[str, Any]:
        """Whether the memory of its cards is back within so many seconds."""
        assert self.process.stdin
        self.process.stdin.write(f"{limit}\n")
        self.process.stdin.flush()
        return self.said()

    def give_back(self) -> None:
        """Ends it in good order."""
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def ended_after() -> Iterator[list[Claimant]]:
    """A list; the processes in it do not outlive the test."""
    started: list[Claimant] = []
    try:
        yield started
    finally:
        for claimant in started:
            if claimant.process.returncode is None:
                claimant.kill()


def main() -> None:
    folder, count, job = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def tell(reason: str | None) -> None:
        if reason:
            print(json.dumps({"reason": reason}), flush=True)

    try:
        with lease_cards(count, folder, job=job, tell=tell, wait=lambda: time.sleep(0.05)) as lease:
            child = subprocess.Popen(["sh", "-c", "cat; sleep 3"], **CHILD)
            said = {"uuids": lease.uuids, "words": lease.words, "environment": lease.environment}
            print(json.dumps({**said, "child": child.pid}), flush=True)
            for limit in sys.stdin:
                print(json.dumps(asdict(released(lease, limit=float(limit), pause=0.02))), flush=True)
            child.kill()
            child.communicate()
    except BadInput as error:
        print(json.dumps({"refused": str(error), "field": error.field}), flush=True)


if __name__ == "__main__":
    main()
