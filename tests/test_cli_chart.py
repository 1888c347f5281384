"""`tuneyard jobs chart` draws what was reported, spikes and gaps too, no wider than it was told."""

from __future__ import annotations

import json
import math

import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import config_home as config_home

V1 = "/api/v1"


def trained(terminal: Terminal, losses: list[float]) -> str:
    job, token = terminal.office.claimed_job()
    words = {math.inf: "Infinity"}
    points = [
        {"step": at, "train_loss": "NaN" if loss != loss else words.get(loss, loss), "learning_rate": 1e-4}
        for at, loss in enumerate(losses)
    ]
    for at in range(0, len(points), 5000):
        body = {"metrics": points[at : at + 5000]}
        answer = terminal.office.call("PUT", f"{V1}/jobs/{job}/metrics", token, json=body)
        assert answer.status_code == 200, answer.text
    terminal.log_in("training")
    return job


def axis(out: str) -> str:
    return next(line for line in out.splitlines() if "└" in line)


@pytest.mark.parametrize("width", [40, 100])
def test_a_falling_loss_falls_and_a_spike_stands_out(terminal: Terminal, width: int) -> None:
    losses = [2 - at / 10_000 for at in range(10_000)]
    losses[5_000] = 77.0
    said = terminal.well("jobs", "chart", trained(terminal, losses), "--width", str(width))
    loss, rate = said.out.rstrip("\n").split("\n\n")
    title, *lines = loss.splitlines()
    assert title.startswith("train_loss  1 to 77, last 1.0")
    assert rate.startswith("learning_rate")
    assert max(map(len, said.out.splitlines())) <= width
    dotted = [index for index, cell in enumerate(lines[0].partition("│")[2]) if cell not in ("⠀", " ")]
    assert len(dotted) == 1  # the spike alone reaches the top
    assert abs(dotted[0] / (width - 11) - 0.5) < 0.1
    assert "x" not in axis(said.out)
    assert lines[-1].split()[0] == "0"


def test_what_is_not_finite_is_a_cross_and_no_line_leads_over_it(terminal: Terminal) -> None:
    job = trained(terminal, [1.0] * 20 + [math.nan] * 60 + [1.0] * 20)
    said = terminal.well("jobs", "chart", job, "--column", "train_loss", "--width", "60")
    assert "x" in axis(said.out)
    rows = [line.partition("│")[2] for line in said.out.splitlines() if "│" in line]
    drawn = {index for row in rows for index, cell in enumerate(row) if cell not in ("⠀", " ")}
    assert not drawn & set(range(15, 35))
    assert drawn


def test_it_is_json_for_programs_and_says_what_is_not_there(terminal: Terminal) -> None:
    job = trained(terminal, [3.0, 1.0])
    found = json.loads(terminal.well("jobs", "chart", job, "--json", "--column", "train_loss").out)
    assert (found["columns"]["step"], found["columns"]["train_loss.max"]) == ([0, 1], [3.0, 1.0])
    wrong = terminal("jobs", "chart", job, "--column", "los")
    assert wrong.code != 0
    assert "no finite number called los" in wrong.err
    assert terminal.well("jobs", "chart", terminal.office.new_job()).out == "No numbers yet.\n"
