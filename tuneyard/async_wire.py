"""How a request is sent and tried again, until it is answered for good or patience ends."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterable, Mapping
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import TypeVar

import httpx
from pydantic import BaseModel

from tuneyard import __version__
from tuneyard.addresses import base_of, secret_header
from tuneyard.answers import problem_in, read
from tuneyard.errors import BadInput, KeyExpiresSoon, TuneyardError, Unreachable
from tuneyard.patience import Patience, seconds_asked

T = TypeVar("T")
Params = Mapping[str, str | int | None]

# 502 and 504 are a proxy's words for a refused connection and a time-out.
_WORTH_REPEATING = (429, 502, 503, 504)
# A proxy named in the environment cannot reach this machine's own loopback.
_NO_PROXY: dict[str, None] = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}


@cache
def _authorities() -> SSLContext:
    """Who vouches for servers: read once, as it takes as long as ten requests."""
    return httpx.create_ssl_context()


class AsyncWire:
    """Knows the address and the secrets; sends one request at a time for whoever asks."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        session_token: str | None,
        job_token: str | None,
        patience: float,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        if session_token is not None and (api_key, job_token) != (None, None):
            raise BadInput("a client with a session token takes neither a key nor a job token beside it")
        self.base_url = base_of(base_url)
        self._patience = patience
        self._caller = secret_header("X-API-Key", "", api_key)
        self._caller |= secret_header("Authorization", "Bearer ", session_token)
        self._run = secret_header("Authorization", "Bearer ", job_token)
        self._expiry_told = False
        self.http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            mounts=None if transport else _NO_PROXY,
            verify=_authorities(),
            headers={"Accept": "application/json", "User-Agent": f"tuneyard/{__version__}"},
            # Logging in sets a browser's cookie. Kept, it would speak for this client beside what it was given.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def ask(
        self,
        shape: type[T],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        params: Params | None = None,
        as_job: bool = False,
        patience: float | None = None,
    ) -> T:
        """Send, and read the answer as `shape`.

        Args:
            as_job: Send the job token alone where there is one: a key beside it would decide in its place.
            patience: Seconds of retrying for this call, in place of the client's.
        """
        request = self._request(method, path, body, params, as_job)
        tries = Patience(self._patience if patience is None else patience)
        return read(shape, await self._answer(request, tries))

    async def tell(self, method: str, path: str, body: BaseModel | None = None) -> None:
        """Send; the answer has no content."""
        await self._answer(self._request(method, path, body), Patience(self._patience))

    async def send_file(
        self, shape: type[T], path: str, content: AsyncIterable[bytes], size: int, params: Params
    ) -> T:
        """POST the bytes, which can be read again for another try."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        request = self._built("POST", path, params, self._caller | self._run | headers, content)
        return read(shape, await self._answer(request, self.patience()))

    async def open(
        self, path: str, params: Params, headers: Mapping[str, str], patience: Patience | None = None
    ) -> httpx.Response:
        """GET; the answer's content is still to be read, and the answer to be closed by who asked."""
        # Packed on the way, a part of a file would be no part of it.
        asked = self._caller | self._run | {"Accept": "*/*", "Accept-Encoding": "identity", **headers}
        request = self._built("GET", path, params, asked, None)
        return await self._answer(request, patience or self.patience(), stream=True)

    def patience(self) -> Patience:
        """For a call that begins."""
        return Patience(self._patience)

    def _request(
        self,
        method: str,
        path: str,
        body: BaseModel | None,
        params: Params | None = None,
        as_job: bool = False,
    ) -> httpx.Request:
        # A field that was not set stays out: for a change it means "as it is", for a new object the default.
        content = body.model_dump_json(exclude_unset=True).encode() if body is not None else None
        headers = self._run if as_job and self._run else self._caller | self._run
        headers = headers | ({"Content-Type": "application/json"} if content else {})
        return self._built(method, path, params, headers, content)

    def _built(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: dict[str, str],
        content: bytes | AsyncIterable[bytes] | None,
    ) -> httpx.Request:
        asked = {name: value for name, value in (params or {}).items() if value is not None}
        url = f"{self.base_url}{path}"
        return self.http.build_request(method, url, content=content, params=asked or None, headers=headers)

    async def _answer(
        self, request: httpx.Request, patience: Patience, stream: bool = False
    ) -> httpx.Response:
        while True:
            answer = await self._once(request, stream)
            problem: TuneyardError | None
            if isinstance(answer, Unreachable):
                problem, asked = answer, None
            else:
                self._tell_expiry(answer.headers.get("Tuneyard-Key-Expires"))
                problem, asked = problem_in(answer), seconds_asked(answer.headers.get("Retry-After"))
                if problem is None:
                    return answer
                if answer.status_code not in _WORTH_REPEATING:
                    raise problem
            pause = patience.next_pause(asked)
            if pause is None:
                raise problem
            await asyncio.sleep(pause)

    async def _once(self, request: httpx.Request, stream: bool) -> httpx.Response | Unreachable:
        try:
            answer = await self.http.send(request, stream=stream)
            if stream and not answer.is_success:
                await answer.aread()
            return answer
        except httpx.TimeoutException:
            why = "timed out"
        except httpx.RequestError as error:
            why = str(error) or type(error).__name__
        # Made outside the handler: httpx's exception holds the request, and the request holds the key.
        return self.unreachable(why)

    def unreachable(self, why: str) -> Unreachable:
        return Unreachable(
            f"No answer from {self.base_url} ({why}). Start the API (`python -m api serve`) "
            "or set TUNEYARD_API_URL to where it runs."
        )

    def _tell_expiry(self, moment: str | None) -> None:
        if moment is None or self._expiry_told:
            return
        self._expiry_told = True
        text = f"this API key expires at {moment}; ask an admin to rotate it: tuneyard keys rotate ID"
        warnings.warn(KeyExpiresSoon(text), stacklevel=5)  # at the line that made the call
