"""A line in the log for work that was asked for, with what it is likely to cost."""

import logging
from typing import Annotated

from fastapi import Depends

from api.access.auth import DatabaseDep, SettingsDep
from api.access.caller import Caller
from api.database import Database
from api.gpu_accounts import likely_cost
from api.settings import Settings
from api.tables import Job
from tuneyard.shapes import JobKind

log = logging.getLogger("tuneyard.api")


class OperationLog:
    """Writes the lines of one API."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def add(self, who: Caller, job: Job) -> None:
        """Say that work was asked for, once it is recorded.

        `cost_estimate` is null without a tariff, and where no job like it has completed yet.
        """
        fields = {
            "operation": "train" if job.kind in (JobKind.FINETUNE, JobKind.TABULAR) else job.kind,
            "key_prefix": who.id if who.kind == "key" else None,
            "job_id": job.id,
            "cost_estimate": likely_cost(self._database, self._settings, job),
        }
        log.info("ml_operation", extra=fields)


async def _operation_log(database: DatabaseDep, settings: SettingsDep) -> OperationLog:
    return OperationLog(database, settings)


OperationLogDep = Annotated[OperationLog, Depends(_operation_log)]
