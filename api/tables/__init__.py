"""Every table. Whatever belongs to somebody has `workspace_id`; read it through `api/access/owned.py`.

`pk` is the database's own number and never leaves it; `id` is what the world sees, unique in its workspace.
"""

from api.tables.cards import Gpu, GpuSample, GpuUse, HostSample
from api.tables.columns import (
    BIG,
    GRACE,
    OPEN,
    ROW_NUMBER,
    START,
    AnyNumber,
    UtcTime,
    new_id,
    now,
    token_is_over,
)
from api.tables.jobs import Job, JobEvent, JobLog, progress_of
from api.tables.kept import Artifact, Config, ConfigArtifact, Dataset
from api.tables.people import ApiKey, AuditEvent, LoginSession, User, Workspace
from api.tables.points import Metric, MetricBucket
from api.tables.tests import AliasMove, ModelAlias, Prediction, TestRun, TestSuite

__all__ = [
    "BIG",
    "GRACE",
    "OPEN",
    "ROW_NUMBER",
    "START",
    "AliasMove",
    "AnyNumber",
    "ApiKey",
    "Artifact",
    "AuditEvent",
    "Config",
    "ConfigArtifact",
    "Dataset",
    "Gpu",
    "GpuSample",
    "GpuUse",
    "HostSample",
    "Job",
    "JobEvent",
    "JobLog",
    "LoginSession",
    "Metric",
    "MetricBucket",
    "ModelAlias",
    "Prediction",
    "TestRun",
    "TestSuite",
    "User",
    "UtcTime",
    "Workspace",
    "new_id",
    "now",
    "progress_of",
    "token_is_over",
]
