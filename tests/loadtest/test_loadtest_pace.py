"""Schedules, the tunnel, and waits: pure functions of the time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadtest.pace import Ticks, Tunnel
from loadtest.waits import Waits, asked_for_s
from simulator.sender import Retry

SECONDS = st.floats(0, 1e5)


@given(start=SECONDS, now=SECONDS, period=st.floats(0.01, 100))
def test_a_tick_lies_ahead_by_a_period_at_most(start: float, now: float, period: float) -> None:
    tick = Ticks(start, period).after(now)
    assert tick >= start
    assert now - 1e-6 <= tick <= max(start, now + period + 1e-6)


def test_ticks_do_not_drift_and_skip_what_was_missed() -> None:
    ticks = Ticks(100.0, 2.0)
    assert [ticks.after(now) for now in (0.0, 99.9, 100.0, 101.9, 109.0)] == [100.0, 100.0, 102.0, 102.0, 110.0]


def test_users_are_spread_over_the_period() -> None:
    starts = sorted(Ticks.of_user(number, 0.0, 1.0).start_s for number in range(100))
    gaps = [after - before for before, after in pairwise(starts)]
    assert max(gaps) < 0.03


def test_a_tunnel_comes_again_and_again() -> None:
    tunnel = Tunnel(open_s=15.0, away_s=20.0)
    assert [tunnel.back_at(at) for at in (0.0, 14.9, 35.0, 49.9, 70.0)] == [None] * 5
    assert [tunnel.back_at(at) for at in (15.0, 34.9, 50.0, 69.9)] == [35.0, 35.0, 70.0, 70.0]
    assert Tunnel(open_s=0.0, away_s=0.0).back_at(3.0) is None


@given(at=SECONDS, open_s=st.floats(0.1, 100), away_s=st.floats(0.1, 100))
def test_all_who_are_away_come_back_at_one_time(at: float, open_s: float, away_s: float) -> None:
    tunnel = Tunnel(open_s, away_s)
    back = tunnel.back_at(at)
    if back is not None:
        assert at <= back + 1e-6
        assert back - at <= away_s + 1e-6
        assert tunnel.back_at(back + open_s / 2) is None


@given(asked=st.integers(0, 30), chance=st.floats(0, 1, exclude_max=True), tries=st.integers(1, 6))
def test_nobody_comes_back_before_the_time_that_was_asked_for(asked: int, chance: float, tries: int) -> None:
    waits = Waits(Retry(give_up_s=1e6), 0.0, lambda: chance)
    found = [waits.after(503, str(asked), 0.0) for _ in range(tries)]
    pauses = [wait - asked for wait in found if wait is not None]
    assert len(pauses) == tries
    for number, pause in enumerate(pauses):
        longest = min(0.1 * 2**number, 5.0)
        assert longest / 2 - 1e-6 <= pause <= longest + 1e-6


def test_a_request_is_given_up_in_the_end_or_where_trying_is_no_use() -> None:
    assert Waits(Retry(), 0.0).after(400, None, 1.0) is None
    assert Waits(Retry(), 0.0).after(0, None, 1.0) is not None
    assert Waits(Retry(give_up_s=60), 0.0).after(503, "2", 59.0) is None
    assert [asked_for_s(text) for text in (None, "3", "-1", "Wed, 21 Oct 2026 07:28:00 GMT")] == [0.0, 3.0, 0.0, 0.0]
