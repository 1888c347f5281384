"""What a job has had of the team's cards."""

from typing import Annotated

from fastapi import APIRouter

from api import tables
from api.access.auth import DatabaseDep, SettingsDep
from api.access.owned import owned_job
from api.gpu_accounts import Tariff, account
from api.strict_json import StrictRoute
from tuneyard.shapes import JobGpu

router = APIRouter(prefix="/api/v1/jobs/{job_id}/gpu", tags=["jobs"], route_class=StrictRoute)


@router.get("")
def read_account(
    job: Annotated[tables.Job, owned_job("jobs:read")], database: DatabaseDep, settings: SettingsDep
) -> JobGpu:
    """GPU-hours, use, energy, memory and cost, up to the newest reading of its cards."""
    with database.reading() as session:
        return account(session, job, Tariff.of(settings))
