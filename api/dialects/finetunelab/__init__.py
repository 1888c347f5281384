"""The training platform in seeds 000 and 001."""

from fastapi import APIRouter

from api.dialects.finetunelab import (
    agents,
    control,
    jobs,
    keys,
    logs,
    metrics,
    predictions,
    starts,
    suites,
    tests,
)

router = APIRouter()
for part in (jobs, metrics, control, starts, agents, logs, keys, tests, suites, predictions):
    router.routes.extend(part.router.routes)
router.routes.extend(keys.scopes.routes)
