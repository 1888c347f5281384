"""What can be permitted, and the names that stand for sets of it: the one table.

Scopes (what a key is for), permission sets and their members (the words of seed 003) and roles (what a person, or a
key declared in the environment, is) are all names for sets of `resource:action`. Names expand when a key is made: a
later table does not widen old keys. A person's role expands at each request.
"""

from collections.abc import Iterable

PERMISSIONS: dict[str, str] = {
    "jobs:read": "See jobs and their state",
    "jobs:write": "Record, start, pause, resume, cancel and delete jobs",
    "jobs:claim": "Run jobs: claim and end them",
    "predictions:write": "Ask models for predictions, and see those that were asked for",
    "metrics:read": "Read training metrics",
    "datasets:read": "See and download data sets",
    "datasets:write": "Record and upload data sets",
    "artifacts:read": "See and download models and reports",
    "artifacts:write": "Record and delete models and reports",
    "aliases:write": "Let an alias stand for another model",
    "configs:read": "See the configs that are kept",
    "configs:write": "Keep, change and delete configs",
    "suites:read": "See test suites",
    "suites:write": "Record test suites",
    "tests:read": "See batch tests and their answers",
    "tests:write": "Record, start, cancel, archive and delete batch tests",
    "gpus:read": "See GPU readings",
    "gpus:write": "Record GPU readings",
    "keys:own": "Make keys no wider than oneself, and manage those",
    "keys:read": "See all keys of the workspace",
    "keys:write": "Manage all keys of the workspace",
    "users:read": "See the workspace's people",
    "users:write": "Add, change and disable people",
    "owners:write": "Make and change owners",
    "events:read": "Read the audit trail",
    "server:read": "Scrape /metrics: what the whole server does, and the workspace's jobs and cards as counts",
}
_EVERYTHING = frozenset(PERMISSIONS)
_ADMINISTRATION = frozenset(
    {
        "keys:own",
        "keys:read",
        "keys:write",
        "users:read",
        "users:write",
        "owners:write",
        "events:read",
        "server:read",
    }
)
_READING = frozenset(name for name in _EVERYTHING - _ADMINISTRATION if name.endswith(":read"))

_CONFIGS = frozenset({"configs:read", "configs:write"})
_TRAINING = _CONFIGS | {
    "jobs:read",
    "jobs:write",
    "predictions:write",
    "metrics:read",
    "datasets:read",
    "datasets:write",
    "artifacts:read",
    "aliases:write",
}
_TESTING = _CONFIGS | {
    "jobs:read",
    "predictions:write",
    "tests:read",
    "tests:write",
    "suites:read",
    "suites:write",
    "artifacts:read",
}
_WORK = frozenset({"jobs:claim", "artifacts:write", "gpus:write"})

SCOPES: dict[str, frozenset[str]] = {
    "training": _TRAINING | {"gpus:read"},
    "testing": _TESTING | {"gpus:read"},
    "production": frozenset({"artifacts:read", "predictions:write"}),
    "worker": _TRAINING | _TESTING | _WORK | {"gpus:read"},
    "monitoring": frozenset({"server:read"}),
    "all": _EVERYTHING - _ADMINISTRATION,
    "admin": _EVERYTHING - {"owners:write"},
}

# The coarse permissions that clients of seed 003 ask for by name.
COARSE: dict[str, frozenset[str]] = {
    "read_public": frozenset({"artifacts:read"}),
    "read_data": _READING,
    "write_data": frozenset(
        {"datasets:write", "suites:write", "configs:write", "jobs:write", "predictions:write", "tests:write"}
    ),
    "manage_operations": _CONFIGS | {"jobs:read", "jobs:write", "predictions:write", "aliases:write"},
    "training_data_collection": frozenset({"datasets:read", "datasets:write"}),
    "observations_ingest": frozenset({"gpus:read", "gpus:write"}),
    "preprocessing_process": frozenset({"datasets:write", "suites:write"}),
    "differencing_process": frozenset({"jobs:claim", "artifacts:write"}),
    "detection_process": frozenset({"jobs:claim", "tests:write"}),
    "admin_access": _ADMINISTRATION - {"owners:write"},
}
_PIPELINE = [
    "training_data_collection",
    "observations_ingest",
    "preprocessing_process",
    "differencing_process",
    "detection_process",
]
SETS: dict[str, list[str]] = {
    "read_only": ["read_data", "read_public"],
    "training_pipeline": ["read_data", "manage_operations", "training_data_collection"],
    "prefect_workflows": ["read_data", "manage_operations", *_PIPELINE],
    "full_access": ["read_data", "write_data", "manage_operations", "admin_access", *_PIPELINE],
}

ROLES: dict[str, frozenset[str]] = {
    "owner": _EVERYTHING,
    "admin": SCOPES["admin"],
    "member": _EVERYTHING - _ADMINISTRATION - _WORK | {"keys:own"},
    "viewer": _READING | {"keys:own"},
    "client": SCOPES["training"] | SCOPES["testing"] | SCOPES["production"],
    "miner": SCOPES["worker"] - {"predictions:write"},  # it answers what clients ask, and asks nothing itself
    "service": SCOPES["training"] | SCOPES["testing"] | {"artifacts:write"},  # all that seed 002's guide does
}


def expanded(names: Iterable[str]) -> frozenset[str]:
    """What permissions, coarse ones included, stand for.

    Raises:
        KeyError: A name is neither; its argument is the name.
    """
    return frozenset().union(*(frozenset({n}) if n in PERMISSIONS else COARSE[n] for n in names))
