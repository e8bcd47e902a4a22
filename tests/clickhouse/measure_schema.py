"""What layouts and codecs take: `PYTHONPATH=. python tests/clickhouse/measure_schema.py [--shared ../shared/data]`.

Two sets of frames, real drives of one vehicle and the simulated fleet, are decoded and stored in several layouts, parts
merged. For each it prints bytes a frame and a value, the time of one signal's history of one vehicle, and the engine's
CPU for writing it; then what codecs do to the columns that matter.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cantools
import numpy as np
import psutil
import pyarrow as pa
from clickhouse_process import HostProcess
from clickhouse_rows import names

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import FRAMES, SIGNALS, Writer
from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.errors import WarehouseError
from pipeline.frames.columns import FrameColumns
from pipeline.frames.logs import read_log
from simulator import FLEET_DBC
from simulator.fleet import Fleet

VEHICLES, SECONDS = 500, 240
NAMED = "fleet LowCardinality(String), vehicle_id LowCardinality(String)"
TIME = "timestamp DateTime64(6, 'UTC') CODEC(GCD, Delta, ZSTD(1))"
PLAIN = "ENGINE = MergeTree ORDER BY"
ONE = "vehicle_id = {vehicle:String}"


def real(shared: Path) -> tuple[list[pa.RecordBatch], Path, str, str]:
    logs = [shared / f"logs/drive-{i}.mf4" for i in range(1, 6)]
    frames = [part.frames for log in logs for part in read_log(log, "car")]
    return frames, shared / "dbc/css/gnss.dbc", "Speed", "car"


def simulated() -> tuple[list[pa.RecordBatch], Path, str, str]:
    fleet = Fleet(VEHICLES, 5.0, 1)
    frames = [fleet.tick(fleet.start_us + second * 1_000_000) for second in range(20, SECONDS + 1, 20)]
    return frames, FLEET_DBC, "EngineSpeed", "veh-00007"


def store(writer: Writer, batches: list[pa.RecordBatch], dbc: Path) -> None:
    catalogue = load_catalogue({"default": [dbc]})
    decoder = Decoder(catalogue)
    messages = pa.array([s.message_name for s in catalogue.signals])
    signals = pa.array([s.name for s in catalogue.signals])
    for number, batch in enumerate(batches):
        rows = batch.num_rows
        given = {name: batch.column(name) for name in batch.schema.names}
        vehicle = given["vehicle_id"]
        if not pa.types.is_dictionary(vehicle.type):
            vehicle = vehicle.dictionary_encode()
        vehicle = vehicle.cast(FRAMES.field("vehicle_id").type)
        fleet = names(np.zeros(rows), ["acme"])
        given |= {"fleet": fleet, "vehicle_id": vehicle, "received_at": given["timestamp"]}
        writer.insert_frames(
            pa.RecordBatch.from_arrays([given[name] for name in FRAMES.names], schema=FRAMES), f"frames {number}"
        )
        decoded = decoder.decode(FrameColumns.from_batch(batch))
        row, signal = pa.array(decoded.row), np.array(decoded.signal)
        columns = [
            names(np.zeros(len(row)), ["acme"]),
            vehicle.take(row),
            given["timestamp"].take(row),
            messages.take(pa.array(signal)).dictionary_encode(),
            signals.take(pa.array(signal)).dictionary_encode(),
            pa.array(np.array(decoded.value)),
        ]
        writer.insert_signals(pa.RecordBatch.from_arrays(columns, schema=SIGNALS), f"values {number}")


def wide(warehouse: Warehouse) -> Iterator[tuple[str, str]]:
    """CREATE and INSERT of a table for each message, a column for each signal."""
    sql = "SELECT message, groupUniqArray(signal) AS signals FROM signals GROUP BY message ORDER BY message"
    for number, row in enumerate(warehouse.rows(sql)):
        own = sorted(row["signals"])
        columns = ", ".join(f"`{name}` Float64 CODEC(ZSTD(1))" for name in own)
        values = ", ".join(f"anyIf(value, signal = '{name}')" for name in own)
        yield (
            f"CREATE TABLE wide_{number} ({NAMED}, {TIME}, {columns}) {PLAIN} (fleet, vehicle_id, timestamp)",
            f"INSERT INTO wide_{number} SELECT fleet, vehicle_id, timestamp, {values} FROM signals "
            f"WHERE message = '{row['message']}' GROUP BY fleet, vehicle_id, timestamp",
        )


def layouts(warehouse: Warehouse, signal: str) -> dict[str, tuple[list[tuple[str, str]], str]]:
    """CREATE and INSERT statements of each layout, and its query for one signal of one vehicle."""
    [home] = warehouse.rows(
        "SELECT message, arraySort(groupUniqArray(signal)) AS own FROM signals "
        f"WHERE message IN (SELECT message FROM signals WHERE signal = '{signal}') "
        "GROUP BY message ORDER BY message LIMIT 1"
    )
    messages = [row["message"] for row in warehouse.rows("SELECT DISTINCT message FROM signals ORDER BY message")]
    number, at = messages.index(home["message"]), home["own"].index(signal) + 1
    long = (
        f"CREATE TABLE long ({NAMED}, {TIME}, message LowCardinality(String), signal LowCardinality(String), "
        f"value Float64 CODEC(ZSTD(1))) {PLAIN} (fleet, vehicle_id, signal, timestamp)"
    )
    seconds = (
        f"CREATE TABLE seconds ({NAMED}, signal LowCardinality(String), message LowCardinality(String), "
        "second DateTime('UTC') CODEC(Delta, ZSTD(1)), offset Array(UInt32) CODEC(Delta, ZSTD(1)), "
        f"value Array(Float64) CODEC(ZSTD(1))) {PLAIN} (fleet, vehicle_id, signal, second)"
    )
    whole = (
        f"CREATE TABLE whole ({NAMED}, {TIME}, message LowCardinality(String), value Array(Float64) CODEC(ZSTD(1))) "
        f"{PLAIN} (fleet, vehicle_id, message, timestamp)"
    )
    return {
        "long rows (the schema)": (
            [(long, "INSERT INTO long SELECT fleet, vehicle_id, timestamp, message, signal, value FROM signals")],
            f"SELECT timestamp, value FROM long WHERE fleet = 'acme' AND {ONE} AND signal = '{signal}'",
        ),
        "a table for each message, a column for each signal": (
            list(wide(warehouse)),
            f"SELECT timestamp, `{signal}` FROM wide_{number} WHERE fleet = 'acme' AND {ONE}",
        ),
        "arrays of a second": (
            [
                (
                    seconds,
                    "INSERT INTO seconds SELECT fleet, vehicle_id, signal, message, toDateTime(timestamp, 'UTC') AS s, "
                    "groupArray(toUInt32(toUnixTimestamp64Micro(timestamp) % 1000000)), groupArray(value) "
                    "FROM (SELECT * FROM signals ORDER BY fleet, vehicle_id, signal, timestamp) "
                    "GROUP BY fleet, vehicle_id, signal, message, s",
                )
            ],
            "SELECT second, o, v FROM seconds ARRAY JOIN offset AS o, value AS v "
            f"WHERE fleet = 'acme' AND {ONE} AND signal = '{signal}'",
        ),
        "a row for each frame, its values an array": (
            [
                (
                    whole,
                    "INSERT INTO whole SELECT fleet, vehicle_id, timestamp, message, "
                    "arrayMap(p -> p.2, arraySort(groupArray((signal, value)))) FROM signals "
                    "GROUP BY fleet, vehicle_id, timestamp, message",
                )
            ],
            f"SELECT timestamp, value[{at}] FROM whole "
            f"WHERE fleet = 'acme' AND {ONE} AND message = '{home['message']}'",
        ),
    }


def decoded_by_sql(dbc: Path, signal: str) -> str:
    """The query that decodes one little-endian signal of classic CAN from the frames."""
    database = cantools.database.load_file(dbc, strict=False)
    message, found = next((m, s) for m in database.messages for s in m.signals if s.name == signal)
    assert found.byte_order == "little_endian"
    mask = (1 << found.length) - 1
    raw = f"bitAnd(bitShiftRight(reinterpretAsUInt64(rightPad(data, 8, '\\0')), {found.start}), {mask})"
    if found.is_signed:
        raw = f"toInt64({raw}) - if(bitTest({raw}, {found.length - 1}), {1 << found.length}, 0)"
    return (
        f"SELECT timestamp, ({raw}) * {found.scale} + {found.offset} AS value FROM frames "
        f"WHERE fleet = 'acme' AND {ONE} AND arbitration_id = {message.frame_id}"
    )


def taken(warehouse: Warehouse, pattern: str) -> int:
    sql = (
        "SELECT toInt64(sum(p.bytes_on_disk)) AS n FROM system.parts AS p "
        "WHERE active AND database = currentDatabase() AND match(table, {t:String})"
    )
    return int(warehouse.rows(sql, {"t": f"^{pattern}$"})[0]["n"])


def milliseconds(warehouse: Warehouse, sql: str, vehicle: str) -> tuple[float, int]:
    walls, rows = [], 0
    for _ in range(7):
        began = time.perf_counter()
        rows = warehouse.arrow(sql, {"vehicle": vehicle}).num_rows
        walls.append((time.perf_counter() - began) * 1e3)
    return statistics.median(walls), rows


def codecs(
    warehouse: Warehouse, host: psutil.Process, table: str, column: str, kind: str, order: str, tried: list[str]
) -> None:
    rows = warehouse.rows(f"SELECT count() AS n FROM {table}")[0]["n"]
    told = []
    chosen = order if column in order else f"{order}, {column}"
    for codec in tried:
        try:
            warehouse.command(
                f"CREATE TABLE codec ENGINE = MergeTree ORDER BY ({order}) SETTINGS min_bytes_for_wide_part = 0 AS "
                f"SELECT {chosen} FROM {table} LIMIT 0"
            )
            warehouse.command(f"ALTER TABLE codec MODIFY COLUMN {column} {kind} CODEC({codec})")
        except WarehouseError as error:
            told.append(f"{codec}: {str(error)[-90:]}")
            warehouse.command("DROP TABLE IF EXISTS codec SYNC")
            continue
        spent = []
        for _ in range(3):
            warehouse.command("TRUNCATE TABLE codec")
            before = sum(host.cpu_times()[:2])
            warehouse.command(f"INSERT INTO codec SELECT {chosen} FROM {table}")
            spent.append(sum(host.cpu_times()[:2]) - before)
        warehouse.command("OPTIMIZE TABLE codec FINAL")
        sql = (
            "SELECT toInt64(sum(column_data_compressed_bytes)) AS n FROM system.parts_columns "
            "WHERE active AND database = currentDatabase() AND table = 'codec' AND column = {column:String}"
        )
        size = warehouse.rows(sql, {"column": column})[0]["n"]
        told.append(f"{codec} {size / rows:.3f} ({min(spent) / rows * 1e6:.2f})")
        warehouse.command("DROP TABLE codec SYNC")
    print(
        f"  {table}.{column}, bytes a row (CPU-s a million rows, the sort key's with it): " + "; ".join(told),
        flush=True,
    )


def measure(
    warehouse: Warehouse, what: str, source: tuple[list[pa.RecordBatch], Path, str, str], host: psutil.Process
) -> None:
    batches, dbc, signal, vehicle = source
    store(Writer(warehouse), batches, dbc)
    for table in ("frames", "signals"):
        warehouse.command(f"OPTIMIZE TABLE {table} FINAL")
    frames, values = (
        warehouse.rows(f"SELECT toInt64(count()) AS n FROM {table}")[0]["n"] for table in ("frames", "signals")
    )
    raw = taken(warehouse, "frames")
    print(
        f"\n{what}: {frames:,} frames, {values:,} values of {signal} and others; frames alone {raw / frames:.2f} bytes"
    )
    print(
        "| layout | bytes a value | bytes a frame, frames included | one signal of one vehicle | "
        "writing, CPU-s a million values |"
    )
    print("|---|---|---|---|---|", flush=True)
    for name, (statements, query) in layouts(warehouse, signal).items():
        before = taken(warehouse, ".*")
        cpu = -sum(host.cpu_times()[:2])
        for create, insert in statements:
            warehouse.command(create)
            warehouse.command(insert)
        cpu += sum(host.cpu_times()[:2])
        for create, _ in statements:
            warehouse.command(f"OPTIMIZE TABLE {create.split()[2]} FINAL")
        size = taken(warehouse, ".*") - before
        wall, rows = milliseconds(warehouse, query, vehicle)
        print(
            f"| {name} | {size / values:.2f} | {(raw + size) / frames:.2f} | {wall:.1f} ms, {rows:,} rows | "
            f"{cpu / values * 1e6:.2f} |",
            flush=True,
        )
    wall, rows = milliseconds(warehouse, decoded_by_sql(dbc, signal), vehicle)
    print(f"| frames alone, decoded by SQL | 0 | {raw / frames:.2f} | {wall:.1f} ms, {rows:,} rows | 0 |")
    zstd = ["LZ4", "ZSTD(1)", "ZSTD(3)", "ZSTD(6)", "ZSTD(9)", "ZSTD(12)"]
    series, sent = "fleet, vehicle_id, signal, timestamp", "fleet, vehicle_id, timestamp"
    kinds = [f"{first}, ZSTD(1)" for first in ("Gorilla", "FPC", "Delta", "ALP")]
    codecs(warehouse, host, "signals", "value", "Float64", series, [*zstd, *kinds])
    moments = [f"{first}, ZSTD(1)" for first in ("Delta", "DoubleDelta", "T64", "GCD, Delta", "GCD, DoubleDelta")]
    codecs(
        warehouse, host, "signals", "timestamp", "DateTime64(6, 'UTC')", series, ["ZSTD(1)", *moments, "Delta, ZSTD(6)"]
    )
    codecs(
        warehouse, host, "frames", "timestamp", "DateTime64(6, 'UTC')", sent, ["ZSTD(1)", *moments, "Delta, ZSTD(6)"]
    )
    codecs(warehouse, host, "frames", "data", "String", sent, zstd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder with the real logs and their databases")
    shared = parser.parse_args().shared
    with tempfile.TemporaryDirectory() as folder:
        host = HostProcess(Path(folder))
        process = psutil.Process(host.process.pid)
        try:
            sets = [("simulated", f"The simulated fleet, {VEHICLES} vehicles", simulated)]
            if shared is not None:
                sets.insert(0, ("real", "Five drives of one vehicle", lambda: real(shared)))
            for database, what, make in sets:
                settings = WarehouseSettings(url=host.url, database=database, storage_policy="hot_cold")
                warehouse = Warehouse.connect(settings)
                migrate(warehouse)
                measure(warehouse, what, make(), process)
                warehouse.close()
        finally:
            host.terminate()


if __name__ == "__main__":
    main()
