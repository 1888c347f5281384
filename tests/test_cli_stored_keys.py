"""What `tuneyard auth refresh`, `import-env` and `keys` promise: keys are renewed for real, and none is shown."""

from __future__ import annotations

import json

import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tuneyard import keys, stored_keys


def secret(label: str) -> str:
    found = stored_keys.find(label)
    assert found is not None
    return found.secret


def test_a_key_that_makes_keys_is_replaced_and_the_old_one_ends(terminal: Terminal) -> None:
    old = terminal.log_in("admin")
    said = terminal.well("auth", "refresh", "--grace", "0s", "--json")
    assert json.loads(said.out)["status"] == "refreshed"
    new = secret("client@default")
    assert new != old
    assert terminal.office.call("GET", "/api/v1/auth/me", new).status_code == 200
    assert terminal.office.call("GET", "/api/v1/auth/me", old).status_code == 401
    assert new not in said.out + said.err


def test_a_key_that_makes_none_is_checked_and_kept(terminal: Terminal) -> None:
    key = terminal.log_in("training")
    said = terminal.well("auth", "refresh")
    assert "client@default  unchanged: it opens" in said.out
    assert "an admin renews it with `tuneyard keys rotate" in said.out
    assert secret("client@default") == key


def test_refresh_tells_a_key_that_is_refused_and_one_that_is_not_there(terminal: Terminal) -> None:
    key = terminal.log_in("training")
    admin = terminal.office.key("admin")
    revoked = terminal.office.call("POST", f"/api-keys/{keys.parse(key)}/revoke", admin)
    assert revoked.status_code == 200
    said = terminal("auth", "refresh")
    assert (said.code, "401 key refused" in said.err) == (4, True)
    assert terminal("auth", "refresh", "--environment", "prod").code == 2


def test_rotate_renews_all_that_can_be_and_says_what_cannot(terminal: Terminal) -> None:
    office = terminal.office
    admin, plain = office.key("admin"), office.key("training")
    terminal.well("auth", "keys", "create", "boss", admin, "--environment", "prod")
    terminal.well("auth", "keys", "create", "reader", plain)
    done = {
        one["credential"]: one["status"]
        for one in json.loads(terminal.well("auth", "keys", "rotate", "--json").out)
    }
    assert done == {"boss@prod": "refreshed", "reader@default": "unchanged"}
    assert (secret("boss@prod") == admin, secret("reader@default") == plain) == (False, True)
    only = json.loads(terminal.well("auth", "keys", "rotate", "--environment", "default", "--json").out)
    assert [one["credential"] for one in only] == ["reader@default"]


def test_stored_keys_are_listed_and_revoked(terminal: Terminal) -> None:
    office = terminal.office
    admin, plain = office.key("admin"), office.key("training")
    terminal.well("auth", "keys", "create", "boss", stdin=admin)
    terminal.well("auth", "keys", "create", "reader", plain)
    assert json.loads(terminal.well("auth", "keys", "list", "--json").out) == {
        "credentials": ["boss@default", "reader@default"]
    }
    assert "revoked and forgotten" in terminal.well("auth", "keys", "revoke", "boss").out
    assert "forgotten here alone" in terminal.well("auth", "keys", "revoke", "reader").out
    assert [office.call("GET", "/api/v1/auth/me", key).status_code for key in (admin, plain)] == [401, 200]
    assert stored_keys.labels() == []
    assert terminal("auth", "keys", "revoke", "boss").code == 2


def test_a_key_is_stored_only_for_what_it_is_for(terminal: Terminal) -> None:
    key = terminal.office.key("training")
    words = ("auth", "keys", "create", "ci", key, "--permissions")
    refused = terminal(*words, "training,users:write")
    assert (refused.code, "not for users:write" in refused.err) == (2, True)
    assert stored_keys.labels() == []
    terminal.well(*words, "training, jobs:read")
    short = terminal("auth", "keys", "create", "ci", "short")
    assert (short.code, "Invalid API key format" in short.err) == (1, True)


def test_a_key_is_taken_from_a_variable(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    key = terminal.office.key("training")
    monkeypatch.setenv("CLIENT_API_KEY", key)
    said = terminal.well("auth", "import-env", "client", "--json")
    assert json.loads(said.out)["environment"] == "default"
    assert (secret("client@default"), key in said.out) == (key, False)
    unset = terminal("auth", "import-env", "miner")
    assert (unset.code, "MINER_API_KEY" in unset.err) == (2, True)
