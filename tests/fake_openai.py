"""An OpenAI-compatible endpoint on a real socket that behaves as badly as it is told to, and counts what it sees."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-marked-4f1dce6b0a97-never-to-be-seen"


@dataclass
class Reply:
    """What it answers; `drop`: it hangs up in place of an answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Asked:
    """One request. `tries` counts those for the same prompt, this one included."""

    at: float
    order: dict[str, Any]
    headers: dict[str, str]
    tries: int

    @property
    def prompt(self) -> str:
        return str(self.order["messages"][-1]["content"])


def said(text: str | None, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"object": "chat.completion", "choices": [choice], "usage": usage} | more


def echo(asked: Asked) -> Reply:
    return Reply(body=said(asked.prompt.upper()))


class FakeOpenAI:
    """Asks `behave` what to do with each request that carries the key; 401 for the others."""

    def __init__(self) -> None:
        self.url = ""
        self.key = KEY
        self.behave: Callable[[Asked], Reply] = echo
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0

    def reset(self, behave: Callable[[Asked], Reply] = echo) -> None:
        self.key, self.behave, self.asked, self.most_at_once = KEY, behave, [], 0

    def prompts(self) -> list[str]:
        return [asked.prompt for asked in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        order = json.loads(await reader.readexactly(int(headers["content-length"])))
        tries = 1 + sum(asked.order["messages"] == order["messages"] for asked in self.asked)
        asked = Asked(time.monotonic(), order, headers, tries)
        self.asked.append(asked)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            assert first == "POST /v1/chat/completions HTTP/1.1"
            reply = self._reply(asked)
            await asyncio.sleep(reply.wait)
        finally:
            self._at_once -= 1
        if reply.drop:
            writer.transport.abort()
            raise ConnectionAbortedError
        writer.write(_in_bytes(reply))
        await writer.drain()

    def _reply(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {self.key}":
            return Reply(401, {"error": {"message": f"Incorrect key: {asked.headers.get('authorization')}"}})
        return self.behave(asked)


def _in_bytes(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"Content-Length": str(len(body))} | reply.headers
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode() + body


@contextmanager
def fake_openai() -> Iterator[FakeOpenAI]:
    """Served on a free port, in a thread of its own, for as long as the block goes on."""
    fake, loop = FakeOpenAI(), asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(fake.serve, "127.0.0.1", 0, limit=1 << 26, backlog=1000)

    server = loop.run_until_complete(start())
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield fake
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
