"""How replicas share a limit: never more than all of it, and each what its demand is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.limits.shares import LEASE_S, Shares, first_share

REPORTS = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1000), st.floats(0.01, 1.5)), max_size=60)


@given(REPORTS)
def test_shares_in_force_never_add_up_to_more_than_the_limit(reports):
    shares, now = Shares(), 0.0
    names = [f"gateway {i}" for i in range(4)]
    told = {}
    for name in names:  # all are known before the first request
        shares.divide(name, {}, now)
    for who, asked, pause in reports:
        now += pause
        for name in names:
            if name != names[who]:
                shares.divide(name, {}, now)  # alive, and says nothing of this limit
        count, given_ = shares.divide(names[who], {"key": asked}, now)
        assert count == 4
        told[names[who]] = (given_["key"], now)
        in_force = [
            told[name][0] if name in told and now - told[name][1] < LEASE_S else first_share(4) for name in names
        ]
        assert sum(in_force) <= 1 + 1e-9
        assert all(first_share(4) <= share <= 1 for share in in_force)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_a_share_is_what_the_demand_is_worth(demands):
    shares, now = Shares(), 0.0
    told = {}
    for _ in range(8):
        now += 0.5
        for i, demand in enumerate(demands):
            _, told[i] = shares.divide(f"gateway {i}", {"key": demand}, now)
    first, total = first_share(len(demands)), sum(demands)
    assert sum(one["key"] for one in told.values()) == pytest.approx(1)
    for i, demand in enumerate(demands):
        worth = demand / total if total else 1 / len(demands)
        assert told[i]["key"] == pytest.approx(first + (1 - first * len(demands)) * worth, abs=0.02)


def test_a_replica_alone_has_all_of_a_limit_at_once():
    assert Shares().divide("gateway", {"key": 1.0, "fleet": 0.0}, 5.0) == (1, {"key": 1.0, "fleet": 1.0})


def test_what_a_dead_replica_held_comes_back_when_its_lease_ends():
    shares = Shares()
    shares.divide("a", {"key": 100.0}, 0.0)
    _, told = shares.divide("b", {"key": 100.0}, 0.1)
    assert told["key"] == pytest.approx(first_share(2))
    _, told = shares.divide("b", {"key": 100.0}, LEASE_S - 0.1)
    assert told["key"] < 0.5
    assert shares.divide("b", {"key": 100.0}, LEASE_S + 0.1) == (1, {"key": 1.0})


def test_limits_nobody_asks_about_are_forgotten():
    shares = Shares()
    for number in range(100):
        shares.divide("a", {f"key {number}": 1.0}, float(number))
    assert len(shares._limits) <= LEASE_S + 1
