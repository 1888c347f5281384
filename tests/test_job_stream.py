"""A job's stream: its state and points as they come, each once, to the end of the job."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, update

from api import job_feed, job_followers, tables
from tests.api_fixtures import Office
from tests.test_api_metrics import push
from tests.test_metric_ledger import Writer, serving
from tests.test_metric_ledger import home as home

Event = tuple[str, str, Any]  # kind, id, data


class Stream:
    """Reads events one by one."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.comments = 0
        self.last = ""
        self._lines = answer.iter_lines()

    def __iter__(self) -> Iterator[Event]:
        held: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                held[name] = value
            elif "data" in held:
                self.last = held.get("id", self.last)
                yield held["event"], held.get("id", ""), json.loads(held["data"])
                held = {}

    def steps(self, count: int) -> list[int]:
        """The next points' steps."""
        found: list[int] = []
        for kind, _, data in self:
            found += [point["step"] for point in data] if kind == "metrics" else []
            if len(found) >= count:
                break
        return found

    def until(self, kind: str) -> Any:
        return next(data for said, _, data in self if said == kind)


@contextmanager
def following(office: Office, job_id: str, key: str | None = None, **query: Any) -> Iterator[Stream]:
    last = query.pop("last", None)
    headers = {"X-API-Key": key or office.key("training")} | ({"Last-Event-ID": last} if last else {})
    path = f"/api/v1/jobs/{job_id}/{query.pop('word', '$stream')}"
    with (
        httpx.Client(base_url=office.served.url, timeout=20) as http,
        http.stream("GET", path, headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


def points(first: int, last: int) -> dict[str, Any]:
    return {"metrics": [{"step": step, "train_loss": 1 / (step + 1)} for step in range(first, last)]}


def test_state_and_points_are_sent_as_they_come_and_the_last_is_how_the_job_ended(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, points(0, 3))
    with following(any_office, job_id) as stream:
        events = iter(stream)
        kind, _, state = next(events)
        assert (kind, state) == ("state", any_office.job(job_id))
        kind, _, found = next(events)
        assert (kind, [point["step"] for point in found]) == ("metrics", [0, 1, 2])
        push(any_office, job_id, token, {"step": 3, "eval_loss": "NaN", "extra": {"a": 1}})
        kind, _, [point] = next(each for each in events if each[0] == "metrics")
        assert point.pop("timestamp").endswith("Z")
        assert point == {"step": 3, "attempt": 1, "eval_loss": "NaN", "extra": {"a": 1.0}}
        push(any_office, job_id, token, points(4, 6))
        any_office.end(job_id, token)
        rest = list(events)
    assert [p["step"] for kind, _, data in rest if kind == "metrics" for p in data] == [4, 5]
    assert rest[-1][0] == "state"
    assert rest[-1][2] == any_office.job(job_id)
    assert rest[-1][2]["status"] == "completed"


def test_who_comes_back_is_sent_what_they_missed_and_nothing_twice(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    last, found = None, []
    for round_ in range(6):
        push(any_office, job_id, token, points(round_ * 400, round_ * 400 + 200))
        with following(any_office, job_id, last=last) as stream:
            found += stream.steps(200)
            push(any_office, job_id, token, points(round_ * 400 + 200, round_ * 400 + 400))
            if round_ % 2:
                found += stream.steps(200)
            last = stream.last
    with following(any_office, job_id, last=last) as stream:
        any_office.end(job_id, token)
        found += [p["step"] for kind, _, data in stream if kind == "metrics" for p in data]
    assert found == list(range(2400))


def test_who_comes_back_to_another_process_loses_and_doubles_nothing(any_office: Office) -> None:
    """A mark says enough by itself: here its feed is gone."""
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, points(0, 700))
    with following(any_office, job_id) as stream:
        assert stream.steps(700) == list(range(700))
        last = stream.last
    any_office.served.app.state.feeds._feeds.clear()
    push(any_office, job_id, token, points(700, 900))
    with following(any_office, job_id, last=last) as stream:
        assert stream.steps(200) == list(range(700, 900))
        last = stream.last
    any_office.served.app.state.feeds._feeds.clear()
    push(any_office, job_id, token, {"step": 899, "eval_loss": 0.5})
    any_office.end(job_id, token)
    with following(any_office, job_id, last=last) as stream:
        events = list(stream)
    assert [kind for kind, _, _ in events] == ["metrics", "state"]
    assert [(point["step"], point["eval_loss"]) for point in events[0][2]] == [(899, 0.5)]


def test_after_all_of_an_ended_job_there_is_nothing_more_to_come_back_for(office: Office) -> None:
    job_id, token = office.claimed_job()
    push(office, job_id, token, points(0, 3))
    office.end(job_id, token)
    with following(office, job_id) as stream:
        kinds = [kind for kind, _, _ in stream]
    assert kinds == ["metrics", "state"]
    headers = {"Last-Event-ID": stream.last}
    path = f"/api/v1/jobs/{job_id}/$stream"
    assert office.call("GET", path, office.key("training"), headers=headers).status_code == 204


def test_a_point_that_is_filled_in_or_comes_late_is_sent_by_itself(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, points(10, 20))
    with following(any_office, job_id) as stream:
        assert stream.steps(10) == list(range(10, 20))
        push(any_office, job_id, token, {"step": 19, "eval_loss": 0.25})
        [point] = stream.until("metrics")
        assert (point["step"], point["eval_loss"]) == (19, 0.25)
        push(any_office, job_id, token, {"step": 12, "grad_norm": 1})
        [point] = stream.until("metrics")
        assert (point["step"], point["grad_norm"]) == (12, 1.0)
        last = stream.last
        push(any_office, job_id, token, {"step": 11, "grad_norm": 1})
        assert stream.steps(1) == [11]
    with following(any_office, job_id, last=last) as stream:
        assert stream.steps(1) == [11]


def test_a_new_attempt_s_points_come_after_the_old_one_s(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, points(0, 10))
    with following(any_office, job_id) as stream:
        assert stream.steps(10) == list(range(10))
        again = any_office.claim(job_id)
        push(any_office, job_id, again, points(5, 8))
        assert stream.steps(3) == [5, 6, 7]
    with following(any_office, job_id) as stream:
        assert stream.steps(13) == [*range(10), 5, 6, 7]


def test_what_another_process_writes_is_seen_by_looking(any_office: Office) -> None:
    job_id, _ = any_office.claimed_job()
    with following(any_office, job_id, history=False) as stream:
        stream.until("state")
        any_office.moved(job_id, stage="packing its things", status="running")
        assert stream.until("state")["stage"] == "packing its things"


def test_the_state_alone_and_points_from_now_on_may_be_asked_for(office: Office) -> None:
    job_id, token = office.claimed_job()
    push(office, job_id, token, points(0, 5))
    with following(office, job_id, metrics=False) as states, following(office, job_id, history=False) as new:
        assert new.until("state") == states.until("state")
        push(office, job_id, token, points(5, 7))
        assert new.steps(2) == [5, 6]
        office.end(job_id, token)
        assert {kind for kind, _, _ in states} == {"state"}


def test_the_path_may_be_escaped(office: Office) -> None:
    job_id, token = office.claimed_job()
    office.end(job_id, token)
    with following(office, job_id, word="%24stream") as stream:
        assert stream.until("state")["status"] == "completed"


def test_silence_is_broken_by_comments(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_feed, "BEAT", 0.1)
    job_id, token = office.claimed_job()
    with following(office, job_id) as stream:
        stream.until("state")
        time.sleep(1)
        office.end(job_id, token)
        list(stream)
    assert stream.comments >= 2


def test_a_key_that_is_revoked_ends_its_streams_soon(
    any_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_feed, "BEAT", 0.1)
    monkeypatch.setattr(job_followers, "KEY_CHECK", 0.1)
    job_id, _ = any_office.claimed_job()
    key = any_office.key("training")
    with following(any_office, job_id, key) as stream, following(any_office, job_id) as other:
        stream.until("state")
        with any_office.served.database.writing() as session:
            mine = col(tables.ApiKey.digest) == any_office.served.pepper.digest(key)
            session.exec(update(tables.ApiKey).where(mine).values(revoked_at=tables.now()))
        assert list(stream)[-1][2]["note"] == "refused"
        other.until("state")


def test_who_does_not_read_is_sent_away_with_a_note(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_feed, "MOST_EVENTS", 3)
    monkeypatch.setattr(job_feed, "GAP", 0.0)
    job_id, token = office.claimed_job()
    with following(office, job_id) as slow:
        slow.until("state")
        wide = {"extra": {f"a_long_name_of_a_value_{n}": n for n in range(60)}}
        for step in range(0, 12_000, 400):
            push(office, job_id, token, {"metrics": [{"step": step + n} | wide for n in range(400)]})
            time.sleep(0.02)
        events = list(slow)
        assert events[-1][2]["note"] == "slow"
        found = [p["step"] for kind, _, data in events if kind == "metrics" for p in data]
    with following(office, job_id, last=slow.last) as stream:
        found += stream.steps(12_000 - len(found))
    assert found == list(range(12_000))


def test_a_hundred_followers_cost_one_look_and_no_thread(office: Office) -> None:
    job_id, token = office.claimed_job()
    key, found = office.key("training"), []

    def follow() -> None:
        with following(office, job_id, key) as stream:
            found.append(stream.steps(20))

    threads = [threading.Thread(target=follow) for _ in range(100)]
    for thread in threads:
        thread.start()
    for step in range(20):
        push(office, job_id, token, {"step": step})
    for thread in threads:
        thread.join(20)
    assert found == [list(range(20))] * 100


def test_an_id_that_is_none_of_ours_is_refused(office: Office) -> None:
    job_id, _ = office.claimed_job()
    path = f"/api/v1/jobs/{job_id}/$stream"
    assert office.call("GET", path, office.key("training"), headers={"Last-Event-ID": "7"}).status_code == 422


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])
def test_a_stream_does_not_hold_up_the_end_of_its_server(home: Path, workers: tuple[str, ...]) -> None:
    """And with several processes, what one of them stores reaches followers at the other."""
    key = {"X-API-Key": (home / "admin").read_text()}
    with serving(home, *workers) as (process, url), ExitStack() as held:
        writer = Writer(home, "j1")
        writer.claim(url)
        streams = []
        for _ in range(6):
            http = held.enter_context(httpx.Client(base_url=url, timeout=20))
            answer = held.enter_context(http.stream("GET", "/api/v1/jobs/j1/$stream", headers=key))
            streams.append(Stream(answer))
            streams[-1].until("state")
        run = {"Authorization": f"Bearer {writer.token}"}
        assert httpx.put(f"{url}{writer.path}", headers=run, json=points(0, 3)).status_code == 200
        assert [stream.steps(3) for stream in streams] == [[0, 1, 2]] * 6
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for stream in streams:
            list(stream)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 8  # uvicorn would wait for ten
