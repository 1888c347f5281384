"""Keys through their whole life: made, read, changed, extended, replaced, revoked; and who may do that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, update

from api import tables
from api.access.permissions import COARSE, PERMISSIONS, ROLES, SCOPES, SETS
from tests.api_fixtures import Office
from tuneyard import keys

KEYS = "/api-keys"
JOBS = "/api/v1/jobs"
READ_FIELDS = {
    "id",
    "name",
    "description",
    "key_prefix",
    "permissions",
    "scopes",
    "expires_at",
    "last_used_at",
    "usage_count",
    "is_active",
    "is_expired",
    "is_valid",
    "created_at",
    "updated_at",
}


def made(office: Office, maker: str, **fields: Any) -> dict[str, Any]:
    new = {"name": "n", "scopes": ["training"]} | fields
    answer = office.call("POST", KEYS, maker, json=new)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def expire(office: Office, key_id: str, at: datetime) -> None:
    with office.served.database.writing() as session:
        session.exec(update(tables.ApiKey).where(col(tables.ApiKey.id) == key_id).values(expires_at=at))


@pytest.mark.parametrize("path", ["/api-keys", "/api-keys/", "/api/v1/api-keys", "/api/v1/api-keys/"])
def test_each_spelling_of_the_path_is_the_same_room(office: Office, path: str) -> None:
    admin = office.key("admin")
    new = office.call("POST", path, admin, json={"name": "n", "permission_set": "read_only"})
    assert new.status_code == 201
    assert office.call("GET", path, admin).json()["total"] == 2
    one = f"{path.rstrip('/')}/{new.json()['id']}"
    assert office.call("GET", one, admin).json()["name"] == "n"
    assert office.call("GET", f"{path.rstrip('/')}/permission-sets", admin).status_code == 200


def test_a_key_is_shown_once_and_read_without_it(office: Office) -> None:
    admin = office.key("admin")
    new = made(office, admin, description="for a test", scopes=["training", "testing", "training"])
    assert keys.parse(new["key"]) == new["id"] == new["key_prefix"]
    read = office.call("GET", f"{KEYS}/{new['id']}", admin)
    assert read.json().keys() >= READ_FIELDS
    assert (read.json()["description"], read.json()["scopes"]) == ("for a test", ["training", "testing"])
    for answer in (read, office.call("GET", KEYS, admin)):
        assert new["key"] not in answer.text
        assert "digest" not in answer.text
    days = datetime.fromisoformat(new["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < days < timedelta(days=91)


@pytest.mark.parametrize("name", SETS)
def test_a_permission_set_stands_for_its_members(office: Office, name: str) -> None:
    new = made(office, office.key("admin"), permission_set=name, permissions=["keys:own"], scopes=None)
    assert set(new["permissions"]) == set().union(*(COARSE[member] for member in SETS[name]))
    shown = office.call("GET", f"{KEYS}/permission-sets", office.key("production")).json()
    assert shown["permission_sets"][name]["members"] == SETS[name]
    assert shown["permission_sets"][name]["permissions"] == new["permissions"]


def test_the_sets_are_those_of_the_seed() -> None:
    five = {
        "training_data_collection",
        "observations_ingest",
        "preprocessing_process",
        "differencing_process",
        "detection_process",
    }
    assert {name: set(members) for name, members in SETS.items()} == {
        "read_only": {"read_data", "read_public"},
        "training_pipeline": {"read_data", "manage_operations", "training_data_collection"},
        "prefect_workflows": {"read_data", "manage_operations"} | five,
        "full_access": {"read_data", "write_data", "manage_operations", "admin_access"} | five,
    }
    assert expanded_set("prefect_workflows") >= SCOPES["worker"]
    for names in (SCOPES, COARSE, ROLES):
        assert all(permissions <= PERMISSIONS.keys() for permissions in names.values())


def expanded_set(name: str) -> set[str]:
    return set().union(*(COARSE[member] for member in SETS[name]))


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"permission_set": "boss"}, 400, "Unknown permission set: boss"),
        ({}, 400, "At least one permission is required"),
        ({"permissions": []}, 400, "At least one permission is required"),
        ({"permissions": ["read_everything"]}, 422, "read_everything"),
        ({"scopes": ["boss"]}, 422, "boss"),
        ({"scopes": ["training"], "expires_in_days": 0}, 422, "expires_in_days"),
        ({"scopes": ["training"], "expires_in_days": -1}, 422, "expires_in_days"),
        ({"scopes": ["training"], "name": "x" * 256}, 422, "name"),
        ({"scopes": ["training"], "name": ""}, 422, "name"),
        ({"scopes": ["training"], "surprise": 1}, 422, "surprise"),
        ({"permissions": ["keys:own"]}, 422, "only an admin's key makes keys"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(
    office: Office, fields: dict[str, Any], status: int, text: str
) -> None:
    answer = office.call("POST", KEYS, office.key("admin"), json={"name": "n"} | fields)
    assert answer.status_code == status
    assert text in answer.json()["detail"]


def test_only_admin_keys_make_keys(office: Office) -> None:
    new = {"name": "n", "permission_set": "read_only"}
    for scope in SCOPES.keys() - {"admin"}:
        refused = office.call("POST", KEYS, office.key(scope), json=new)
        assert refused.status_code == 403
        assert "API key does not have required permission: keys:own" in refused.json()["detail"]
    assert office.call("POST", KEYS, json=new).status_code == 401
    full = made(office, office.key("admin"), permission_set="full_access", scopes=None)
    assert office.call("POST", KEYS, full["key"], json=new).status_code == 201


def test_no_key_holds_more_than_its_maker(office: Office) -> None:
    narrow = made(office, office.key("admin"), permission_set="full_access", scopes=None)
    assert "metrics:read" in narrow["permissions"]
    assert office.call("POST", KEYS, narrow["key"], json={"name": "n", "scopes": ["all"]}).status_code == 201
    owner = office.call(
        "POST", KEYS, office.key("admin"), json={"name": "n", "permissions": ["owners:write"]}
    )
    assert owner.status_code == 403
    assert "owners:write" in owner.json()["detail"]


def test_changes_hold_from_the_next_request_on(office: Office) -> None:
    admin = office.key("admin")
    new = made(office, admin)
    one = f"{KEYS}/{new['id']}"
    assert office.call("GET", JOBS, new["key"]).status_code == 200
    changed = office.call("PUT", one, admin, json={"name": "m", "scopes": ["production"], "rate_limit": 9})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["rate_limit"]) == ("m", 9)
    assert changed.json()["permissions"] == ["artifacts:read", "predictions:write"]
    assert office.call("GET", JOBS, new["key"]).status_code == 403
    kept = office.call("PUT", one, admin, json={"description": "d", "rate_limit": None}).json()
    assert (kept["name"], kept["scopes"], kept["rate_limit"]) == ("m", ["production"], None)
    assert office.call("PUT", one, admin, json={"permissions": ["owners:write"]}).status_code == 403
    assert office.call("PUT", f"{KEYS}/{'0' * 12}", admin, json={}).status_code == 404


def test_revoking_says_so_and_can_be_repeated(office: Office) -> None:
    admin = office.key("admin")
    new = made(office, admin)
    for _ in range(2):
        gone = office.call("POST", f"{KEYS}/{new['id']}/revoke", admin)
        assert gone.json()["message"] == "API key revoked successfully"
        assert (gone.json()["is_active"], gone.json()["is_valid"]) == (False, False)
    assert office.call("GET", JOBS, new["key"]).status_code == 401
    assert office.call("POST", f"{KEYS}/{new['id']}/extend", admin, json={}).status_code == 409
    assert office.call("POST", f"{KEYS}/{new['id']}/rotate", admin).status_code == 409
    listed = office.call("GET", KEYS, admin).json()["items"]
    assert new["id"] not in [key["id"] for key in listed]
    everything = office.call("GET", f"{KEYS}?active_only=false", admin).json()["items"]
    assert new["id"] in [key["id"] for key in everything]


def test_an_expired_key_is_refused_until_it_is_extended(any_office: Office) -> None:
    admin = any_office.key("admin")
    new = made(any_office, admin)
    expire(any_office, new["id"], tables.now() - timedelta(seconds=1))
    assert any_office.call("GET", JOBS, new["key"]).status_code == 401
    read = any_office.call("GET", f"{KEYS}/{new['id']}", admin).json()
    assert (read["is_active"], read["is_expired"], read["is_valid"]) == (True, True, False)
    assert new["id"] not in [k["id"] for k in any_office.call("GET", KEYS, admin).json()["items"]]
    longer = any_office.call("POST", f"{KEYS}/{new['id']}/extend", admin, json={"expires_in_days": 30})
    left = datetime.fromisoformat(longer.json()["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert any_office.call("GET", JOBS, new["key"]).status_code == 200
    for days in (0, -3, 10**9):
        wrong = any_office.call("POST", f"{KEYS}/{new['id']}/extend", admin, json={"expires_in_days": days})
        assert wrong.status_code == 422


def test_old_and_new_key_overlap_for_the_time_of_grace(any_office: Office) -> None:
    admin = any_office.key("admin")
    old = made(any_office, admin, description="d", rate_limit=50_000, expires_in_days=10)
    answer = any_office.call("POST", f"{KEYS}/{old['id']}/rotate", admin, json={"grace": "2h"})
    assert answer.status_code == 201
    new = answer.json()
    assert new["replaces"] == old["id"] != new["id"]
    for field in ("name", "description", "permissions", "scopes", "rate_limit"):
        assert new[field] == old[field]
    for key in (old["key"], new["key"]):
        assert any_office.call("GET", JOBS, key).status_code == 200
    left = datetime.fromisoformat(new["old_key_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)
    assert any_office.call("GET", f"{KEYS}/{old['id']}", admin).json()["successor_id"] == new["id"]
    lifetime = datetime.fromisoformat(new["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=9) < lifetime <= timedelta(days=10)
    expire(any_office, old["id"], tables.now())
    assert any_office.call("GET", JOBS, old["key"]).status_code == 401
    assert any_office.call("GET", JOBS, new["key"]).status_code == 200


def test_a_line_of_keys_never_has_three_that_live(office: Office) -> None:
    admin = office.key("admin")
    first = made(office, admin)
    second = office.call("POST", f"{KEYS}/{first['id']}/rotate", admin).json()
    again = office.call("POST", f"{KEYS}/{first['id']}/rotate", admin)
    assert again.status_code == 409
    assert second["id"] in again.json()["detail"]
    assert office.call("POST", f"{KEYS}/{second['id']}/rotate", admin).status_code == 409
    assert office.call("POST", f"{KEYS}/{first['id']}/extend", admin, json={}).status_code == 409
    office.call("POST", f"{KEYS}/{first['id']}/revoke", admin)
    third = office.call("POST", f"{KEYS}/{second['id']}/rotate", admin, json={"grace": "0s"})
    assert third.status_code == 201
    alive = [office.call("GET", JOBS, k["key"]).status_code for k in (first, second, third.json())]
    assert alive == [401, 401, 200]


def test_a_grace_does_not_lengthen_a_key_s_life(office: Office) -> None:
    admin = office.key("admin")
    old = made(office, admin, expires_in_days=1)
    new = office.call("POST", f"{KEYS}/{old['id']}/rotate", admin, json={"grace": "5d"}).json()
    assert new["old_key_expires_at"] == old["expires_at"]
    for grace in ("31d", "1w", "-1h", "", "24", 24):
        wrong = office.call("POST", f"{KEYS}/{new['id']}/rotate", admin, json={"grace": grace})
        assert wrong.status_code in (409, 422), grace


@pytest.mark.parametrize(
    ("key_id", "status"), [("0" * 12, 404), ("x" * 36, 404), ("word", 422), ("a b", 422)]
)
def test_an_unknown_id_is_missing_and_junk_is_no_id(office: Office, key_id: str, status: int) -> None:
    admin = office.key("admin")
    for method, path in [
        ("GET", ""),
        ("PUT", ""),
        ("POST", "/revoke"),
        ("POST", "/extend"),
        ("POST", "/rotate"),
    ]:
        assert office.call(method, f"{KEYS}/{key_id}{path}", admin, json={}).status_code == status


def test_uses_are_counted_and_dated(any_office: Office) -> None:
    admin, before = any_office.key("admin"), tables.now()
    new = made(any_office, admin)
    for _ in range(7):
        any_office.call("GET", JOBS, new["key"])
    read = any_office.call("GET", f"{KEYS}/{new['id']}", admin).json()
    assert read["usage_count"] == 7
    assert before <= datetime.fromisoformat(read["last_used_at"]) <= tables.now()


def test_a_key_that_is_about_to_expire_says_so(office: Office) -> None:
    admin = office.key("admin")
    soon, later = (made(office, admin, expires_in_days=days) for days in (6, 8))
    notice = office.call("GET", JOBS, soon["key"]).headers["Tuneyard-Key-Expires"]
    assert datetime.fromisoformat(notice) == datetime.fromisoformat(soon["expires_at"]).replace(microsecond=0)
    assert "Tuneyard-Key-Expires" in office.call("GET", "/api/v1/api-keys", soon["key"]).headers
    assert "Tuneyard-Key-Expires" not in office.call("GET", JOBS, later["key"]).headers
