"""The pages of docs/ as programs: their blocks, their commands, and a shell that does them one after another."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
from markdown_it import MarkdownIt

from deployments.local_stack import REPOSITORY
from deployments.processes import end_all

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
LEAVING = 15.0
READER = MarkdownIt().enable("table")


@dataclass(frozen=True)
class Block:
    page: str
    kind: str
    text: str

    @property
    def commands(self) -> list[str]:
        """One a line; a line that ends with a backslash goes on."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    for token in READER.parse(page.read_text()):
        if token.type == "fence":
            yield Block(str(page.relative_to(REPOSITORY)), token.info.strip(), token.content)


def spans(page: Path) -> Iterator[str]:
    """What stands `like this` in a page's prose."""
    for token in READER.parse(page.read_text()):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def without_comment(command: str) -> str:
    return re.sub(r"\s#\s.*$", "", command).strip()


class Shell:
    """A bash that a page is typed into, line by line."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            text=True,
        )

    def __call__(self, command: str) -> tuple[int, str]:
        """Its exit code, and all that was said since the command before it."""
        mark = uuid4().hex
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null; code=$?; echo; echo {mark} $code\n")
        self._bash.stdin.flush()
        said = []
        for line in self._bash.stdout:
            if line.startswith(mark):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(said)}")

    def close(self) -> None:
        """With whatever it has left running in the background, and what that has started."""
        end_all([*psutil.Process(self._bash.pid).children(recursive=True)], LEAVING)
        self._bash.kill()
        self._bash.communicate()
