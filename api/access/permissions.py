"""Which permissions there are, and which names stand for sets of them: the one table."""

PERMISSIONS = frozenset(
    {
        "jobs:read",
        "jobs:write",
        "jobs:claim",
        "metrics:read",
        "datasets:read",
        "datasets:write",
        "artifacts:read",
        "artifacts:write",
        "suites:read",
        "suites:write",
        "tests:read",
        "tests:write",
        "gpus:read",
        "gpus:write",
        "keys:read",
        "keys:write",
    }
)
_KEY_MANAGEMENT = {"keys:read", "keys:write"}

_TRAINING = frozenset(
    {"jobs:read", "jobs:write", "metrics:read", "datasets:read", "datasets:write", "artifacts:read"}
)
_TESTING = frozenset(
    {"jobs:read", "tests:read", "tests:write", "suites:read", "suites:write", "artifacts:read"}
)

SCOPES: dict[str, frozenset[str]] = {
    "training": _TRAINING | {"gpus:read"},
    "testing": _TESTING | {"gpus:read"},
    "production": frozenset({"artifacts:read"}),
    "worker": _TRAINING | _TESTING | {"jobs:claim", "artifacts:write", "gpus:read", "gpus:write"},
    "all": PERMISSIONS - _KEY_MANAGEMENT,
    "admin": PERMISSIONS,
}


def permissions_of(scopes: list[str]) -> list[str]:
    """What the scopes stand for, sorted. Every name must be in SCOPES."""
    return sorted(frozenset().union(*(SCOPES[scope] for scope in scopes)))
