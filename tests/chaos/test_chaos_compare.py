"""The comparison finds what it is there for, and the traffic it compares with is what was sent."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.journal.log import Journal
from pipeline.types import I64, Bools
from tests.chaos.compare import Difference, compare
from tests.chaos.disk_faults import tear
from tests.chaos.traffic import FLEETS, SKEWED_VEHICLES, VEHICLES, Traffic

REQUESTS = 40
BASE_US = 1_790_000_000_000_000
STORED = ["vehicle_id", "time", "session", "sequence", "channel", "arbitration_id", "is_extended", "data"]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(7, 2_000, BASE_US)


def sent(traffic: Traffic, fleet: int, acknowledged: Bools | None = None, skew_us: I64 | None = None) -> pl.DataFrame:
    everything = np.ones(REQUESTS, np.bool_) if acknowledged is None else acknowledged
    skews = np.zeros(REQUESTS, np.int64) if skew_us is None else skew_us
    return traffic.expected(fleet, 0, VEHICLES, everything, skews)


def clean(**counts: int) -> dict[str, int]:
    return {"lost": 0, "doubled": 0, "unexpected": 0, "changed": 0} | counts


def found(difference: Difference) -> dict[str, int]:
    return {name: getattr(difference, name) for name in clean()}


def test_frames_stored_once_in_any_order_are_no_difference(traffic: Traffic) -> None:
    expected = sent(traffic, 0)
    difference = compare(expected, expected.select(STORED).sample(fraction=1.0, shuffle=True, seed=1))
    assert found(difference) == clean()
    assert difference.exact
    assert difference.stored == difference.acknowledged == len(expected) > 20_000
    assert difference.values == expected["values"].sum() > len(expected)


@pytest.mark.parametrize("counted", [True, False])
def test_a_lost_a_doubled_a_strange_and_a_changed_row_are_found(traffic: Traffic, counted: bool) -> None:
    expected = sent(traffic, 0)
    stored = expected.select(STORED)
    [row] = stored.with_row_index().filter(pl.col("sequence").is_not_null() == counted)["index"].head(1)
    one = stored.slice(row, 1)
    rest = pl.concat([stored.slice(0, row), stored.slice(row + 1)])
    assert found(compare(expected, rest)) == clean(lost=1)
    assert found(compare(expected, pl.concat([stored, one, one]))) == clean(doubled=2)
    strange = (
        one.with_columns(sequence=pl.lit(10**9, pl.UInt64)) if counted else one.with_columns(time=pl.lit(0, pl.Int64))
    )
    assert found(compare(expected, pl.concat([stored, strange]))) == clean(unexpected=1)
    extended = one.with_columns(is_extended=~pl.col("is_extended"))
    difference = compare(expected, pl.concat([rest, extended]))
    assert found(difference) == clean(changed=1)
    assert difference.examples
    assert not difference.exact
    # Where the data are a part of the identity, other data are another frame.
    other = compare(expected, pl.concat([rest, one.with_columns(data=pl.lit(b"other"))]))
    assert found(other) == (clean(changed=1) if counted else clean(lost=1, unexpected=1))


def test_what_was_not_acknowledged_may_be_stored_once_or_not_at_all(traffic: Traffic) -> None:
    acknowledged = np.ones(REQUESTS, np.bool_)
    acknowledged[6] = False
    expected = sent(traffic, 0, acknowledged)
    doubtful = expected.filter(~pl.col("acknowledged")).select(STORED)
    sure = expected.filter("acknowledged").select(STORED)
    assert len(doubtful) > 1_000
    assert set(expected.filter(~pl.col("acknowledged"))["request"]) == {6}
    assert compare(expected, sure).exact
    assert compare(expected, pl.concat([sure, doubtful])).exact
    assert found(compare(expected, pl.concat([sure, doubtful, doubtful]))) == clean(doubled=len(doubtful))


def test_bodies_hold_the_expected_frames_duplicates_and_bad_rows(traffic: Traffic) -> None:
    skews = np.where(np.arange(REQUESTS) >= 30, 3_600_000_123, 0)
    for fleet in range(len(FLEETS)):
        expected = sent(traffic, fleet, skew_us=skews)
        rows: list[pl.DataFrame] = []
        for number in range(fleet, REQUESTS, len(FLEETS)):
            body = traffic.body(number, int(skews[number]))
            table = pa.ipc.open_stream(body.content).read_all()
            assert body.rows == table.num_rows
            frame = pl.DataFrame(pl.from_arrow(table)).with_columns(
                pl.col("vehicle_id").cast(pl.String), time=pl.col("timestamp").dt.epoch("us")
            )
            bad = frame.filter(pl.col("vehicle_id").str.starts_with("bad-"))
            assert bad["vehicle_id"].to_list() == [f"bad-{number}"] * body.bad
            rows.append(frame.filter(~pl.col("vehicle_id").str.starts_with("bad-")).select(STORED))
        all_rows = pl.concat(rows)
        difference = compare(expected, all_rows)
        assert found(difference) == clean(doubled=len(all_rows) - len(expected))
        assert 0.005 < difference.doubled / len(expected) < 0.02
        assert compare(expected, all_rows.unique()).exact
    skewed = expected.filter(pl.col("time") > BASE_US + 3_600_000_000)
    assert skewed["vehicle_id"].n_unique() == SKEWED_VEHICLES
    assert set(skewed["request"]) <= set(range(30, REQUESTS))


def test_the_second_minute_goes_on_where_the_first_ended(traffic: Traffic) -> None:
    requests = next(n for n in range(0, 1_000, 2) if traffic.due_s(n) > 100)
    expected = traffic.expected(1, 3, 9, np.ones(requests, np.bool_), np.zeros(requests, np.int64))
    counted = expected.filter(pl.col("sequence").is_not_null())
    assert counted.select("vehicle_id", "session", "sequence").is_unique().all()
    assert expected.select("vehicle_id", "time").is_unique().all()
    for _, one in counted.group_by("vehicle_id"):
        ordered = one.sort("sequence")
        assert ordered["sequence"].to_list() == list(range(len(one)))
        assert ordered["time"].is_sorted()
    due = [traffic.due_s(number) for number in range(requests)]
    assert due == sorted(due)
    last = traffic.expected(1, 0, VEHICLES, np.ones(requests, np.bool_), np.zeros(requests, np.int64))["time"].max()
    assert abs((last - BASE_US) / 1e6 - due[-1]) < 5


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_journal_keeps_what_was_synced(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with Journal.open(tmp_path) as journal:
        for number in range(rng.randint(0, 5)):
            journal.append(1, rng.randbytes(rng.randint(0, 300)), bytes([number]))
        durable = journal.sync()
        kept = [bytes(record.payload) for record in journal.read(journal.start)]
        for _ in range(rng.randint(0, 3)):
            journal.append(1, rng.randbytes(200))
    tear(tmp_path, rng)
    with Journal.open(tmp_path) as journal:
        assert journal.durable_end >= durable
        assert [bytes(record.payload) for record in journal.read(journal.start)][: len(kept)] == kept
