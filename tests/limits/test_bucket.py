"""The token bucket against the plain one: a number of tokens that grows with time, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.limits.bucket import Bucket, take, tightest, wait_s
from pipeline.limits.window import Window, parse_windows

# Powers of two, so that floats are exact and the model decides each case as the bucket must.
AMOUNTS = st.sampled_from([1, 2, 4, 16, 64])
SECONDS = st.sampled_from([1, 2, 4, 64])
WINDOWS = st.lists(st.builds(Window, AMOUNTS, SECONDS), min_size=1, max_size=3)
SHARES = st.sampled_from([1.0, 0.5, 0.25])
STEPS = st.lists(st.tuples(st.integers(0, 64), st.integers(1, 40)), max_size=60)


class Plain:
    """Tokens in a bucket."""

    def __init__(self, window: Window, share: float) -> None:
        self.rate = Fraction(window.amount) * Fraction(share) / window.seconds
        self.most = Fraction(window.amount) * Fraction(share)
        self.tokens = self.most

    def pass_time(self, seconds: Fraction) -> None:
        self.tokens = min(self.most, self.tokens + seconds * self.rate)

    def allows(self, n: int) -> bool:
        return self.tokens >= n or self.tokens == self.most

    def wait(self, n: int) -> Fraction:
        return Fraction(0) if self.allows(n) else (min(self.most, Fraction(n)) - self.tokens) / self.rate


@given(WINDOWS, SHARES, STEPS)
def test_it_allows_and_refuses_what_plain_buckets_do(windows, share, steps):
    bucket, plains, now = Bucket(windows, share), [Plain(window, share) for window in windows], Fraction(0)
    for pause, n in steps:
        now += Fraction(pause, 64)
        for plain in plains:
            plain.pass_time(Fraction(pause, 64))
        wait = wait_s(bucket.levels, n, float(now))
        assert (wait == 0) == all(plain.allows(n) for plain in plains)
        assert wait == pytest.approx(float(max(plain.wait(n) for plain in plains)))
        place, left, full_in = tightest(bucket.levels, float(now))
        parts = [max(Fraction(0), plain.tokens / plain.most) for plain in plains]
        assert left == pytest.approx(float(min(parts)))
        assert full_in == pytest.approx(float(plains[place].wait(1 << 40)))
        assert bucket.is_full(float(now)) == all(plain.tokens == plain.most for plain in plains)
        if wait == 0:
            take(bucket.levels, n, float(now))
            for plain in plains:
                plain.tokens -= n


@given(WINDOWS, STEPS)
def test_what_waits_as_long_as_it_was_told_gets_through(windows, steps):
    bucket, now = Bucket(windows), 0.0
    for pause, n in steps:
        now += pause / 64
        wait = wait_s(bucket.levels, n, now)
        assert wait_s(bucket.levels, n, now + wait) == pytest.approx(0, abs=1e-9)
        now += wait + 1e-9
        assert wait_s(bucket.levels, n, now) == 0
        take(bucket.levels, n, now)


@given(st.builds(Window, AMOUNTS, SECONDS), STEPS)
def test_no_stretch_of_time_takes_more_than_a_burst_and_its_rate(window, steps):
    bucket, now, taken = Bucket([window]), 0.0, []
    for pause, wanted in steps:
        now += pause / 64
        n = min(wanted, window.amount)
        if wait_s(bucket.levels, n, now) == 0:
            take(bucket.levels, n, now)
            taken.append((now, n))
    for i, (start, _) in enumerate(taken):
        total = 0
        for end, n in taken[i:]:
            total += n
            assert total <= window.amount * (1 + (end - start) / window.seconds) + 1e-6


def test_a_smaller_share_keeps_what_was_taken():
    bucket = Bucket([Window(100, 10)])
    take(bucket.levels, 60, 0.0)
    bucket.set_share(0.5, 0.0)
    assert tightest(bucket.levels, 0.0)[1] == 0.0
    assert wait_s(bucket.levels, 1, 0.0) == pytest.approx((60 + 1 - 50) / 5)
    bucket.set_share(1.0, 0.0)
    assert tightest(bucket.levels, 0.0)[1] == pytest.approx(0.4)


def test_windows_as_people_write_them():
    assert parse_windows("1000/s, 20_000/min") == (Window(1000, 1), Window(20_000, 60))
    assert parse_windows("5/h,7 / d") == (Window(5, 3600), Window(7, 86400))


@pytest.mark.parametrize("text", ["", "1000", "0/s", "10/week", "-1/s", "1.5/s", "1/s,,2/min", "1/s/s"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="a rate is"):
        parse_windows(text)
