"""A choice is named by its letter or its text; who names two has named none."""

from __future__ import annotations

import pytest

from tasks.choice_scores import choice, meant_choice, named_choice

CITIES = ["London", "Paris", "New York", "New York City"]


@pytest.mark.parametrize(
    "response",
    [
        *(
            "B",
            "b",
            "(b)",
            "B.",
            "B)",
            " **B** ",
            "'B'",
            "B\n",
            "B\nbecause it is",
            "B. It is",
            "(b) Paris",
            "b) paris",
        ),
        *(
            "Paris",
            "PARIS.",
            "It is Paris.",
            "I'd say Paris",
            "B) Paris",
            "**B** since",
            "Option B",
            "Choice B is it",
        ),
        *(
            "Answer: B",
            "answer: b",
            "Answer: (B)",
            "The answer is B",
            "The answer is B) Paris",
            "The answer is **B**.",
        ),
        *(
            "the answer is paris",
            "The correct answer is: **(B) Paris**",
            "The correct option is B.",
            "$\\boxed{B}$",
        ),
        *(
            "The answer is $\\boxed{\\text{B}}$",
            "A) London is wrong. The answer is B) Paris",
            "Final Answer: B",
        ),
    ],
)
def test_one_choice_is_named(response: str) -> None:
    assert named_choice(response, CITIES) == 1


@pytest.mark.parametrize(
    "response",
    [
        *(
            "",
            " ",
            "?",
            "Z",
            "A dog",
            "Rome",
            "London or Paris",
            "A) London\nB) Paris",
            "The answer is B) London",
        ),
        *("The answer is A. The answer is B.", "Parisian", "A B", "AB"),
    ],
)
def test_none_or_several_are_none(response: str) -> None:
    assert named_choice(response, CITIES) is None
    assert choice(response, "B", CITIES) == 0.0


def test_the_longer_text_is_meant_where_one_holds_the_other() -> None:
    assert named_choice("It is in New York City!", CITIES) == 3
    assert named_choice("It is in New York.", CITIES) == 2
    assert named_choice("The answer is New York City", CITIES) == 3


def test_what_is_expected_is_a_text_or_a_letter() -> None:
    assert [meant_choice(one, CITIES) for one in ("Paris", "paris.", "B", "b", "(B)", "B.")] == [1] * 6
    assert [meant_choice(one, CITIES) for one in ("Z", "", "Rome")] == [None] * 3
    assert meant_choice("A", ["B", "A"]) == 1  # the text goes before the letter


def test_choices_of_all_scripts_and_signs_are_found() -> None:
    assert named_choice("答案是巴黎。", ["伦敦", "巴黎"]) == 1
    assert named_choice("It must be -5, I think", ["5", "-5"]) == 1
    assert named_choice("x**2", ["x*2", "x**2"]) == 1
    assert named_choice("It is ½.", ["⅓", "½"]) == 1


def test_a_word_is_no_letter() -> None:
    assert named_choice("The answer is a capital: Paris", CITIES) == 1
    assert named_choice("I don't know", ["x"] * 1 + list("stuvwyzpq")) is None
