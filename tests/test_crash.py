"""Whatever is killed while a job runs, and whenever: it ends completed, as if nothing had been killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest

from deployments.local_stack import Stack, restart
from deployments.processes import Server
from tests.deployed import trainers, until
from tests.disturbed import STEPS, Outcome, completed, outcome, reaches, states_of_runs, train
from tuneyard.shapes import Job

ROUNDS = 20
LIFE = 15.0  # seconds, about, from a job's start to its end


def kill_trainer(stack: Stack, job_id: str) -> None:
    """SIGKILL, once there is one."""
    with stack.client() as client:

        def trainer() -> list[psutil.Process] | bool:
            job = client.jobs.get(job_id)
            return job.status.is_final or [one for one in trainers(job) if "tasks.train" in one.cmdline()]

        found = until(trainer)
    for process in found if isinstance(found, list) else []:
        process.kill()


def kill_flow(stack: Stack, job_id: str) -> None:
    """SIGKILL, once the job has one."""
    with stack.client() as client:
        pid = until(lambda: client.jobs.get(job_id).pid)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()


def kill_worker(stack: Stack, job_id: str) -> None:
    """SIGKILL: its run lives on, an orphan."""
    _server(stack, "worker").process.kill()
    with held(stack, job_id):
        restart(stack, "worker")


@contextmanager
def held(stack: Stack, job_id: str) -> Iterator[None]:
    """The trainer, if there is one, held still, so that on a fast machine it has not ended meanwhile."""
    with stack.client() as client:
        processes = [one for one in trainers(client.jobs.get(job_id)) if one.is_running()]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    yield
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def stop_worker(stack: Stack, job_id: str) -> None:
    """SIGTERM: it kills its runs, and leaves them `Running` for ever."""
    _server(stack, "worker").process.terminate()
    restart(stack, "worker")


def kill_api(stack: Stack, job_id: str) -> None:
    _server(stack, "api").process.kill()
    time.sleep(2)
    restart(stack, "api")


def _server(stack: Stack, name: str) -> Server:
    [server] = [server for server in stack.servers if server.name == name]
    return server


KILLS = [kill_trainer, kill_flow, stop_worker, kill_worker, kill_api]
SURVIVED = {kill_worker, kill_api}  # by the run itself


@pytest.fixture
def steady(stack: Stack) -> Iterator[Stack]:
    """The stack with all its servers, whatever becomes of the test."""
    yield stack
    for server in stack.servers:
        if server.process.poll() is not None:
            restart(stack, server.name)


@pytest.mark.timeout(600)
def test_a_job_during_which_everything_is_killed_once_ends_as_if_nothing_had_been(
    steady: Stack, short_config: dict[str, Any], unbroken: Outcome
) -> None:
    job_id = train(steady, short_config)
    restarts = 0
    for number, kill in enumerate(KILLS):
        job = reaches(steady, job_id, 60 * (number + 1), attempt=restarts + 1)
        assert job.restarts == restarts
        kill(steady, job_id)
        restarts += kill not in SURVIVED
    job = completed(steady, job_id)
    assert (job.restarts, job.attempt) == (restarts, restarts + 1)
    _demand_the_same(steady, job, unbroken)


def _demand_the_same(stack: Stack, job: Job, unbroken: Outcome) -> None:
    """The same outcome, nothing left running, and Prefect at one with the record."""
    assert outcome(stack, job) == unbroken
    *broken, last = [state for state, _ in states_of_runs(stack, job)]
    assert (set(broken) - {"CRASHED"}, last) == (set(), "COMPLETED")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
def test_twenty_kills_at_random_times_change_nothing(
    steady: Stack, short_config: dict[str, Any], unbroken: Outcome, kill: Callable[[Stack, str], None]
) -> None:
    moments = random.Random(kill.__name__)
    for _ in range(ROUNDS):
        job_id = train(steady, short_config)
        time.sleep(moments.uniform(0, LIFE))
        kill(steady, job_id)
        job = completed(steady, job_id, 300)
        assert job.restarts <= 1
        assert job.current_step == STEPS
        _demand_the_same(steady, job, unbroken)
