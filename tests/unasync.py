"""Make the sync client from the async one: `python -m tests.unasync --write`.

Word for word: no syntax tree, so comments and docstrings come along; ruff's formatter has the last word.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tuneyard" / "async_client.py"
TARGET = ROOT / "tuneyard" / "client.py"
FIRST_LINE = "# Generated from async_client.py by `python -m tests.unasync --write`; do not edit.\n"
DOCSTRING = '''"""The client.

    with Client('''

RULES = [
    (r'\A"""The client for asyncio\..*?async with AsyncClient\(', DOCSTRING),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basync (?=def|for|with)", ""),
    (r"\bawait ", ""),
    (r"\b(?:import asyncio)\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\b", "close"),
]


def made() -> str:
    """The text that `tuneyard/client.py` should have."""
    text = SOURCE.read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(
        command, input=FIRST_LINE + text, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        TARGET.write_text(made(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != made():
        sys.exit("tuneyard/client.py is not what async_client.py makes: python -m tests.unasync --write")
