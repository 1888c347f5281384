"""A card has one job at a time, whoever comes first has it first, and whoever waits can read why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.lease import visible
from tasks.turns import Slot, Ticket, grants
from tests.card_fixtures import FIRST, SECOND, Cards, Claimant, build_driver, ended_after

pytestmark = pytest.mark.timeout(30)
Start = Callable[..., Claimant]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def cards(driver: Path, tmp_path: Path) -> Cards:
    """A host with two cards on which nothing runs."""
    two = Cards(driver, tmp_path / "cards")
    two.put("g 0 0 0", "g 1 0 0")
    return two


@pytest.fixture
def start(cards: Cards, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that leases so many cards for a job of that name."""
    with ended_after() as started:

        def claimant(count: int, job: str, **environment: str) -> Claimant:
            started.append(Claimant(cards, tmp_path / "gpus", count, job, **environment))
            return started[-1]

        yield claimant


def test_two_jobs_get_different_cards_and_the_third_waits_with_the_reason(start: Start) -> None:
    first, second = start(1, "one"), start(1, "two")
    assert sorted(first.cards() + second.cards()) == [FIRST, SECOND]
    third = start(1, "three")
    reason = third.waits("is held by job one since 20")
    assert f"waiting for 1 of 2 GPUs: {FIRST} is held by job " in reason
    assert f"; {SECOND} is held by job " in reason
    assert reason.endswith("; place 1 of 1 in this host's line")
    second.give_back()
    assert third.cards()


def test_a_child_is_told_its_cards_by_uuid(start: Start) -> None:
    assert start(2, "both").said()["environment"] == {"CUDA_VISIBLE_DEVICES": f"{FIRST},{SECOND}"}


def test_a_foreign_process_keeps_a_card_out_of_use_until_it_is_gone(cards: Cards, start: Start) -> None:
    cards.put("g 0 4300 97 123:4300", "g 1 0 0")
    assert start(1, "one").cards() == [SECOND]
    second = start(1, "two")
    assert f"{FIRST} has a foreign process (pid 123, 4.2 GiB)" in second.waits("held by job one")
    cards.put("g 0 0 0", "g 1 0 0")
    assert second.cards() == [FIRST]


def test_memory_that_a_process_out_of_sight_holds_keeps_a_card_out_of_use(cards: Cards, start: Start) -> None:
    cards.put("g 0 10240 97", "g 1 600 0")
    assert start(1, "one").cards() == [SECOND]
    start(1, "two").waits(f"{FIRST} has 10.0 GiB in use by a process that cannot be seen from here")


def test_a_killed_flow_frees_its_card_at_once_though_a_child_of_it_lives_on(start: Start) -> None:
    one = start(2, "one")
    child = one.said()["child"]
    two = start(2, "two")
    two.waits("is held by job one")
    one.kill()
    assert two.cards() == [FIRST, SECOND]
    os.kill(child, 0)  # it is there still, and has no lock with it


def test_two_jobs_that_each_want_both_cards_have_them_one_after_the_other(start: Start) -> None:
    one = start(1, "one")
    assert one.cards() == [FIRST]
    two = start(2, "two")
    two.waits("place 1 of 1")
    three = start(2, "three")
    three.waits("place 2 of 2")
    one.give_back()
    assert two.cards() == [FIRST, SECOND]
    two.give_back()
    assert three.cards() == [FIRST, SECOND]


def test_who_wants_two_cards_is_not_overtaken_by_who_wants_one(start: Start) -> None:
    one = start(1, "one")
    assert one.cards() == [FIRST]
    two = start(2, "two")
    two.waits(f"{SECOND} is free; place 1 of 1")
    three = start(1, "three")
    three.waits(f"{SECOND} is kept for job two; place 2 of 2 in this host's line")
    one.give_back()
    assert two.cards() == [FIRST, SECOND]
    two.give_back()
    assert three.cards()


def test_who_gives_up_waiting_leaves_the_line(start: Start) -> None:
    one = start(1, "one")
    assert one.cards() == [FIRST]
    two = start(2, "two")
    two.waits("place 1 of 1")
    two.kill()
    assert start(1, "three").cards() == [SECOND]


def test_more_cards_than_the_host_has_are_waited_for_a_moment_and_refused(cards: Cards, start: Start) -> None:
    cards.put("g 0 0 0")
    greedy = start(2, "greedy")
    assert greedy.said() == {"reason": "waiting for 2 GPUs: this host shows 1"}
    refused = greedy.said()
    assert "it can never run on this host" in refused["refused"]
    assert refused["field"] == "gpus"


def test_a_card_that_vanishes_or_is_lost_is_a_reason_to_wait(cards: Cards, start: Start) -> None:
    one = start(1, "one")
    one.cards()
    both = start(2, "both")
    both.waits("held by job one")
    cards.put("g 0 0 0")
    both.waits(f"{SECOND} is gone")
    cards.put("g 0 0 0", "l 1 0 0")
    both.waits(f"{SECOND} cannot be used: GPU is lost")
    cards.put("g 0 0 0", "g 1 0 0")
    one.give_back()
    assert both.cards() == [FIRST, SECOND]


def test_a_host_without_cards_gives_an_empty_lease_that_says_so(start: Start) -> None:
    said = start(1, "one", LD_LIBRARY_PATH="").said()
    assert (said["uuids"], said["environment"]) == ([], {"CUDA_VISIBLE_DEVICES": ""})
    assert "on the CPU: no GPU" in said["words"]
    assert start(1, "two", FAKE_NVML_INIT="9").said()["words"].endswith("not loaded")
    assert start(2, "three", FAKE_NVML_INIT="9").said()["field"] == "gpus"


def test_no_gpus_asked_for_is_the_cpu_on_purpose(start: Start) -> None:
    said = start(0, "none").said()
    assert (said["uuids"], said["words"]) == ([], "on the CPU, as the config asks (gpus: 0)")


def test_a_driver_that_does_not_answer_is_waited_for_and_not_taken_for_a_host_without_cards(
    start: Start,
) -> None:
    start(1, "one", FAKE_NVML_INIT="18").waits("waiting for 1 GPU: no GPU can be read: NVML does not start")


def test_a_card_in_mig_mode_is_leased_by_the_slice(cards: Cards, start: Start) -> None:
    cards.put("m 0 0 0")
    got = start(1, "one").cards() + start(1, "two").cards()
    assert sorted(got) == [f"MIG-00000000-0000-0000-{part:04}-{0:012}" for part in range(2)]
    refused = start(2, "both")
    assert refused.said()["reason"] == "waiting for 2 GPUs: this host shows 0"
    assert "can have 0 here" in refused.said()["refused"]


def test_the_memory_of_a_lease_is_back_when_the_driver_shows_it(cards: Cards, start: Start) -> None:
    cards.put("g 0 600 0", "g 1 0 0")
    one = start(1, "one")
    assert one.cards() == [FIRST]
    cards.put("g 0 9000 50 77:8400", "g 1 0 0")
    assert one.released(0.1)["words"] == f"not released within 0.1 s: {FIRST} still has pid 77, 8.2 GiB"
    cards.put("g 0 9000 0", "g 1 0 0")
    assert one.released(0.1) == {
        "seconds": None,
        "words": f"not released within 0.1 s: {FIRST} still has 8.8 GiB in use",
    }
    cards.put("g 0 700 0", "g 1 0 0")
    assert one.released(5)["seconds"] < 1
    cards.put("g 1 0 0")
    assert "can no longer be read" in one.released(0.1)["words"]


def test_only_the_cards_that_the_environment_names_are_taken(start: Start) -> None:
    one = start(1, "one", CUDA_VISIBLE_DEVICES="1")
    assert one.cards() == [SECOND]
    two = start(1, "two", CUDA_VISIBLE_DEVICES=SECOND)
    assert two.waits("waiting for 1 of 1 GPUs")
    assert start(1, "three", CUDA_VISIBLE_DEVICES=FIRST).cards() == [FIRST]
    assert start(1, "four", CUDA_VISIBLE_DEVICES="").said()["uuids"] == []


@pytest.mark.parametrize(
    ("setting", "seen"),
    [(None, "ab"), ("", ""), ("-1", ""), ("0", "a"), ("1,0", "ab"), ("GPU-b1", "b"), ("GPU-", "")],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(setting: str | None, seen: str) -> None:
    assert visible(["GPU-a100", "GPU-b100"], setting) == [f"GPU-{letter}100" for letter in seen]


SLOTS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"), st.sampled_from([None, None, "broken"]), st.sampled_from([None, "held"])
    ),
    unique_by=lambda slot: slot[0],
).map(lambda slots: [Slot(*slot) for slot in slots])
LINES = st.lists(
    st.tuples(st.integers(1, 3), st.frozensets(st.sampled_from("abcdef"), min_size=1)), max_size=5
).map(lambda line: [Ticket(number, f"job {number}", *wish) for number, wish in enumerate(line)])


@given(LINES, SLOTS)
def test_a_card_is_kept_for_one_job_and_only_a_free_one(line: list[Ticket], slots: list[Slot]) -> None:
    kept = grants(line, slots)
    uuids = [uuid for some in kept.values() for uuid in some]
    assert len(uuids) == len(set(uuids))
    assert set(uuids) <= {slot.uuid for slot in slots if not slot.fault and not slot.holder}
    assert all(len(kept[ticket.number]) <= ticket.count for ticket in line)
    assert all(set(kept[ticket.number]) <= ticket.may for ticket in line)


@given(LINES, SLOTS)
def test_nobody_gets_a_card_that_someone_before_him_waits_for(line: list[Ticket], slots: list[Slot]) -> None:
    kept = grants(line, slots)
    working = {slot.uuid for slot in slots if not slot.fault}
    for place, ticket in enumerate(line):
        if len(kept[ticket.number]) < ticket.count <= len(ticket.may & working):
            for later in line[place + 1 :]:
                assert not ticket.may & set(kept[later.number])


@given(LINES, SLOTS)
def test_the_first_in_the_line_who_can_be_served_is(line: list[Ticket], slots: list[Slot]) -> None:
    kept = grants(line, slots)
    free = {slot.uuid for slot in slots if not slot.fault and not slot.holder}
    working = {slot.uuid for slot in slots if not slot.fault}
    able = [ticket for ticket in line if len(ticket.may & working) >= ticket.count]
    if able:
        assert len(kept[able[0].number]) == min(able[0].count, len(able[0].may & free))
