"""Texts, patterns, numbers and JSON are judged as their scorers' words promise."""

from __future__ import annotations

import pytest

from tasks.json_scores import json_schema, json_valid, schema_of
from tasks.number_scores import last_number, numeric
from tasks.text_scores import Unscorable, contains, exact, matches, normalized_exact


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [
        ("2031-03-05", "2031-03-05", 1.0),
        (" x\n", "x", 1.0),
        ("2031-03-05.", "2031-03-05", 0.0),
        ("X", "x", 0.0),
        ("", "x", 0.0),
        ("", "", 1.0),
    ],
)
def test_exact_forgives_only_outer_white_space(response: str, expected: str, score: float) -> None:
    assert exact(response, expected) == score


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [
        ("The Eiffel Tower!", "eiffel  tower", 1.0),
        ("an apple a day", "apple day", 1.0),
        ("U.S.A.", "usa", 1.0),
        ("theory", "ory", 0.0),
        ("\uff30\uff21\uff32\uff29\uff33", "paris", 1.0),
        ("STRASSE", "straße", 1.0),
        ("« Paris »", "paris", 1.0),
        ("e\u0301te\u0301", "été", 1.0),
        ("the", "A", 0.0),  # SQuAD's rule would leave nothing of both
        ("a", "A", 1.0),
        ("!", "?", 0.0),
        ("", "x", 0.0),
        ("", "", 1.0),
    ],
)
def test_normalised_texts_are_compared_by_squads_rule(response: str, expected: str, score: float) -> None:
    assert normalized_exact(response, expected) == score


def test_contains_looks_for_the_expected_text() -> None:
    assert contains("It is Paris.", " Paris\n", ignore_case=False) == 1.0
    assert contains("It is PARIS.", "Paris", ignore_case=False) == 0.0
    assert contains("It is PARIS.", "Paris", ignore_case=True) == 1.0


def test_a_pattern_finds_something_or_not() -> None:
    assert matches("born in 1999", r"\b\d{4}\b", ignore_case=False) == 1.0
    assert matches("PARIS", "paris", ignore_case=False) == 0.0
    assert matches("PARIS", "paris", ignore_case=True) == 1.0
    with pytest.raises(Unscorable, match=r"took longer than 0\.1 s"):
        matches("a" * 40 + "!", r"^(a|a)+$", ignore_case=False, seconds=0.1)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 1,234.5 it is", "1234.5"),
        ("1e-3", "0.001"),
        ("2.5E+3.", "2500"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("5-3", "3"),
        ("(-5)", "-5"),
        ("½", "0.5"),
        ("3½ hours", "3.5"),
        ("3/4", "0.75"),
        ("1/0", None),
        ("$5", "5"),
        ("-$5", "-5"),
        ("$-1,000", "-1000"),
        ("£3.20 or £4.20", "4.20"),
        ("12/05/2031", "2031"),
        ("2031-03-05", "5"),
        ("1,2,3", "3"),
        ("-1,2", "2"),
        ("1,234, and no more", "1234"),
        ("5 kg of CO2", "5"),
        (".5", "0.5"),
        ("答案是5", "5"),
        ("\uff11\uff12", "12"),
        ("\\boxed{42}", "42"),
        ("none", None),
        ("", None),
        ("1e999999999", None),
    ],
)
def test_the_last_number_is_the_answers(text: str, number: str | None) -> None:
    found = last_number(text)
    assert (None if found is None else float(found.value)) == (None if number is None else float(number))


@pytest.mark.parametrize(
    ("response", "expected", "options", "score"),
    [
        ("about 3.2", "3.1", {"tolerance": 0.1}, 1.0),
        ("about 3.2001", "3.1", {"tolerance": 0.1}, 0.0),
        ("101", "100", {"relative": 0.01}, 1.0),
        ("102", "100", {"relative": 0.01}, 0.0),
        ("-102", "-100", {"relative": 0.02}, 1.0),
        ("9007199254740993", "9007199254740992", {}, 0.0),
        ("0", "0", {}, 1.0),
        ("50%", "50", {}, 1.0),
        ("50%", "0.5", {}, 1.0),
        ("0.5", "50 %", {}, 1.0),
        ("50", "0.5", {}, 0.0),
        ("no idea", "5", {}, 0.0),
    ],
)
def test_numbers_are_right_within_their_tolerance(
    response: str, expected: str, options: dict[str, float], score: float
) -> None:
    assert numeric(response, expected, **{"tolerance": 0.0, "relative": 0.0, **options}) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ('{"a": [1, 2.5e3, null, "é"]}', 1.0),
        (" 5 \n", 1.0),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', 1.0),
        ("```{}```", 1.0),
        ('{"code": "```x```"}', 1.0),
        ("```json\n{}\n```\n```json\n{}\n```", 0.0),
        ("```json\n{}", 0.0),
        ('{"a": 1', 0.0),
        ('{"a": 1}}', 0.0),
        ("{'a': 1}", 0.0),
        ('{"a": 1,}', 0.0),
        ("NaN", 0.0),
        ("[Infinity]", 0.0),
        ('{"a": 1, "a": 2}', 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
        ("9" * 5000, 1.0),
        ('"\\ud800"', 1.0),
    ],
)
def test_json_is_json_by_itself_or_as_the_one_block(response: str, score: float) -> None:
    assert json_valid(response) == score


def test_json_fits_its_schema_or_not() -> None:
    schema = schema_of({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}})
    assert [json_schema(one, schema) for one in ('{"n": 5}', '```json\n{"n": 5}\n```')] == [1.0, 1.0]
    assert [json_schema(one, schema) for one in ('{"n": "5"}', "{}", "5", "no", "")] == [0.0] * 5
    assert json_schema('"\\ud800"', schema_of({})) == 0.0
    assert json_schema('"' + "a" * 90_000 + 'b"', schema_of({"pattern": "^(a+)+$"})) == 0.0
    assert json_schema("[" * 900 + "]" * 900, schema_of({"items": {"$ref": "#"}})) == 1.0


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, '"strin" is not valid'),
        ({"pattern": "("}, "is not a"),
        ({"$ref": "#/$defs/none"}, "does not exist"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "nothing is fetched"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "nothing is fetched"),
        ({"$schema": "http://127.0.0.1:9/own"}, "127.0.0.1"),
        ("[]", "is an object"),
        ('{"type": "object"', "delimiter"),
    ],
)
def test_a_schema_that_is_wrong_says_so_and_fetches_nothing(
    schema: dict[str, object] | str, words: str
) -> None:
    with pytest.raises(ValueError, match=r".") as problem:
        schema_of(schema)
    assert words in str(problem.value)
