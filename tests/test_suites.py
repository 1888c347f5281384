"""Suites in the record: versions by content, edits that leave the old ones alone, the platform's own words."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import config_home as config_home

SUITES = "/api/v1/test-suites"
ONE, TWO = {"prompt": "a", "expected": "b"}, {"prompt": "c", "tags": ["t"], "weight": 2.0}


def made(office: Office, key: str, **fields: Any) -> dict[str, Any]:
    answer = office.call("POST", SUITES, key, json={"name": "s", "prompts": [ONE]} | fields)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def edited(office: Office, key: str, suite_id: str, **fields: Any) -> dict[str, Any]:
    answer = office.call("PUT", f"{SUITES}/{suite_id}", key, json=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_edit_is_the_next_version_and_leaves_the_old_one_as_it_was(any_office: Office) -> None:
    key = any_office.key("testing")
    first = made(any_office, key, description="old")
    second = edited(any_office, key, first["id"], prompts=[ONE, TWO])
    assert (second["version"], second["name"], second["description"]) == (2, "s", "old")
    assert second["id"] != first["id"]
    assert any_office.call("GET", f"{SUITES}/{first['id']}", key).json() == first
    assert edited(any_office, key, first["id"], prompts=[ONE, TWO]) == second
    assert edited(any_office, key, second["id"], prompts=[ONE]) == first
    third = edited(any_office, key, first["id"], prompts=[TWO], description="new")
    assert (third["version"], third["description"]) == (3, "new")
    assert any_office.call("GET", f"{SUITES}/{first['id']}", key).json() == first


def test_a_description_alone_is_changed_in_place(any_office: Office) -> None:
    key = any_office.key("testing")
    first = made(any_office, key)
    assert edited(any_office, key, first["id"]) == first
    assert edited(any_office, key, first["id"], description="d") == first | {"description": "d"}
    refused = any_office.call("PUT", f"{SUITES}/{first['id']}", key, json={"name": "other"})
    assert refused.status_code == 422


def test_what_a_prompt_does_not_say_is_no_part_of_its_digest(any_office: Office) -> None:
    key = any_office.key("testing")
    first = made(any_office, key, prompts=[{"prompt": "a", "expected": "b", "scorer": "rouge_l"}])
    spelled = {"kind": "rouge_l", "pass_at": 0.5, "weight": 1.0}
    again = made(any_office, key, prompts=[{"tags": [], "scorer": spelled, "expected": "b", "prompt": "a"}])
    assert again == first


def test_the_list_shows_each_suite_by_its_newest_version(any_office: Office) -> None:
    key = any_office.key("testing")
    first = made(any_office, key)
    other = made(any_office, key, name="other")
    second = edited(any_office, key, first["id"], prompts=[TWO])

    def ids(query: str) -> list[str]:
        answer = any_office.call("GET", f"{SUITES}{query}", key).json()
        assert answer["total"] == len(answer["items"])
        return [one["id"] for one in answer["items"]]

    assert ids("") == [second["id"], other["id"]]
    assert ids("?versions=all") == [second["id"], other["id"], first["id"]]
    assert ids("?name=s") == [second["id"]]
    assert ids("?name=s&versions=all") == ids(f"/{first['id']}/versions") == [second["id"], first["id"]]
    assert ids("?name=none") == []
    stranger = any_office.call("GET", f"{SUITES}/{'0' * 26}/versions", key)
    assert stranger.status_code == 404


def test_edits_at_once_each_get_a_version_of_their_own(any_office: Office) -> None:
    key = any_office.key("testing")
    first = made(any_office, key)["id"]

    def edit(number: int) -> int:
        with httpx.Client(base_url=any_office.served.url, headers={"X-API-Key": key}, timeout=60) as http:
            body = {"prompts": [{"prompt": f"p{number}"}]}
            version: int = http.put(f"{SUITES}/{first}", json=body).raise_for_status().json()["version"]
        return version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(edit, range(16))) == list(range(2, 18))


@pytest.mark.parametrize(
    ("prompt", "status", "field"),
    [
        ({}, 422, "prompts.1"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, 422, "prompts.1"),
        ({"messages": [{"role": "assistant", "content": "b"}]}, 409, "prompts.1.messages"),
        ({"prompt": "a", "scorer": "exact"}, 409, "prompts.1.expected"),
        ({"prompt": "a", "expected": "b", "scorer": "choice"}, 409, "prompts.1.choices"),
    ],
)
def test_a_prompt_that_cannot_be_asked_or_judged_is_refused(
    office: Office, prompt: dict[str, Any], status: int, field: str
) -> None:
    body = {"name": "s", "prompts": [ONE, prompt]}
    answer = office.call("POST", SUITES, office.key("testing"), json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)


def test_the_platform_records_two_lists_trimmed_and_without_empty_prompts(any_office: Office) -> None:
    key = any_office.key("testing")
    body = {"name": " s ", "prompts": [" a ", "  ", "b"], "expected_answers": ["1 ", "2", ""], "user_id": "x"}
    answer = any_office.call("POST", "/api/test-suites", key, json=body)
    assert answer.status_code == 200, answer.text
    suite = answer.json()["test_suite"]
    assert (suite["name"], suite["prompt_count"]) == ("s", 2)
    assert (suite["prompts"], suite["expected_answers"]) == (["a", "b"], ["1", None])
    listed = any_office.call("GET", "/api/test-suites", key).json()
    assert [one["id"] for one in listed["test_suites"]] == [suite["id"]]
    assert any_office.call("GET", f"{SUITES}/{suite['id']}", key).json()["prompts"][0]["expected"] == "1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"name": "s", "prompts": ["a", "b", " "], "expected_answers": ["1"]},
            "Expected answers count (1) must match prompts count (2)",
        ),
        ({"name": " ", "prompts": ["a"]}, "Missing required field: name"),
        ({"prompts": ["a"]}, "Missing required field: name"),
        ({"name": "s", "prompts": [" "]}, "At least one prompt is required"),
        ({"name": "s"}, "At least one prompt is required"),
        ([], "The body must be an object"),
    ],
)
def test_the_platform_is_refused_in_its_own_words(office: Office, body: Any, said: str) -> None:
    answer = office.call("POST", "/api/test-suites", office.key("testing"), json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, said)


def test_the_commands_take_a_suite_from_file_to_file(terminal: Terminal, tmp_path: Path) -> None:
    terminal.log_in("testing")
    file = tmp_path / "dates.yaml"
    file.write_text("- prompt: a\n  expected: b\n- prompt: c\n  scorer: json_valid\n")
    first = terminal.well("suites", "create", str(file), "--description", "why").out.strip()
    assert terminal.well("suites", "create", str(file)).out.strip() == first
    copy = tmp_path / "copy.jsonl"
    terminal.well("suites", "download", first, "--to", str(copy))
    assert terminal.well("suites", "edit", first, str(copy)).out.strip() == first
    assert terminal.well("suites", "download", first).out == copy.read_text()
    file.write_text("- prompt: a\n  expected: d\n")
    told = terminal.well("suites", "edit", first, str(file))
    second = told.out.strip()
    assert "dates version 2, 1 prompts" in told.err
    versions = json.loads(terminal.well("suites", "versions", "dates", "--json").out)["items"]
    assert [one["id"] for one in versions] == [second, first]
    listed = terminal.well("suites", "list").out
    assert second in listed
    assert first not in listed
    shown = terminal.well("suites", "show", first).out
    assert "why" in shown
    assert "json_valid" in shown


def test_the_commands_name_a_bad_file_s_line_and_send_nothing(terminal: Terminal, tmp_path: Path) -> None:
    terminal.log_in("testing")
    file = tmp_path / "s.yaml"
    file.write_text("- prompt: a\n- promt: b\n")
    said = terminal("suites", "create", str(file))
    assert (said.code, f"{file}:2: promt: unknown field" in said.err) == (2, True)
    assert json.loads(terminal.well("suites", "list", "--json").out)["total"] == 0
    assert terminal("suites", "edit", "x").code == 2
