"""What each step of storing saves: `PYTHONPATH=.:tests:tests/shard python tests/clickhouse/measure_levers.py`.

Frames of a simulated fleet go through a shard into ClickHouse; then the same rows into tables without the schema's
codecs, and into some as cold parts are compressed. With `--shared DIR`, five recorded drives instead. Prints bytes a
frame by table, all parts merged. For `docs/cost.md`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from clickhouse_process import HostProcess
from shard_feed import START_US, config, settle, submission

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.decode.databases import load_catalogue
from pipeline.frames.logs import read_log
from pipeline.shard.shard import Shard
from simulator import FLEET_DBC
from simulator.fleet import Fleet

TABLES: Final = ("frames", "signals", "signals_1m_states", "signals_1h_states", "fleet_signals_1h_states")
CODECS: Final = {"plain LZ4, no codecs": "LZ4", "plain ZSTD(1), no codecs": "ZSTD(1)"}
RATE: Final = 5.0


def simulated(vehicles: int, seconds: int) -> Iterator[pa.RecordBatch]:
    """A fleet's frames, second by second."""
    fleet = Fleet(vehicles, RATE, 1, start_us=START_US)
    for second in range(seconds):
        yield fleet.tick(START_US + (second + 1) * 1_000_000)


def recorded(shared: Path) -> Iterator[pa.RecordBatch]:
    """Five drives of one vehicle."""
    for number in range(1, 6):
        for part in read_log(shared / f"logs/drive-{number}.mf4", "car"):
            yield part.frames


def stored(folder: Path, warehouse: Warehouse, batches: Iterator[pa.RecordBatch], dbc: Path) -> int:
    """All of it through a shard; the number of frames."""
    settings = config(folder, dbc=[dbc])
    shard = Shard(0, settings, load_catalogue(settings.profiles()), warehouse)
    frames = 0
    for number, batch in enumerate(batches):
        frames += len(batch)
        shard.commit([submission(batch)])
        shard.process_next(wait=False)
        if number % 10 == 9:
            settle(shard)
    settle(shard)
    assert shard.close()
    return frames


def sizes(warehouse: Warehouse, tables: dict[str, str], frames: int) -> dict[str, float]:
    """Bytes a frame of each table, merged."""
    found = {}
    for called, table in tables.items():
        warehouse.command(f"OPTIMIZE TABLE {table} FINAL")
        [row] = warehouse.rows(
            "SELECT sum(bytes_on_disk) AS bytes FROM system.parts"
            " WHERE active AND database = currentDatabase() AND table = {table:String}",
            {"table": table},
        )
        found[called] = round(int(row["bytes"]) / frames, 2)
    return found | {"all": round(sum(found.values()), 2)}


def copied(warehouse: Warehouse, suffix: str, codec: str, *, plain: bool) -> dict[str, str]:
    """The tables again with another codec for all columns, or as the default codec below the columns' own."""
    made = {}
    for table in TABLES:
        name = f"{table}_{suffix}"
        [row] = warehouse.rows(
            "SELECT sorting_key, partition_key, engine FROM system.tables"
            " WHERE database = currentDatabase() AND name = {table:String}",
            {"table": table},
        )
        if plain:
            columns = warehouse.rows(
                "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
                " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
                {"table": table},
            )
            shape = "(" + ", ".join(f"{one['name']} {one['type']} CODEC({codec})" for one in columns) + ")"
            names = ", ".join(one["name"] for one in columns)
            warehouse.command(
                f"CREATE TABLE {name} {shape} ENGINE = {row['engine']} PARTITION BY {row['partition_key']}"
                f" ORDER BY ({row['sorting_key']})"
            )
            warehouse.command(f"INSERT INTO {name} ({names}) SELECT {names} FROM {table}")
        else:
            warehouse.command(f"CREATE TABLE {name} AS {table}")
            warehouse.command(f"ALTER TABLE {name} MODIFY SETTING default_compression_codec = '{codec}'")
            warehouse.command(f"INSERT INTO {name} SELECT * FROM {table}")
        made[table] = name
    return made


def main() -> None:
    """Store, copy, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vehicles", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=1_200)
    parser.add_argument("--shared", type=Path, help="folder with recorded drives, instead of a simulated fleet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        host = HostProcess(Path(folder, "clickhouse"))
        try:
            warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database="levers"))
            migrate(warehouse)
            batches, dbc = simulated(arguments.vehicles, arguments.seconds), FLEET_DBC
            if arguments.shared is not None:
                batches, dbc = recorded(arguments.shared), arguments.shared / "dbc/css/gnss.dbc"
            frames = stored(Path(folder, "shard"), warehouse, batches, dbc)
            report: dict[str, object] = {"frames": frames}
            report["the schema"] = sizes(warehouse, {table: table for table in TABLES}, frames)
            for number, (called, codec) in enumerate(CODECS.items()):
                report[called] = sizes(warehouse, copied(warehouse, f"plain{number}", codec, plain=True), frames)
            report["the schema, ZSTD(6) as cold"] = sizes(
                warehouse, copied(warehouse, "cold", "ZSTD(6)", plain=False), frames
            )
            print(json.dumps(report, indent=1))
            warehouse.close()
        finally:
            host.terminate()


if __name__ == "__main__":
    main()
