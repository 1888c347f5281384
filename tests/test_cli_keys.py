"""What `tuneyard keys` promises: a new key alone on stdout, every other answer without one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import KEY
from tuneyard import keys
from tuneyard.shapes import ApiKey, Page, PermissionSets


@pytest.fixture
def admin(terminal: Terminal) -> Terminal:
    """A terminal with an admin's key."""
    terminal.use(terminal.office.key("admin"))
    return terminal


def created(terminal: Terminal, name: str = "ci", *more: str) -> str:
    words = more or ("--scope", "training")
    return terminal.well("keys", "create", name, *words).out.strip()


def shown(terminal: Terminal, key: str) -> ApiKey:
    return ApiKey.model_validate_json(terminal.well("keys", "show", keys.parse(key), "--json").out)


def test_a_new_key_is_alone_on_stdout(admin: Terminal) -> None:
    said = admin.well("keys", "create", "ci", "--scope", "training", "--scope", "testing")
    key = said.out.strip()
    assert said.out == f"{key}\n"
    assert key not in said.err
    assert keys.parse(key) in said.err
    assert sorted(shown(admin, key).scopes) == ["testing", "training"]


def test_a_key_is_made_from_a_set_or_from_permissions(admin: Terminal) -> None:
    by_set = shown(
        admin, created(admin, "etl", "--permission-set", "training_pipeline", "--description", "nightly")
    )
    assert "datasets:write" in by_set.permissions
    assert by_set.description == "nightly"
    alone = created(admin, "reader", "--permission", "jobs:read", "--never-expires", "--rate-limit", "5")
    one = shown(admin, alone)
    assert (one.permissions, one.expires_at, one.rate_limit) == (["jobs:read"], None, 5)


@pytest.mark.parametrize(
    "words",
    [[], ["--scope", "training", "--permission", "jobs:read"], ["--scope", "training", "--grace", "1h"]],
)
def test_what_a_key_may_do_is_said_in_one_way(admin: Terminal, words: list[str]) -> None:
    assert admin("keys", "create", "ci", *words).code == 2


def test_an_unknown_scope_is_named(admin: Terminal) -> None:
    said = admin("keys", "create", "ci", "--scope", "everything")
    assert said.code == 2
    assert "everything" in said.err


def test_nobody_makes_a_key_beyond_their_own(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("training"))
    assert terminal("keys", "create", "ci", "--scope", "training").code == 4


def test_revoked_keys_are_listed_only_when_asked_for(admin: Terminal) -> None:
    key = created(admin)
    assert admin.well("keys", "revoke", keys.parse(key)).out == f"{keys.parse(key)}  revoked  ci\n"
    listed = Page[ApiKey].model_validate_json(admin.well("keys", "list", "--json").out)
    assert keys.parse(key) not in [one.id for one in listed.items]
    every = admin.well("keys", "list", "--all").out
    [line] = [line for line in every.splitlines() if line.startswith(keys.parse(key))]
    assert line.split()[1] == "revoked"
    assert key not in every


def test_a_key_is_shown_with_its_use_and_its_end(admin: Terminal) -> None:
    card = admin.well("keys", "show", keys.parse(created(admin))).out
    assert "active" in card
    assert "in 89 days" in card or "in 90 days" in card


def test_a_rotated_key_goes_on_for_its_grace(admin: Terminal) -> None:
    old = created(admin)
    said = admin.well("keys", "rotate", keys.parse(old), "--grace", "30m")
    new = said.out.strip()
    assert said.out == f"{new}\n"
    assert keys.parse(new) != keys.parse(old)
    assert new not in said.err
    assert f"The old key {keys.parse(old)} is refused from" in said.err
    end = shown(admin, old).expires_at
    assert end is not None
    assert end - datetime.now(UTC) <= timedelta(minutes=30)
    for key in (old, new):
        admin.use(key)
        admin.well("jobs", "list")


def test_a_key_is_extended_and_a_revoked_one_is_not(admin: Terminal) -> None:
    key = created(admin)
    assert "in 29 days" in admin.well("keys", "extend", keys.parse(key), "--expires-in-days", "30").out
    admin.well("keys", "revoke", keys.parse(key))
    assert admin("keys", "extend", keys.parse(key)).code == 2
    assert admin("keys", "show", "a1B2c3D4e5F6").code == 5


def test_a_whole_key_given_as_an_id_is_cut_to_its_id(admin: Terminal) -> None:
    key = created(admin)
    said = admin.well("keys", "revoke", key)
    assert keys.parse(key) in said.out
    assert key not in said.out + said.err


def test_leaked_keys_are_revoked_and_never_printed(admin: Terminal) -> None:
    live, twice, dead, strange = created(admin), created(admin), created(admin), keys.mint().text
    admin.well("keys", "revoke", dead)
    wrong = live[:-1] + ("a" if live[-1] != "a" else "b")
    text = f"\xff curl -H 'X-API-Key: {live}' {twice},{twice}\n{wrong}\n{{'k':'{dead}'}}{strange}".encode(
        "latin-1"
    )
    said = admin.well("keys", "revoke", "--leaked", stdin=text)
    outcome = dict(line.split("  ") for line in said.out.splitlines())
    assert outcome == {
        keys.parse(live): "revoked",
        keys.parse(twice): "revoked",
        keys.parse(dead): "already revoked",
        keys.parse(strange): "not ours",
    }
    assert not any(key in said.out + said.err for key in (live, twice, dead, strange))
    assert shown(admin, live).is_active is False


def test_a_leak_that_holds_ones_own_key_is_cleaned_to_the_end(terminal: Terminal) -> None:
    own = terminal.office.key("admin")
    terminal.use(own)
    other = created(terminal)
    said = terminal.well("keys", "revoke", "--leaked", stdin=f"{own} {other}")
    assert said.out == f"{keys.parse(other)}  revoked\n{keys.parse(own)}  revoked\n"
    assert terminal("keys", "list").code == 4


def test_a_text_without_keys_is_said_to_hold_none(admin: Terminal) -> None:
    said = admin.well("keys", "revoke", "--leaked", stdin=f"nothing {KEY[:30]}")
    assert (said.out, said.err) == ("", "No key in it.\n")


def test_an_id_and_a_leak_are_not_revoked_in_one_go(admin: Terminal) -> None:
    assert admin("keys", "revoke").code == 2
    assert admin("keys", "revoke", "a1B2c3D4e5F6", "--leaked").code == 2


def test_the_sets_are_listed_with_what_they_stand_for(admin: Terminal) -> None:
    sets = PermissionSets.model_validate_json(admin.well("keys", "sets", "--json").out)
    assert "read_only" in sets.permission_sets
    table = admin.well("keys", "sets").out
    assert all(len(line) <= 120 for line in table.splitlines())
    assert "training_pipeline" in table
    assert json.loads(admin.well("keys", "list", "--limit", "1", "--json").out)["limit"] == 1
