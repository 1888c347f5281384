"""A figure about the model under test that a child process finds, once a job."""

from __future__ import annotations

import json
from typing import Any

from flows.cards import cards
from flows.job_run import JobRun
from tasks.durable import write_json
from tasks.launch import run_child


def measured_once(run: JobRun, name: str, plan: dict[str, Any], gpus: int) -> dict[str, Any]:
    """What `tasks.<name>` finds; on this host, what an earlier attempt of the job has found is not measured again."""
    kept = run.folder / f"{name}.json"
    if not kept.exists():
        with cards(run, gpus) as lease:
            found = run_child(
                f"tasks.{name}",
                plan,
                run.folder / name,
                secrets={},
                watch=run.journal.look,
                say=run.log.info,
                environment=lease.environment,
            )
        write_json(kept, found)
    figures: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return figures
