"""Every prompt put to an endpoint ends with an answer or its own error, at the pace that was asked, without the key
going anywhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from blocks.credentials import EndpointCredentials
from tasks.alongside import run_alongside
from tasks.answers import Answer, AnswerFile
from tasks.asking import ask_all
from tasks.endpoint import LARGEST_BODY, Chat, Endpoint, Manner, chat_of
from tests.fake_openai import KEY, Asked, FakeOpenAI, Reply, echo, fake_openai, said
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput

MANNER = Manner(
    concurrency=4,
    delay=0.0,
    patience=5.0,
    longest_try=10.0,
    most_tokens=9,
    temperature=0.5,
    top_p=0.9,
    top_k=0,
    seed=11,
)


@pytest.fixture(scope="module")
def served() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def fake(served: FakeOpenAI) -> FakeOpenAI:
    served.reset()
    return served


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def asks(fake: FakeOpenAI, tmp_path: Path, told: list[str]) -> Callable[..., list[Answer]]:
    """Puts prompts to the fake, and gives the answers by prompt."""

    def ask(
        prompts: list[str],
        behave: Callable[[Asked], Reply] = echo,
        check: Any = lambda *_: None,
        **changes: Any,
    ) -> list[Answer]:
        fake.behave = behave
        file = AnswerFile(tmp_path / "answers.jsonl")
        chats = [chat_of(at, Prompt(prompt=prompt)) for at, prompt in enumerate(prompts)]
        endpoint = Endpoint("fake", fake.url, "small", changes.pop("key", KEY), "model")
        asyncio.run(ask_all(endpoint, chats, replace(MANNER, **changes), file, told.append, check))
        answers = file.answered()
        assert KEY not in (tmp_path / "answers.jsonl").read_text() + "".join(told)
        assert len({answer.prompt_index for answer in answers}) == len(answers)
        return sorted(answers, key=lambda answer: answer.prompt_index)

    return ask


Asks = Callable[..., list[Answer]]


def names(count: int) -> list[str]:
    return [f"prompt {n}" for n in range(count)]


def test_an_answer_is_kept_whole_with_what_it_took(fake: FakeOpenAI, asks: Asks) -> None:
    [answer] = asks(["Grüße, 世界"])
    assert (answer.response, answer.error, answer.finish_reason) == ("GRÜSSE, 世界", None, "stop")
    assert (answer.input_tokens, answer.output_tokens) == (7, 3)
    assert answer.latency_ms is not None
    assert 0 < answer.latency_ms < 2000
    assert answer.template_sha256 is None
    messages = [{"role": "user", "content": "Grüße, 世界"}]
    assert json.loads(answer.rendered or "") == messages
    expected = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 11}
    assert fake.asked[0].order == {"model": "small", "messages": messages} | expected
    assert fake.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_chat_is_put_as_its_turns() -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    prompt = Prompt.model_validate({"messages": turns})
    assert chat_of(3, prompt) == Chat(3, turns)


def test_without_a_key_none_is_sent(fake: FakeOpenAI, asks: Asks) -> None:
    with pytest.raises(BadInput):
        asks(["a"], key="")
    assert "authorization" not in fake.asked[0].headers


@pytest.mark.parametrize("concurrency", [1, 3, 20, 150])
def test_as_many_are_under_way_as_was_asked(fake: FakeOpenAI, asks: Asks, concurrency: int) -> None:
    def behave(asked: Asked) -> Reply:
        is_first = (
            int(asked.prompt.rpartition(" ")[2]) < concurrency
        )  # held until the last of them is there too
        return Reply(body=said("x"), wait=0.02 * concurrency if is_first else 0.002)

    answers = asks(names(200), behave, concurrency=concurrency)
    assert len(answers) == len(fake.asked) == 200
    assert fake.most_at_once == concurrency


def test_starts_are_as_far_apart_as_was_asked(fake: FakeOpenAI, asks: Asks) -> None:
    asks(names(8), delay=0.1)
    asks([*names(8), "later"], delay=0.1)
    gaps = [later.at - earlier.at for earlier, later in zip(fake.asked[:8], fake.asked[1:8], strict=False)]
    assert min(gaps) > 0.08  # the wire may hold up one of two
    assert len(fake.asked) == 9


def test_a_failure_that_passes_is_tried_again(fake: FakeOpenAI, asks: Asks) -> None:
    def behave(asked: Asked) -> Reply:
        if asked.tries > 2:
            return echo(asked)
        if asked.prompt == "dropped":
            return Reply(drop=True)
        return Reply(int(asked.prompt), b"<html>Not now</html>")

    prompts = ["408", "409", "429", "500", "502", "503", "504", "529", "dropped"]
    answers = asks(prompts, behave)
    assert [answer.response for answer in answers] == [prompt.upper() for prompt in prompts]
    assert sorted(fake.prompts()) == sorted(prompts * 3)


def test_a_server_that_hangs_is_asked_again(asks: Asks) -> None:
    def behave(asked: Asked) -> Reply:
        return Reply(body=said("late"), wait=0.0 if asked.tries > 1 else 3.0)

    [answer] = asks(["a"], behave, longest_try=0.3)
    assert answer.response == "late"
    assert (answer.latency_ms or 9999) < 300


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_that_the_server_asks_for_is_kept_by_all(
    fake: FakeOpenAI, asks: Asks, told: list[str], form: str
) -> None:
    until = time.monotonic() + 2
    after = (
        "2" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    )

    def behave(asked: Asked) -> Reply:
        busy = asked.prompt == "prompt 0" and asked.tries == 1
        return Reply(429, {"error": "busy"}, {"Retry-After": after}) if busy else echo(asked)

    answers = asks(names(12), behave, concurrency=1)
    assert all(answer.error is None for answer in answers)
    assert [asked.prompt for asked in fake.asked][:2] == ["prompt 0", "prompt 0"]
    assert min(asked.at for asked in fake.asked[1:]) >= until - 0.05
    assert any("as fake asks" in line for line in told)


def test_no_prompt_is_tried_for_longer_than_its_patience(fake: FakeOpenAI, asks: Asks) -> None:
    began = time.monotonic()

    def behave(asked: Asked) -> Reply:
        hour = {"Retry-After": "3600"} if asked.prompt == "prompt 0" else {}
        return Reply(503, {"error": {"message": f"no room, {asked.headers['authorization']}"}}, hour)

    answers = asks(names(6), behave, patience=1.0, concurrency=6)
    assert time.monotonic() - began < 2.5
    for answer in answers:
        assert (answer.response, answer.latency_ms, answer.input_tokens) == (None, None, None)
        assert answer.error is not None
        assert answer.error.startswith("503 Service Unavailable: no room, Bearer [the key] (given up after ")


def test_an_endpoint_that_is_not_there_is_every_prompt_s_error(asks: Asks, fake: FakeOpenAI) -> None:
    url, fake.url = fake.url, "http://127.0.0.1:1/v1"
    try:
        answers = asks(names(3), patience=0.5)
    finally:
        fake.url = url
    assert all((answer.error or "").startswith("no answer: ") for answer in answers)


JUNK: dict[str, tuple[Reply, str]] = {
    "not JSON": (
        Reply(body=b"<html>Welcome</html>"),
        "its answer is no chat completion: <html>Welcome</html>",
    ),
    "nothing": (Reply(body=b""), "its answer is no chat completion: (nothing)"),
    "an error as 200": (Reply(body={"error": {"message": "overloaded"}}), "no chat completion: overloaded"),
    "no choices": (Reply(body={"choices": []}), "its answer is no chat completion"),
    "a list": (Reply(body=[1]), "its answer is no chat completion"),
    "deep": (Reply(body=b"[" * 200_000), "its answer is no chat completion"),
    "bytes": (Reply(body=bytes(range(128, 256))), "its answer is no chat completion"),
    "no text": (Reply(body=said(None)), "its answer holds no text (finish_reason: stop)"),
    "a number": (Reply(body=said(7)), "its answer holds no text"),  # type: ignore[arg-type]
    "too large": (Reply(body=b"x" * (LARGEST_BODY + 9)), f"its answer is larger than {LARGEST_BODY} bytes"),
    "a bomb": (
        Reply(body=gzip.compress(b"x" * (8 * LARGEST_BODY)), headers={"Content-Encoding": "gzip"}),
        "its answer is larger than",
    ),
    "not gzip": (Reply(body=b"{}", headers={"Content-Encoding": "gzip"}), "not compressed as it says"),
    "400": (Reply(400, {"error": {"message": f"no: {KEY}"}}), "400 Bad Request: no: [the key]"),
    "404": (Reply(404, {"detail": "no such model"}), "404 Not Found: no such model"),
    "418": (Reply(418, KEY.encode() * 99), "418 I'm a Teapot: [the key]"),
    "302": (Reply(302, b"", {"Location": "http://127.0.0.2/"}), "302: it sends us to another address"),
}


def test_each_prompt_has_its_own_error_and_spoils_no_other(fake: FakeOpenAI, asks: Asks) -> None:
    prompts = ["first", *JUNK, "last"]
    answers = asks(prompts, lambda asked: JUNK[asked.prompt][0] if asked.prompt in JUNK else echo(asked))
    assert [answers[0].response, answers[-1].response] == ["FIRST", "LAST"]
    for prompt, answer in zip(JUNK, answers[1:-1], strict=True):
        assert answer.response is None
        assert JUNK[prompt][1] in (answer.error or ""), prompt
        assert len(answer.error or "") < 700
    assert len(fake.asked) == len(prompts)


def test_what_the_server_leaves_out_or_gets_wrong_is_left_out(asks: Asks) -> None:
    replies = {
        "none": said("x", usage=None),
        "wrong": said("x", usage={"prompt_tokens": -1, "completion_tokens": "7"}),
        "odd": said("x", usage=[1]),
    }
    for answer in asks(list(replies), lambda asked: Reply(body=replies[asked.prompt])):
        assert (answer.response, answer.input_tokens, answer.output_tokens) == ("x", None, None)


def test_a_text_that_no_database_holds_is_made_one_that_it_does(asks: Asks) -> None:
    body = b'{"choices": [{"message": {"content": "a\\u0000b\\ud800c\\ud83d\\ude00"}}]}'
    [answer] = asks(["a"], lambda _: Reply(body=body))
    assert answer.response == "a\ufffdb\ufffd\ufffd\ufffdc\U0001f600"


def test_an_answer_that_repeats_the_key_is_kept_without_it(asks: Asks) -> None:
    [answer] = asks(["a"], lambda _: Reply(body=said(f"Your key is {KEY}, isn't it?")))
    assert answer.response == "Your key is [the key], isn't it?"


def test_a_key_that_json_writes_otherwise_is_found_too(asks: Asks, fake: FakeOpenAI) -> None:
    fake.key = key = 'sk-"quoted"-and-\\-slashed'
    body = json.dumps({"odd": f"Bearer {key}"})
    answers = asks(["a", "b"], lambda asked: Reply(404, (body + asked.prompt.strip("a")).encode()), key=key)
    assert {answer.error for answer in answers} == {
        '404 Not Found: {"odd": "Bearer [the key]"}',
        '404 Not Found: {"odd": "Bearer [the key]"}b',
    }


def test_a_server_that_knows_only_the_new_limit_is_told_that(fake: FakeOpenAI, asks: Asks) -> None:
    def behave(asked: Asked) -> Reply:
        if "max_tokens" in asked.order:
            return Reply(400, {"error": {"message": "Use 'max_completion_tokens' instead."}})
        return echo(asked)

    answers = asks(names(5), behave, concurrency=1)
    assert [answer.response for answer in answers] == [name.upper() for name in names(5)]
    assert len(fake.asked) == 6
    assert fake.asked[-1].order["max_completion_tokens"] == 9


def test_an_answer_of_the_wrong_kind_has_one_more_chance(fake: FakeOpenAI, asks: Asks) -> None:
    def behave(asked: Asked) -> Reply:
        turns = [turn["content"] for turn in asked.order["messages"]]
        return Reply(
            body=said("{}" if turns[1:] == ["well ...", "No JSON."] and turns[0] == "a" else "well ...")
        )

    answers = asks(["a", "b"], behave, check=lambda _, text: None if text == "{}" else "No JSON.")
    assert [(answer.response, answer.error) for answer in answers] == [("{}", None), (None, "No JSON.")]
    assert len(fake.asked) == 4


def test_a_key_that_is_refused_ends_the_run_at_once(fake: FakeOpenAI, asks: Asks, tmp_path: Path) -> None:
    fake.key = "another"
    with pytest.raises(
        BadInput, match=r"^model: the endpoint 'fake' refuses the key \(401 Unauthorized"
    ) as found:
        asks(names(500))
    assert KEY not in str(found.value)
    assert len(fake.asked) < 20
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_prompt_that_is_refused_among_others_has_its_own_error(asks: Asks) -> None:
    def behave(asked: Asked) -> Reply:
        return Reply(403, {"error": "flagged"}) if asked.prompt in ("prompt 0", "prompt 5") else echo(asked)

    answers = asks(names(8), behave, concurrency=1)
    assert [at for at, answer in enumerate(answers) if answer.error == "403 Forbidden: flagged"] == [0, 5]


def test_a_run_that_was_killed_asks_only_for_what_is_missing(
    fake: FakeOpenAI, asks: Asks, tmp_path: Path
) -> None:
    asks(names(6))
    file = tmp_path / "answers.jsonl"
    kept = file.read_text().splitlines(keepends=True)[:4]
    file.write_text("".join(kept) + '{"prompt_ind')
    fake.reset()
    assert len(asks(names(6))) == 6
    assert len(fake.asked) == 2
    assert file.read_text().startswith("".join(kept))


def test_a_storm_is_weathered(fake: FakeOpenAI, asks: Asks) -> None:
    """Slow, 429 with and without a wish, 500, hung up, junk: an answer or an error each, never too many at once."""
    dice = random.Random(5)

    def behave(asked: Asked) -> Reply:
        wait = dice.random() * 0.05
        kind = dice.choice(["fine"] * 6 + ["429", "wish", "500", "drop", "junk"])
        if kind == "fine":
            return replace(echo(asked), wait=wait)
        if kind == "junk":
            return Reply(body=b"{", wait=wait)
        wish = {"Retry-After": "1"} if kind == "wish" and dice.random() < 0.05 else {}
        return Reply(int(kind) if kind.isdecimal() else 429, b"", wish, wait, drop=kind == "drop")

    answers = asks(names(300), behave, concurrency=16, patience=60.0)
    assert fake.most_at_once == 16
    assert [answer.prompt_index for answer in answers] == list(range(300))
    for at, answer in enumerate(answers):
        assert (answer.response == f"PROMPT {at}") != ("no chat completion" in (answer.error or ""))
    assert 5 < sum(answer.error is not None for answer in answers) < 100


def test_a_signal_drops_what_is_under_way_at_once(fake: FakeOpenAI, tmp_path: Path) -> None:
    """As Prefect stops a run: an exception, out of a signal's handler, wherever the main thread is."""
    fake.behave = lambda asked: Reply(body=said("x"), wait=0.0 if asked.prompt == "prompt 0" else 30.0)

    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    file = AnswerFile(tmp_path / "answers.jsonl")
    chats = [chat_of(at, Prompt(prompt=name)) for at, name in enumerate(names(50))]
    endpoint = Endpoint("fake", fake.url, "small", KEY, "model")
    earlier = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    began = time.monotonic()
    try:
        timer.start()
        with pytest.raises(Stop):
            run_alongside(lambda: ask_all(endpoint, chats, MANNER, file, str), lambda: None)
    finally:
        signal.signal(signal.SIGTERM, earlier)
        timer.join()
    assert time.monotonic() - began < 2
    assert [answer.prompt_index for answer in file.answered()] == [0]
    assert not [thread for thread in threading.enumerate() if thread.name == "alongside"]


def test_what_goes_wrong_alongside_is_raised_here() -> None:
    async def fail() -> None:
        raise BadInput("no")

    with pytest.raises(BadInput):
        run_alongside(fail, lambda: None)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@llm.example/v1",
        f"https://llm.example/v1?key={KEY}",
        f"{KEY}",
        "ftp://llm.example",
    ],
)
def test_an_address_that_carries_a_key_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(BadInput) as found:
        EndpointCredentials(base_url=url, api_key=KEY)
    assert found.value.field == "base_url"


@pytest.mark.parametrize("key", ["short", f"two {KEY}", "Grüße-Grüße"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(BadInput) as found:
        EndpointCredentials(base_url="http://127.0.0.1:8000/v1/", api_key=key)
    assert key not in str(found.value)


def test_nothing_shows_the_key() -> None:
    block = EndpointCredentials(base_url="http://127.0.0.1:8000/v1/", api_key=KEY, model="m")
    endpoint = Endpoint("fake", block.base_url, "m", KEY, "model")
    assert block.base_url == "http://127.0.0.1:8000/v1"
    assert KEY not in repr(block) + str(block) + repr(endpoint) + str(endpoint)
