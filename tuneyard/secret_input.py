"""How a command gets a secret: from a pipe, or from a prompt that does not show it."""

from __future__ import annotations

import sys

import click


def at_terminal() -> bool:
    return sys.stdin.isatty()


def piped() -> str:
    """All of stdin, as a file or another program gives it."""
    return sys.stdin.buffer.read().decode(errors="replace").strip()


def piped_line() -> str:
    """The next line of stdin, without its end; empty where there is none."""
    return sys.stdin.buffer.readline().decode(errors="replace").rstrip("\r\n")


def prompted(what: str, twice: bool = False) -> str:
    """Ask at the terminal, on stderr: stdout is for what the command answers."""
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    return answer


def password(what: str, twice: bool = False) -> str:
    return prompted(what, twice) if at_terminal() else piped_line()
