"""People: who may add, see and change whom, and what that does to sessions and keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlmodel import col, select, update

from api.access.permissions import ROLES
from api.first_admin import make_first_person
from api.tables import User, Workspace, now
from tests.api_fixtures import Office
from tests.people_fixtures import ME, PASSWORD, USERS, Person, events, log_in, person
from tests.test_api_process import api, refusal
from tuneyard import keys
from tuneyard.errors import BadInput

JOBS, KEYS = "/api/v1/jobs", "/api/v1/api-keys"
SUITE = {"name": "s", "prompts": [{"prompt": "a", "expected": "b"}]}


def set_role(office: Office, by: str, whom: Person, role: str) -> httpx.Response:
    return office.call("PATCH", f"{USERS}/{whom.id}", by, json={"role": role})


def disable(office: Office, by: str, whom: Person, keys: str | None = None) -> httpx.Response:
    return office.call("POST", f"{USERS}/{whom.id}/disable", by, json={"keys": keys} if keys else None)


def own_key(office: Office, who: Person) -> str:
    made = office.call("POST", KEYS, who.token, json={"name": "mine", "permissions": ["jobs:read"]})
    assert made.status_code == 201, made.text
    text: str = made.json()["key"]
    return text


def narrow_key(office: Office) -> str:
    """One that manages people, and may do little else."""
    new = {"name": "hr", "permissions": ["users:read", "users:write"]}
    text: str = office.call("POST", KEYS, office.key("admin"), json=new).json()["key"]
    return text


# What each role may do: reads, works, sees people, makes admins, makes owners.
DEEDS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "read": ("GET", JOBS, None),
    "work": ("POST", "/api/v1/test-suites", SUITE),
    "see people": ("GET", USERS, None),
    "add an admin": ("POST", USERS, {"role": "admin"}),
    "add an owner": ("POST", USERS, {"role": "owner"}),
}


@pytest.mark.parametrize(("role", "may"), [("viewer", 1), ("member", 2), ("admin", 4), ("owner", 5)])
def test_each_role_may_do_what_it_says_and_no_more(office: Office, role: str, may: int) -> None:
    who = person(office, role)
    for number, (deed, (method, path, body)) in enumerate(DEEDS.items()):
        body = body | {"name": uuid4().hex} if path == USERS and body else body
        answer = office.call(method, path, who.token, json=body)
        assert answer.is_success == (number < may), (deed, answer.text)
        if number >= may:
            assert answer.status_code == 403


def test_a_role_holds_from_the_next_request_on(any_office: Office) -> None:
    owner, who = person(any_office, "owner"), person(any_office, "viewer")
    for role, status in [("member", 201), ("viewer", 403), ("admin", 201)]:
        changed = set_role(any_office, owner.token, who, role)
        assert (changed.status_code, changed.json()["role"]) == (200, role)
        assert any_office.call("POST", JOBS, who.token, json={"model": "m"}).status_code == status
    assert set_role(any_office, owner.token, who, "admin").status_code == 200
    told = [e.details for e in events(any_office, "user.updated")]
    assert told == [
        {"before": "viewer", "role": "member"},
        {"before": "member", "role": "viewer"},
        {"before": "viewer", "role": "admin"},
    ]


def test_a_new_person_is_found_by_id_and_by_name(any_office: Office) -> None:
    admin = person(any_office, "admin")
    name = f"ann+{uuid4().hex}@lab.example"
    made = any_office.call("POST", USERS, admin.token, json={"name": name}).json()
    assert (made["role"], made["created_by"], made["must_change_password"]) == ("member", admin.name, True)
    password = made.pop("one_time_password")
    for handle in (made["id"], name):
        found = any_office.call("GET", f"{USERS}/{handle}", admin.token)
        assert found.json() == made
    listed = any_office.call("GET", USERS, any_office.key("admin"), params={"limit": 1}).json()
    assert (listed["total"], len(listed["items"])) == (2, 1)
    assert password not in any_office.call("GET", USERS, admin.token).text
    assert [e.actor_name for e in events(any_office, "user.created")] == [admin.name]


def test_a_name_is_one_persons_in_all_workspaces(any_office: Office) -> None:
    elsewhere = Office(any_office.served)
    for there in (any_office, elsewhere):
        taken = any_office.call("POST", USERS, any_office.key("admin"), json={"name": person(there).name})
        assert taken.status_code == 409
        assert "already" in taken.json()["detail"]
    same = {"name": uuid4().hex}
    admin = any_office.key("admin")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: any_office.call("POST", USERS, admin, json=same), range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    elsewhere.http.close()


@pytest.mark.parametrize("name", ["", "Ann", "-ann", "a b", "a/b", "a" * 101, "ann\n", "änn"])
def test_a_name_is_one_that_can_be_typed_and_linked_to(office: Office, name: str) -> None:
    assert office.call("POST", USERS, office.key("admin"), json={"name": name}).status_code == 422


def test_another_workspaces_person_answers_like_a_missing_one(any_office: Office) -> None:
    elsewhere = Office(any_office.served)
    foreign, owner = person(elsewhere), person(any_office, "owner")
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"role": "viewer"}),
        ("POST", "/disable", {"keys": "revoke"}),
        ("POST", "/enable", None),
        ("POST", "/reset-password", None),
    ]:
        details = set()
        for handle in (foreign.id, foreign.name, "nobody"):
            answer = any_office.call(method, f"{USERS}/{handle}{path}", owner.token, json=body)
            assert answer.status_code == 404, path
            details.add(answer.json()["detail"])
        assert len(details) == 1
    assert elsewhere.call("GET", ME, foreign.token).json()["role"] == "member"
    elsewhere.http.close()


@pytest.mark.parametrize("by", ["an admin", "an admin's key"])
def test_only_owners_make_and_change_owners(office: Office, by: str) -> None:
    key = person(office, "admin").token if by == "an admin" else office.key("admin")
    owner, member = person(office, "owner"), person(office)
    person(office, "owner")
    for answer in (
        office.call("POST", USERS, key, json={"name": "a", "role": "owner"}),
        set_role(office, key, member, "owner"),
        set_role(office, key, owner, "member"),
        disable(office, key, owner),
        office.call("POST", f"{USERS}/{owner.id}/enable", key),
        office.call("POST", f"{USERS}/{owner.id}/reset-password", key),
    ):
        assert answer.status_code == 403
        assert "owners:write" in answer.json()["detail"]
    assert office.call("GET", ME, owner.token).json()["role"] == "owner"


def test_nobody_reaches_beyond_their_own_permissions(office: Office) -> None:
    """A key that may only manage people must not become an admin by way of one's new password."""
    narrow, admin = narrow_key(office), person(office, "admin")
    for answer in (
        office.call("POST", USERS, narrow, json={"name": "a", "role": "viewer"}),
        set_role(office, narrow, admin, "viewer"),
        office.call("POST", f"{USERS}/{admin.id}/reset-password", narrow),
    ):
        assert answer.status_code == 403
        assert "jobs:read" in answer.json()["detail"]
    assert office.call("GET", f"{USERS}/{admin.id}", narrow).status_code == 200


def test_the_last_owner_stays(any_office: Office) -> None:
    last = person(any_office, "owner")
    gone = person(any_office, "owner")
    assert disable(any_office, last.token, gone).status_code == 200
    for refused in (set_role(any_office, last.token, last, "admin"), disable(any_office, last.token, last)):
        assert refused.status_code == 409
        assert "last owner" in refused.json()["detail"]
    assert any_office.call("POST", f"{USERS}/{gone.id}/enable", last.token).status_code == 200
    assert set_role(any_office, last.token, last, "admin").status_code == 200


@pytest.mark.parametrize("act", [disable, lambda *of: set_role(*of, "admin")], ids=["disable", "demote"])
def test_two_owners_cannot_remove_each_other_at_once(
    any_office: Office, act: Callable[[Office, str, Person], httpx.Response]
) -> None:
    for _ in range(4):
        office = Office(any_office.served)
        ann, bob = person(office, "owner"), person(office, "owner")
        with ThreadPoolExecutor(2) as pool:
            acts = [pool.submit(act, office, by.token, whom) for by, whom in ((ann, bob), (bob, ann))]
        answers = [one.result() for one in acts]
        done, refused = sorted(answer.status_code for answer in answers)
        assert done == 200
        assert refused in (
            401,
            403,
            409,
        )  # the last owner; or, come in after the other's act, nobody or an admin
        with office.served.database.reading() as session:
            rows = session.exec(select(User).where(User.workspace_id == office.workspace_id)).all()
        assert [row.is_active and row.role == "owner" for row in rows].count(True) == 1
        office.http.close()


def test_who_is_disabled_is_out_at_once_and_in_again_when_enabled(any_office: Office) -> None:
    admin, who = person(any_office, "admin"), person(any_office)
    gone = disable(any_office, admin.token, who)
    assert (gone.status_code, gone.json()["is_active"]) == (200, False)
    assert any_office.call("GET", ME, who.token).status_code == 401
    assert log_in(any_office, who.name, PASSWORD, {"X-Forwarded-For": "203.0.113.9"}).status_code == 401
    assert disable(any_office, admin.token, who).status_code == 200
    back = any_office.call("POST", f"{USERS}/{who.id}/enable", admin.token)
    assert (back.json()["is_active"], back.json()["disabled_at"]) == (True, None)
    assert any_office.call("GET", ME, who.token).status_code == 401, "the old session came back to life"
    assert log_in(any_office, who.name).status_code == 200
    acts = events(any_office, "user.disabled", "session.ended", "user.enabled")
    assert [e.action for e in acts] == ["user.disabled", "session.ended", "user.enabled"]


def test_nobody_slips_in_while_they_are_disabled(any_office: Office) -> None:
    who, here = person(any_office), {"X-Forwarded-For": "203.0.113.11"}
    with ThreadPoolExecutor(1) as pool:
        with any_office.served.database.writing() as session:
            session.exec(update(User).where(col(User.id) == who.id).values(disabled_at=now()))
            entering = pool.submit(log_in, any_office, who.name, PASSWORD, here)
            time.sleep(0.5)  # the password has been looked at by then
        assert entering.result().status_code == 401


def test_what_becomes_of_a_disabled_persons_keys_must_be_said(any_office: Office) -> None:
    admin, who = person(any_office, "admin"), person(any_office)
    key = own_key(any_office, who)
    asked = disable(any_office, admin.token, who)
    assert asked.status_code == 409
    assert keys.parse(key) in asked.json()["detail"]
    assert any_office.call("GET", ME, who.token).status_code == 200
    assert disable(any_office, admin.token, who, "keep").status_code == 200
    assert any_office.call("GET", JOBS, key).status_code == 200
    assert disable(any_office, admin.token, who, "revoke").status_code == 200
    assert any_office.call("GET", JOBS, key).status_code == 401
    assert [e.details["keys"] for e in events(any_office, "user.disabled")] == ["keep"]
    assert [e.object_id for e in events(any_office, "key.revoked")] == [keys.parse(key)]


def test_a_reset_password_shuts_out_whoever_had_the_old_one(any_office: Office) -> None:
    admin, who = person(any_office, "admin"), person(any_office)
    answer = any_office.call("POST", f"{USERS}/{who.name}/reset-password", admin.token)
    assert answer.status_code == 200
    assert any_office.call("GET", ME, who.token).status_code == 401
    elsewhere = {"X-Forwarded-For": "203.0.113.10"}
    assert log_in(any_office, who.name, PASSWORD, elsewhere).status_code == 401
    opened = log_in(any_office, who.name, answer.json()["one_time_password"])
    assert opened.json()["user"]["must_change_password"] is True
    assert [e.object_id for e in events(any_office, "user.password_reset")] == [who.id]


def test_the_first_person_is_made_on_the_host_and_is_an_owner(any_office: Office) -> None:
    database = any_office.served.database
    with database.reading() as session:
        workspace = session.get_one(Workspace, any_office.workspace_id).name
    name = uuid4().hex
    opened = log_in(any_office, name, make_first_person(database, name, workspace)).json()
    assert (opened["user"]["role"], opened["user"]["workspace"]) == ("owner", workspace)
    assert [e.actor_kind for e in events(any_office, "user.created")] == ["host"]
    with pytest.raises(BadInput, match="NAME"):
        make_first_person(database, "Ann Lee", workspace)


def test_the_first_person_is_made_once_under_a_name_in_one_line(tmp_path: Path) -> None:
    made = api(tmp_path, "first-admin", "ann", "--person")
    assert (made.returncode, made.stderr) == (0, "")
    assert len(made.stdout.strip()) >= 20
    assert "ann" in refusal(api(tmp_path, "first-admin", "ann", "--person", "--workspace", "other"))


def test_each_role_may_do_all_that_the_one_below_may() -> None:
    assert ROLES["viewer"] < ROLES["member"] < ROLES["admin"] < ROLES["owner"]
