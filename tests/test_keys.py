"""The key format: what is minted parses, what is mistyped does not, and no text shows a key whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneyard import keys
from tuneyard.errors import BadInput


def test_a_minted_key_parses_to_its_public_id() -> None:
    key = keys.mint()
    assert len(key.text) == 55
    assert keys.parse(key.text) == key.public_id
    assert key.text.startswith(f"wak_{key.public_id}_")


def test_keys_differ() -> None:
    assert len({keys.mint().text for _ in range(200)}) == 200


@given(st.integers(0, 54), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_key_with_one_wrong_character_is_refused(position: int, character: str) -> None:
    text = keys.mint().text
    wrong = text[:position] + character + text[position + 1 :]
    if wrong != text:
        with pytest.raises(BadInput):
            keys.parse(wrong)


@given(st.text())
def test_any_other_text_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        keys.parse(text)
    assert len(text) < 5 or text not in str(refusal.value)


def test_a_key_in_a_text_is_cut_to_its_public_id() -> None:
    key = keys.mint()
    shown = keys.redact(f"GET /x?key={key.text} and {key.text[:30]} and wak_abc")
    assert key.text[17:] not in shown
    assert key.text[17:30] not in shown
    assert shown == f"GET /x?key=wak_{key.public_id}_*** and wak_{key.public_id}_*** and wak_***"
    assert key.text not in repr(key)


def test_a_job_token_is_43_url_safe_characters() -> None:
    assert keys.is_job_token(keys.mint_job_token())
    assert not keys.is_job_token("short")
    assert not keys.is_job_token("!" * 43)
