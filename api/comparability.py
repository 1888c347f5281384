"""Whether two batch tests can be compared at all, and what differs between them that one should know."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from api import tables
from api.problems import Problem
from tuneyard.batch_configs import TestSettings
from tuneyard.scorers import Scorer
from tuneyard.shapes import JobStatus

Run = tuple[tables.Job, tables.TestRun]

_SCORERS: TypeAdapter[list[Scorer]] = TypeAdapter(list[Scorer])
# Two that differ in these are compared, and it is told.
HOW_ANSWERED = (
    "precision",
    "engine",
    "seed",
    "temperature",
    "top_p",
    "top_k",
    "max_new_tokens",
    "prompt_limit",
)


def demand_comparable(baseline: Run, candidate: Run) -> None:
    """409 where they are not, naming the run or the field that is to blame."""
    for job, run in (baseline, candidate):
        if not has_all_answers(job, run):
            raise Problem(409, f"batch test {job.id} is {job.status}: only a completed one can be compared")
    suites = [run.suite_id or run.suite for _, run in (baseline, candidate)]
    if suites[0] != suites[1]:
        said = " and ".join(f"{run.suite} ({run.suite_id})" for _, run in (baseline, candidate))
        raise Problem(409, f"the two are of different suites: {said}", field="suite")
    if scorers_of(baseline[0].config) != scorers_of(candidate[0].config):
        raise Problem(409, "the two were judged by different scorers", field="scorers")


def has_all_answers(job: tables.Job, run: tables.TestRun) -> bool:
    """Whether it is completed; or still running, but only to sum up what it has: every prompt has its outcome."""
    running = job.status == JobStatus.RUNNING and bool(job.total_steps)
    return job.status == JobStatus.COMPLETED or (running and run.scored_prompts == job.total_steps)


def scorers_of(config: dict[str, Any]) -> Any:
    """A config's scorers in full, in the order of their kinds; as they stand, where nobody knows them."""
    given = config.get("scorers") or [config.get("scorer", "exact")]
    try:
        known = [scorer.model_dump() for scorer in _SCORERS.validate_python(given)]
    except ValidationError:
        return given
    return sorted(known, key=lambda scorer: str(scorer["kind"]))


def setting(config: dict[str, Any], name: str) -> Any:
    """What a batch test ran with, said or not."""
    return config.get(name, TestSettings.model_fields[name].default)


def what_differs(baseline: Run, candidate: Run) -> list[str]:
    """Notes on settings that are not the same."""
    old, new = baseline[0].config, candidate[0].config
    pairs = [(name, setting(old, name), setting(new, name)) for name in HOW_ANSWERED]
    notes = [
        f"{name} differs: {_said(first)} and {_said(second)}"
        for name, first, second in pairs
        if first != second
    ]
    if "fast" in (setting(old, "precision"), setting(new, "precision")):
        notes.append("precision fast: an answer can change with its neighbours in the batch")
    return notes


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
