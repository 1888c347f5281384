"""What `tuneyard auth` promises: nothing is kept that the server did not let in, and nothing secret is shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import http_server, refused
from tuneyard import keys, stored_keys
from tuneyard.shapes import LoginSession, WhoAmI

AWAY = "http://127.0.0.1:9"
NEW = "a longer pass phrase"


def invited(terminal: Terminal) -> str:
    """Make Ada; her one-time password."""
    terminal.use(terminal.office.key("admin"))
    password = terminal.well("users", "create", terminal.ada).out.strip()
    terminal.use(None)
    return password


def settled(terminal: Terminal) -> None:
    """Ada is logged in with a password of her own."""
    password = invited(terminal)
    terminal.well("auth", "login", "--user", terminal.ada, stdin=password)
    terminal.well("auth", "password", stdin=f"{password}\n{NEW}\n")


def test_a_key_is_taken_from_the_argument_from_stdin_or_from_a_prompt(terminal: Terminal) -> None:
    by_argument, by_pipe, by_dash, at_prompt = (terminal.office.key("training") for _ in range(4))
    terminal.well("auth", "login", by_argument, "--environment", "dev")
    terminal.well("auth", "login", "--environment", "staging", stdin=f"{by_pipe}\n")
    terminal.well("auth", "login", "-", "--name", "ci", stdin=by_dash)
    code, screen = terminal.at_screen("auth", "login", answers={"API key: ": f"{at_prompt}\n"})
    assert (code, at_prompt in screen) == (0, False)
    stored = {label: found.secret for label in stored_keys.labels() if (found := stored_keys.find(label))}
    assert stored == {
        "ci@default": by_dash,
        "client@default": at_prompt,
        "client@dev": by_argument,
        "client@staging": by_pipe,
    }


def test_what_was_logged_in_serves_every_later_command(terminal: Terminal, config_home: Path) -> None:
    key = terminal.log_in("training")
    assert stat.S_IMODE((config_home / "credentials.json").stat().st_mode) == 0o600
    assert terminal.well("jobs", "list").err == ""
    me = WhoAmI.model_validate_json(terminal.well("auth", "whoami", "--json").out)
    assert (me.mode, me.key_id) == ("apiKey", keys.parse(key))
    assert "a key" in terminal.well("auth", "whoami").out


def test_log_in_as_json_says_where_the_key_went_and_not_what_it_is(
    terminal: Terminal, config_home: Path
) -> None:
    key = terminal.office.key("training")
    said = terminal.well("auth", "login", key, "--environment", "prod", "--json")
    answer = json.loads(said.out)
    assert {name: answer[name] for name in ("status", "environment", "name")} == {
        "status": "logged_in",
        "environment": "prod",
        "name": "client",
    }
    assert str(config_home) in answer["note"]
    assert key not in said.out + said.err


def test_a_refused_key_is_not_kept(terminal: Terminal) -> None:
    key = keys.mint().text
    said = terminal("auth", "login", stdin=key)
    assert said.code == 4
    assert "key refused" in said.err
    assert key not in said.err
    assert stored_keys.labels() == []


def test_a_server_without_the_question_is_told_from_one_that_refuses(terminal: Terminal) -> None:
    with http_server(lambda *_: refused(404)) as older:
        said = terminal("auth", "login", "--api-url", older, stdin=keys.mint().text)
    assert said.code == 5
    assert "key accepted, endpoint missing" in said.err
    assert "refused" not in said.err
    assert stored_keys.labels() == []


def test_a_page_that_is_no_api_has_accepted_no_key(terminal: Terminal) -> None:
    with http_server(lambda *_: (404, {"Content-Type": "text/html"}, b"<h1>Not here</h1>")) as other:
        said = terminal("auth", "login", "--api-url", other, stdin=keys.mint().text)
    assert said.code == 5
    assert "accepted" not in said.err
    assert "another server?" in said.err


def test_a_key_is_not_kept_while_the_server_is_away(terminal: Terminal) -> None:
    said = terminal("--patience", "0", "auth", "login", "--api-url", AWAY, stdin=keys.mint().text)
    assert said.code == 6
    assert stored_keys.labels() == []


@pytest.mark.parametrize("text", ["", "short", "         \n"])
def test_a_text_that_is_too_short_is_no_key(terminal: Terminal, text: str) -> None:
    said = terminal("auth", "login", stdin=text)
    assert said.code == 1
    assert "Invalid API key format" in said.err


def test_no_error_repeats_what_was_typed_as_a_key(terminal: Terminal) -> None:
    key, plain = keys.mint().text, "declared-in-the-env-0001"
    for words in (["auth", "login", key, plain], ["jobs", "list", key], ["keys", "show", key[:-1] + "é"]):
        said = terminal(*words)
        assert said.code == 2
        assert key[17:] not in said.err
        assert plain not in said.err
    terminal.use(terminal.office.key("admin"))
    assert key[17:] not in terminal("keys", "show", key).err


def test_status_lists_what_is_stored_and_asks_the_server(terminal: Terminal) -> None:
    assert json.loads(terminal.well("auth", "status", "--json").out)["status"] == "not_authenticated"
    key = terminal.log_in("training")
    standing = json.loads(terminal.well("auth", "status", "--json").out)
    assert standing["status"] == "authenticated"
    assert standing["stored_credentials"] == ["client@default"]
    assert standing["using"] == "client@default"
    assert standing["who"]["key_id"] == keys.parse(key)
    assert "client@default" in terminal.well("auth", "status").out


def test_status_is_not_stopped_by_a_server_that_is_away(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEYARD_API_URL", AWAY)
    stored_keys.keep("client@default", AWAY, keys.mint().text)
    standing = json.loads(terminal.well("auth", "status", "--json").out)
    assert (standing["status"], standing["who"]) == ("authenticated", None)
    assert "not checked with the server" in standing["note"]


def test_status_of_a_revoked_key_is_not_authenticated(terminal: Terminal) -> None:
    key = terminal.log_in("training")
    terminal.use(terminal.office.key("admin"))
    terminal.well("keys", "revoke", keys.parse(key))
    terminal.use(None)
    standing = json.loads(terminal.well("auth", "status", "--json").out)
    assert standing["status"] == "not_authenticated"
    assert standing["stored_credentials"] == ["client@default"]
    assert "key refused" in standing["note"]


def test_each_environment_remembers_its_address(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    url, key = terminal.office.served.url, terminal.office.key("training")
    monkeypatch.delenv("TUNEYARD_API_URL")
    terminal.well("auth", "login", key, "--environment", "prod", "--api-url", f"{url}/")
    monkeypatch.setenv("TUNEYARD_ENVIRONMENT", "prod")
    terminal.well("jobs", "list")
    terminal.well("auth", "login", key)
    said = terminal("--api-url", AWAY, "jobs", "list")
    assert said.code == 2
    assert f"was stored for {url}" in said.err


def test_the_token_is_cut_until_it_is_asked_for_whole(terminal: Terminal) -> None:
    key = terminal.log_in("training")
    said = terminal.well("auth", "token").out
    assert said == f"wak_{keys.parse(key)}_*** (55 characters, client@default)\n"
    assert terminal.well("auth", "token", "--show").out == f"{key}\n"
    assert json.loads(terminal.well("auth", "token", "--json").out)["length"] == 55
    terminal.use("declared-in-the-env-0001")
    assert terminal.well("auth", "token").out == "*** (24 characters, TUNEYARD_API_KEY)\n"
    assert terminal.well("auth", "token", "--show", "--environment", "default").out == f"{key}\n"
    assert terminal("auth", "token", "--environment", "dev").code == 2


def test_logging_out_forgets_the_key_of_one_environment(terminal: Terminal) -> None:
    terminal.log_in("training")
    terminal.well("auth", "login", terminal.office.key("training"), "--environment", "dev")
    assert "client@default is forgotten" in terminal.well("auth", "logout").out
    assert stored_keys.labels() == ["client@dev"]
    assert "Nothing is stored" in terminal.well("auth", "logout").out
    assert terminal("jobs", "list").code == 2


def test_a_person_logs_in_with_a_password_and_logs_out_for_good(terminal: Terminal) -> None:
    settled(terminal)
    me = WhoAmI.model_validate_json(terminal.well("auth", "whoami", "--json").out)
    assert (me.mode, me.name, me.role, me.must_change_password) == ("session", terminal.ada, "member", False)
    token = terminal.well("auth", "token", "--show").out.strip()
    assert token.startswith("wst_")
    assert terminal.well("auth", "token").out.startswith("wst_*** (")
    terminal.well("auth", "logout")
    terminal.use(token)
    assert terminal("auth", "whoami").code == 4


def test_a_wrong_password_is_refused_and_nothing_kept(terminal: Terminal) -> None:
    invited(terminal)
    said = terminal("auth", "login", "--user", terminal.ada, stdin="not the password")
    assert said.code == 4
    assert "password refused" in said.err
    assert "not the password" not in said.err
    assert stored_keys.labels() == []


def test_a_one_time_password_says_what_to_do_without_a_terminal(terminal: Terminal) -> None:
    password = invited(terminal)
    said = terminal.well("auth", "login", "--user", terminal.ada, "--json", stdin=password)
    assert "tuneyard auth password" in json.loads(said.out)["note"]
    assert terminal("jobs", "list").code == 4
    refused = terminal("auth", "password", stdin=f"{password}\nshort\n")
    assert refused.code == 2
    assert "new" in refused.err
    terminal.well("auth", "password", stdin=f"{password}\n{NEW}\n")
    terminal.well("jobs", "list")


def test_a_one_time_password_is_changed_at_once_at_a_terminal(terminal: Terminal) -> None:
    password = invited(terminal)
    answers = {
        f"Password of {terminal.ada}: ": f"{password}\n",
        "New password: ": f"{NEW}\n",
        "Repeat for confirmation: ": f"{NEW}\n",
    }
    code, screen = terminal.at_screen("auth", "login", "--user", terminal.ada, answers=answers)
    assert code == 0, screen
    assert "Your password is changed" in screen
    assert NEW not in screen
    terminal.well("jobs", "list")
    terminal.well("auth", "login", "--user", terminal.ada, stdin=NEW)


def test_ones_sessions_are_listed_and_ended_one_by_one(terminal: Terminal) -> None:
    settled(terminal)
    terminal.well("auth", "login", "--user", terminal.ada, "--environment", "dev", stdin=NEW)
    listed = json.loads(terminal.well("auth", "sessions", "--json").out)
    sessions = [LoginSession.model_validate(one) for one in listed]
    [other] = [one for one in sessions if not one.is_current]
    assert len(sessions) == 2
    assert other.id in terminal.well("auth", "sessions").out
    terminal.well("auth", "end-session", other.id)
    assert len(json.loads(terminal.well("auth", "sessions", "--json").out)) == 1


def test_a_session_that_had_ended_is_forgotten_all_the_same(terminal: Terminal) -> None:
    stored_keys.keep("client@default", terminal.office.served.url, keys.mint_session_token())
    terminal.well("auth", "logout")
    assert stored_keys.labels() == []


def test_a_session_that_cannot_be_ended_now_is_forgotten_and_said(terminal: Terminal) -> None:
    stored_keys.keep("client@default", AWAY, keys.mint_session_token())
    said = terminal("--patience", "0", "auth", "logout")
    assert said.code == 6
    assert "forgotten" in said.out
    assert stored_keys.labels() == []


def test_a_key_that_is_about_to_expire_is_one_line_on_stderr_a_command(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("admin"))
    made = terminal.well("keys", "create", "soon", "--scope", "training", "--expires-in-days", "3")
    terminal.use(made.out.strip())
    for _ in range(2):
        said = terminal.well("jobs", "list", "--json")
        assert said.err.count("\n") == 1
        assert "expires" in said.err
        assert "rotate" in said.err
        json.loads(said.out)


def test_ctrl_c_at_a_prompt_is_code_7(terminal: Terminal) -> None:
    code, screen = terminal.at_screen("auth", "login", answers={"API key: ": "\x03"})
    assert code == 7
    assert "Traceback" not in screen


def test_a_variable_that_hides_what_is_stored_is_named(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("training"))
    assert "TUNEYARD_API_KEY is set" in terminal.well("auth", "login", stdin=terminal.office.key("all")).err
    assert "TUNEYARD_API_KEY is still set" in terminal.well("auth", "logout").err


def test_the_name_of_an_environment_is_checked(terminal: Terminal) -> None:
    said = terminal("auth", "login", "--environment", "../etc", stdin=keys.mint().text)
    assert said.code == 2
    assert "small letters" in said.err
