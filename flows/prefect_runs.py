"""A job's runs in Prefect: found, named, started, and brought to the state that the job is in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Completed, Crashed, Failed

from flows.agreement import Run
from tuneyard.configs import CollectConfig, LookConfig
from tuneyard.shapes import Job, JobKind, JobStatus

# In the order of JobKind.
DEPLOYMENTS = (
    "finetune/gpu",
    "batch-test/gpu",
    "check/gpu",
    "merge/gpu",
    "pipeline/gpu",
    "tabular/gpu",
    "predict/gpu",
)
LOOKS = "close-lost-jobs"
READINGS = "collect-metrics"
OVERDUE = timedelta(seconds=90)
TAG = "job:"
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OPEN = (
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.CANCELLING,
    StateType.PAUSED,
)
PAGE = 200


def as_state(job: Job) -> State[Any]:
    """What Prefect shows of a run for what became of its job.

    A paused job's run is over: Prefect's own Paused would hold a place in the queue for as long as the pause lasts.
    """
    if job.status == JobStatus.COMPLETED:
        return Completed(message=f"Job {job.id} completed.")
    if job.status == JobStatus.FAILED:
        return Failed(message=f"Job {job.id} failed: {job.error}")
    if job.status in (JobStatus.CANCELLED, JobStatus.CANCELLING):
        return Cancelled(message=f"Job {job.id} was cancelled.")
    if job.status in (JobStatus.PAUSED, JobStatus.PAUSING):
        return Cancelled(name="Paused", message=f"Job {job.id} is paused: tuneyard jobs resume {job.id}")
    return Crashed(name="Superseded", message=f"Job {job.id} goes on in another run.")


def name_job(job: Job) -> None:
    """Tag this run with its job: for those who look at Prefect's page, and for those who find the run dead."""
    if not runtime.flow_run.id:
        return
    with get_client(sync_client=True) as prefect:
        prefect.update_flow_run(UUID(runtime.flow_run.id), tags={*runtime.flow_run.tags, f"{TAG}{job.id}"})


class PrefectRuns:
    """One Prefect server's runs of our jobs."""

    def __init__(self, prefect: SyncPrefectClient) -> None:
        self._prefect = prefect

    def by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        """Those of these runs that Prefect knows; a job that others recorded may have an id of another kind."""
        wanted = [UUID(run_id) for run_id in ids if UUID_FORM.fullmatch(run_id)]
        found: dict[str, Run] = {}
        for start in range(0, len(wanted), PAGE):
            chosen = FlowRunFilter(id=FlowRunFilterId(any_=wanted[start : start + PAGE]))
            found |= {run.id: run for run in self._read(chosen)}
        return found

    def open(self) -> list[Run]:
        """Every run of a job's flow that has not ended."""
        return self._read(
            FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(OPEN))))
        )

    def set(self, run: Run, state: State[Any]) -> None:
        """Bring a run to a state, unless it has ended by itself meanwhile."""
        self._prefect.set_flow_run_state(UUID(run.id), state, force=run.state == "CANCELLING")

    def start(self, job: Job, credentials: str) -> str:
        """The id of the run that takes the job: made now, or before by whoever was first."""
        deployment = self._prefect.read_deployment_by_name(DEPLOYMENTS[list(JobKind).index(job.kind)])
        run = self._prefect.create_flow_run_from_deployment(
            deployment.id,
            parameters={"config": job.config, "credentials": credentials, "job_id": job.id},
            idempotency_key=job.run_key,
            tags=["tuneyard", f"{TAG}{job.id}"],
            name=job.name,
        )
        return str(run.id)

    def drop_missed_looks(self) -> None:
        """Delete the looks that came due while no worker ran: taken now, they would all see the same."""
        self._drop_missed(LOOKS, timedelta(), None)

    def drop_missed_readings(self, deployment_id: str | None, age: timedelta) -> None:
        """Delete the rounds of this run's own deployment that came due so long ago."""
        if deployment_id is not None:
            self._drop_missed(READINGS, age, deployment_id)

    def _drop_missed(self, flow: str, age: timedelta, deployment_id: str | None) -> None:
        for run in self._of(flow, [StateType.SCHEDULED]):
            due = run.expected_start_time
            if deployment_id is not None and str(run.deployment_id) != deployment_id:
                continue
            if run.auto_scheduled and due is not None and due < datetime.now(UTC) - age:
                self._prefect.delete_flow_run(run.id)

    def end_overdue_readings(self) -> None:
        """A worker that was killed leaves its looks and readings `Running`: they would fill up their queue."""
        for name, config in ((LOOKS, LookConfig), (READINGS, CollectConfig)):
            for run in self._of(name, [StateType.PENDING, StateType.RUNNING]):
                planned = config.model_validate((run.parameters or {}).get("config") or {}).seconds
                since = run.state.timestamp if run.state else datetime.now(UTC)
                if datetime.now(UTC) - since > timedelta(seconds=planned) + OVERDUE:
                    self._prefect.set_flow_run_state(run.id, Crashed(message="It was not heard of again."))

    def _of(self, flow: str, states: list[StateType]) -> list[FlowRun]:
        return self._prefect.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))),
        )

    def _read(self, chosen: FlowRunFilter) -> list[Run]:
        flows = FlowFilter(name=FlowFilterName(any_=[name.split("/")[0] for name in DEPLOYMENTS]))
        return [
            _seen(run)
            for run in self._prefect.read_flow_runs(flow_filter=flows, flow_run_filter=chosen, limit=PAGE)
        ]


def _seen(run: FlowRun) -> Run:
    state = run.state
    return Run(
        id=str(run.id),
        state=run.state_type.value if run.state_type else "SCHEDULED",
        since=state.timestamp if state else run.created or datetime.now(UTC),
        message=(state.message if state else None) or (run.state_name or ""),
        job_id=job_named(run),
    )


def job_named(run: FlowRun) -> str | None:
    """The job that a run was started for, or has recorded."""
    tags = [tag.removeprefix(TAG) for tag in run.tags if tag.startswith(TAG)]
    named = tags[0] if tags else (run.parameters or {}).get("job_id")
    return str(named) if named else None
