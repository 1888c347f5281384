"""People in a test's workspace, with sessions of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from uuid import uuid4

import httpx
from sqlmodel import col

from api.access import passwords
from api.access.log_ins import fresh_log_in
from api.access.owned import owned
from api.tables import AuditEvent
from tests.api_fixtures import Office
from tuneyard.shapes import NewUser, Role

PASSWORD = "correct horse battery staple"
LOGIN, ME, USERS = "/api/v1/auth/login", "/api/v1/auth/me", "/api/v1/users"


@dataclass(frozen=True)
class Person:
    id: str
    name: str
    token: str


@cache
def hash_of_password() -> str:
    """The hash of PASSWORD, with the parameters that people's passwords really have; made once, since it is slow."""
    return passwords.hashed(PASSWORD)


def person(office: Office, role: str = "member") -> Person:
    """Somebody who has chosen PASSWORD, and is logged in."""
    user = passwords.fresh_person(
        office.workspace_id, NewUser(name=uuid4().hex, role=Role(role)), hash_of_password()
    )
    passwords.put_chosen(user, hash_of_password())
    with office.served.database.writing() as session:
        session.add(user)
        session.flush()
        row, token = fresh_log_in(user, office.served.pepper, timedelta(days=1))
        session.add(row)
    return Person(user.id, user.name, token)


def log_in(
    office: Office, name: str, password: str = PASSWORD, headers: dict[str, str] | None = None
) -> httpx.Response:
    """A log-in by somebody who keeps no cookie. (Without TLS, there is no need to read the authorities.)"""
    given = {"name": name, "password": password}
    return httpx.post(office.served.url + LOGIN, json=given, headers=headers, timeout=30, verify=False)


def events(office: Office, *actions: str) -> list[AuditEvent]:
    """What the workspace's audit trail holds of those actions, in order."""
    query = owned(AuditEvent, office.workspace_id).where(col(AuditEvent.action).in_(actions))
    with office.served.database.reading() as session:
        return list(session.exec(query.order_by(col(AuditEvent.pk))))
