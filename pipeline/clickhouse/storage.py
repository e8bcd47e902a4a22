"""What the tables take, on which tier, what that costs, and what a month will take: from the parts' own numbers.

Everything is read from `system.parts`, which is in memory: no row and no disk is read, and it answers while the cold
volume is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.retention import KINDS
from pipeline.clickhouse.settings import CostSettings, RetentionSettings

MONTH_DAYS: Final = 30
LOOK_BACK_S: Final = 300
"""Over which the present rate is counted; parts that were merged are known for 480 s (`old_parts_lifetime`)."""

_VOLUME: Final = "if(has({cold:Array(String)}, p.disk_name), 'cold', 'hot')"
_TIERS: Final = f"""
    SELECT
        p.table AS table,
        {_VOLUME} AS tier,
        toInt64(count()) AS parts,
        toInt64(sum(p.rows)) AS rows,
        toInt64(sum(p.bytes_on_disk)) AS bytes,
        toInt64(sum(p.data_compressed_bytes)) AS compressed,
        toInt64(sum(p.data_uncompressed_bytes)) AS uncompressed
    FROM system.parts AS p
    WHERE p.database = currentDatabase() AND p.active AND p.table IN {{tables:Array(String)}}
    GROUP BY table, tier ORDER BY table, tier DESC
"""
_COLD_DISKS: Final = """
    SELECT DISTINCT arrayJoin(disks) AS disk FROM system.storage_policies
    WHERE policy_name = {policy:String} AND volume_name = 'cold'
"""
# Level 0 is what inserts wrote. Times are ClickHouse's own on both sides.
_INSERTED: Final = """
    SELECT p.table AS table, toInt64(sum(p.rows)) AS rows FROM system.parts AS p
    WHERE p.database = currentDatabase() AND p.level = 0 AND p.table IN {tables:Array(String)}
        AND p.modification_time >= now() - {seconds:UInt32}
    GROUP BY table
"""


@dataclass(frozen=True, slots=True)
class Tier:
    """One table on one tier.

    Attributes:
        table: name of the table.
        tier: `hot` or `cold`.
        parts, rows: how many.
        bytes: on disk, indexes and marks included.
        ratio: uncompressed bytes of the columns by compressed ones.
        usd_per_month: at the configured price.
    """

    table: str
    tier: str
    parts: int
    rows: int
    bytes: int
    ratio: float
    usd_per_month: float


@dataclass(frozen=True, slots=True)
class Month:
    """What a rate takes, extrapolated from what the present rows take.

    Attributes:
        frames_per_s: the rate.
        bytes_per_frame: of everything that a frame becomes, hot: the frame, its values, their minutes and hours, and
            what else is stored meanwhile.
        month_bytes: of 30 days, hot.
        month_usd: a month's price of those bytes.
        kept_hot_bytes, kept_cold_bytes: on each tier once the retention is reached, as far as it ends; what is kept for
            ever grows by a month's bytes of its own each month, and counts here with one year.
        kept_usd: price of those, a month.
    """

    frames_per_s: float
    bytes_per_frame: float
    month_bytes: float
    month_usd: float
    kept_hot_bytes: float
    kept_cold_bytes: float
    kept_usd: float


@dataclass(frozen=True, slots=True)
class Overview:
    """What `canfleet storage` and `GET /v1/storage` tell.

    Attributes:
        tiers: see `tiers`.
        inserted_per_s: see `inserted_per_s`.
        month: see `month`.
    """

    tiers: list[Tier]
    inserted_per_s: dict[str, float]
    month: Month | None


def overview(warehouse: Warehouse, frames_per_s: float | None = None) -> Overview:
    """What the tables take, and what a month will; at the rate of the last five minutes unless one is given. O(parts).

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    found, per_s = tiers(warehouse), inserted_per_s(warehouse)
    rate = per_s.get("frames", 0.0) if frames_per_s is None else frames_per_s
    settings = warehouse.settings
    return Overview(found, per_s, month(found, settings.retention, settings.cost, rate))


def cold_disks(warehouse: Warehouse) -> list[str]:
    """Names of the disks of the cold volume; none where there is no such volume."""
    rows = warehouse.rows(_COLD_DISKS, {"policy": warehouse.settings.storage_policy or ""})
    return [row["disk"] for row in rows]


def tiers(warehouse: Warehouse) -> list[Tier]:
    """Every table that holds something, by name, the hot tier first. O(parts).

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    bound = {"cold": cold_disks(warehouse), "tables": list(KINDS)}
    return [_tier(row, warehouse.settings.cost) for row in warehouse.rows(_TIERS, bound)]


def inserted_per_s(warehouse: Warehouse) -> dict[str, float]:
    """Rows that each table got a second, over the last five minutes. O(parts).

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    rows = warehouse.rows(_INSERTED, {"tables": list(KINDS), "seconds": LOOK_BACK_S})
    return {row["table"]: row["rows"] / LOOK_BACK_S for row in rows}


def month(found: list[Tier], retention: RetentionSettings, cost: CostSettings, frames_per_s: float) -> Month | None:
    """Extrapolate to a rate; None where there are no frames to learn from.

    A table's rows by the frame are those that there are: exact where both are kept equally long, too many where frames
    have been deleted and their values not. Rows that have not been cold yet count with what they take hot.
    """
    frames = sum(one.rows for one in found if one.table == "frames")
    if frames == 0:
        return None
    per_day = frames_per_s * 86_400
    bytes_per_frame = kept_hot = kept_cold = 0.0
    for table in {one.table for one in found}:
        own = [one for one in found if one.table == table]
        rows_per_frame = sum(one.rows for one in own) / frames
        hot = _bytes_per_row(own, "hot") or _bytes_per_row(own, "cold")
        cold = _bytes_per_row(own, "cold") or hot
        keep = getattr(retention, KINDS[table])
        days = keep.days or 365
        hot_days = min(days, keep.hot_days or days)
        bytes_per_frame += rows_per_frame * hot
        kept_hot += per_day * rows_per_frame * hot * hot_days
        kept_cold += per_day * rows_per_frame * cold * (days - hot_days)
    month_bytes = per_day * MONTH_DAYS * bytes_per_frame
    return Month(
        frames_per_s=frames_per_s,
        bytes_per_frame=bytes_per_frame,
        month_bytes=month_bytes,
        month_usd=month_bytes / 1e9 * cost.hot_usd_per_gb_month,
        kept_hot_bytes=kept_hot,
        kept_cold_bytes=kept_cold,
        kept_usd=kept_hot / 1e9 * cost.hot_usd_per_gb_month + kept_cold / 1e9 * cost.cold_usd_per_gb_month,
    )


def _bytes_per_row(own: list[Tier], tier: str) -> float:
    rows = sum(one.rows for one in own if one.tier == tier)
    return sum(one.bytes for one in own if one.tier == tier) / rows if rows else 0.0


def _tier(row: dict[str, Any], cost: CostSettings) -> Tier:
    price = cost.cold_usd_per_gb_month if row["tier"] == "cold" else cost.hot_usd_per_gb_month
    return Tier(
        table=row["table"],
        tier=row["tier"],
        parts=row["parts"],
        rows=row["rows"],
        bytes=row["bytes"],
        ratio=row["uncompressed"] / row["compressed"] if row["compressed"] else 1.0,
        usd_per_month=row["bytes"] / 1e9 * price,
    )
