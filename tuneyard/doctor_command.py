"""`tuneyard doctor`: looks at the host, the API, the key, the clock and Prefect, and says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import click
import httpx
from pydantic import ValidationError

from tuneyard import command_trials, credentials, doctor
from tuneyard.client import Client
from tuneyard.command_trials import Trials
from tuneyard.doctor import Diagnosis, Disk, Finding, fail, skipped
from tuneyard.errors import BadInput, Forbidden, TuneyardError, Unauthorized
from tuneyard.exit_codes import UNEXPECTED
from tuneyard.home import home
from tuneyard.options import api_url_option, asked_url, example, json_option, open_door, show_json, width
from tuneyard.prefect_reads import PrefectReads

HOST = ("driver", "NVML", "torch")
LOOK = Path("tasks", "doctor.py")  # in a checkout
HOST_SECONDS = 120.0  # to load torch from a cold disk
CLOCK_SECONDS = 5.0


@click.command("doctor", epilog=example("doctor --json"))
@click.option("--commands", is_flag=True, help="Try every command that reads: refused, not found, ok.")
@json_option
@api_url_option
def doctor_command(commands: bool, as_json: bool, api_url: str | None) -> None:  # noqa: ARG001 - `asked_url`
    """Say what of an installation is well, what is not, and what to do; exit 1 if something fails.

    In a checkout it looks at this host's driver, NVML and torch too; with PREFECT_API_URL set, at Prefect.
    """
    if commands:
        whole = click.get_current_context().find_root().command
        trials = command_trials.trials(whole, credentials.chosen(asked_url()))
        _tell(trials, command_trials.drawn(trials, width()), as_json)
    else:
        found = doctor.diagnosis([*_host(), *_home(), *_api(), *_prefect()])
        _tell(found, doctor.drawn(found, width()), as_json)


def _tell(found: Diagnosis | Trials, text: str, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        click.echo(text)
    if not found.well:
        click.get_current_context().exit(UNEXPECTED)


def _host() -> list[Finding]:
    """What `tasks.doctor` finds, in a process of its own: this one has no torch."""
    if not LOOK.is_file():
        where = "in a tuneyard checkout on the GPU host: tuneyard doctor"
        return [skipped(what, "this folder is no checkout of tuneyard", where) for what in HOST]
    own = Path(".venv", "bin", "python")
    command = [str(own) if own.exists() else sys.executable, "-m", "tasks.doctor", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HOST_SECONDS, check=False)
        return Diagnosis.model_validate_json(done.stdout).findings
    except subprocess.TimeoutExpired:
        why = f"no answer within {HOST_SECONDS:.0f} s: a driver that hangs; look at dmesg, restart the host"
    except ValidationError:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return [fail("driver", f"python -m tasks.doctor: {why}")]


def _home() -> Iterator[Finding]:
    try:
        place = home()
    except OSError as problem:
        said = f"TUNEYARD_HOME cannot be used: {problem.strerror} ({problem.filename})"
        yield fail("disk", said, "set TUNEYARD_HOME to a folder of your own")
        return
    yield _disk("TUNEYARD_HOME", place)
    kept = Path(os.environ.get("TUNEYARD_ARTIFACTS") or place)  # a URL is no folder
    if kept.is_dir() and kept.stat().st_dev != place.stat().st_dev:
        yield _disk("TUNEYARD_ARTIFACTS", kept)


def _disk(variable: str, place: Path) -> Finding:
    usage = shutil.disk_usage(place)
    seen = Disk(variable=variable, place=str(place), free=usage.free, total=usage.total)
    return doctor.about_disk(seen)


def _api() -> Iterator[Finding]:
    """The API for anybody, its clock, then what the key opens."""
    try:
        url = credentials.login_url(credentials.stored_label(), asked_url())
    except BadInput as wrong:
        yield doctor.about_api("", None, str(wrong))
        return
    health, trouble = None, None
    with Client(url, patience=0) as anybody:
        try:
            health = anybody.health()
        except TuneyardError as error:
            trouble = str(error)
    yield doctor.about_api(url, health, trouble)
    if health is None:
        yield skipped("key", "it could not be tried: no API answers")
        return
    yield from _clock(url)
    yield from _key()


def _clock(url: str) -> Iterator[Finding]:
    before = datetime.now(UTC)
    try:
        answer = httpx.get(f"{url}/health", timeout=CLOCK_SECONDS, trust_env=False)
        server = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, KeyError, ValueError):
        yield skipped("clock", "the API does not say what time it is")
        return
    yield doctor.about_clock(server, before, datetime.now(UTC))


def _key() -> Iterator[Finding]:
    try:
        door = credentials.chosen(asked_url())
        with open_door(door, 0) as client:
            yield doctor.about_key(client.auth.me(), door.source, datetime.now(UTC))
            yield doctor.about_version(client.system())
    except BadInput as missing:
        yield fail("key", missing.problem, "tuneyard auth login")
    except (Unauthorized, Forbidden) as refusal:
        yield doctor.refused_key(refusal.status, refusal.detail)
    except TuneyardError as trouble:
        yield skipped("key", f"it could not be tried: {trouble}")


def _prefect() -> list[Finding]:
    try:
        reads = PrefectReads.from_env()
    except BadInput as wrong:
        return [fail("Prefect", str(wrong), advice="write http://127.0.0.1:4200/api")]
    if reads is None:
        advice = "export PREFECT_API_URL=http://127.0.0.1:4200/api; of `make up`: . .tuneyard/env"
        return [skipped("Prefect", "PREFECT_API_URL is not set here", advice)]
    with closing(reads):
        yard = reads.yard()
    return doctor.about_prefect(yard, _own_url(), datetime.now(UTC))


def _own_url() -> str:
    try:
        return credentials.login_url(credentials.stored_label(), asked_url())
    except BadInput:
        return ""
