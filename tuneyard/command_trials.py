"""Every command that reads, tried three ways: with a key that nobody made, with an id of nothing, and as it is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from typing import Literal

import click
from pydantic import Field

from tuneyard.client import Client
from tuneyard.credentials import Door
from tuneyard.display import Column, plain, table
from tuneyard.errors import ApiError, Forbidden, NotFound, TuneyardError, Unauthorized
from tuneyard.exit_codes import NOT_FOUND, WRONG
from tuneyard.identifiers import fresh_id
from tuneyard.keys import mint
from tuneyard.options import ASKS_API
from tuneyard.shapes import Shape

Result = Literal["pass", "fail", "-"]
# By name: what is not known to read is not run.
READS = frozenset(
    (
        *(
            "list",
            "show",
            "gpu",
            "chart",
            "events",
            "logs",
            "errors",
            "predictions",
            "answers",
            "tree",
            "aliases",
        ),
        *("moves", "versions", "history", "sets", "whoami", "sessions", "metrics", "audit"),
    )
)


class Trial(Shape):
    """`refused`: 401 for a key that is none; `missing`: 404 for an id of nothing; `ok`: an answer. `-`: not tried."""

    command: str
    refused: Result
    missing: Result
    ok: Result
    why: str | None = None


class Trials(Shape):
    well: bool = Field(description="Nothing failed.")
    passed: int
    tried: int
    success_percent: float
    trials: list[Trial]


def trials(commands: click.Command, door: Door) -> Trials:
    with Client(door.url, door.api_key, session_token=door.session_token, patience=0) as client:
        made = [_trial(commands, path, asks, client, door) for path, asks in reads_of(commands)]
    results = [result for one in made for result in (one.refused, one.missing, one.ok) if result != "-"]
    passed = results.count("pass")
    percent = round(100 * passed / len(results), 1) if results else 0.0
    return Trials(
        well=passed == len(results), passed=passed, tried=len(results), success_percent=percent, trials=made
    )


def drawn(found: Trials, width: int) -> str:
    columns = [Column("COMMAND"), Column("401"), Column("404"), Column("OK"), Column("WHY", elastic=True)]
    rows = [(one.command, one.refused, one.missing, one.ok, plain(one.why or "")) for one in found.trials]
    rate = f"Success rate: {found.success_percent}% ({found.passed}/{found.tried})"
    return f"{table(columns, rows, width)}\n\n{rate}"


def reads_of(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each command that reads, and whether it asks for the id of something."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from reads_of(inner, (*path, name))
    elif path[-1] in READS and hasattr(command.callback, ASKS_API):
        required = [one for one in command.params if one.required]
        if len(required) <= 1:
            yield path, bool(required)


def _trial(commands: click.Command, path: tuple[str, ...], asks: bool, client: Client, door: Door) -> Trial:
    stranger = replace(door, api_key=mint().text, session_token=None)
    nothing = [*path, fresh_id()] if asks else [*path]
    refused = isinstance(_outcome(commands, nothing, stranger), Unauthorized)
    trial = Trial(
        command=" ".join(path),
        refused="pass" if refused else "fail",
        missing=_missing(_outcome(commands, nothing, door)) if asks else "-",
        ok="-",
    )
    given = _known(path, client) if asks else ""
    if given is None:
        return trial.model_copy(update={"why": "there is none of its kind yet"})
    return trial.model_copy(update=_ok(_outcome(commands, [*path, *([given] if asks else [])], door)))


def _missing(outcome: TuneyardError | int) -> Result:
    if isinstance(outcome, Forbidden):
        return "-"
    return "pass" if isinstance(outcome, NotFound) or outcome == NOT_FOUND else "fail"


def _ok(outcome: TuneyardError | int) -> dict[str, str]:
    """A key without the permission says nothing about the command."""
    if isinstance(outcome, Forbidden):
        return {"ok": "-", "why": f"403: this key lacks the permission ({outcome.detail})"}
    if isinstance(outcome, Unauthorized):
        return {"ok": "fail", "why": f"401: key refused ({outcome.detail})"}
    if isinstance(outcome, NotFound):
        return {"ok": "fail", "why": f"404: key accepted, endpoint missing ({outcome.detail})"}
    if isinstance(outcome, ApiError):
        return {"ok": "fail", "why": str(outcome)}
    if outcome:
        return {
            "ok": "fail",
            "why": str(outcome) if isinstance(outcome, TuneyardError) else f"exit code {outcome}",
        }
    return {"ok": "pass"}


def _outcome(commands: click.Command, words: list[str], door: Door) -> TuneyardError | int:
    """What the command came to, with nothing of it shown."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            whole = ["--patience", "0", *words]
            code = commands.main(whole, prog_name="tuneyard", standalone_mode=False, obj=door)
        except TuneyardError as error:
            return error
        except click.ClickException:
            return WRONG
    return code if isinstance(code, int) else 0


def _known(path: tuple[str, ...], client: Client) -> str | None:
    """The id of something that the command can show; None: there is nothing, or the key may not list it."""
    finders: dict[str, Callable[[], Iterable[str]]] = {
        "jobs": lambda: (one.id for one in client.jobs.list(limit=1).items),
        "metrics": lambda: (one.id for one in client.jobs.list(limit=1).items),
        "tests": lambda: (one.id for one in client.tests.list(limit=1).items),
        "models": lambda: (one.id for one in client.artifacts.list(limit=1).items),
        "models moves": lambda: (one.name for one in client.aliases.list(limit=1).items),
        "datasets": lambda: (one.id for one in client.datasets.list(limit=1).items),
        "suites": lambda: (one.id for one in client.suites.list(limit=1).items),
        "suites versions": lambda: (one.name for one in client.suites.list(limit=1).items),
        "configs": lambda: (one.id for one in client.configs.list(limit=1).items),
        "gpus": lambda: (card.uuid for host in client.gpus.list() for card in host.gpus),
        "keys": lambda: (one.id for one in client.keys.list(limit=1).items),
        "users": lambda: (one.name for one in client.users.list(limit=1).items),
    }
    find = finders.get(" ".join(path)) or finders.get(path[0])
    try:
        return next(iter(find()), None) if find else None
    except TuneyardError:
        return None
