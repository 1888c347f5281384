"""`tuneyard tests compare` and `tests report`, on a terminal, against a real API."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.comparison_fixtures import answer, artifact, recorded, suite_of
from tests.sdk_fixtures import config_home as config_home
from tuneyard.batch_shapes import Comparison


def runs_of(terminal: Terminal, *scores: list[float]) -> list[str]:
    suite = suite_of(terminal.office, len(scores[0]))
    terminal.use(terminal.office.key("testing"))
    return [
        recorded(terminal.office, suite, [answer(n, score) for n, score in enumerate(some)])
        for some in scores
    ]


def test_the_exit_code_is_the_verdict(terminal: Terminal) -> None:
    base, tuned, few = runs_of(terminal, [0.0] * 20, [1.0] * 19 + [0.0], [0.0] * 17 + [1.0] * 3)
    better = terminal("tests", "compare", base, tuned)
    assert better.code == 0
    assert "Verdict       better" in better.out
    assert "19 gained, 0 lost of 20" in better.out
    assert "even" in better.out
    assert "10 of 19 that changed; more: --changed N" in better.err
    assert terminal("tests", "compare", tuned, tuned).code == 0
    worse = terminal("tests", "compare", tuned, base, "--changed", "3")
    assert (worse.code, "Verdict       worse" in worse.out) == (3, True)
    assert worse.out.count("1.00 -> 0.00") == 3
    open_still = terminal("tests", "compare", base, few)
    assert (open_still.code, "insufficient data" in open_still.out) == (8, True)
    assert terminal("tests", "compare", base, "nowhere").code == 5


def test_a_fine_tune_without_effect_exits_with_a_code_of_its_own(terminal: Terminal) -> None:
    office, suite = terminal.office, suite_of(terminal.office, 10)
    terminal.use(office.key("testing"))
    answers = [answer(n) for n in range(10)]
    model = f"artifact:{artifact(office, base_model='org/base')}"
    base, tuned = recorded(office, suite, answers), recorded(office, suite, answers, model=model)
    said = terminal("tests", "compare", base, tuned)
    assert (said.code, said.out.count("NO EFFECT")) == (9, 1)


def test_json_is_the_api_s_shape_and_the_code_stays(terminal: Terminal) -> None:
    base, tuned = runs_of(terminal, [0.0] * 20, [1.0] * 20)
    said = terminal("tests", "compare", tuned, base, "--json", "--alpha", "0.01", "--margin", "0.2")
    found = Comparison.model_validate_json(said.out)
    assert (said.code, found.verdict, found.alpha, found.margin) == (3, "worse", 0.01, 0.2)
    assert json.loads(said.out)["changed"][0]["candidate"] == "?"


def test_a_report_goes_to_a_file_or_to_the_screen(terminal: Terminal, tmp_path: Path) -> None:
    base, tuned = runs_of(terminal, [0.0] * 20, [1.0] * 20)
    file = tmp_path / "report.html"
    assert terminal.well("tests", "report", tuned, "--against", base, "--to", str(file)).out == f"{file}\n"
    assert "<strong>Better</strong>" in file.read_text(encoding="utf-8")
    assert terminal.well("tests", "report", tuned).out.startswith("<!doctype html>")
    refused = terminal("tests", "report", tuned, "--to", str(tmp_path / "no" / "where.html"))
    assert (refused.code, "No such file or directory" in refused.err) == (2, True)
    assert terminal("tests", "report", "nowhere").code == 5


def test_help_says_what_the_codes_mean(terminal: Terminal) -> None:
    said = terminal.well("tests", "compare", "--help").out
    assert "3  worse" in said
    assert "8  too few prompts" in said
