"""What ClickHouse keeps, where, and at what price."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from deploy.grafana.source.clickhouse import table
from deploy.grafana.source.panels import Shown, board, grid, number, ranking, row, unit_of

_PARTS = "system.parts AS p WHERE active AND database = currentDatabase()"


def dashboard() -> build.Dashboard:
    """The dashboard `canfleet-storage`."""
    page = board("storage", "What ClickHouse keeps: bytes, parts, disks, compression, merges.", since="now-24h")
    for panel in _numbers():
        page = page.with_panel(panel)
    page = page.with_panel(_by_table()).with_panel(_by_disk()).with_panel(_disks())
    page = page.with_row(row("What takes the room"))
    page = page.with_panel(_columns()).with_panel(_partitions())
    page = page.with_row(row("Merges"))
    for panel in (*_merges(), _parts_by_partition()):
        page = page.with_panel(panel)
    return page


def _numbers() -> list[Shown]:
    size = f"SELECT sum(bytes_on_disk) AS bytes FROM {_PARTS}"
    ratio = f"SELECT sum(data_uncompressed_bytes) / sum(data_compressed_bytes) AS ratio FROM {_PARTS}"
    frames = f"SELECT sum(p.rows) AS frames FROM {_PARTS} AND table = 'frames'"
    a_frame = f"SELECT sum(bytes_on_disk) / sumIf(rows, table = 'frames') AS bytes FROM {_PARTS}"
    raw = f"SELECT sum(bytes_on_disk) / sum(p.rows) AS bytes FROM {_PARTS} AND table = 'frames'"
    parts = f"SELECT count() AS parts FROM {_PARTS}"
    return [
        table(number("On disk", "bytes"), size),
        table(number("Compression", "none", meaning="Bytes before over bytes after."), ratio),
        table(number("Frames", meaning="Rows of `frames`."), frames),
        table(number("All tables, a frame", "bytes", meaning="Bytes of all tables over the frames kept."), a_frame),
        table(number("Raw frame", "bytes", meaning="Bytes of `frames` over its rows."), raw),
        table(number("Parts", meaning="Many small parts mean that merges do not keep up."), parts),
    ]


def _by_table() -> Shown:
    sql = f"""
        SELECT table, count() AS parts, sum(p.rows) AS rows, sum(bytes_on_disk) AS bytes,
            sum(data_uncompressed_bytes) AS uncompressed,
            sum(data_uncompressed_bytes) / sum(data_compressed_bytes) AS ratio,
            sum(bytes_on_disk) / sum(p.rows) AS bytes_a_row, min(min_time) AS oldest, max(modification_time) AS written
        FROM {_PARTS} GROUP BY table ORDER BY bytes DESC
    """
    panel = unit_of(grid("Tables"), bytes="bytes", uncompressed="bytes", bytes_a_row="bytes")
    return table(panel, sql)


def _by_disk() -> Shown:
    sql = f"""
        SELECT disk_name AS disk, table, count() AS parts, sum(p.rows) AS rows, sum(bytes_on_disk) AS bytes,
            sum(data_uncompressed_bytes) / sum(data_compressed_bytes) AS ratio
        FROM {_PARTS} GROUP BY disk, table ORDER BY disk, bytes DESC
    """
    return table(unit_of(grid("Tables by disk", width=12, meaning="Hot and cold."), bytes="bytes"), sql)


def _disks() -> Shown:
    sql = """
        SELECT name AS disk, type, total_space AS total, free_space AS free, keep_free_space AS kept_free,
            if(total_space = 0, 0, 1 - free_space / total_space) AS used
        FROM system.disks ORDER BY disk
    """
    panel = unit_of(grid("Disks", width=12), total="bytes", free="bytes", kept_free="bytes", used="percentunit")
    return table(panel, sql)


def _columns() -> Shown:
    sql = """
        SELECT concat(table, '.', column) AS name, sum(column_bytes_on_disk) AS bytes
        FROM system.parts_columns WHERE active AND database = currentDatabase()
        GROUP BY name ORDER BY bytes DESC, name LIMIT 20
    """
    return table(ranking("Columns", "bytes", height=14), sql)


def _partitions() -> Shown:
    sql = f"""
        SELECT table, partition, disk_name AS disk, sum(p.rows) AS rows, sum(bytes_on_disk) AS bytes
        FROM {_PARTS} GROUP BY table, partition, disk ORDER BY bytes DESC LIMIT 200
    """
    return table(unit_of(grid("Partitions", width=12, height=14), bytes="bytes"), sql)


def _merges() -> list[Shown]:
    running = """
        SELECT count() AS merges, sum(total_size_bytes_compressed) AS bytes, max(elapsed) AS longest
        FROM system.merges WHERE database = currentDatabase()
    """
    levels = f"SELECT sum(rows * level) / sum(p.rows) AS level FROM {_PARTS} AND table IN ('frames', 'signals')"
    small = f"SELECT countIf(rows < 100000) AS parts FROM {_PARTS} AND table IN ('frames', 'signals')"
    return [
        table(unit_of(number("Running merges", width=12), bytes="bytes", longest="s"), running),
        table(
            number("Merge level of a row", "none", width=6, meaning="How often a row was rewritten, at most."), levels
        ),
        table(number("Small parts", width=6, meaning="Of frames and signals, with less than 100,000 rows."), small),
    ]


def _parts_by_partition() -> Shown:
    sql = f"""
        SELECT table, partition, count() AS parts, max(level) AS level, min(rows) AS smallest, max(rows) AS largest
        FROM {_PARTS} GROUP BY table, partition ORDER BY parts DESC, table, partition LIMIT 50
    """
    return table(grid("Partitions with the most parts", meaning="ClickHouse slows inserts from 1,000 parts on."), sql)
