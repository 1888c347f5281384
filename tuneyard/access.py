# Generated from async_access.py by `python -m tests.unasync --write`; do not edit.
"""Who may come in: keys, people, sessions, and the record of what they did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from tuneyard.addresses import object_path
from tuneyard.forms import filled
from tuneyard.shapes import (
    ApiKey,
    AuditEvent,
    CreatedApiKey,
    CreatedUser,
    Disabling,
    KeyChanges,
    KeyExtension,
    KeyRotation,
    Login,
    LoginSession,
    NewApiKey,
    NewPassword,
    NewUser,
    OpenedSession,
    Page,
    PermissionSets,
    RevokedApiKey,
    RotatedApiKey,
    User,
    UserChanges,
    WhoAmI,
)
from tuneyard.wire import Wire

Sessions = list[LoginSession]


class Keys:
    """API keys. An id is the public one, the 12 characters after `wak_`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewApiKey) -> CreatedApiKey:
        """Make a key; this answer is the only one that holds it.

        Example:
            made = client.keys.create(NewApiKey(name="notebook", scopes=["training"], expires_in_days=30))
            Path("notebook.key").write_text(made.key)
        """
        return self._wire.ask(CreatedApiKey, "POST", "/api/v1/api-keys", new)

    def list(self, limit: int = 50, offset: int = 0, active_only: bool = True) -> Page[ApiKey]:
        """One page, newest first: one's own keys, or the workspace's for who may read those.

        Example:
            for key in client.keys.list().items:
                print(key.id, key.name, key.last_used_at)
        """
        params = {"limit": limit, "offset": offset, "active_only": active_only}
        return self._wire.ask(Page[ApiKey], "GET", "/api/v1/api-keys", params=params)

    def permission_sets(self) -> PermissionSets:
        """Every set, scope and permission that a key can be made from.

        Example:
            print(sorted(client.keys.permission_sets().scopes))
        """
        return self._wire.ask(PermissionSets, "GET", "/api/v1/api-keys/permission-sets")

    def get(self, key_id: str) -> ApiKey:
        """One key, without its secret.

        Example:
            print(client.keys.get(key_id).expires_at)
        """
        return self._wire.ask(ApiKey, "GET", object_path("api-keys", key_id))

    def update(self, key_id: str, changes: KeyChanges) -> ApiKey:
        """Change what it is called, or what it may do.

        Example:
            client.keys.update(key_id, KeyChanges(name="dashboard", scopes=["training", "testing"]))
        """
        return self._wire.ask(ApiKey, "PUT", object_path("api-keys", key_id), changes)

    def revoke(self, key_id: str) -> RevokedApiKey:
        """Refuse the key from its next request on.

        Example:
            print(client.keys.revoke(key_id).is_valid)
        """
        return self._wire.ask(RevokedApiKey, "POST", object_path("api-keys", key_id, "revoke"))

    def extend(self, key_id: str, expires_in_days: int = 90) -> ApiKey:
        """Let the key live for so many days from now.

        Example:
            print(client.keys.extend(key_id, expires_in_days=30).expires_at)
        """
        extension = filled(KeyExtension, expires_in_days=expires_in_days)
        return self._wire.ask(ApiKey, "POST", object_path("api-keys", key_id, "extend"), extension)

    def rotate(self, key_id: str, grace: str = "24h", expires_in_days: int | None = None) -> RotatedApiKey:
        """Make the key's successor; the old one goes on for `grace`, such as 30m, 24h or 7d.

        Args:
            expires_in_days: Of the new key; None: as long as the old one was given.

        Example:
            made = client.keys.rotate(key_id, grace="24h")
            print(made.replaces, made.old_key_expires_at)
        """
        rotation = filled(KeyRotation, grace=grace, expires_in_days=expires_in_days)
        path = object_path("api-keys", key_id, "rotate")
        return self._wire.ask(RotatedApiKey, "POST", path, rotation)


class Users:
    """People. `user` is an id or a name."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewUser) -> CreatedUser:
        """Make a person; this answer is the only one that holds the one-time password to pass on.

        Example:
            made = client.users.create(NewUser(name=user, role="member"))
            Path("pass-on.txt").write_text(made.one_time_password)
        """
        return self._wire.ask(CreatedUser, "POST", "/api/v1/users", new)

    def list(self, limit: int = 50, offset: int = 0) -> Page[User]:
        """One page of people.

        Example:
            print([(user.name, user.role) for user in client.users.list().items])
        """
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[User], "GET", "/api/v1/users", params=params)

    def get(self, user: str) -> User:
        """One person.

        Example:
            print(client.users.get(user).last_login_at)
        """
        return self._wire.ask(User, "GET", object_path("users", user))

    def update(self, user: str, changes: UserChanges) -> User:
        """Give a person another role.

        Example:
            client.users.update(user, UserChanges(role="viewer"))
        """
        return self._wire.ask(User, "PATCH", object_path("users", user), changes)

    def disable(self, user: str, keys: Literal["keep", "revoke"] | None = None) -> User:
        """Shut the person out and end their sessions; `keys` must be said for one who has live keys.

        Example:
            client.users.disable(user, keys="revoke")
        """
        disabling = filled(Disabling, keys=keys)
        return self._wire.ask(User, "POST", object_path("users", user, "disable"), disabling)

    def enable(self, user: str) -> User:
        """Let a person in again.

        Example:
            client.users.enable(user)
        """
        return self._wire.ask(User, "POST", object_path("users", user, "enable"))

    def reset_password(self, user: str) -> CreatedUser:
        """Give the person a new one-time password, which is in this answer alone; their sessions end.

        Example:
            made = client.users.reset_password(user)
        """
        return self._wire.ask(CreatedUser, "POST", object_path("users", user, "reset-password"))


class Auth:
    """The caller's own way in."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def login(self, name: str, password: str) -> OpenedSession:
        """Open a session for a person; a client made with its `token` as `session_token` acts for them.

        Example:
            opened = client.auth.login(user, password)
            mine = Client(client.base_url, session_token=opened.token)
        """
        login = filled(Login, name=name, password=password)
        return self._wire.ask(OpenedSession, "POST", "/api/v1/auth/login", login)

    def logout(self) -> None:
        """End this client's session.

        Example:
            mine.auth.logout()
        """
        self._wire.tell("POST", "/api/v1/auth/logout")

    def me(self) -> WhoAmI:
        """Who the server takes this client for.

        Example:
            print(client.auth.me().permissions)
        """
        return self._wire.ask(WhoAmI, "GET", "/api/v1/auth/me")

    def change_password(self, current: str, new: str) -> None:
        """Change one's own password; one's other sessions end.

        Example:
            mine.auth.change_password(password, "another horse, another staple")
        """
        self._wire.tell("POST", "/api/v1/auth/password", filled(NewPassword, current=current, new=new))

    def sessions(self) -> Sessions:
        """One's own live sessions.

        Example:
            print([session.agent for session in mine.auth.sessions()])
        """
        return self._wire.ask(Sessions, "GET", "/api/v1/auth/sessions")

    def end_session(self, session_id: str) -> None:
        """End one of one's own sessions.

        Example:
            for session in mine.auth.sessions():
                mine.auth.end_session(session.id)
        """
        self._wire.tell("DELETE", object_path("auth/sessions", session_id))


class Events:
    """Who did what to which object; only ever added to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(
        self,
        action: str | None = None,
        actor: str | None = None,
        object_kind: str | None = None,
        object_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[AuditEvent]:
        """One page, newest first.

        Example:
            for event in client.events.list(action="key.created").items:
                print(event.at, event.actor_name, event.object_id)
        """
        params: dict[str, str | int | None] = {
            "action": action,
            "actor": actor,
            "object_kind": object_kind,
            "object_id": object_id,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "limit": limit,
            "offset": offset,
        }
        return self._wire.ask(Page[AuditEvent], "GET", "/api/v1/events", params=params)

    def iter(
        self,
        action: str | None = None,
        actor: str | None = None,
        object_kind: str | None = None,
        object_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[AuditEvent]:
        """Every event, newest first, each once, also while new ones come in.

        Example:
            print([event.action for event in client.events.iter(object_kind="job")])
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.list(
                action, actor, object_kind, object_id, since, until, limit=page_size, offset=offset
            )
            for event in page.items:
                if event.id not in seen:
                    seen.add(event.id)
                    yield event
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
