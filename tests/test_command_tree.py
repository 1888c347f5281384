"""What holds for every command: its help, JSON for its reads, exit codes that shells leave to programs, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unasync import ROOT
from tuneyard import cli, exit_codes
from tuneyard.command_trials import READS

# What reads under another name than those that `doctor --commands` may run.
READING = READS | {
    "status",
    "watch",
    "top",
    "schema",
    "compare",
    "check",
    "why",
    "doctor",
    "endpoints",
    "token",
}
ASKED_FOR = "train|check|test|jobs|metrics|tests|suites|models|datasets|gpus|keys|auth|why|doctor|completion"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves(cli.cli))


def test_the_words_are_there_and_say_what_they_do_with_an_example() -> None:
    assert set(ASKED_FOR.split("|")) <= cli.cli.commands.keys()
    for name, command in COMMANDS.items():
        assert command.help, f"{name} does not say what it does"
        assert f"Example: tuneyard {name}" in (command.epilog or ""), f"{name} has no example of itself"


def test_every_read_prints_json_where_it_is_asked_to() -> None:
    for name, command in COMMANDS.items():
        if name.split()[-1] in READING:
            assert "--json" in {word for option in command.params for word in option.opts}, name


def test_exit_codes_are_those_that_shells_leave_to_programs_and_each_is_explained() -> None:
    codes = {
        name: code for name, code in vars(exit_codes).items() if name.isupper() and isinstance(code, int)
    }
    assert len(set(codes.values())) == len(codes)
    assert all(1 <= code <= 125 for code in codes.values())
    told = {int(number) for number in re.findall(r"^ +(\d+) ", exit_codes.MEANINGS, re.M)}
    assert told == {0, *codes.values()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_script_that_completes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["completion", shell]) == 0
    assert "_TUNEYARD_COMPLETE" in capsys.readouterr().out
    assert cli.run(["completion", "csh"]) == exit_codes.WRONG


def test_bash_completes_commands_and_options() -> None:
    script = """
        eval "$(tuneyard completion bash)"
        ask() {
            COMPREPLY=() COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _tuneyard_completion tuneyard; echo "${COMPREPLY[@]}"
        }
        ask tuneyard jobs p; ask tuneyard jobs list --status pa
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = os.environ | {"PATH": path}
    done = subprocess.run(["bash", "-c", script], env=given, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["pause predictions", "pausing paused"], done.stderr
