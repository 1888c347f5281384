"""A run that was killed, stopped or tampered with goes on to the losses and weights of the unbroken one, or says why
it will not."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint import checkpoints
from tasks.child import Order
from tasks.launch import GENTLE, QUIET, REPOSITORY
from tasks.train import train
from tests.tiny_model import make_tiny_model
from tests.training_fixtures import points_in, train_plan, write_rows
from tuneyard.errors import BadInput

# Everything that a checkpoint must hold: three epochs that end within steps, evaluations whose best counts, reports
# that begin before a checkpoint and end after it, and an adapter's dropout, which draws random numbers in each step.
HOW = {
    "gradient_accumulation": 2,
    "epochs": 3,
    "eval_fraction": 0.2,
    "eval_every": 3,
    "report_every": 5,
    "checkpoint_every": 2,
}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": "lora", "learning_rate": 2e-2, "lora": {"dropout": 0.2}},
}
CURVE = ("train_loss", "eval_loss", "learning_rate", "grad_norm", "epoch")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """A run by each method that nobody disturbs, and its result."""
    runs = {}
    for name, method in METHODS.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        runs[name] = (folder, here(folder, plan_of(folder, model, **method)))
    return runs


def plan_of(folder: Path, model: Path, **how: Any) -> dict[str, Any]:
    return train_plan(folder, model, **{**HOW, **how})


def here(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return train(Order(folder, plan, {}))


def curve(folder: Path) -> dict[int, tuple[Any, ...]]:
    """What was reported of each step; of a step that was made again, the same."""
    found: dict[int, tuple[Any, ...]] = {}
    for point in points_in(folder):
        values = tuple(point.get(name) for name in CURVE)
        assert found.setdefault(point["step"], values) == values
    return found


def assert_same(folder: Path, result: dict[str, Any], unbroken: tuple[Path, dict[str, Any]]) -> None:
    assert curve(folder) == curve(unbroken[0])
    same = ("weights_sha256", "steps", "first_loss", "last_loss", "eval_loss", "best_step")
    assert {name: result[name] for name in same} == {name: unbroken[1][name] for name in same}


def child(folder: Path, plan: dict[str, Any], number: int | None, delay: float) -> int:
    """A trainer in a process of its own, which `delay` seconds after its first step is sent a signal."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "result.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tasks.train", str(folder)]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | QUIET | GENTLE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") and number is not None:
            time.sleep(delay)
            process.send_signal(number)
            break
    rest = process.stdout.read()
    process.stdout.close()
    if process.wait() > 0:
        print(rest)
    return process.returncode


def disturb_until_done(folder: Path, plan: dict[str, Any], number: int, rounds: int) -> dict[str, Any]:
    """So many times a signal at a random moment of the run, then in peace."""
    for _ in range(rounds):
        if child(folder, plan, number, random.uniform(0, 0.8)) == 0:
            break
    else:
        assert child(folder, plan, None, 0) == 0
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.mark.parametrize(
    ("method", "number"),
    [("full", signal.SIGKILL), pytest.param("lora", signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_killed_run_goes_on_to_the_same_losses_and_weights(
    tmp_path: Path, model: Path, unbroken: dict[str, tuple[Path, dict[str, Any]]], method: str, number: int
) -> None:
    plan = plan_of(tmp_path / "run", model, **METHODS[method])
    result = disturb_until_done(tmp_path / "run", plan, number, 1)
    assert_same(tmp_path / "run", result, unbroken[method])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_killed_again_and_again_goes_on_to_the_same_losses_and_weights(
    tmp_path: Path, model: Path, unbroken: dict[str, tuple[Path, dict[str, Any]]], method: str, number: int
) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt) / "run"
        folder.parent.mkdir()
        plan = plan_of(folder, model, **METHODS[method])
        assert_same(folder, disturb_until_done(folder, plan, number, 4), unbroken[method])


def stopped_or_done(folder: Path, plan: dict[str, Any], after: float | None) -> dict[str, Any] | None:
    """A run in this process, which is sent SIGTERM after so many seconds; None where it left because of that."""
    timer = threading.Timer(after or 0, os.kill, (os.getpid(), signal.SIGTERM))
    before = signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # it may come before the first step, or after the last
    if after is not None:
        timer.start()
    try:
        return here(folder, plan)
    except SystemExit:
        return None
    finally:
        if after is not None:
            timer.join()
        signal.signal(signal.SIGTERM, before)


def test_sigterm_leaves_a_checkpoint_of_the_step_in_hand(
    tmp_path: Path, model: Path, unbroken: dict[str, tuple[Path, dict[str, Any]]]
) -> None:
    """Stopped a few times at any step: each time it goes on from where it was, without one step lost."""
    folder = tmp_path / "run"
    plan = plan_of(folder, model, checkpoint_every=None)
    stops = 0
    while (result := stopped_or_done(folder, plan, after=0.6 if stops < 2 else None)) is None:
        stops += 1
        assert checkpoints(folder / "checkpoints")
    assert_same(folder, result, unbroken["full"])
    steps = [point["step"] for point in points_in(folder)]
    assert len(steps) == len(set(steps))


@pytest.fixture
def half_way(
    tmp_path: Path, model: Path, unbroken: dict[str, tuple[Path, dict[str, Any]]]
) -> tuple[Path, dict[str, Any]]:
    """The folder and plan of a run that has come to its last checkpoint; its model is not there yet."""
    folder, before = tmp_path / "run", unbroken["full"][0]
    shutil.copytree(before, folder, ignore=shutil.ignore_patterns("model"))
    shutil.copy(before.parent / "rows.jsonl", tmp_path)
    return folder, plan_of(folder, model)


def test_a_checkpoint_with_a_changed_byte_gives_way_to_the_one_before_it(
    half_way: tuple[Path, dict[str, Any]],
    unbroken: dict[str, tuple[Path, dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, plan = half_way
    *_, newest = checkpoints(folder / "checkpoints")
    content = bytearray((newest / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "optimizer.pt").write_bytes(content)
    capsys.readouterr()
    result = here(folder, plan)
    assert f"{newest.name} is not used: optimizer.pt is not what was written" in capsys.readouterr().out
    assert_same(folder, result, unbroken["full"])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"method": "lora"}, "method"),
        ({"lora": {"rank": 4}}, "lora.rank"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_run_does_not_go_on_with_another_config(
    half_way: tuple[Path, dict[str, Any]], model: Path, changed: dict[str, Any], field: str
) -> None:
    folder, _ = half_way
    with pytest.raises(BadInput, match="a run goes on only as it began") as refusal:
        here(folder, plan_of(folder, model, **changed))
    assert refusal.value.field == field


def test_a_run_does_not_go_on_with_other_data_or_another_base_model(
    half_way: tuple[Path, dict[str, Any]], tmp_path: Path, model: Path
) -> None:
    folder, plan = half_way
    other = make_tiny_model(tmp_path / "other", seed=8)
    with pytest.raises(BadInput, match="a run goes on only as it began") as refusal:
        here(folder, plan | {"model_dir": str(other)})
    assert refusal.value.field == "model"
    write_rows(Path(plan["config"]["dataset"]), 25)
    with pytest.raises(BadInput, match="a run goes on only as it began") as refusal:
        here(folder, plan)
    assert refusal.value.field == "dataset"


def test_what_changes_neither_losses_nor_weights_may_change(
    half_way: tuple[Path, dict[str, Any]], model: Path
) -> None:
    folder, _ = half_way
    here(folder, plan_of(folder, model, name="other", report_every=1, checkpoint_every=7, keep_checkpoints=1))
