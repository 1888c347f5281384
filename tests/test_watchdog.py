"""The watchdog fires once for each fault, when it begins, as the config wants it, and for nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.watchdog import Firing, Watchdog
from tuneyard.configs import FinetuneConfig, WatchdogConfig
from tuneyard.shapes import MetricPoint

CALM = WatchdogConfig()
AMPLE = 1000.0  # GiB free
LOSSES = st.floats(0.001, 20)
QUIET = st.floats(1.0, 1.09)  # none a spike beside the others
NOT_A_NUMBER = [math.nan, math.inf, -math.inf, None]


def point(step: int, loss: float | None, norm: float | None = 1.0) -> MetricPoint:
    return MetricPoint(step=step, train_loss=loss, grad_norm=norm)


def seen(losses: list[float | None], config: WatchdogConfig = CALM) -> list[Firing]:
    """What fires when a run reports these losses, a second apart."""
    dog = Watchdog(config, 0.0)
    return [
        firing
        for step, loss in enumerate(losses, 1)
        for firing in dog.see(point(step, loss), float(step)) + dog.look(float(step), AMPLE)
    ]


def runs_of(flags: list[bool]) -> int:
    """How often a row of faults begins."""
    return sum(flag and not before for before, flag in zip([False, *flags], flags, strict=False))


def test_the_defaults_stop_at_nan_warn_of_spikes_and_stalls_and_pause_on_a_full_disk() -> None:
    config = FinetuneConfig(model="m", dataset="d").watchdog
    assert (config.nan, config.spike, config.stall, config.disk) == ("stop", "warn", "warn", "pause")
    assert (config.stall_seconds, config.disk_gb) == (600, 5)
    with pytest.raises(ValidationError, match="'warn', 'pause' or 'stop'"):
        FinetuneConfig(model="m", dataset="d", watchdog={"nan": "ignore"})


@given(st.lists(st.one_of(LOSSES, st.sampled_from(NOT_A_NUMBER)), max_size=30))
def test_each_row_of_losses_that_are_no_numbers_fires_once(losses: list[float | None]) -> None:
    fired = [firing for firing in seen(losses) if firing.kind == "nan"]
    assert len(fired) == runs_of([loss is None or not math.isfinite(loss) for loss in losses])
    assert {firing.action for firing in fired} <= {"stop"}


def test_a_gradient_that_is_no_number_fires_too() -> None:
    [firing] = Watchdog(CALM, 0.0).see(point(7, 1.0, math.nan), 1.0)
    assert (firing.kind, firing.step) == ("nan", 7)
    assert firing.message == "At step 7 the gradient's norm is not a finite number"


def test_a_point_with_a_suite_s_score_alone_is_no_fault() -> None:
    assert Watchdog(CALM, 0.0).see(MetricPoint(step=7, extra={"test_score": 0.5}), 1.0) == []


@given(st.floats(0.01, 20), st.floats(0, 0.99), st.integers(0, 300))
def test_a_loss_that_only_falls_never_fires(first: float, part: float, count: int) -> None:
    assert seen([first * (part + (1 - part) / step) for step in range(1, count + 1)]) == []


@given(st.lists(st.floats(1.0, 1.2), min_size=1, max_size=9), st.floats(100, 1e6))
def test_a_leap_among_the_first_points_is_no_spike(before: list[float], leap: float) -> None:
    assert seen([*before, leap]) == []


@given(st.lists(QUIET, min_size=10, max_size=60), st.integers(1, 4), st.floats(4, 1e6))
def test_a_leap_fires_once_however_long_it_lasts_and_again_after_a_calm(
    before: list[float], length: int, leap: float
) -> None:
    once = seen([*before, *[leap] * length])
    assert [firing.kind for firing in once] == ["spike"]
    assert once[0].step == len(before) + 1
    assert len(seen([*before, *[leap] * length, before[-1], leap])) == 2


@given(st.lists(QUIET, min_size=10, max_size=50), st.randoms())
def test_what_is_a_spike_does_not_hang_on_the_order_of_the_points_before(before: list[float], random) -> None:  # type: ignore[no-untyped-def]
    mixed = before.copy()
    random.shuffle(mixed)
    for last in (1.25, 1.6, 3.0):
        assert bool(seen([*before, last])) == bool(seen([*mixed, last]))


def test_a_spike_says_what_it_is_measured_against() -> None:
    [firing] = seen([1.0] * 20 + [3.0])
    assert firing.action == "warn"
    assert firing.message == (
        "The loss leapt to 3.0000 at step 21; the median of the 20 points before it is 1.0000"
    )


@given(
    st.floats(1, 1000),
    st.lists(st.floats(0.1, 3000), min_size=1, max_size=8),
    st.floats(0.05, 0.5),
)
def test_each_gap_longer_than_the_limit_fires_once_however_often_one_looks(
    limit: float, gaps: list[float], part: float
) -> None:
    dog = Watchdog(WatchdogConfig(stall_seconds=limit, stall="pause"), 0.0)
    now, fired = 0.0, []
    for step, gap in enumerate(gaps, 1):
        for look in range(1, int(1 / part) + 1):
            fired += dog.look(now + gap * part * look, AMPLE)
        now += gap
        fired += dog.look(now, AMPLE)
        fired += dog.see(point(step, 1.0), now)
    assert {firing.kind for firing in fired} <= {"stall"}
    sure = [gap for gap in gaps if gap > limit * 1.001]
    assert len(sure) <= len(fired) <= len([gap for gap in gaps if gap > limit * 0.999])


def test_points_told_again_after_a_restart_are_no_progress() -> None:
    dog = Watchdog(CALM, 0.0)
    dog.see(point(100, 1.0), 10.0)
    dog.see(point(90, 1.0), 700.0)
    [firing] = dog.look(700.0, AMPLE)
    assert (firing.kind, firing.step) == ("stall", 100)
    assert firing.message == "No point has come for 690 s, since step 100"


@given(st.lists(st.floats(0, 100), max_size=30))
def test_a_disk_fires_when_it_gets_low_and_again_only_after_it_had_room(free: list[float]) -> None:
    dog = Watchdog(WatchdogConfig(disk_gb=50), 0.0)
    fired = [len(dog.look(0.0, gb)) for gb in free]
    low, expected = False, []
    for gb in free:
        now_low = gb < (55 if low else 50)
        expected.append(int(now_low and not low))
        low = now_low
    assert fired == expected
