"""A round of the collector in a process of its own: `python -m tests.collecting <folder> <CollectConfig>`.

It says the moment of each reading, one a line.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tasks.collector import collect
from tests.card_fixtures import ROOT
from tuneyard import Client
from tuneyard.configs import CollectConfig


class Collector:
    """The process, and the moments of its readings as it says them."""

    def __init__(self, folder: Path, config: CollectConfig, environment: Mapping[str, str]) -> None:
        words = [sys.executable, "-m", "tests.collecting", str(folder), config.model_dump_json()]
        self.process = subprocess.Popen(
            words, env=dict(environment), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.moments: list[datetime] = []

    def wait(self, readings: int) -> datetime:
        """Wait for so many more; the last one's moment."""
        assert self.process.stdout
        for _ in range(readings):
            self.moments.append(datetime.fromisoformat(self.process.stdout.readline().strip()))
        return self.moments[-1]

    def rest(self) -> list[datetime]:
        """All moments, once it has ended in good order."""
        assert self.process.stdout
        self.moments += [datetime.fromisoformat(line.strip()) for line in self.process.stdout]
        assert self.process.wait() == 0
        return self.moments


@contextmanager
def ended_after() -> Iterator[list[Collector]]:
    """A list; the processes in it do not outlive the test."""
    started: list[Collector] = []
    try:
        yield started
    finally:
        for one in started:
            one.process.kill()
            one.process.communicate()


def main() -> None:
    config = CollectConfig.model_validate_json(sys.argv[2])
    with Client.from_env() as client:
        collect(
            client,
            config,
            Path(sys.argv[1]),
            warn=lambda words: print(words, file=sys.stderr),
            show=lambda reading: print(reading.taken_at.isoformat(), flush=True),
        )


if __name__ == "__main__":
    main()
