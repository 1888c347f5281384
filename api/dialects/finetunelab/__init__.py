"""The training platform in seeds 000 and 001."""

from fastapi import APIRouter

from api.dialects.finetunelab import control, jobs, keys, metrics, predictions, suites, tests

router = APIRouter()
for part in (jobs, metrics, control, keys, tests, suites, predictions):
    router.routes.extend(part.router.routes)
