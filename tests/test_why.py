"""`tuneyard why`: a job that waits or that failed, told on one screen with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import job as a_job
from tuneyard.prefect_reads import Pool, Run, RunState, Worker
from tuneyard.shapes import GpuHost, Job, JobError, JobEvent
from tuneyard.why import Explanation, InPrefect, Seen, drawn, explained

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT = "2026-11-21T11:59:00Z"
POOL, ONLINE = Pool(name="gpu"), Worker(name="w", status="ONLINE", last_heartbeat_time=NOW)
LATE = Run(id="r1", state=RunState(type="SCHEDULED", name="Late", timestamp=NOW - timedelta(minutes=3)))


def a(**changes: Any) -> Job:
    waits = {"status": "pending", "flow_run_id": "r1", "launched_at": AT}
    return Job.model_validate(a_job("j1", **waits | changes))


def told(job: Job, **seen: Any) -> Explanation:
    return explained(Seen(job=job, **seen), NOW)


def at_prefect(**changes: Any) -> InPrefect:
    return InPrefect(**{"pool": POOL, "workers": [ONLINE], "run": LATE} | changes)


@pytest.mark.parametrize(
    ("prefect", "reason", "advice"),
    [
        (None, "PREFECT_API_URL is not set", "tuneyard doctor"),
        (InPrefect(trouble="no answer from Prefect"), "no answer", "start Prefect"),
        (at_prefect(pool=None), "no work pool", "python -m deployments"),
        (at_prefect(pool=Pool(name="gpu", is_paused=True)), "pool gpu is paused", "work-pool resume gpu"),
        (
            at_prefect(queue=Pool(name="jobs", is_paused=True)),
            "queue jobs is paused",
            "work-queue resume jobs",
        ),
        (at_prefect(workers=[]), "no worker is online", "prefect worker start --pool gpu"),
        (
            at_prefect(workers=[Worker(name="w", status="OFFLINE", last_heartbeat_time=NOW)]),
            "the last was heard of 2026-11-21 12:00:00 UTC",
            "prefect worker start",
        ),
        (
            at_prefect(queue=Pool(name="jobs", concurrency_limit=1, active_slots=1)),
            "runs 1 at a time, and has as many",
            "--jobs-at-once",
        ),
        (at_prefect(run=None), "no longer knows its run r1", "gives it another"),
    ],
)
def test_a_job_that_no_run_has_taken_says_what_stands_between(
    prefect: InPrefect | None, reason: str, advice: str
) -> None:
    found = told(a(), prefect=prefect)
    assert any(reason in one for one in found.reasons), found.reasons
    assert any(advice in one for one in found.advice), found.advice


def test_a_job_behind_others_says_how_many_and_who_has_the_cards() -> None:
    card = {"uuid": "GPU-1", "index": 0, "name": "H200", "taken_at": AT, "jobs": ["j0"]}
    host = GpuHost.model_validate({"host": "a", "taken_at": AT, "gpus": [card, card | {"jobs": []}]})
    since = "no worker has taken it for 40 s; 2 before it"
    job = a(queue_position=2, wait_reason=since, expires_at="2026-11-21T12:05:00Z")
    found = told(job, hosts=[host], prefect=at_prefect())
    assert found.reasons == [
        since,
        "jobs of the workspace before it: 2",
        "Prefect shows its run as Late, 2026-11-21 11:57:00 UTC (3 min ago)",
        "a GPU 0 (H200) is taken by j0",
        "it expires in 5 min if no run has taken it",
    ]
    assert told(a(expires_at=AT)).reasons[-1] == "its time to start is over"


def test_a_job_that_nobody_was_asked_to_run_and_one_without_a_run() -> None:
    alone = told(a(flow_run_id=None, launched_at=None))
    assert "waits for who recorded it" in alone.reasons[0]
    unmade = told(a(flow_run_id=None), prefect=at_prefect(run=None))
    assert "Prefect has no run for it yet" in unmade.reasons
    assert "PREFECT_API_URL where the API runs" in unmade.advice[0]


def error(kind: str = "bad_input", **more: Any) -> JobError:
    return JobError.model_validate({"at": AT, "attempt": 1, "kind": kind, "message": "no prompt"} | more)


def test_a_failed_job_says_where_it_can_be_put_right() -> None:
    wrong = error(file="rows.jsonl", line=7, field="prompt", hint="write one")
    found = told(a(status="failed", error="no prompt", attempt=1, host="a"), errors=[wrong])
    assert found.advice == ["write one", "tuneyard jobs logs j1"]
    text = drawn(found, 100)
    assert "rows.jsonl:7  prompt" in text
    assert "-> write one" in text


@pytest.mark.parametrize(
    ("errors", "advice"),
    [
        ([error("oom")], "batch_size=1"),
        ([error("diverged")], "--best --set learning_rate"),
        ([error("lost")], "look at its host"),
        ([error("lost", hint="Restart host a")], "Restart host a"),
        ([], "tuneyard jobs resume j1   (goes on, from step 500)"),
    ],
)
def test_each_kind_of_failure_has_its_own_remedy(errors: Sequence[JobError], advice: str) -> None:
    found = told(a(status="failed", error="e", attempt=1, host="a", last_checkpoint=500), errors=errors)
    assert any(advice in one for one in found.advice), found.advice
    assert "{id}" not in "".join(found.advice)


def test_what_watched_over_a_run_is_among_the_reasons() -> None:
    kinds = [("watchdog", "loss leapt at step 40"), ("lost", "killed"), ("cancel_asked", "Cancelled by ada")]
    events = [JobEvent(id="e", at=NOW, attempt=1, kind=kind, message=text) for kind, text in kinds]
    paused = told(a(status="paused", attempt=1, host="a", restarts=1), events=events)
    assert paused.reasons[:3] == [
        "watchdog: loss leapt at step 40",
        "lost: killed",
        "cancel_asked: Cancelled by ada",
    ]
    assert "it was started again 1 of 2 times" in paused.reasons
    silent = told(a(status="running", host="a", heartbeat_at="2026-11-21T11:50:00Z"))
    assert "nothing has been heard of its run on a for 10 min" in silent.reasons


def test_a_screen_holds_it_whatever_a_log_says(terminal: Terminal) -> None:
    office = terminal.office
    job_id, token = office.claimed_job(name="dates", dataset="rows.jsonl")
    lines = [
        {"number": at, "at": AT, "text": f"line {at} \x1b[31m" + "x" * 300, "level": "info"}
        for at in range(50)
    ]
    assert office.call("POST", f"/api/v1/jobs/{job_id}/logs", token, json={"lines": lines}).is_success
    wrong = {
        "kind": "bad_input",
        "message": "no prompt",
        "file": "rows.jsonl",
        "line": 7,
        "hint": "write one",
    }
    office.end(job_id, token, "failed", error="no prompt", errors=[wrong])
    terminal.use(office.key("training"))
    text = terminal.well("why", job_id).out
    assert len(text.splitlines()) <= 24
    assert "\x1b" not in text
    assert "line 49" in text
    assert "line 43" not in text
    assert "rows.jsonl:7" in text
    found = Explanation.model_validate_json(terminal.well("why", job_id, "--json").out)
    assert (found.errors[0].line, found.advice[0], found.job.id) == (7, "write one", job_id)
    assert terminal("why", "no-such-job").code == 5


def test_a_key_that_may_not_see_cards_still_hears_why(office: Office, terminal: Terminal) -> None:
    job_id = office.new_job()
    terminal.use(office.key("testing"))
    assert "nobody was asked to run it" in terminal.well("why", job_id).out
