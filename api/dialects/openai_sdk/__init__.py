"""The fine-tuning surface of OpenAI's API: its official client works with another base_url and one of our keys."""

from fastapi import APIRouter

from api.dialects.openai_sdk import files, jobs, models
from api.dialects.openai_sdk.words import error_in_words

router = APIRouter()
for part in (files, jobs, models):
    router.routes.extend(part.router.routes)
ERROR_WORDS = dict.fromkeys(("/v1/files", "/v1/fine_tuning", "/v1/models"), error_in_words)
