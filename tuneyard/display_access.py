"""Keys, people, sessions and events as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from tuneyard.display import Column, fields, long_time, plain, short_time, table
from tuneyard.shapes import ApiKey, AuditEvent, LoginSession, PermissionSets, User, WhoAmI


def keys_table(keys: Iterable[ApiKey], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("STATE"),
        Column("SCOPES", elastic=True),
        Column("USED (UTC)"),
        Column("EXPIRES (UTC)"),
        Column("NAME", elastic=True),
    ]
    rows = [
        (
            key.id,
            key_state(key),
            ", ".join(key.scopes or key.permissions),
            short_time(key.last_used_at, now),
            short_time(key.expires_at, now) or "never",
            key.name,
        )
        for key in keys
    ]
    return table(columns, rows, width)


def key_state(key: ApiKey) -> str:
    if not key.is_active:
        return "revoked"
    return "expired" if key.is_expired else "active"


def key_card(key: ApiKey, now: datetime) -> str:
    return fields(
        [
            ("Key", key.id),
            ("Name", key.name),
            ("Description", key.description),
            ("State", key_state(key)),
            ("Scopes", ", ".join(key.scopes)),
            ("Permissions", ", ".join(key.permissions)),
            ("Rate limit", key.rate_limit),
            ("Used", f"{key.usage_count} times"),
            ("Last used", long_time(key.last_used_at, now)),
            ("Made by", key.created_by),
            ("Made", long_time(key.created_at, now)),
            ("Expires", long_time(key.expires_at, now) or "never"),
            ("Revoked", long_time(key.revoked_at, now)),
            ("Replaced by", key.successor_id),
        ]
    )


def sets_table(sets: PermissionSets, width: int) -> str:
    """Every name that a key can be made from, and what it stands for."""
    columns = [Column("KIND"), Column("NAME"), Column("STANDS FOR", elastic=True)]
    rows = [
        *(("set", name, ", ".join(one.permissions)) for name, one in sets.permission_sets.items()),
        *(("scope", name, ", ".join(permissions)) for name, permissions in sets.scopes.items()),
        *(("permission", name, allows) for name, allows in sets.permissions.items()),
    ]
    return table(columns, rows, width)


def users_table(users: Iterable[User], now: datetime, width: int) -> str:
    columns = [
        Column("NAME", elastic=True),
        Column("ROLE"),
        Column("STATE"),
        Column("LAST LOG-IN (UTC)"),
        Column("MADE (UTC)"),
        Column("MADE BY", elastic=True),
    ]
    rows = [
        (
            user.name,
            user.role,
            user_state(user),
            short_time(user.last_login_at, now),
            short_time(user.created_at, now),
            user.created_by,
        )
        for user in users
    ]
    return table(columns, rows, width)


def user_state(user: User) -> str:
    if not user.is_active:
        return "disabled"
    return "invited" if user.must_change_password else "active"


def user_card(user: User, now: datetime) -> str:
    return fields(
        [
            ("Person", user.name),
            ("Id", user.id),
            ("Role", user.role),
            ("Workspace", user.workspace),
            ("State", user_state(user)),
            ("Made by", user.created_by),
            ("Made", long_time(user.created_at, now)),
            ("Last log-in", long_time(user.last_login_at, now)),
            ("Disabled", long_time(user.disabled_at, now)),
        ]
    )


def who_card(who: WhoAmI, now: datetime) -> str:
    return fields(
        [
            ("Person" if who.mode == "session" else "Key", who.name),
            ("Key id", who.key_id),
            ("Role", who.role),
            ("Workspace", who.workspace),
            ("Scopes", ", ".join(who.scopes)),
            ("Permissions", ", ".join(who.permissions)),
            ("Expires", long_time(who.expires_at, now) or "never"),
            (
                "Password",
                "one-time; choose your own: tuneyard auth password" if who.must_change_password else None,
            ),
        ]
    )


def sessions_table(sessions: Iterable[LoginSession], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("THIS ONE"),
        Column("OPENED (UTC)"),
        Column("USED (UTC)"),
        Column("EXPIRES (UTC)"),
        Column("FROM"),
        Column("PROGRAM", elastic=True),
    ]
    rows = [
        (
            one.id,
            "yes" if one.is_current else "",
            short_time(one.created_at, now),
            short_time(one.last_used_at, now),
            short_time(one.expires_at, now),
            one.address,
            one.agent,
        )
        for one in sessions
    ]
    return table(columns, rows, width)


def events_table(events: Iterable[AuditEvent], now: datetime, width: int) -> str:
    columns = [
        Column("AT (UTC)"),
        Column("WHO", elastic=True),
        Column("ACTION"),
        Column("OBJECT", elastic=True),
        Column("DETAILS", elastic=True),
    ]
    rows = [
        (
            short_time(event.at, now),
            f"{event.actor_kind} {event.actor_name}",
            event.action,
            f"{event.object_kind}:{event.object_id}",
            plain(json.dumps(event.details, ensure_ascii=False) if event.details else ""),
        )
        for event in events
    ]
    return table(columns, rows, width)
