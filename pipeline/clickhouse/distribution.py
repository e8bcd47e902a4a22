"""One signal over a whole fleet: how its values are distributed, and which vehicles lead.

Read from the rollups, so that a fleet of thousands is answered: every minute (hour) of a vehicle counts with its mean,
as often as it has values. Minimum, maximum, count and mean are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.resolution import DAY, HOUR, MINUTE

By = Literal["max", "min", "mean", "last", "count"]
BINS: Final = 40
LEVELS: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_HOURS_FROM: Final = 2 * DAY
"""A range as long as this is read in hours."""

_OF_THE_FLEET: Final = """
    WHERE fleet = {fleet:String}
        AND signal = {signal:String}
        AND ({message:String} = '' OR message = {message:String})
        AND s.timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND s.timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
"""
_VEHICLES: Final = f"""
    SELECT
        vehicle_id,
        sum(s.count) AS count,
        min(s.min) AS min,
        max(s.max) AS max,
        sum(s.sum) / sum(s.count) AS mean,
        reinterpretAsFloat64(toUInt64(max(s.last))) AS last
    FROM {{table:Identifier}} AS s {_OF_THE_FLEET}
    GROUP BY vehicle_id
"""
_TOTALS: Final = f"""
    SELECT
        count() AS vehicles,
        sum(v.count) AS count,
        min(v.min) AS min,
        max(v.max) AS max,
        sum(v.mean * v.count) / sum(v.count) AS mean
    FROM ({_VEHICLES}) AS v
"""
_TOP: Final = f"""
    SELECT * FROM ({_VEHICLES}) AS v
    ORDER BY
        multiIf({{by:String}} = 'min', -v.min, {{by:String}} = 'mean', v.mean, {{by:String}} = 'last', v.last,
            {{by:String}} = 'count', toFloat64(v.count), v.max) DESC,
        vehicle_id
    LIMIT {{limit:UInt64}}
"""
_SPREAD: Final = f"""
    SELECT
        quantilesTDigestWeighted(0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)(mean, n) AS quantiles,
        tupleElement(sumMap([bin], [n]) AS bins, 1) AS places,
        tupleElement(bins, 2) AS counts
    FROM
    (
        SELECT
            s.sum / s.count AS mean,
            s.count AS n,
            toUInt32(least({{last:Float64}}, greatest(0, floor((mean - {{low:Float64}}) / {{width:Float64}})))) AS bin
        FROM {{table:Identifier}} AS s {_OF_THE_FLEET}
    )
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One signal of a fleet.

    Attributes:
        resolution: `1m` or `1h`, the rollup that was read.
        totals: vehicles, count, min, max, mean over all finite values; the last three None where there are none.
        quantiles: of the means of minutes or hours, weighted by their counts, by level.
        histogram: `BINS` bins of equal width from min to max: low, high, count, likewise.
        top: the leading vehicles: vehicle_id, count, min, max, mean, last.
    """

    resolution: str
    totals: dict[str, Any]
    quantiles: dict[str, float]
    histogram: list[dict[str, Any]]
    top: list[dict[str, Any]]


def distribution(
    warehouse: Warehouse,
    fleet: str,
    signal: str,
    *,
    start: int,
    end: int,
    by: By = "max",
    limit: int = 10,
    message: str | None = None,
) -> Distribution:
    """How a signal is distributed in [start, end), microseconds, and the `limit` vehicles with most of `by`.

    Whole minutes, or hours where the range is long: the first can begin before `start`. With `min`, those with the
    least lead. O(minutes or hours of the fleet's vehicles) in the engine, three times.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    table, unit, name = (
        ("signals_1h_states", HOUR, "1h") if end - start >= _HOURS_FROM else ("signals_1m_states", MINUTE, "1m")
    )
    bound: dict[str, Any] = {
        "fleet": fleet,
        "signal": signal,
        "message": message or "",
        "start": start // unit * unit,
        "end": end,
        "table": table,
    }
    [totals] = warehouse.rows(_TOTALS, bound)
    if not totals["count"]:
        return Distribution(name, totals | {"min": None, "max": None, "mean": None}, {}, [], [])
    low, high = totals["min"], totals["max"]
    width = (high - low) / BINS or 1.0
    [spread] = warehouse.rows(_SPREAD, bound | {"low": low, "width": width, "last": BINS - 1})
    counts = dict(zip(spread["places"], spread["counts"], strict=True))
    histogram = [
        {"low": low + i * width, "high": low + (i + 1) * width, "count": counts.get(i, 0)} for i in range(BINS)
    ]
    quantiles = {str(level): value for level, value in zip(LEVELS, spread["quantiles"], strict=True)}
    top = warehouse.rows(_TOP, bound | {"by": by, "limit": limit})
    return Distribution(name, totals, quantiles, histogram if high > low else histogram[:1], top)
