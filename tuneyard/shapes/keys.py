"""API keys."""

from __future__ import annotations

from pydantic import Field

from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import Days, Grace, Quota, Text, Utc


class NewApiKey(Request):
    """What the key may do is named by any of `permission_set`, `permissions` and `scopes`; at least one is needed.

    With a `permission_set`, `permissions` is ignored. `GET /api-keys/permission-sets` lists every name.
    """

    name: Text = Field(min_length=1, max_length=255)
    description: Text | None = Field(None, max_length=2000)
    permission_set: Text | None = Field(None, min_length=1, max_length=100)
    permissions: list[Text] | None = Field(None, max_length=100)
    scopes: list[Text] | None = Field(None, max_length=100)
    expires_in_days: Days | None = Field(90, description="null: never.")
    rate_limit: Quota | None = Field(
        None, description="Requests in one window; null: the server's own limit."
    )


class KeyChanges(Request):
    """A field left out stays as it is. What the key may do is replaced as a whole by what is named here."""

    name: Text | None = Field(None, min_length=1, max_length=255)
    description: Text | None = Field(None, max_length=2000)
    permission_set: Text | None = Field(None, min_length=1, max_length=100)
    permissions: list[Text] | None = Field(None, max_length=100)
    scopes: list[Text] | None = Field(None, max_length=100)
    rate_limit: Quota | None = None


class KeyExtension(Request):
    expires_in_days: Days = Field(90, description="Counted from now.")


class KeyRotation(Request):
    """`grace` is how long the old key goes on beside the new one: a number and s, m, h or d; at most 30 days."""

    grace: Grace = "24h"
    expires_in_days: Days | None = Field(
        None, description="Of the new key; null: as long as the old one was given."
    )


class ApiKey(Shape):
    id: str = Field(description="The key's public id: the 12 characters after `wak_`; what logs show.")
    key_prefix: str = Field(description="The public id, under the name that older clients know.")
    name: str
    description: str | None = None
    permissions: list[str]
    scopes: list[str]
    rate_limit: int | None = None
    is_active: bool = Field(description="Not revoked.")
    is_expired: bool
    is_valid: bool = Field(description="Neither revoked nor expired: it opens the door.")
    usage_count: int = Field(0, description="Requests that were let in; written every few seconds.")
    last_used_at: Utc | None = None
    created_by: str | None = Field(
        None, description="The person's name, or the public id of the key, that made it."
    )
    created_at: Utc
    updated_at: Utc
    expires_at: Utc | None = None
    revoked_at: Utc | None = None
    successor_id: str | None = Field(None, description="The key that replaced it.")


class CreatedApiKey(ApiKey):
    """The only answer that ever holds `key`."""

    key: str = Field(repr=False)


class RevokedApiKey(ApiKey):
    message: str = "API key revoked successfully"


class RotatedApiKey(CreatedApiKey):
    """The new key. The old one, `replaces`, is refused from `old_key_expires_at` on."""

    replaces: str
    old_key_expires_at: Utc


class PermissionSet(Shape):
    """`members` are the names it is made of, `permissions` what those stand for."""

    members: list[str]
    permissions: list[str]


class PermissionSets(Shape):
    """Every name that a key's making understands."""

    permission_sets: dict[str, PermissionSet]
    scopes: dict[str, list[str]]
    permissions: dict[str, str] = Field(description="Each permission, and what it allows.")
