"""Many chats put to one endpoint: so many at a time, so far apart, tried again with patience, each answered once."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.answers import Answer, AnswerFile
from tasks.endpoint import Again, Chat, Endpoint, EndpointClient, Manner, Outcome, Refused, no_answer
from tuneyard.errors import BadInput
from tuneyard.patience import Patience

REFUSALS = 3  # so many at the very start, and it is the key that is refused, not a prompt
NOTEWORTHY = 1.0  # seconds that a server asks for
Check = Callable[[int, str], str | None]  # what is wrong with a chat's answer: then it is asked for once more


async def ask_all(
    endpoint: Endpoint,
    chats: Sequence[Chat],
    manner: Manner,
    file: AnswerFile,
    say: Callable[[str], None],
    check: Check = lambda _index, _text: None,
) -> None:
    """Ask for what the file has no answer to; every chat ends with an answer or its own error, added as it comes.

    A cancel drops what is under way.

    Raises:
        BadInput: The endpoint refuses the key.
    """
    done = {answer.prompt_index for answer in file.answered()} & {chat.index for chat in chats}
    turns = deque(_Turn(chat, manner.patience) for chat in chats if chat.index not in done)
    if done:
        say(f"{len(done)} of {len(chats)} are answered already")
    async with EndpointClient(endpoint, manner) as client:
        await _Asking(client, endpoint, manner, turns, file, say, check).to_the_end()


class _Turn:
    """A chat that waits, is under way, or will be tried again. Its patience begins with its first try."""

    def __init__(self, chat: Chat, seconds: float) -> None:
        self.chat = chat
        self.tries = 0
        self.is_corrected = False
        self._seconds = seconds
        self._patience: Patience | None = None

    def begin(self) -> None:
        self.tries += 1
        self._patience = self._patience or Patience(self._seconds)

    def pause(self, asked: float | None) -> float | None:
        assert self._patience is not None
        return self._patience.next_pause(asked)


@dataclass(order=True)
class _Later:
    due: float
    index: int
    turn: _Turn


class _Asking:
    """One loop: start what may start, wait for what comes back, sort it out.

    What is tried again comes before what is new, and takes no place while it waits. A server that asks for a pause
    gets it: nothing is started until then.
    """

    def __init__(
        self,
        client: EndpointClient,
        endpoint: Endpoint,
        manner: Manner,
        turns: deque[_Turn],
        file: AnswerFile,
        say: Callable[[str], None],
        check: Check,
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._manner = manner
        self._new = turns
        self._most_refusals = min(REFUSALS, len(turns))
        self._file = file
        self._say = say
        self._check = check
        self._later: list[_Later] = []
        self._under_way: dict[asyncio.Task[Outcome], _Turn] = {}
        self._not_before = 0.0
        self._let_in = False
        self._refused: list[Answer] = []

    async def to_the_end(self) -> None:
        try:
            while self._new or self._later or self._under_way:
                self._start()
                await self._wait()
                self._sort_out()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _start(self) -> None:
        while len(self._under_way) < self._manner.concurrency and (turn := self._next()):
            turn.begin()
            self._not_before = max(self._not_before, time.monotonic() + self._manner.delay)
            self._under_way[asyncio.create_task(self._client.ask(turn.chat))] = turn

    def _next(self) -> _Turn | None:
        now = time.monotonic()
        if now < self._not_before:
            return None
        if self._later and self._later[0].due <= now:
            return heapq.heappop(self._later).turn
        return self._new.popleft() if self._new else None

    async def _wait(self) -> None:
        """For the first to come back, or until another may start."""
        seconds = self._until_next()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds or 0.0)

    def _until_next(self) -> float | None:
        if len(self._under_way) >= self._manner.concurrency or not (self._new or self._later):
            return None
        at = self._not_before if self._new else max(self._not_before, self._later[0].due)
        return max(0.0, at - time.monotonic())

    def _sort_out(self) -> None:
        back = [task for task in self._under_way if task.done()]
        answers: list[Answer] = []
        for task in back:
            answers += self._end_of(self._under_way.pop(task), task.result())
        if answers:
            self._file.add(answers)

    def _end_of(self, turn: _Turn, outcome: Outcome) -> list[Answer]:
        """The lines that can be written now."""
        if isinstance(outcome, Refused):
            return self._refuse(turn, outcome)
        ended = self._try_again(turn, outcome) if isinstance(outcome, Again) else self._checked(turn, outcome)
        if ended is None:
            return []
        self._let_in = True
        lines, self._refused = [*self._refused, ended], []
        return lines

    def _try_again(self, turn: _Turn, outcome: Again) -> Answer | None:
        pause = turn.pause(outcome.asked)
        if pause is None:
            return no_answer(turn.chat, f"{outcome.words} (given up after {turn.tries} tries)")
        due = time.monotonic() + pause
        if outcome.asked:
            if pause > NOTEWORTHY and due > self._not_before + NOTEWORTHY:
                self._say(f"Waits for {pause:.0f} s, as {self._endpoint.name} asks: {outcome.words}")
            self._not_before = max(self._not_before, due)
        heapq.heappush(self._later, _Later(due, turn.chat.index, turn))
        return None

    def _checked(self, turn: _Turn, answer: Answer) -> Answer | None:
        """The answer; where it is not of the kind that was asked for, one more chance."""
        text = answer.response
        fault = self._check(answer.prompt_index, text) if text is not None else None
        if fault is None:
            return answer
        if turn.is_corrected:
            return no_answer(turn.chat, fault)
        said = {"role": "assistant", "content": text or ""}
        turn.is_corrected = True
        turn.chat = Chat(turn.chat.index, [*turn.chat.messages, said, {"role": "user", "content": fault}])
        heapq.heappush(self._later, _Later(time.monotonic(), turn.chat.index, turn))
        return None

    def _refuse(self, turn: _Turn, outcome: Refused) -> list[Answer]:
        """One prompt's own error, unless nobody has been let in so far."""
        answer = no_answer(turn.chat, outcome.words)
        if self._let_in:
            return [answer]
        self._refused.append(answer)
        if len(self._refused) < self._most_refusals:
            return []
        raise BadInput(
            f"the endpoint {self._endpoint.name!r} refuses the key ({outcome.words}): "
            "store another with `python -m deployments store-endpoint`",
            field=self._endpoint.field,
        )
