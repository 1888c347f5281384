"""Prefect, which runs the work: its REST API, spoken by this file alone.

    launches.demand(JobKind.FINETUNE)                 503 where no run could be started now
    launches.start(JobKind.FINETUNE, key, ...)        the id of the run; the same key again gives the same run

What is asked of it: `GET /deployments/name/{flow}/{deployment}` and `POST /deployments/{id}/create_flow_run`.
"""

import time
from base64 import b64encode
from typing import Any

import httpx

from api.problems import Problem
from api.settings import Settings
from tuneyard.errors import BadInput
from tuneyard.patience import Patience
from tuneyard.shapes import JobKind

DEPLOYMENTS = {
    JobKind.FINETUNE: "finetune/gpu",
    JobKind.BATCH_TEST: "batch-test/gpu",
    JobKind.CHECK: "check/gpu",
    JobKind.MERGE: "merge/gpu",
    JobKind.PIPELINE: "pipeline/gpu",
    JobKind.TABULAR: "tabular/gpu",
    JobKind.PREDICT: "predict/gpu",
}
PATIENCE = 10.0  # seconds for an answer of Prefect's
BUSY_PATIENCE = 5.0  # seconds of asking again while it is too busy
LONGEST_REASON = 1000
# A proxy named in the environment cannot reach this machine's own loopback.
_NO_PROXY: dict[str, None] = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}


class PrefectAway(Problem):
    """503: Prefect does not answer, or this API does not know where it is. Later it may."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail)


class RunRefused(Problem):
    """503: Prefect will not start this run, however often it is asked; the text says what to put right."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail)


class Launches:
    """The way to one Prefect server.

    Raises:
        BadInput: PREFECT_API_URL is no address.
    """

    def __init__(self, settings: Settings) -> None:
        self._http: httpx.Client | None = None
        if settings.prefect_api_url is not None:
            self._http = _client(settings.prefect_api_url, settings)

    @property
    def is_configured(self) -> bool:
        return self._http is not None

    def demand(self, kind: JobKind) -> None:
        """Raises PrefectAway or RunRefused where a run of that kind could not be started now."""
        self._deployment_id(kind)

    def start(self, kind: JobKind, key: str, name: str, parameters: dict[str, Any], tags: list[str]) -> str:
        """Make a run, which a worker will take.

        Args:
            key: Prefect's idempotency key.

        Returns:
            The run's id.

        Raises:
            PrefectAway: No answer came; the run may have been made.
            RunRefused: Prefect does not take it.
        """
        run = {"name": name, "parameters": parameters, "idempotency_key": key, "tags": tags}
        path = f"deployments/{self._deployment_id(kind)}/create_flow_run"
        answer = self._ask("POST", path, json=run)
        if not answer.is_success:
            raise RunRefused(
                f"Prefect refuses the run of {DEPLOYMENTS[kind]} ({answer.status_code}): {_reason(answer)}. "
                "Is the deployment of this version? `python -m deployments` brings it up to date"
            )
        return str(answer.json()["id"])

    def _deployment_id(self, kind: JobKind) -> str:
        name = DEPLOYMENTS[kind]
        answer = self._ask("GET", f"deployments/name/{name}")
        if answer.status_code == 404:
            raise RunRefused(f"Prefect has no deployment {name}: make it with `python -m deployments`")
        if not answer.is_success:
            raise PrefectAway(f"Prefect answers {answer.status_code} for {name}: {_reason(answer)}")
        return str(answer.json()["id"])

    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        if self._http is None:
            raise PrefectAway(
                "This API starts no runs: set PREFECT_API_URL where it runs (http://127.0.0.1:4200/api, for "
                "example), and PREFECT_API_AUTH_STRING where Prefect asks for one"
            )
        try:
            answer = self._answer(self._http, method, path, given)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
        else:
            if answer.status_code in (401, 403):
                raise PrefectAway(
                    f"Prefect refuses this API ({answer.status_code}): set PREFECT_API_AUTH_STRING where the API runs "
                    "to what Prefect's server has in PREFECT_SERVER_API_AUTH_STRING"
                )
            if answer.status_code >= 500:
                raise PrefectAway(f"Prefect cannot answer ({answer.status_code}): {_reason(answer)}")
            return answer
        # Made outside the handler: httpx's exception holds the request, and the request holds the auth string.
        raise PrefectAway(
            f"No answer from Prefect at {self._http.base_url} ({why}): start it, or correct PREFECT_API_URL where "
            "the API runs"
        )

    def _answer(self, http: httpx.Client, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        """Prefect's server on SQLite answers 503 to one of several writers; it is asked again for a while then, which
        changes nothing: a run's key makes it one run."""
        patience = Patience(BUSY_PATIENCE)
        while True:
            answer = http.request(method, path, **given)
            pause = patience.next_pause(None) if answer.status_code == 503 else None
            if pause is None:
                return answer
            time.sleep(pause)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()


def _client(url: str, settings: Settings) -> httpx.Client:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host or address.userinfo:
        raise BadInput("not an address: write http://127.0.0.1:4200/api", field="PREFECT_API_URL")
    headers = {"Accept": "application/json"}
    if settings.prefect_api_auth_string is not None:
        secret = settings.prefect_api_auth_string.get_secret_value()
        headers["Authorization"] = f"Basic {b64encode(secret.encode()).decode()}"
    return httpx.Client(base_url=address, headers=headers, timeout=PATIENCE, mounts=_NO_PROXY)


def _reason(answer: httpx.Response) -> str:
    """What Prefect said, in one line."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    said = body.get("detail", body) if isinstance(body, dict) else answer.text
    return " ".join(str(said).split())[:LONGEST_REASON]
