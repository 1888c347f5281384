"""Any script's Hugging Face Trainer reports: the README's example, stopping, and an API that is away meanwhile."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deployments.processes import free_port
from tests.api_fixtures import Office
from tests.sdk_fixtures import config_home as config_home
from tests.test_api_process import ROOT
from tests.test_metric_ledger import home as home
from tests.test_metric_ledger import serving
from tuneyard import Client
from tuneyard.errors import BadInput
from tuneyard.shapes import Claim, NewJob

RUN = Claim(host="h", pid=1)


def test_the_client_is_imported_without_transformers() -> None:
    words = "import sys, tuneyard; tuneyard.Reporter; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=False).returncode == 0


def test_the_example_s_script_reports_every_step(office: Office, tiny_model: Path, tmp_path: Path) -> None:
    access = {"TUNEYARD_API_URL": office.served.url, "TUNEYARD_API_KEY": office.key("all")}
    command = [sys.executable, "examples/report_from_trainer.py", str(tiny_model), str(tmp_path / "run")]
    environment = os.environ | access | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.split()[-1]
    assert office.job(job_id)["status"] == "completed"
    with Client(office.served.url, office.key("training")) as client:
        rows = list(client.metrics.iter(job_id))
    assert [row.step for row in rows] == list(range(1, 21))
    assert all(row.train_loss and row.learning_rate is not None and row.grad_norm for row in rows)
    assert rows[-1].eval_loss
    assert rows[-1].extra["mean_train_loss"]


def trained(model: Path, folder: Path, *callbacks: Any, **options: Any) -> Any:
    """A Trainer that has trained, in this process."""
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    rows = [{"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]}] * 16
    settings = {
        "max_steps": 2000,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
    }
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(model),
        TrainingArguments(str(folder), disable_tqdm=True, **settings | options),
        train_dataset=rows,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("end", ["cancelled", "superseded"])
def test_a_job_that_is_cancelled_or_taken_over_stops_its_trainer(
    office: Office, tiny_model: Path, tmp_path: Path, end: str
) -> None:
    from transformers import TrainerCallback

    from tuneyard.hf import TuneyardCallback

    job_id, token = office.claimed_job()

    class Stopper(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step == 3:
                if end == "superseded":
                    office.claim(job_id)
                else:
                    office.call("POST", f"/api/v1/jobs/{job_id}/cancel", office.key("all"))
            if state.global_step > 5:
                time.sleep(0.01)

    with Client(office.served.url, job_token=token) as client:
        callback = TuneyardCallback(client, job_id, tmp_path / "spool", patience=5)
        trainer = trained(tiny_model, tmp_path / "run", Stopper(), callback)
    assert trainer.state.global_step < 2000
    assert callback.stop_reason == end


def test_the_environment_may_say_who_reports(
    office: Office, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config_home: Path
) -> None:
    from tuneyard.hf import TuneyardCallback

    for name in ("TUNEYARD_JOB_ID", "TUNEYARD_JOB_TOKEN", "TUNEYARD_JOB_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="TUNEYARD_JOB_TOKEN"):
        TuneyardCallback(job_id="j1")
    with pytest.raises(BadInput, match="job_id"):
        TuneyardCallback()
    job_id, token = office.claimed_job()
    (tmp_path / "token").write_text(f"{token}\n")
    monkeypatch.setenv("TUNEYARD_API_URL", office.served.url)
    monkeypatch.setenv("TUNEYARD_JOB_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("TUNEYARD_JOB_ID", job_id)
    trained(tiny_model, tmp_path / "run", TuneyardCallback(), max_steps=5)
    assert office.job(job_id)["current_step"] == 5


# Trains until it is told to stop, and writes down when each step ended; "reporting" to a job, or "alone".
TRAINING = """
import sys, time
from pathlib import Path
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from tuneyard.hf import TuneyardCallback

model, folder, how = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
times = (folder / how).open("w", buffering=1)

class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        times.write(f"{time.time()}\\n")
        control.should_training_stop = (folder / "stop").exists()

rows = [{"input_ids": [5, 6, 7, 8] * 60, "labels": [5, 6, 7, 8] * 60}] * 64
arguments = TrainingArguments(
    str(folder / "run" / how), max_steps=10**6, logging_steps=10, save_strategy="no", report_to=[], use_cpu=True,
    per_device_train_batch_size=12, disable_tqdm=True,
)
reporting = [TuneyardCallback(folder=folder / "spool")] if how == "reporting" else []
Trainer(AutoModelForCausalLM.from_pretrained(model), arguments, train_dataset=rows,
        callbacks=[Clock(), *reporting]).train()
"""
EVERY = 10  # steps: logging_steps


@contextmanager
def training(home: Path, model: Path, how: str, **names: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", TRAINING, str(model), str(home), how]
    environment = os.environ | names | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def times_of(home: Path, how: str) -> list[float]:
    """None yet where it has not begun."""
    file = home / how
    return [float(line) for line in file.read_text().split()] if file.exists() else []


def quick_steps(ends: list[float], away: tuple[float, float]) -> float:
    """Seconds that a step took while the API was away, in the tenth of the time when least else went on: each
    figure is of as many steps as there are to a report, so that the report's own cost is in it."""
    runs = [
        (last - first) / EVERY
        for first, last in pairwise(ends[::EVERY])
        if away[0] < first and last < away[1]
    ]
    return sorted(runs)[len(runs) // 10]


def trained_through_an_outage(home: Path, model: Path, gone: float) -> float:
    """How many times as long a step took as that of a twin beside it that reports to nobody; every point is
    demanded."""
    port, key = str(free_port()), (home / "admin").read_text()
    with ExitStack() as held:
        with serving(home, "--port", port) as (_, url), Client(url, key) as client:
            job = client.jobs.create(NewJob(model="m"))
            token = client.jobs.claim(job.id, RUN).job_token
            names = {"TUNEYARD_API_URL": url, "TUNEYARD_JOB_ID": job.id, "TUNEYARD_JOB_TOKEN": token}
            twins = [
                held.enter_context(training(home, model, how, **names)) for how in ("reporting", "alone")
            ]
            while min(len(times_of(home, how)) for how in ("reporting", "alone")) < 20:
                time.sleep(0.1)
                assert [twin.poll() for twin in twins] == [None, None]
        away = time.time()
        time.sleep(gone)
        back = time.time()
        with serving(home, "--port", port) as (_, url), Client(url, key) as client:
            time.sleep(3)
            (home / "stop").touch()
            assert [twin.wait(90) for twin in twins] == [0, 0]
            found = [row.step for row in client.metrics.iter(job.id, page_size=5000)]
    ends = times_of(home, "reporting")
    assert found == sorted({*range(EVERY, len(ends) + 1, EVERY), len(ends)})
    reporting, alone = (quick_steps(times_of(home, how), (away, back)) for how in ("reporting", "alone"))
    logging.getLogger("tests").warning(
        "%.2f ms a step, its twin %.2f ms; %s points", reporting * 1000, alone * 1000, len(found)
    )
    return reporting / alone


def test_an_api_that_is_away_neither_slows_a_training_nor_loses_a_point(home: Path, tiny_model: Path) -> None:
    """A short round: on a machine that does other things too, only a wait would show."""
    assert trained_through_an_outage(home, tiny_model, gone=5) < 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_minutes_without_the_api_leave_the_time_of_a_step_as_it_is(home: Path, tiny_model: Path) -> None:
    ratio = trained_through_an_outage(home, tiny_model, gone=float(os.environ.get("AWAY_SECONDS", "300")))
    assert ratio < 1.01
