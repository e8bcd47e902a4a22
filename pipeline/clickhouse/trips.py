"""Trips of a vehicle, found in its stored signals when they are asked for: start, end, distance, track.

A trip is a run of *on* samples, of the ignition or of a speed that counts as moving, none of which comes later than the
pause after the one before. Three queries, each one pass over one or two signals of the range: the trips, their
distances, their tracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.history.drive import Drive, Source
from pipeline.history.settings import TripSettings

MAX_TRIPS: Final = 500
"""Of one answer, the first ones of the range."""
MAX_TRACK_POINTS: Final = 2_000
"""Of all trips of an answer together."""
_FEWEST_TRACK_POINTS: Final = 4

_OF_ONE: Final = """
    WHERE fleet = {fleet:String}
        AND vehicle_id = {vehicle:String}
        AND signal = {signal:String}
        AND message = {message:String}
        AND s.timestamp >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
        AND s.timestamp < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
        AND isFinite(value)
"""
_TRIPS: Final = f"""
    SELECT
        minIf(t, t >= {{start:Int64}} AND t < {{end:Int64}}) AS start,
        maxIf(t, t >= {{start:Int64}} AND t < {{end:Int64}}) AS end,
        min(t) < {{start:Int64}} AS begins_before,
        max(t) >= {{end:Int64}} AS goes_on
    FROM
    (
        SELECT t, sum(opens) OVER (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS trip
        FROM
        (
            SELECT t, t - lagInFrame(t) OVER w > {{pause:Int64}} OR row_number() OVER w = 1 AS opens
            FROM
            (
                SELECT toUnixTimestamp64Micro(s.timestamp) AS t
                FROM signals AS s {_OF_ONE} AND value > {{least:Float64}}
            )
            WINDOW w AS (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
    )
    GROUP BY trip
    HAVING start > 0 AND end > start
    ORDER BY start
    LIMIT {{limit:UInt64}}
"""
_BY_SPEED: Final = f"""
    SELECT begin, sum(metres) AS metres
    FROM
    (
        SELECT
            begin,
            if(row_number() OVER w = 1, 0, (t - lagInFrame(t) OVER w) / 1e6 * (v + lagInFrame(v) OVER w) / 2) AS metres
        FROM
        (
            SELECT
                toUnixTimestamp64Micro(s.timestamp) AS t,
                value * {{scale:Float64}} AS v,
                roundDown(t, {{starts:Array(Int64)}}) AS begin
            FROM signals AS s {_OF_ONE}
        )
        WHERE t >= begin AND t <= transform(begin, {{starts:Array(Int64)}}, {{ends:Array(Int64)}}, toInt64(0))
        WINDOW w AS (PARTITION BY begin ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    GROUP BY begin
"""
POSITIONS: Final = """
    SELECT
        toUnixTimestamp64Micro(s.timestamp) AS t,
        anyIf(value, signal = {latitude:String}) AS lat,
        anyIf(value, signal = {longitude:String}) AS lon
    FROM signals AS s
    WHERE fleet = {fleet:String}
        AND vehicle_id = {vehicle:String}
        AND signal IN ({latitude:String}, {longitude:String})
        AND message = {message:String}
        AND s.timestamp >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
        AND s.timestamp < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
        AND isFinite(value)
    GROUP BY s.timestamp
    HAVING countIf(signal = {latitude:String}) > 0 AND countIf(signal = {longitude:String}) > 0
"""
"""Positions of a vehicle: t, lat, lon, those of one frame together."""
_IN_TRIPS: Final = f"""
    SELECT t, lat, lon, roundDown(t, {{starts:Array(Int64)}}) AS begin
    FROM ({POSITIONS})
    WHERE t >= begin AND t <= transform(begin, {{starts:Array(Int64)}}, {{ends:Array(Int64)}}, toInt64(0))
"""
_BY_POSITION: Final = f"""
    SELECT begin, sum(metres) AS metres
    FROM
    (
        SELECT
            begin,
            if(
                row_number() OVER w = 1,
                0,
                greatCircleDistance(lagInFrame(lon) OVER w, lagInFrame(lat) OVER w, lon, lat)
            ) AS metres
        FROM ({_IN_TRIPS})
        WINDOW w AS (PARTITION BY begin ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    GROUP BY begin
"""
# The last position of a trip stands in a slot of its own: a track ends where the trip does.
_TRACKS: Final = f"""
    SELECT begin, min(t) AS timestamp, argMin(lat, t) AS latitude, argMin(lon, t) AS longitude
    FROM
    (
        SELECT
            *,
            max(t) OVER (PARTITION BY begin) AS newest,
            transform(begin, {{starts:Array(Int64)}}, {{steps:Array(Int64)}}, toInt64(1)) AS step
        FROM ({_IN_TRIPS})
    )
    GROUP BY begin, if(t = newest, -1, intDiv(t - begin, step))
    ORDER BY begin, timestamp
"""


@dataclass(frozen=True, slots=True)
class Trips:
    """Trips of one vehicle.

    Attributes:
        told_by: `ignition`, `speed`, or None where the vehicle has sent neither: then there are no trips.
        distance_by: `speed`, `position`, or None likewise.
        trips: by start: start, end (µs, of the first and last sample), begins_before, goes_on (it extends beyond the
            range), distance_m (None where unknown), track: timestamp, latitude, longitude of some of its positions.
        complete: whether these are all of the range; else the first `MAX_TRIPS`.
    """

    told_by: str | None
    distance_by: str | None
    trips: list[dict[str, Any]]
    complete: bool = True


def find_trips(
    warehouse: Warehouse,
    fleet: str,
    vehicle_id: str,
    drive: Drive,
    settings: TripSettings,
    *,
    start: int,
    end: int,
) -> Trips:
    """The trips of a vehicle that touch [start, end), microseconds.

    O(samples of the range) in the engine; a track has at most `MAX_TRACK_POINTS` over the number of trips.

    Args:
        warehouse: to ask.
        fleet: whose vehicle it is.
        vehicle_id: the vehicle.
        drive: which of its signals tell.
        settings: what a trip is.
        start, end: event time; it is looked a pause further to either side, so that `begins_before` and `goes_on`
            are right.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    telling = drive.ignition or drive.speed
    if telling is None:
        return Trips(None, None, [])
    pause = round(settings.pause_s * 1e6)
    least = 0.0 if telling is drive.ignition else settings.moving_km_h / 3.6 / telling.scale
    found = warehouse.rows(
        _TRIPS,
        _bound(fleet, vehicle_id, telling, start - pause, end + pause)
        | {"start": start, "end": end, "pause": pause, "least": least, "limit": MAX_TRIPS + 1},
    )
    trips = found[:MAX_TRIPS]
    distance_by = "speed" if drive.speed else "position" if drive.latitude else None
    if trips:
        distances = _distances(warehouse, fleet, vehicle_id, drive, trips)
        tracks = _tracks(warehouse, fleet, vehicle_id, drive, trips)
        for trip in trips:
            trip["begins_before"], trip["goes_on"] = bool(trip["begins_before"]), bool(trip["goes_on"])
            trip["distance_m"] = distances.get(trip["start"])
            trip["track"] = tracks.get(trip["start"], [])
    told_by = "ignition" if telling is drive.ignition else "speed"
    return Trips(told_by, distance_by, trips, len(found) <= MAX_TRIPS)


def position_bound(fleet: str, vehicle_id: str, drive: Drive, since: int, until: int) -> dict[str, Any]:
    """The parameters of `POSITIONS`; the drive must have positions."""
    assert drive.latitude is not None
    assert drive.longitude is not None
    return _bound(fleet, vehicle_id, drive.latitude, since, until) | {
        "latitude": drive.latitude.signal,
        "longitude": drive.longitude.signal,
    }


def _bound(fleet: str, vehicle_id: str, source: Source, since: int, until: int) -> dict[str, Any]:
    return {
        "fleet": fleet,
        "vehicle": vehicle_id,
        "signal": source.signal,
        "message": source.message,
        "since": max(0, since),
        "until": until,
    }


def _borders(trips: list[dict[str, Any]]) -> dict[str, Any]:
    return {"starts": [trip["start"] for trip in trips], "ends": [trip["end"] for trip in trips]}


def _distances(
    warehouse: Warehouse, fleet: str, vehicle_id: str, drive: Drive, trips: list[dict[str, Any]]
) -> dict[int, float]:
    """Metres by a trip's start: the speed's integral by trapezoids, or else the way between the positions."""
    since, until = trips[0]["start"], trips[-1]["end"] + 1
    if drive.speed is not None:
        bound = _bound(fleet, vehicle_id, drive.speed, since, until) | {"scale": drive.speed.scale}
        rows = warehouse.rows(_BY_SPEED, bound | _borders(trips))
    elif drive.latitude is not None:
        rows = warehouse.rows(_BY_POSITION, position_bound(fleet, vehicle_id, drive, since, until) | _borders(trips))
    else:
        rows = []
    return {row["begin"]: row["metres"] for row in rows}


def _tracks(
    warehouse: Warehouse, fleet: str, vehicle_id: str, drive: Drive, trips: list[dict[str, Any]]
) -> dict[int, list[dict[str, Any]]]:
    if drive.latitude is None:
        return {}
    each = max(_FEWEST_TRACK_POINTS, MAX_TRACK_POINTS // len(trips)) - 1
    steps = [max(1, -(-(trip["end"] - trip["start"]) // each)) for trip in trips]
    bound = position_bound(fleet, vehicle_id, drive, trips[0]["start"], trips[-1]["end"] + 1)
    tracks: dict[int, list[dict[str, Any]]] = {}
    for row in warehouse.rows(_TRACKS, bound | _borders(trips) | {"steps": steps}):
        tracks.setdefault(row.pop("begin"), []).append(row)
    return tracks
