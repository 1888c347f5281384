"""A child process ends in a result or one clear reason, and nothing of it outlives its parent's interest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.launch import Tail, run_child
from tuneyard.errors import BadInput, OutOfMemory, ProcessKilled, WorkFailed

ROOT = Path(__file__).resolve().parent.parent
CHILD = "tests.launch_fixtures"
TOKEN = "marked-token-" + "x" * 30


class Halt(BaseException):
    """As Prefect's TerminationSignal: raised in the main thread by a signal's handler."""


def run(folder: Path, plan: dict[str, Any], lines: list[str] | None = None, **rest: Any) -> dict[str, Any]:
    watch: Callable[[], None] = rest.pop("watch", lambda: None)
    said = [] if lines is None else lines
    options = {"interval": 0.05, "secrets": {"job_token": TOKEN}, **rest}
    return run_child(CHILD, plan, folder, watch=watch, say=said.append, **options)


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def demand_gone(pids: list[int]) -> None:
    """A killed grandchild is reaped by whoever adopts it, in its own time; a zombie holds nothing."""
    for pid in pids:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and _lives(pid):
            time.sleep(0.01)
        assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_result_comes_back_and_every_line_is_said(tmp_path: Path) -> None:
    (tmp_path / "child.log").write_text("of an earlier child\n")
    lines: list[str] = []
    result = run(tmp_path, {"act": "answer", "number": 7}, lines)
    assert result == {"plan": 7, "token_size": len(TOKEN), "in_environment": False}
    assert lines == ["first line", "second line"]


def test_a_secret_reaches_the_child_and_no_file(tmp_path: Path) -> None:
    run(tmp_path, {"act": "answer", "number": 7})
    assert not [path for path in tmp_path.iterdir() if TOKEN in path.read_text()]


def test_bad_input_found_by_the_child_is_bad_input_here(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        run(tmp_path, {"act": "refuse"})
    assert str(caught.value) == "rows.jsonl:3: prompt: is empty"
    assert (caught.value.file, caught.value.line, caught.value.field) == ("rows.jsonl", 3, "prompt")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("fail", "^diverged at step 3$"),
        ("crash", r"exit code 1(.|\n)*ZeroDivisionError: a bug"),
        ("die", "SIGKILL"),
        ("leave", r"exit code 0 and no result(.|\n)*printed nothing"),
    ],
)
def test_a_child_without_a_result_says_how_it_ended(tmp_path: Path, act: str, words: str) -> None:
    (tmp_path / "result.json").write_text('{"of": "an earlier child"}')
    with pytest.raises(WorkFailed, match=words):
        run(tmp_path, {"act": act})


def test_a_child_that_was_killed_is_told_from_one_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ProcessKilled):
        run(tmp_path, {"act": "die"})
    with pytest.raises(WorkFailed) as failed:
        run(tmp_path, {"act": "crash"})
    assert not isinstance(failed.value, ProcessKilled)


def test_a_child_has_what_is_added_to_its_environment(tmp_path: Path) -> None:
    added = {"CUDA_VISIBLE_DEVICES": "GPU-1", "OMP_WAIT_POLICY": "ACTIVE"}
    assert run(tmp_path, {"act": "environment"}, environment=added).items() >= added.items()


def test_a_flood_is_cut_in_what_is_said_and_whole_in_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    run(tmp_path, {"act": "flood"}, lines, interval=60)
    assert lines[-1] == "the end"
    assert "bytes of output are not shown here" in lines[0]
    assert (tmp_path / "child.log").stat().st_size > 2_000_000


def test_an_exception_out_of_watch_ends_a_stubborn_child_and_its_children(tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "pids").exists():
            raise Halt

    with pytest.raises(Halt):
        run(tmp_path, {"act": "cling"}, watch=watch, grace=0.2)
    demand_gone(pids(tmp_path))


def test_a_second_signal_during_the_grace_leaves_nothing_alive(tmp_path: Path) -> None:
    def raise_halt(number: int, frame: object) -> None:
        raise Halt

    def signal_twice() -> None:
        while not (tmp_path / "pids").exists():
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.3)

    before = signal.signal(signal.SIGUSR1, raise_halt)
    sender = threading.Thread(target=signal_twice)
    sender.start()
    try:
        with pytest.raises(Halt):
            # A long interval: the signal meets a waiting parent, not one that has just opened the log.
            run(tmp_path, {"act": "cling"}, grace=100, interval=60)
        demand_gone(pids(tmp_path))
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tasks.launch import run_child\n"
        "run_child(sys.argv[1], {'act': 'cling'}, Path(sys.argv[2]), secrets={}, watch=lambda: None, say=print)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, CHILD, str(tmp_path)], cwd=ROOT)
    while not (tmp_path / "pids").exists():
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    demand_gone(pids(tmp_path))


def test_a_child_dies_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "pids").exists():
            child = pids(tmp_path)[0]
            if _lives(child) and (keeper := psutil.Process(child).parent()):
                keeper.kill()

    with pytest.raises(ProcessKilled, match="SIGKILL"):
        run(tmp_path, {"act": "cling"}, watch=watch)
    child, grandchild = pids(tmp_path)
    demand_gone([child])
    os.kill(grandchild, signal.SIGKILL)  # the kernel tells the child alone


def test_an_orphan_in_a_session_of_its_own_is_ended_with_the_child(tmp_path: Path) -> None:
    run(tmp_path, {"act": "scatter", "then": "end"})
    demand_gone(pids(tmp_path))


def test_a_cancel_reaches_an_orphan_in_a_session_of_its_own(tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "pids").exists() and pids(tmp_path):
            raise Halt

    with pytest.raises(Halt):
        run(tmp_path, {"act": "scatter", "then": "cling"}, watch=watch, grace=0.2)
    demand_gone(pids(tmp_path))


def test_of_several_ranks_the_first_has_the_secrets_and_the_word(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run(tmp_path, {"act": "ranks"}, lines, processes=2) == {"rank": 0}
    said = [json.loads((tmp_path / f"rank-{number}").read_text()) for number in range(2)]
    assert said == [{"secrets": ["job_token"], "world": "2"}, {"secrets": [], "world": "2"}]
    assert lines == ["heard from rank 0"]


def test_the_first_rank_that_fails_says_why_all_failed(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"^rank 1: no memory left$"):
        run(tmp_path, {"act": "second_fails"}, processes=2)


def test_ranks_that_ignore_sigterm_are_gone_after_the_grace(tmp_path: Path) -> None:
    ranks = [tmp_path / "rank-0", tmp_path / "rank-1"]

    def watch() -> None:
        if all(file.exists() and file.read_text() for file in ranks):
            raise Halt

    with pytest.raises(Halt):
        run(tmp_path, {"act": "ranks_cling"}, watch=watch, processes=2, grace=0.5)
    demand_gone([int(file.read_text()) for file in ranks])


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one\ntw")
    tail = Tail(file)
    assert tail.new_lines() == ["one"]
    assert tail.new_lines() == []
    with file.open("a") as more:
        more.write("o\nthree")
    assert tail.new_lines() == ["two"]
    assert tail.rest() == ["three"]


def test_a_tail_of_a_flood_says_what_it_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = Tail(file, limit=50).new_lines()
    assert "bytes of output are not shown here" in lines[0]
    assert lines[1:] == ["line 995", "line 996", "line 997", "line 998", "line 999"]


def test_a_tail_without_a_limit_passes_over_nothing(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(f"answer {number}\n" for number in range(50_000)))
    tail = Tail(file, limit=None)
    assert len(tail.new_lines()) == 50_000
    assert tail.new_lines() == []
