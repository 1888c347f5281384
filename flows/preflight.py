"""The look at a fine-tune before it takes a card: what was found goes to the log, to Prefect's page and to the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from flows.job_run import JobRun
from flows.refusal import Refused
from tasks.durable import write_json
from tasks.launch import run_child
from tasks.method import hangs_on_host
from tuneyard.configs import FinetuneConfig
from tuneyard.home import home
from tuneyard.shapes import Diagnostic, Preflight

KEPT = "preflight.json"
SHOWN = 100  # rows of the table


class Kept(BaseModel):
    """What an earlier attempt found, and for which config."""

    config: dict[str, Any]
    found: Preflight


@task(cache_policy=NO_CACHE)
def look_at_host(run: JobRun, config: FinetuneConfig) -> None:
    """Raises BadInput where this host cannot do what the config asks for, before a model is fetched to it."""
    if hangs_on_host(config):
        plan = {"config": config.model_dump(mode="json")}
        folder = run.folder / "method"
        run_child("tasks.method", plan, folder, secrets={}, watch=lambda: None, say=run.log.info)


@task(cache_policy=NO_CACHE)
def look_ahead(run: JobRun, config: FinetuneConfig, base: Path) -> Preflight:
    """Everything that is wrong with a fine-tune, and what it will be like; Refused where it cannot be done.

    A run that goes on with a job does not look again: the trainer itself refuses data that has changed since.
    """
    found = _kept(run, config) or examine(run, config, base)
    if not found.valid:
        raise Refused(found)
    write_json(
        run.folder / KEPT, {"config": config.model_dump(mode="json"), "found": found.model_dump(mode="json")}
    )
    return found


def examine(run: JobRun, config: FinetuneConfig, base: Path) -> Preflight:
    """The look itself, in a child process."""
    run.at(f"Looking at {config.dataset}")
    plan = {
        "config": config.model_dump(mode="json"),
        "model_dir": str(base),
        "suites": _suites(run),
        "disk": str(home()),
    }
    folder = run.folder / "preflight"
    result = run_child("tasks.check", plan, folder, secrets={}, watch=lambda: None, say=run.log.info)
    found = Preflight.model_validate(result)
    run.progress.table("preflight", _table(found), f"What was found before job {run.job.id} started")
    return found


def _kept(run: JobRun, config: FinetuneConfig) -> Preflight | None:
    file = run.folder / KEPT
    if run.job.attempt == 1 or not file.exists():
        return None
    kept = Kept.model_validate_json(file.read_bytes())
    return kept.found if kept.config == config.model_dump(mode="json") else None


def _suites(run: JobRun) -> dict[str, list[str]]:
    """Every recorded suite's prompts: what is tested on must not be trained on."""
    found: dict[str, list[str]] = {}
    while page := run.service.suites.list(limit=100, offset=len(found)).items:
        for listed in page:
            suite = run.service.suites.get(listed.id)
            found[f"{suite.name} ({suite.id})"] = [prompt.question for prompt in suite.prompts or []]
    return found


def _table(found: Preflight) -> str:
    figures = found.figures.model_dump(exclude_none=True)
    rows = "".join(f"| {name.replace('_', ' ')} | {value} |\n" for name, value in figures.items())
    head = "".join(_row(one) for one in found.diagnostics[:SHOWN])
    faults = f"| | what | where | rows |\n|---|---|---|---|\n{head}\n" if head else "Nothing is wrong.\n\n"
    return f"{faults}| | |\n|---|---|\n{rows}"


def _row(one: Diagnostic) -> str:
    lines = ", ".join(str(line) for line in one.lines[:5])
    where = ": ".join(part for part in (one.file or "", one.field or "", lines) if part)
    return f"| {one.severity} | {_cell(one.message)} | {_cell(where)} | {one.count} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
