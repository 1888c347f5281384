"""Make the sync client from the async one: `python -m tests.unasync --write`.

Each `tuneyard/async_*.py` gives the file without `async_`. Word for word: no syntax tree, so comments and
docstrings come along; ruff's formatter has the last word.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "tuneyard").glob("async_*.py"))
FIRST_LINE = "# Generated from {} by `python -m tests.unasync --write`; do not edit.\n"
DOCSTRING = '''"""The client.

    with Client('''

RULES = [
    (r'\A"""The client for asyncio\..*?async with AsyncClient\(', DOCSTRING),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\btuneyard\.async_(?=[a-z])", "tuneyard."),
    (r"\basync (?=def|for|with)", ""),
    (r"\(await ((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)(?=[.\[])", r"\1"),
    (r"\bawait ", ""),
    (r"\basyncio\.to_thread\(\s*([\w.]+)(?:,\s*)?", r"\1("),
    (r"\b__aiter__\b", "__iter__"),
    (r"\ba(read|iter_bytes)\b", r"\1"),
    (r"\b(?:import asyncio)\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\b", "close"),
]


def target(source: Path) -> Path:
    return source.with_name(source.name.removeprefix("async_"))


def made(source: Path) -> str:
    """The text that the file made from `source` should have: its imports in order, and formatted."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    text = FIRST_LINE.format(source.name) + text
    for words in (["check", "--quiet", "--select", "I", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(target(source)), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT)
        text = done.stdout
    return text


def stale() -> list[Path]:
    """The files that are not what their sources make."""
    return [one for one in SOURCES if target(one).read_text(encoding="utf-8") != made(one)]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        for one in SOURCES:
            target(one).write_text(made(one), encoding="utf-8")
    elif found := stale():
        sys.exit(f"not what they make: {', '.join(map(str, found))}: python -m tests.unasync --write")
