"""What a key may do, and the rows of new keys and of their successors."""

from datetime import datetime, timedelta

from sqlmodel import Session

from api.access.caller import Caller
from api.access.owned import owned
from api.access.pepper import Pepper
from api.access.permissions import COARSE, PERMISSIONS, SCOPES, SETS, expanded
from api.problems import Problem
from api.tables import ApiKey, User, now
from tuneyard import keys
from tuneyard.shapes import KeyChanges, KeyRotation, NewApiKey

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# What a successor has from the key it replaces; also its maker, so that who disables them finds it.
KEPT_IN_A_LINE = {
    "workspace_id",
    "name",
    "description",
    "scopes",
    "permissions",
    "rate_limit",
    "created_by",
    "created_by_id",
}


def names_of(asked: NewApiKey | KeyChanges) -> bool:
    """Whether anything is asked for."""
    return bool(asked.permission_set or asked.permissions or asked.scopes)


def permissions_of(asked: NewApiKey | KeyChanges) -> frozenset[str]:
    """What the names in the request stand for.

    Raises:
        Problem: 400 where nothing is named, or an unknown set; 422 for an unknown permission or scope.
    """
    if not names_of(asked):
        raise Problem(400, "At least one permission is required: a permission_set, permissions or scopes")
    if asked.permission_set is not None and asked.permission_set not in SETS:
        raise Problem(400, f"Unknown permission set: {asked.permission_set}")
    _known("permissions", asked.permissions or [], {*PERMISSIONS, *COARSE})
    _known("scopes", asked.scopes or [], set(SCOPES))
    named = SETS[asked.permission_set] if asked.permission_set else asked.permissions or []
    return expanded(named).union(*(SCOPES[scope] for scope in asked.scopes or []))


def _known(field: str, names: list[str], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise Problem(
            422, f"unknown {field}: {', '.join(unknown)}; there are {', '.join(sorted(known))}", field=field
        )


def granted(caller: Caller, asked: NewApiKey | KeyChanges) -> list[str]:
    """What the key that the caller asks for may do, sorted.

    Raises:
        Problem: As `permissions_of`; 403 where it is more than the caller may do; 422 for a key that is no
            admin's and could make keys.
    """
    permissions = permissions_of(asked)
    lacking = sorted(permissions - caller.permissions)
    if lacking:
        raise Problem(403, f"A key cannot do more than its maker, who lacks {', '.join(lacking)}")
    if "keys:own" in permissions and "keys:write" not in permissions:
        raise Problem(422, "only an admin's key makes keys: leave keys:own out", field="permissions")
    return sorted(permissions)


def demand_still_here(session: Session, caller: Caller) -> None:
    """401 for a person who was disabled since they were let in; nobody disables them until this transaction ends.

    Whoever disables a person looks for their keys: one that appears a moment later would be missed.
    """
    if caller.kind == "person":
        query = owned(User, caller.workspace_id).where(User.id == caller.id).with_for_update()
        if not session.exec(query).one().is_active:
            raise Problem(401, "Authentication failed")


def fresh_row(
    workspace_id: int, new: NewApiKey, permissions: list[str], pepper: Pepper
) -> tuple[ApiKey, str]:
    """A key's row, and the key itself, which the row does not hold."""
    key = keys.mint()
    lifetime = timedelta(days=new.expires_in_days) if new.expires_in_days else None
    row = ApiKey(
        workspace_id=workspace_id,
        id=key.public_id,
        digest=pepper.digest(key.text),
        name=new.name,
        description=new.description,
        scopes=list(dict.fromkeys(new.scopes or [])),
        permissions=permissions,
        rate_limit=new.rate_limit,
        expires_at=now() + lifetime if lifetime else None,
    )
    return row, key.text


def rotated(old: ApiKey, before: ApiKey | None, rotation: KeyRotation, pepper: Pepper) -> tuple[ApiKey, str]:
    """The successor of a locked key, whose own end is brought forward to the end of the grace.

    Args:
        before: The key that `old` replaced: while it lives, a third would be too many.

    Raises:
        Problem: 409 for a dead or replaced key, or one whose predecessor lives on.
    """
    if not old.is_valid:
        raise Problem(409, "A revoked or expired key cannot be replaced: make another")
    if old.successor_id is not None:
        raise Problem(409, f"This key was replaced by {old.successor_id} already")
    if before is not None and before.is_valid:
        raise Problem(409, f"The key before it, {before.id}, still opens the door: revoke it, or wait")
    given = old.expires_at - old.created_at if old.expires_at else None
    key = keys.mint()
    new = ApiKey(
        **old.model_dump(include=KEPT_IN_A_LINE),
        id=key.public_id,
        digest=pepper.digest(key.text),
        expires_at=_end_of(given, rotation.expires_in_days),
    )
    end = now() + grace_of(rotation.grace)
    old.expires_at = min(old.expires_at, end) if old.expires_at else end
    old.successor_id = new.id
    old.updated_at = now()
    return new, key.text


def _end_of(given: timedelta | None, days: int | None) -> datetime | None:
    lifetime = timedelta(days=days) if days else given
    return now() + lifetime if lifetime else None


def grace_of(text: str) -> timedelta:
    """`24h` and the like as a time span."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
