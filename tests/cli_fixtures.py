"""A terminal and a real API for the CLI's tests."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.api_fixtures import Office
from tests.sdk_fixtures import config_home as config_home
from tests.unasync import ROOT
from tuneyard import cli

# A terminal sends Ctrl-C only to a process whose controlling terminal it is.
_AT_ITS_OWN_TERMINAL = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from tuneyard.cli import main; main()"
)


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Terminal:
    """Types commands; what stands in the environment and in the store is this test's alone."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.office = office
        self.ada = f"ada-{uuid4().hex[:8]}"  # a person's name is one of its kind over all workspaces
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("TUNEYARD_API_URL", office.served.url)

    def __call__(self, *words: str, stdin: str | bytes = b"") -> Said:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = cli.run(words)
        return Said(code, *self._capsys.readouterr())

    def well(self, *words: str, stdin: str | bytes = b"") -> Said:
        """The same, and it must succeed."""
        said = self(*words, stdin=stdin)
        assert said.code == 0, said
        return said

    def use(self, key: str | None) -> None:
        """Put a key in the environment, or none."""
        if key is None:
            self._monkeypatch.delenv("TUNEYARD_API_KEY", raising=False)
        else:
            self._monkeypatch.setenv("TUNEYARD_API_KEY", key)

    def log_in(self, *scopes: str) -> str:
        """Log in with a new key that holds the scopes."""
        key = self.office.key(*scopes)
        self.well("auth", "login", stdin=key)
        return key

    def at_screen(self, *words: str, answers: dict[str, str]) -> tuple[int, str]:
        """Run in a child process on a terminal of its own; answer each prompt. Exit code and screen."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", _AT_ITS_OWN_TERMINAL, *words]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with subprocess.Popen(command, **streams, cwd=ROOT, start_new_session=True) as child:  # type: ignore[call-overload]
            os.close(theirs)
            screen = _conversation(ours, dict(answers))
            code: int = child.wait()
        os.close(ours)
        return code, screen


def _conversation(terminal: int, answers: dict[str, str]) -> str:
    """Read until the other end closes; type each answer once its prompt stands there."""
    screen, read_to = "", 0
    while True:
        try:
            screen += os.read(terminal, 65536).decode()
        except OSError:  # EIO: the other end has been closed
            return screen
        for prompt in [one for one in answers if one in screen[read_to:]][:1]:
            read_to = len(screen)
            os.write(terminal, answers.pop(prompt).encode())


@pytest.fixture
def terminal(
    office: Office,
    config_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    return Terminal(office, monkeypatch, capsys)
