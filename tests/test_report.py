"""What one batch test comes to: its summary, and the page that shows it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.comparison_fixtures import FAILED, TESTS, answer, artifact, recorded, suite_of

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{ 7*7 }}\u202e</pre></style>"
VOID = {"meta", "line", "rect"}


class Page(HTMLParser):
    """Every tag is closed in its turn; what is shown is gathered."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.outside: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        names = dict(attrs)
        self.outside += [name for name in names if name in ("src", "href", "action") or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def page(office: Office, test: str, **params: str) -> tuple[Any, Page]:
    said = office.call("GET", f"{TESTS}/{test}/report", office.key("testing"), params=params)
    assert said.status_code == 200, said.text
    return said, Page(said.text)


def summary(office: Office, test: str) -> dict[str, Any]:
    said = office.call("GET", f"{TESTS}/{test}/summary", office.key("testing"))
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found


def test_a_summary_counts_every_prompt_and_an_error_as_zero(any_office: Office) -> None:
    suite = suite_of(any_office, 20)
    answers = [answer(n, float(n < 15)) for n in range(20)]
    answers[0] |= FAILED | {"scores": {}}
    answers[1] |= {"weight": 5.0, "finish_reason": "length"}
    test = recorded(any_office, suite, answers)
    found = summary(any_office, test)
    assert found["test"]["score"] == found["overall"]["score"]["value"] == pytest.approx(18 / 24, abs=1e-6)
    assert found["overall"]["score"]["low"] < 0.75 < found["overall"]["score"]["high"]
    assert (found["overall"]["prompts"], found["overall"]["passed"]) == (20, 14)
    assert {tag: (one["prompts"], one["passed"]) for tag, one in found["tags"].items()} == {
        "even": (10, 7),
        "odd": (10, 7),
    }
    assert found["scorers"]["exact"]["value"] == pytest.approx(18 / 23, abs=1e-6)
    assert found["latency_ms"] == {"p50": 19.5, "p90": 27.1, "p99": 28.81, "mean": 19.5}
    assert (found["input_tokens"], found["output_tokens"]) == (200, 60)
    assert found["finish_reasons"] == {"length": 1, "stop": 19}
    assert summary(any_office, test) == found


def test_the_same_answers_give_the_same_summary_in_whatever_order_they_came(office: Office) -> None:
    suite = suite_of(office, 30)
    answers = [answer(n, float(n % 3 == 0)) for n in range(30)]
    first, again = (
        summary(office, recorded(office, suite, some)) for some in (answers, [*reversed(answers)])
    )
    assert {**first, "test": None} == {**again, "test": None}


def test_a_test_without_an_answer_has_a_summary_and_a_page(office: Office) -> None:
    admin = office.key("admin")
    test = office.call("POST", TESTS, admin, json={"suite": "s", "model": "m"}).json()["id"]
    assert summary(office, test)["overall"] == {"prompts": 0, "passed": 0, "score": None}
    assert "Not completed: pending" in page(office, test)[1].text


def test_the_page_shows_a_comparison_with_the_lost_first(any_office: Office) -> None:
    suite = suite_of(any_office, 30)
    base = recorded(
        any_office, suite, [answer(n, float(n == 3), response=f"the answer is {n}") for n in range(30)]
    )
    model = artifact(any_office)
    tuned = recorded(
        any_office,
        suite,
        [answer(n, float(n != 3), response=f"the result is {n}") for n in range(30)],
        model=f"artifact:{model}",
        seed=7,
    )
    said, found = page(any_office, tuned, against=base)
    assert said.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in (
        "Better",
        "29 gained, 1 lost of 30: McNemar's exact p = 5.77e-08",
        "seed differs: 42 and 7",
        "d" * 64,
        "c" * 64,
        f"tuneyard tests compare {base} {tuned} --alpha 0.05 --margin 0.1",
        f'"suite": "{suite}"',
        "suite dates version 1",
    ):
        assert text in found.text, text
    assert found.text.index("Lost") < found.text.index("Won")
    assert "the <del>answer</del> is 3" in said.text
    assert "the <ins>result</ins> is 3" in said.text


def test_what_a_model_says_stays_text(office: Office) -> None:
    suite = suite_of(office, 8)
    worded = {"prompt": EVIL, "expected": EVIL, "tags": [EVIL[:100]]}
    base = recorded(office, suite, [answer(n, **worded) for n in range(8)], name=EVIL, model="org/base")
    wrong = [answer(n, 0.0, response=EVIL + str(n), **worded) for n in range(6)]
    wrong += [answer(n, **worded) | FAILED | {"error": EVIL} for n in (6, 7)]
    tuned = recorded(office, suite, wrong, model=EVIL)
    for said, found in (page(office, tuned), page(office, tuned, against=base)):
        assert not found.tags & {"script", "img", "iframe", "object", "link", "base", "form"}
        assert found.outside == []
        assert found.text.count("<script>alert(1)</script>") > 6
        assert "{{ 7*7 }}" in found.text
        policy = said.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
        assert said.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"https?://", said.text.replace("http-equiv", ""))


def test_long_texts_and_many_examples_keep_the_page_small(office: Office) -> None:
    suite = suite_of(office, 200)
    base = recorded(office, suite, [answer(n, response="a " * 50_000) for n in range(200)])
    tuned = recorded(office, suite, [answer(n, 0.0, response="b " * 50_000) for n in range(200)])
    said, found = page(office, tuned, against=base)
    assert len(said.content) < 1_000_000
    assert "the first 50 of 200" in found.text
    assert "and 98000 more characters" in found.text


def test_a_page_against_what_cannot_be_compared_says_why(office: Office) -> None:
    test = recorded(office, suite_of(office, 8), [answer(n) for n in range(8)])
    other = recorded(office, suite_of(office, 9), [answer(n) for n in range(9)])
    for against, status in ((other, 409), ("nowhere", 404)):
        path = f"{TESTS}/{test}/report?against={against}"
        assert office.call("GET", path, office.key("testing")).status_code == status
