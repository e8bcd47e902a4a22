"""Rows go from the hot to the cold volume, smaller, and then away, by TTLs in the background, while they are asked for;
the cold one a folder, or an object store. While it is away, what is hot answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import START, canonical_frames, frame_rows, names, store, times
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_emulator import CREDENTIALS, S3Emulator

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.history import History, signal_history
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.resolution import DAY
from pipeline.clickhouse.retention import KINDS, apply_retention, ttl
from pipeline.clickhouse.settings import FleetDays, KeepSettings, RetentionSettings, WarehouseSettings
from pipeline.clickhouse.tiers import asked_of_tiers
from pipeline.clickhouse.writer import SIGNALS, Writer
from pipeline.errors import WarehouseUnreadable

N = 20_000
LATER = START + 30 * DAY
ODD_FLEET = "it's \\ SETTINGS x = 1 TTL"
_PARTS = """
    SELECT disk_name AS disk, default_compression_codec AS codec, sum(p.rows) AS rows FROM system.parts AS p
    WHERE database = currentDatabase() AND table = {table:String} AND active AND p.rows > 0 GROUP BY ALL ORDER BY ALL
"""


@dataclass
class Tiers:
    """An embedded ClickHouse whose cold volume can be taken away."""

    host: HostProcess
    cut: Callable[[], None]
    mend: Callable[[], None]
    cold_files: Callable[[], int]


@pytest.fixture(scope="module", params=["folder", "s3"])
def tiers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    folder = tmp_path_factory.mktemp("tiers")
    if request.param == "folder":
        cold, elsewhere = folder / "cold", folder / "elsewhere"
        host = HostProcess(folder / "clickhouse", "--cold-dir", str(cold))
        yield Tiers(
            host,
            lambda: _rename(cold, elsewhere),
            lambda: _rename(elsewhere, cold),
            lambda: len(list(cold.rglob("*.bin"))),
        )
        assert host.terminate()[0] == 0
        return
    emulator = S3Emulator()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        host = HostProcess(folder / "clickhouse", "--cold-s3", emulator.url)
    yield Tiers(host, emulator.cut, emulator.mend, emulator.objects)
    assert host.terminate()[0] == 0
    emulator.stop()


def _rename(old: Path, new: Path) -> None:
    old.rename(new)


@pytest.fixture
def tiered(tiers: Tiers, request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    warehouse = Warehouse.connect(
        WarehouseSettings(url=tiers.host.url, database=f"db_{name}", storage_policy="hot_cold")
    )
    migrate(warehouse)
    yield warehouse
    warehouse.close()


def speed(fleet: str, begin: int) -> pa.RecordBatch:
    """N values at 10 Hz of one vehicle."""
    return pa.RecordBatch.from_arrays(
        [
            names(np.zeros(N), [fleet]),
            names(np.zeros(N), ["v"]),
            times(begin + np.arange(N) * 100_000),
            names(np.zeros(N), ["Motion"]),
            names(np.zeros(N), ["Speed"]),
            pa.array(np.random.default_rng(begin % 1000).normal(50, 10, N).round(1)),
        ],
        schema=SIGNALS,
    )


def in_seconds(warehouse: Warehouse, retention: Callable[[int], RetentionSettings]) -> Warehouse:
    """The warehouse with a retention in seconds: `retention` gets those that the rows' day has lasted."""
    sql = "SELECT toInt64(dateDiff('second', toDateTime(max(stored_on)), now())) AS now FROM signals"
    now = int(warehouse.rows(sql)[0]["now"])
    for table in KINDS:
        warehouse.command(
            f"ALTER TABLE {table} MODIFY SETTING merge_with_ttl_timeout = 0, merge_with_recompression_ttl_timeout = 0"
        )
    changed = Warehouse.connect(warehouse.settings.model_copy(update={"retention": retention(now)}))
    assert apply_retention(changed, "Second")
    assert apply_retention(changed, "Second") == []
    return changed


def history(warehouse: Warehouse, fleet: str = "acme", start: int = START, end: int = START + N * 100_000) -> History:
    return signal_history(warehouse, fleet, "v", ["Speed"], start=start, end=end, step=10_000_000)


def parts(warehouse: Warehouse, table: str) -> list[tuple[str, str, int]]:
    return [(row["disk"], row["codec"], row["rows"]) for row in warehouse.rows(_PARTS, {"table": table})]


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_rows_are_compressed_moved_and_deleted_while_they_are_asked_for(tiers: Tiers, tiered: Warehouse) -> None:
    writer = Writer(tiered)
    for fleet in ("acme", ODD_FLEET):
        store(writer, speed(fleet, START), f"old {fleet}")
    writer.insert_frames(frame_rows(canonical_frames(1_000, 1, counted=False)), "frames")
    whole, minutes = history(tiered).points, history(tiered, ODD_FLEET).points
    assert len(whole) == N // 100
    assert {part[:2] for part in parts(tiered, "signals")} == {("hot", "ZSTD(1)")}

    def retention(now: int) -> RetentionSettings:
        never = KeepSettings()
        return RetentionSettings(
            frames=KeepSettings(days=now + 3),
            signals=KeepSettings(hot_days=now + 6, cold_zstd=9),
            signals_1m=never,
            signals_1h=never,
            fleets={ODD_FLEET: FleetDays(signals=now + 3)},
        )

    asked = 0

    def cold_and_alone() -> bool:
        nonlocal asked
        asked += 1
        assert history(tiered).points == whole
        return parts(tiered, "signals") == [("cold", "ZSTD(9)", N)]

    changed = in_seconds(tiered, retention)
    wait_for(cold_and_alone)
    assert asked > 3
    assert tiers.cold_files() > 0
    wait_for(lambda: parts(tiered, "frames") == [])
    assert history(tiered, ODD_FLEET).points == []
    # The raw values are gone, the rollups are kept.
    by_minute = partial(signal_history, fleet=ODD_FLEET, vehicle_id="v", signals=["Speed"], step=60_000_000)
    rolled = by_minute(tiered, start=START, end=START + N * 100_000)
    assert sum(point["count"] for point in rolled.points) == sum(point["count"] for point in minutes) == N
    changed.close()


def test_what_is_hot_answers_while_the_cold_volume_is_away(tiers: Tiers, tiered: Warehouse) -> None:
    writer = Writer(tiered)
    store(writer, speed("acme", START), "old")
    store(writer, speed("acme", LATER), "new")
    span = N * 100_000
    for table in ("signals", "signals_1m_states"):
        begin = "toMonday" if table == "signals" else "toStartOfMonth"
        day = tiered.rows(f"SELECT toString({begin}(fromUnixTimestamp64Micro({START}, 'UTC'))) AS day")[0]["day"]
        tiered.command(f"ALTER TABLE {table} MOVE PARTITION '{day}' TO VOLUME 'cold'")
    ask = partial(history, start=START, end=LATER + span)
    both, new = ask(tiered), history(tiered, start=LATER, end=LATER + span)
    assert sum(point["count"] for point in both.points) == 2 * N
    tiers.cut()
    try:
        with pytest.raises(WarehouseUnreadable):
            ask(tiered)
        found, missing = asked_of_tiers(tiered, ask, start=START, end=LATER + span)
        assert found.step is not None
        assert all(point["timestamp"] > LATER - found.step for point in found.points)
        assert sum(point["count"] for point in found.points) == N
        assert missing is not None
        assert "signals from 2023-11-14T22:13:20Z to 2023-11-14T22:46:40Z" in missing
        hot = partial(history, start=LATER, end=LATER + span)
        assert asked_of_tiers(tiered, hot, start=LATER, end=LATER + span)[0].points == new.points
        assert asked_of_tiers(tiered, hot, start=LATER, end=LATER + span)[1] is None
        store(writer, speed("acme", LATER + 5 * DAY), "newest")
    finally:
        tiers.mend()
    again, missing = asked_of_tiers(tiered, ask, start=START, end=LATER + span)
    assert (again.points, missing) == (both.points, None)


def test_a_question_that_no_volume_answers_fails(tiered: Warehouse) -> None:
    def unreadable(_: Warehouse) -> None:
        raise WarehouseUnreadable("as always")

    with pytest.raises(WarehouseUnreadable):
        asked_of_tiers(tiered, unreadable, start=0, end=1)


def test_another_folder_is_not_taken_for_the_cold_volume(tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    host = HostProcess(tmp_path / "clickhouse", "--cold-dir", str(cold))
    host.terminate()
    cold.rename(tmp_path / "unmounted")
    status, errors = HostProcess(tmp_path / "clickhouse", "--cold-dir", str(cold)).finish()
    assert (status, errors.count("\n")) == (1, 1)
    assert "is not the cold volume of the data" in errors
    (cold / "canfleet-cold-volume").unlink(missing_ok=True)
    cold.rmdir()
    (tmp_path / "unmounted").rename(cold)
    assert HostProcess(tmp_path / "clickhouse", "--cold-dir", str(cold)).terminate() == (0, "")


FLEETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=64)


@settings(max_examples=25)
@given(st.dictionaries(FLEETS, st.integers(1, 89), min_size=1, max_size=3))
def test_any_fleet_can_have_a_retention_of_its_own(host: HostProcess, fleets: dict[str, int]) -> None:
    own = {fleet: FleetDays(frames=days) for fleet, days in fleets.items()}
    chosen = WarehouseSettings(
        url=host.url, database="db_any_fleet", storage_policy="hot_cold", retention=RetentionSettings(fleets=own)
    )
    warehouse = Warehouse.connect(chosen)
    migrate(warehouse)
    assert apply_retention(warehouse) == []  # what ClickHouse repeats is what was asked for
    warehouse.close()


def test_a_longer_retention_of_one_fleet_is_refused() -> None:
    with pytest.raises(ValueError, match="fleet north would keep frames 90 days, but they are deleted after 90"):
        RetentionSettings(fleets={"north": FleetDays(frames=90)})
    kept = RetentionSettings(fleets={"north": FleetDays(signals_1h=30)})
    assert (kept.days_of("signals_1h", "north"), kept.days_of("signals_1h", "south")) == (30, None)
    assert (kept.days_of("frames", "north"), kept.days_of("frames")) == (90, 90)
    assert "WHERE" not in ttl(kept, "frames", None)


def test_whole_parts_are_dropped_unless_a_fleet_differs(warehouse: Warehouse) -> None:
    def whole_parts() -> dict[str, bool]:
        sql = "SELECT name, create_table_query AS q FROM system.tables WHERE database = currentDatabase()"
        return {row["name"]: "ttl_only_drop_parts = 1" in row["q"] for row in warehouse.rows(sql)}

    def applied(retention: RetentionSettings) -> list[str]:
        changed = Warehouse.connect(warehouse.settings.model_copy(update={"retention": retention}))
        tables = apply_retention(changed)
        changed.close()
        return tables

    assert all(whole_parts()[table] for table in KINDS)
    assert applied(RetentionSettings(fleets={"north": FleetDays(frames=3)})) == ["frames"]
    assert not whole_parts()["frames"]
    assert whole_parts()["signals"]
    assert applied(RetentionSettings()) == ["frames"]
    assert whole_parts()["frames"]
