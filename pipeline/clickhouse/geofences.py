"""Entering and leaving geofences, found in a vehicle's stored positions when they are asked for.

A vehicle is inside from the first position that lies in the fence, and outside from the first one that is farther out
than the fence's margin; what lies between changes nothing (a Schmitt trigger). Distances to a polygon's border are
taken in a plane that touches the earth at the fence, whose edges are straight in latitude and longitude; those to a
circle's on the sphere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.trips import POSITIONS, position_bound
from pipeline.history.drive import Drive
from pipeline.history.settings import Geofence

MAX_EVENTS: Final = 10_000
"""Of one answer, the first ones of the range."""
_METRES_A_DEGREE: Final = 6_371_229 * math.pi / 180
"""Of the sphere that ClickHouse's greatCircleDistance uses."""

# An edge is (x, y, dx, dy, length squared) in metres from the fence's centre. A position is in a polygon if a ray from
# it crosses an odd number of edges.
_EVENTS: Final = f"""
    SELECT fence, t AS timestamp, lat AS latitude, lon AS longitude, n = 1 AS at_start, inside
    FROM
    (
        SELECT fence, t, lat, lon, inside, row_number() OVER w AS n, lagInFrame(inside) OVER w AS before
        FROM
        (
            SELECT
                fence, t, lat, lon, margin,
                (positiveModulo(lon - lon0 + 180, 360) - 180) * {{metres:Float64}} * cos(radians(lat0)) AS x,
                (lat - lat0) * {{metres:Float64}} AS y,
                if(
                    radius > 0,
                    greatCircleDistance(lon, lat, lon0, lat0) - radius,
                    arrayMin(
                        e -> hypot(
                            x - e.1 - e.3 * least(1, greatest(0, ((x - e.1) * e.3 + (y - e.2) * e.4) / e.5)),
                            y - e.2 - e.4 * least(1, greatest(0, ((x - e.1) * e.3 + (y - e.2) * e.4) / e.5))
                        ),
                        edges
                    ) * if(
                        arrayCount(
                            e -> (e.2 > y) != (e.2 + e.4 > y) AND x < e.1 + e.3 * (y - e.2) / e.4,
                            edges
                        ) % 2 = 1,
                        -1,
                        1
                    )
                ) AS out,
                out <= 0 AS inside
            FROM ({POSITIONS}) AS positions
            ARRAY JOIN
                {{fences:Array(UInt32)}} AS fence,
                {{latitudes:Array(Float64)}} AS lat0,
                {{longitudes:Array(Float64)}} AS lon0,
                {{radii:Array(Float64)}} AS radius,
                {{margins:Array(Float64)}} AS margin,
                {{edges:Array(Array(Tuple(Float64, Float64, Float64, Float64, Float64)))}} AS edges
        )
        WHERE inside OR out > margin
        WINDOW w AS (PARTITION BY fence ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
    WHERE (n = 1 AND inside) OR (n > 1 AND inside != before)
    ORDER BY t, fence
    LIMIT {{limit:UInt64}}
"""


@dataclass(frozen=True, slots=True)
class FenceEvents:
    """What a vehicle did at the fences.

    Attributes:
        inside_at_start: names of the fences that the vehicle's first position of the range lies in.
        events: by time: fence, event (`enter` or `leave`), timestamp (µs), latitude, longitude.
        complete: whether these are all of the range; else the first `MAX_EVENTS`.
    """

    inside_at_start: list[str]
    events: list[dict[str, Any]]
    complete: bool = True


def fence_events(
    warehouse: Warehouse,
    fleet: str,
    vehicle_id: str,
    drive: Drive,
    fences: Mapping[str, Geofence],
    *,
    start: int,
    end: int,
) -> FenceEvents:
    """When a vehicle entered and left `fences` in [start, end), microseconds.

    O(positions x edges of all fences) in the engine. Nothing where the vehicle has sent no positions.

    Raises:
        WarehouseError, WarehouseAway: see `Warehouse`.
    """
    if drive.latitude is None or not fences:
        return FenceEvents([], [])
    names = list(fences)
    bound = position_bound(fleet, vehicle_id, drive, start, end) | _as_arrays(list(fences.values()))
    found = warehouse.rows(_EVENTS, bound | {"metres": _METRES_A_DEGREE, "limit": MAX_EVENTS + len(names) + 1})
    inside_at_start, events = [], []
    for row in found:
        name = names[row.pop("fence")]
        entered = bool(row.pop("inside"))
        if row.pop("at_start"):
            inside_at_start.append(name)
        else:
            events.append({"fence": name, "event": "enter" if entered else "leave", **row})
    return FenceEvents(sorted(inside_at_start), events[:MAX_EVENTS], len(events) <= MAX_EVENTS)


def _as_arrays(fences: list[Geofence]) -> dict[str, Any]:
    """The fences as parallel arrays, as `_EVENTS` takes them."""
    centres = [_centre(fence) for fence in fences]
    return {
        "fences": list(range(len(fences))),
        "latitudes": [latitude for latitude, _ in centres],
        "longitudes": [longitude for _, longitude in centres],
        "radii": [fence.circle.radius_m if fence.circle else 0.0 for fence in fences],
        "margins": [fence.margin_m for fence in fences],
        "edges": [_edges(fence, centre) for fence, centre in zip(fences, centres, strict=True)],
    }


def _centre(fence: Geofence) -> tuple[float, float]:
    if fence.circle is not None:
        return fence.circle.latitude, fence.circle.longitude
    corners = fence.polygon or ()
    latitude = sum(corner[0] for corner in corners) / len(corners)
    # Beside the first corner, not on the far side of the earth: a polygon may span the 180th meridian.
    return latitude, corners[0][1]


def _edges(fence: Geofence, centre: tuple[float, float]) -> list[tuple[float, float, float, float, float]]:
    """Edges in metres from the centre; a circle has one, of no length, since an array must not be empty."""
    if fence.polygon is None:
        return [(0.0, 0.0, 0.0, 0.0, 1.0)]
    points = [_metres(corner, centre) for corner in fence.polygon]
    edges = []
    for (x, y), (to_x, to_y) in zip(points, points[1:] + points[:1], strict=True):
        dx, dy = to_x - x, to_y - y
        edges.append((x, y, dx, dy, dx * dx + dy * dy or 1.0))
    return edges


def _metres(position: tuple[float, float], centre: tuple[float, float]) -> tuple[float, float]:
    turned = (position[1] - centre[1] + 180) % 360 - 180
    return (
        turned * _METRES_A_DEGREE * math.cos(math.radians(centre[0])),
        (position[0] - centre[0]) * _METRES_A_DEGREE,
    )
