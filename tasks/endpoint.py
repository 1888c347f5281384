"""One chat put to an OpenAI-compatible endpoint, and what came of it.

Whatever the server says is only material: it may be junk, without end, or hold the key. What goes further of it has
been through `Endpoint.hide`.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from tasks.answers import Answer
from tuneyard.batch_shapes import Prompt
from tuneyard.patience import seconds_asked
from tuneyard.values import LARGEST

AGAIN = (408, 409, 425, 429)
REFUSED = (401, 403)
CONNECTING = 10.0  # seconds
LARGEST_BODY = 16 << 20
LONGEST_REASON = 40  # as the record keeps it
LONGEST_WORDS = 500
OLD_LIMIT, NEW_LIMIT = (
    "max_tokens",
    "max_completion_tokens",
)  # most servers know the first, a few the second alone


@dataclass(frozen=True, repr=False)
class Endpoint:
    """An endpoint's credentials block, opened for one model; `field` is the config's that named it."""

    name: str
    base_url: str
    model: str
    key: str
    field: str

    def hide(self, text: str) -> str:
        """The text without the key, as it is or as JSON writes it."""
        for written in filter(None, (self.key, json.dumps(self.key)[1:-1])):
            text = text.replace(written, "[the key]")
        return text


@dataclass(frozen=True)
class Manner:
    """How an endpoint is asked: its load, our patience, and how the model is to choose its words."""

    concurrency: int
    delay: float
    patience: float
    longest_try: float
    most_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int


Message = dict[str, str]


@dataclass(frozen=True)
class Chat:
    """What one prompt asks; `index` is its place in the suite."""

    index: int
    messages: list[Message]


@dataclass(frozen=True)
class Again:
    """No answer yet: why, and how many seconds the server asked to be left alone for."""

    words: str
    asked: float | None = None


@dataclass(frozen=True)
class Refused:
    """The server does not let this key in."""

    words: str


Outcome = Answer | Again | Refused


def chat_of(index: int, prompt: Prompt) -> Chat:
    """A chat's turns as they are; a plain prompt as the user's one turn."""
    turns = prompt.messages
    if turns is None:
        return Chat(index, [{"role": "user", "content": prompt.prompt or ""}])
    return Chat(index, [{"role": turn.role, "content": turn.content} for turn in turns])


def no_answer(chat: Chat, words: str) -> Answer:
    """The line of a prompt that has its own error."""
    return Answer(chat.index, None, None, None, None, None, words, rendered=_rendered(chat))


class EndpointClient:
    """Asks; use it as an async context manager. A redirect is not followed: the key goes to no other address."""

    def __init__(self, endpoint: Endpoint, manner: Manner) -> None:
        self._endpoint = endpoint
        self._manner = manner
        self._limit = OLD_LIMIT
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {},
            limits=httpx.Limits(
                max_connections=manner.concurrency, max_keepalive_connections=manner.concurrency
            ),
            timeout=httpx.Timeout(None, connect=CONNECTING),
            follow_redirects=False,
        )

    async def __aenter__(self) -> EndpointClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, chat: Chat) -> Outcome:
        """One try."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._manner.longest_try):
                status, headers, body = await self._send(chat)
        except (TimeoutError, httpx.TimeoutException):
            return Again(f"no answer within {self._manner.longest_try:g} s")
        except httpx.TransportError as problem:
            return Again(f"no answer: {self._said(str(problem) or type(problem).__name__)}")
        except httpx.DecodingError:
            return no_answer(chat, "its answer is not compressed as it says")
        if len(body) > LARGEST_BODY:
            return no_answer(chat, f"its answer is larger than {LARGEST_BODY} bytes")
        if 200 <= status < 300:
            return self._read(chat, body, round((time.monotonic() - started) * 1000, 1))
        words = self._fault(status, body)
        if status in REFUSED:
            return Refused(words)
        if status in AGAIN or status >= 500:
            return Again(words, seconds_asked(headers.get("Retry-After")))
        return no_answer(chat, words)

    async def _send(self, chat: Chat) -> tuple[int, httpx.Headers, bytes]:
        limit = self._limit
        status, headers, body = await self._post(chat, limit)
        if status == 400 and limit == OLD_LIMIT and NEW_LIMIT.encode() in body:
            self._limit = NEW_LIMIT
            status, headers, body = await self._post(chat, NEW_LIMIT)
        return status, headers, body

    async def _post(self, chat: Chat, limit: str) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body; of a body that is too large, only a little more than is taken."""
        url = f"{self._endpoint.base_url}/chat/completions"
        body = bytearray()
        async with self._http.stream("POST", url, json=self._order(chat, limit)) as answer:
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > LARGEST_BODY:
                    break
        return answer.status_code, answer.headers, bytes(body)

    def _order(self, chat: Chat, limit: str) -> dict[str, Any]:
        manner = self._manner
        return {
            "model": self._endpoint.model,
            "messages": chat.messages,
            limit: manner.most_tokens,
            "temperature": manner.temperature,
            "top_p": manner.top_p,
            "seed": manner.seed,
            **({"top_k": manner.top_k} if manner.top_k else {}),  # not OpenAI's, but vLLM's and others'
        }

    def _read(self, chat: Chat, body: bytes, took: float) -> Answer:
        try:
            said = json.loads(body)
            choice = said["choices"][0]
            message, reason = choice["message"], choice.get("finish_reason")
            text = message["content"] if message.get("content") is not None else message.get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return no_answer(chat, f"its answer is no chat completion: {self._message(body)}")
        reason = self._said(reason)[:LONGEST_REASON] if isinstance(reason, str) else None
        if not isinstance(text, str):
            return no_answer(chat, f"its answer holds no text (finish_reason: {reason})")
        usage = said.get("usage")
        tokens = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
        return Answer(
            chat.index, _storable(self._endpoint.hide(text)), *tokens, took, reason, None, _rendered(chat)
        )

    def _fault(self, status: int, body: bytes) -> str:
        if 300 <= status < 400:
            return f"{status}: it sends us to another address, where the key may not go; store that address"
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
        return f"{status} {phrase}: {self._message(body)}"

    def _message(self, body: bytes) -> str:
        """What an error's body says, in the forms that servers have for it; else how it begins."""
        try:
            found = json.loads(body)
            for name in ("error", "message", "detail"):
                found = found.get(name, found) if isinstance(found, dict) else found
            text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", errors="replace")
        return self._said(text) or "(nothing)"

    def _said(self, text: str) -> str:
        """The server's words as part of an error: without the key, on one line, not too many."""
        return _storable(" ".join(self._endpoint.hide(text).split()))[:LONGEST_WORDS]


def _rendered(chat: Chat) -> str:
    return json.dumps(chat.messages, ensure_ascii=False)


def _count(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if type(found) is int and 0 <= found <= LARGEST else None


def _storable(text: str) -> str:
    """Without what a database's text cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
