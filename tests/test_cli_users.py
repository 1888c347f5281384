"""What `tuneyard users` and `tuneyard audit` promise."""

from __future__ import annotations

import json

import pytest

from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tuneyard import keys
from tuneyard.shapes import AuditEvent, Page, User


@pytest.fixture
def admin(terminal: Terminal) -> Terminal:
    """A terminal with an admin's key."""
    terminal.use(terminal.office.key("admin"))
    return terminal


def events(terminal: Terminal, *filters: str) -> list[AuditEvent]:
    said = terminal.well("audit", "--json", *filters)
    return Page[AuditEvent].model_validate_json(said.out).items


def test_a_new_persons_password_is_alone_on_stdout(admin: Terminal) -> None:
    said = admin.well("users", "create", admin.ada, "--role", "viewer")
    password = said.out.strip()
    assert said.out == f"{password}\n"
    assert password not in said.err
    assert f"tuneyard auth login --user {admin.ada}" in said.err
    user = User.model_validate_json(admin.well("users", "show", admin.ada, "--json").out)
    assert (user.role, user.must_change_password) == ("viewer", True)
    assert "invited" in admin.well("users", "show", admin.ada).out


def test_people_are_listed(admin: Terminal) -> None:
    for name in (admin.ada, f"{admin.ada}-son"):
        admin.well("users", "create", name)
    assert Page[User].model_validate_json(admin.well("users", "list", "--json").out).total == 2
    lines = admin.well("users", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [admin.ada, f"{admin.ada}-son"]


def test_a_taken_name_and_a_name_of_capitals_are_refused(admin: Terminal) -> None:
    admin.well("users", "create", admin.ada)
    assert admin("users", "create", admin.ada).code == 2
    assert admin("users", "create", "Ada Lovelace").code == 2
    assert admin("users", "show", "nobody").code == 5


def test_a_role_is_changed(admin: Terminal) -> None:
    admin.well("users", "create", admin.ada)
    assert admin.well("users", "role", admin.ada, "admin").out.split() == [admin.ada, "admin", "invited"]
    assert admin("users", "role", admin.ada, "king").code == 2
    assert admin("users", "role", admin.ada, "owner").code == 4  # an admin's key makes no owners


def test_a_disabled_person_is_out_until_enabled(admin: Terminal) -> None:
    password = admin.well("users", "create", admin.ada).out
    assert admin.well("users", "disable", admin.ada).out.split()[-1] == "disabled"
    admin.use(None)
    assert admin("auth", "login", "--user", admin.ada, stdin=password).code == 4
    admin.use(admin.office.key("admin"))
    admin.well("users", "enable", admin.ada)
    admin.use(None)
    admin.well("auth", "login", "--user", admin.ada, stdin=password)


def test_disabling_someone_with_keys_asks_what_becomes_of_them(admin: Terminal) -> None:
    admin_key = admin.office.key("admin")
    password = admin.well("users", "create", admin.ada).out.strip()
    admin.use(None)
    admin.well("auth", "login", "--user", admin.ada, stdin=password)
    admin.well("auth", "password", stdin=f"{password}\na longer pass phrase\n")
    key = admin.well("keys", "create", "mine", "--scope", "training").out.strip()
    admin.use(admin_key)
    said = admin("users", "disable", admin.ada)
    assert said.code == 2
    assert "keys" in said.err
    admin.well("users", "disable", admin.ada, "--keys", "revoke")
    admin.use(key)
    assert admin("jobs", "list").code == 4


def test_a_reset_password_is_printed_once_and_the_old_one_is_dead(admin: Terminal) -> None:
    old = admin.well("users", "create", admin.ada).out
    new = admin.well("users", "reset-password", admin.ada)
    assert new.out.count("\n") == 1
    assert new.out.strip() not in new.err
    admin.use(None)
    assert admin("auth", "login", "--user", admin.ada, stdin=old).code == 4
    admin.well("auth", "login", "--user", admin.ada, stdin=new.out)


def test_the_trail_tells_who_did_what_newest_first(admin: Terminal) -> None:
    admin.well("users", "create", admin.ada)
    key = admin.well("keys", "create", "ci", "--scope", "training").out.strip()
    admin.well("keys", "revoke", key)
    trail = events(admin)
    assert [one.action for one in trail[:3]] == ["key.revoked", "key.created", "user.created"]
    assert {one.actor_kind for one in trail[:3]} == {"key"}
    table = admin.well("audit").out
    assert "key.revoked" in table
    assert keys.parse(key) in table
    assert key not in table + json.dumps([one.model_dump(mode="json") for one in trail])


def test_the_trail_is_filtered(admin: Terminal) -> None:
    admin.well("users", "create", admin.ada)
    key_id = keys.parse(admin.well("keys", "create", "ci", "--scope", "training").out.strip())
    [made] = events(admin, "--action", "key.created")
    assert events(admin, "--object", f"{made.object_kind}:{key_id}") == [made]
    assert events(admin, "--actor", made.actor_id, "--since", "1h", "--limit", "1") == [made]
    assert events(admin, "--until", "2020-01-01") == []
    assert events(admin, "--since", made.at.isoformat(), "--action", "key.created") == [made]


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--until", "24x"], ["--object", ":1"]])
def test_a_filter_that_means_nothing_is_refused(admin: Terminal, words: list[str]) -> None:
    assert admin("audit", *words).code == 2


def test_the_trail_is_for_admins(terminal: Terminal) -> None:
    terminal.use(terminal.office.key("all"))
    assert terminal("audit").code == 4
