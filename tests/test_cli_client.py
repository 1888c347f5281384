"""What `tuneyard client`, `endpoints` and the words of seed 004's CLI promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tests.sdk_fixtures import http_server
from tests.test_submissions import alias, answered
from tuneyard import keys

pytestmark = pytest.mark.parametrize("launching", ["sqlite"], indirect=True)
MODEL = ("--model", "org/model")


@pytest.fixture
def terminal(
    yard: Office,
    prefect: StandIn,
    config_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    found = Terminal(yard, monkeypatch, capsys)
    found.use(yard.key("training"))
    return found


def test_a_prompt_is_submitted_looked_at_answered_and_listed(terminal: Terminal, yard: Office) -> None:
    said = terminal.well("client", "submit", "--prompt", "When?", *MODEL, "--type", "chat", "--ttl", "60")
    job_id, state = said.out.split()
    assert (state, f"client result {job_id}" in said.err) == ("queued", True)
    card = terminal.well("client", "status", job_id).out
    assert "When?" in card
    assert "org/model" in card
    early = terminal("client", "result", job_id)
    assert (early.code, "job not ready" in early.err) == (2, True)
    answered(yard, job_id)
    assert terminal.well("client", "result", job_id).out == "2031-03-05\n"
    assert json.loads(terminal.well("client", "result", job_id, "--json").out)["usage"]["total_tokens"] == 12
    assert "2031-03-05" in terminal.well("client", "status", job_id).out
    listed = terminal.well("client", "history", "--status", "completed", "--type", "chat").out
    assert job_id in listed
    later = terminal.well("client", "history", "--from-time", "2099-01-01", "--json").out
    assert json.loads(later)["items"] == []


def test_submit_is_a_short_word_for_it_and_the_model_may_be_left_out(
    terminal: Terminal, yard: Office
) -> None:
    alias(yard, "production")
    made = json.loads(terminal.well("submit", "--prompt", "When?", "--json").out)
    assert (made["state"], made["payload"]["model"]) == ("queued", "alias:production")


def test_a_cancelled_prompt_has_no_answer(terminal: Terminal) -> None:
    job_id = terminal.well("client", "submit", "--prompt", "When?", *MODEL).out.split()[0]
    assert terminal.well("client", "cancel", job_id).out == f"{job_id}  canceled\n"
    again = terminal("client", "cancel", job_id)
    assert (again.code, "job not cancelable" in again.err) == (2, True)
    assert terminal("client", "result", job_id).code == 3
    assert terminal("client", "status", "none").code == 5


def test_a_file_holds_what_is_to_be_submitted(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"prompt": "When?", "model": "org/model", "ttl": 30}')
    assert terminal.well("client", "submit", "--file", str(file)).out.endswith("queued\n")
    file.write_text('{"prompt": "When?", "colour": "red"}')
    assert "colour" in terminal("client", "submit", "--file", str(file)).err
    file.write_text("[]")
    assert terminal("client", "submit", "--file", str(file)).code == 2
    assert terminal("client", "submit").code == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "prompt,model,ttl,max_tokens,other\nWhen?,org/model,60,8,x\nWho?,org/model,,,\n"),
        (
            "rows.json",
            '[{"prompt": "When?", "model": "org/model"}, {"prompt": "Who?", "model": "org/model"}]',
        ),
        (
            "rows.jsonl",
            '{"prompt": "When?", "model": "org/model"}\n{"prompt": "Who?", "model": "org/model"}\n',
        ),
    ],
)
def test_each_row_of_a_file_is_submitted(terminal: Terminal, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    done = json.loads(terminal.well("client", "batch-submit", str(tmp_path / name), "--json").out)
    assert (done["submitted"], done["failed"], len(set(done["job_ids"]))) == (2, 0, 2)


def test_a_row_that_cannot_be_submitted_is_named_and_the_rest_is(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("prompt,model,ttl\nWhen?,org/model,soon\n,org/model,\nWho?,nobody,\nWhy?,org/model,\n")
    said = terminal("client", "batch-submit", str(file), "--json")
    done = json.loads(said.out)
    assert (said.code, done["submitted"], done["failed"], len(done["job_ids"])) == (3, 1, 3, 1)
    assert [f"rows.csv:{line}: " in said.err for line in (2, 3, 4, 5)] == [True, True, True, False]


def test_what_every_row_would_meet_ends_a_batch(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a"}\n' * 3)
    terminal.use(keys.mint().text)
    said = terminal("client", "batch-submit", str(file))
    assert (said.code, said.err.count("rows.jsonl")) == (4, 1)
    assert "0 submitted, 3 failed" in said.out


def test_a_refusal_is_not_sent_again_and_a_breakdown_is(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    replies = {"status": 0}

    def answer(*_: object) -> tuple[int, dict[str, str], bytes]:
        asked.append(replies["status"])
        return replies["status"], {"Content-Type": "application/json"}, b'{"detail": "no"}'

    words = ("submit", "--prompt", "p", "--retries", "2", "--retry-delay", "0")
    for status, times, code in ((400, 1, 2), (403, 1, 4), (500, 3, 6)):
        asked.clear()
        replies["status"] = status
        with http_server(answer) as url:
            monkeypatch.setenv("TUNEYARD_API_URL", url)
            said = terminal("--patience", "0", "client", *words)
        assert (said.code, len(asked)) == (code, times)
    assert "Attempt 2 of 3 failed" in said.err


def test_templates_are_kept_listed_run_and_forgotten(terminal: Terminal, config_home: Path) -> None:
    name = ("--name", "date")
    terminal.well("client", "template", "save", *name, "--prompt", "When?", *MODEL)
    (listed,) = json.loads(terminal.well("client", "template", "list", "--json").out)
    assert (listed["name"], listed["prompt"], listed["ttl"]) == ("date", "When?", 900)
    ran = json.loads(terminal.well("client", "template", "run", *name, "--json").out)
    assert ran["payload"]["prompt"] == "When?"
    ran = json.loads(terminal.well("client", "template", "run", *name, "--prompt", "Who?", "--json").out)
    assert ran["payload"]["prompt"] == "Who?"
    terminal.well("client", "template", "delete", *name)
    assert terminal("client", "template", "run", *name).code == 2
    assert terminal("client", "template", "save", "--name", "../x").code == 2


def test_endpoints_lists_what_the_server_offers_without_a_key(terminal: Terminal) -> None:
    terminal.use(None)
    offered = {(one["method"], one["path"]) for one in json.loads(terminal.well("endpoints", "--json").out)}
    assert {("POST", "/v1/jobs"), ("GET", "/v1/jobs/{job_id}/result"), ("GET", "/api/v1/gpus")} <= offered
    assert "/v1/jobs/history" in terminal.well("endpoints").out
    found = json.loads(terminal.well("endpoints", "check", "/v1/jobs/01KA/result", "--json").out)
    assert [(one["method"], one["path"]) for one in found] == [("GET", "/v1/jobs/{job_id}/result")]
    (history,) = json.loads(terminal.well("endpoints", "check", "/v1/jobs/history", "--json").out)
    assert history["path"] == "/v1/jobs/history"
    missing = terminal("endpoints", "check", "/v1/job")
    assert (missing.code, "/v1/jobs" in missing.err) == (5, True)


def test_an_agent_is_told_from_a_key_that_is_refused(terminal: Terminal) -> None:
    words = ("agent", "create", "--name", "test", "--description", "test")
    said = terminal(*words)
    assert said.code == 5
    assert "key accepted, endpoint missing" in said.err
    assert "/v1/agents/workflows" in said.err
    assert "POST /api/v1/ml/$pipeline" in said.err
    terminal.use(keys.mint().text)
    said = terminal(*words)
    assert (said.code, "401 key refused" in said.err, "accepted" in said.err) == (4, True, False)


def test_the_market_s_gpus_are_the_team_s(terminal: Terminal) -> None:
    assert json.loads(terminal.well("marketplace", "gpu", "list", "--json").out) == []
