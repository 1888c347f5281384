"""Any life of any keys, against a small model of it: what opens the door, and what never does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api import tables
from api.access import door, key_making
from api.access.permissions import PERMISSIONS, SCOPES
from api.routes import api_keys
from tests.api_fixtures import Office, Served
from tuneyard import keys

KEYS = "/api-keys"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-wk "
LIVES = settings(max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[*HealthCheck])


class Clock:
    """The server's clock, which a test moves forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return tables.now() + self.ahead


@dataclass
class Modelled:
    """What the model knows of a key."""

    id: str
    text: str
    expires_at: datetime | None
    revoked: bool = False
    successor: str | None = None
    before: Modelled | None = None
    uses: int = 0
    permissions: set[str] = field(default_factory=set)

    def lives(self, at: datetime) -> bool:
        return not self.revoked and (self.expires_at is None or self.expires_at > at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Every place that asks what time it is, for a key, asks this clock."""
    clock = Clock()
    real = tables.now
    for place in (door, key_making):
        monkeypatch.setattr(place, "now", lambda: real() + clock.ahead)
    monkeypatch.setattr(api_keys.tables, "now", lambda: real() + clock.ahead)
    monkeypatch.setattr(Clock, "now", lambda self: real() + self.ahead)
    return clock


def test_every_life_of_a_key_is_the_model_s(sqlite_served: Served, clock: Clock) -> None:
    office = Office(sqlite_served)
    admin = office.key("admin")

    class Life(RuleBasedStateMachine):
        known = Bundle("known")

        def __init__(self) -> None:
            super().__init__()
            clock.ahead = timedelta()
            self.all: list[Modelled] = []

        def _call(self, method: str, path: str, key: str = admin, body: Any = None) -> httpx.Response:
            return office.call(method, path, key, json=body)

        def _kept(self, answer: httpx.Response, before: Modelled | None = None) -> Modelled:
            body = answer.json()
            expiry = body["expires_at"] and datetime.fromisoformat(body["expires_at"])
            made = Modelled(
                body["id"], body["key"], expiry, before=before, permissions=set(body["permissions"])
            )
            self.all.append(made)
            return made

        @rule(
            target=known, days=st.none() | st.integers(1, 40), scope=st.sampled_from(["training", "testing"])
        )
        def create(self, days: int | None, scope: str) -> Any:
            answer = self._call("POST", KEYS, body={"name": "n", "scopes": [scope], "expires_in_days": days})
            assert answer.status_code == 201
            return self._kept(answer)

        @rule(key=known)
        def use(self, key: Modelled) -> None:
            lives = key.lives(clock.now())
            assert self._call("GET", "/api/v1/jobs", key.text).status_code == (200 if lives else 401)
            key.uses += lives

        @rule(key=known)
        def revoke(self, key: Modelled) -> None:
            assert self._call("POST", f"{KEYS}/{key.id}/revoke").status_code == 200
            key.revoked = True

        @rule(key=known, days=st.integers(1, 40))
        def extend(self, key: Modelled, days: int) -> None:
            answer = self._call("POST", f"{KEYS}/{key.id}/extend", body={"expires_in_days": days})
            assert answer.status_code == (409 if key.revoked or key.successor else 200)
            if answer.status_code == 200:
                key.expires_at = datetime.fromisoformat(answer.json()["expires_at"])

        @rule(target=known, key=known, hours=st.integers(0, 100))
        def rotate(self, key: Modelled, hours: int) -> Any:
            at = clock.now()
            third = key.before is not None and key.before.lives(at)
            allowed = key.lives(at) and key.successor is None and not third
            answer = self._call("POST", f"{KEYS}/{key.id}/rotate", body={"grace": f"{hours}h"})
            assert answer.status_code == (201 if allowed else 409)
            if not allowed:
                return multiple()
            new = self._kept(answer, before=key)
            key.successor = new.id
            key.expires_at = datetime.fromisoformat(answer.json()["old_key_expires_at"])
            assert new.permissions == key.permissions
            return new

        @rule(hours=st.integers(1, 24 * 20))
        def wait(self, hours: int) -> None:
            clock.ahead += timedelta(hours=hours)

        @precondition(lambda self: self.all)
        @rule(key=consumes(known), place=st.integers(0, 54), letter=st.sampled_from(ALPHABET))
        def mistype(self, key: Modelled, place: int, letter: str) -> None:
            wrong = key.text[:place] + letter + key.text[place + 1 :]
            if wrong != key.text:
                assert self._call("GET", "/api/v1/jobs", wrong.strip() or "-").status_code == 401

        @invariant()
        def at_most_two_of_a_line_live(self) -> None:
            at = clock.now()
            for key in self.all:
                line = [key]
                while line[-1].before is not None:
                    line.append(line[-1].before)
                assert sum(one.lives(at) for one in line) <= 2

        def teardown(self) -> None:
            for key in self.all[:3]:
                assert self._call("GET", f"{KEYS}/{key.id}").json()["usage_count"] == key.uses

    try:
        run_state_machine_as_test(Life, settings=LIVES)
    finally:
        office.http.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_permissions_only_shrink_along_any_chain_of_makers(office: Office, data: st.DataObject) -> None:
    held, maker = SCOPES["admin"], office.key("admin")
    for _ in range(data.draw(st.integers(1, 4))):
        asked = data.draw(st.sets(st.sampled_from(sorted(PERMISSIONS)), min_size=1) | st.just({*held}))
        scopes = data.draw(st.lists(st.sampled_from(sorted(SCOPES)), max_size=2))
        wish = asked.union(*(SCOPES[scope] for scope in scopes))
        body = {"name": "n", "permissions": sorted(asked), "scopes": scopes}
        answer = office.call("POST", KEYS, maker, json=body)
        if answer.status_code != 201:
            makes_keys_alone = "keys:own" in wish and "keys:write" not in wish
            assert "keys:own" not in held or not wish <= held or makes_keys_alone
            assert answer.status_code == (422 if "keys:own" in held and wish <= held else 403)
            return
        assert set(answer.json()["permissions"]) == wish <= held
        held, maker = frozenset(wish), answer.json()["key"]


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 54), letter=st.characters(min_codepoint=33, max_codepoint=126))
def test_no_single_changed_character_is_still_a_key(place: int, letter: str) -> None:
    """The checksum finds each: it costs no look-up, wherever it is."""
    key = keys.mint().text
    wrong = key[:place] + letter + key[place + 1 :]
    assert keys.keys_in(wrong) == ([key] if wrong == key else [])
