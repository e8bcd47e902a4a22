"""One vehicle: its signals at the right resolution, its anomalies, and the frames it sends."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.source.clickhouse import FLEET, VEHICLE, annotation, series, table, variable
from deploy.grafana.source.panels import Shown, board, chart, grid, number, unit_of

_SIGNAL_NAME = "substringIndex(${signal:sqlstring}, '.', -1)"
_MESSAGE_NAME = f"substring(${{signal:sqlstring}}, 1, length(${{signal:sqlstring}}) - length({_SIGNAL_NAME}) - 1)"
"""The variable's values are `Message.Signal`, for two messages may have signals of one name."""
_OF_VEHICLE = "fleet = ${fleet:sqlstring} AND vehicle_id = ${vehicle:sqlstring}"
_SERIES = f"{_OF_VEHICLE} AND signal = {_SIGNAL_NAME} AND message = {_MESSAGE_NAME} AND $__timeFilter(timestamp)"
_HOURS = f"{_OF_VEHICLE} AND timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime"
_SIGNAL = f"""
    SELECT DISTINCT concat(message, '.', signal) AS name FROM signals_1h_states
    WHERE {_HOURS} ORDER BY name LIMIT 1000
"""


def dashboard() -> build.Dashboard:
    """The dashboard `canfleet-vehicle`."""
    page = (
        board("vehicle", "One vehicle: its signals, its anomalies, the frames it sends.", since="now-1h")
        .with_variable(variable("fleet", "Fleet", FLEET))
        .with_variable(variable("vehicle", "Vehicle", VEHICLE))
        .with_variable(variable("signal", "Signals", _SIGNAL, multi=True))
        .annotation(annotation("Anomalies", _ANNOTATIONS, "red"))
    )
    for panel in (*_numbers(), _signal(), _values(), _anomalies(), _frames()):
        page = page.with_panel(panel)
    return page


_ANNOTATIONS = f"""
    SELECT timestamp AS time, ended_at AS timeEnd, concat(kind, ' ', signal) AS title, detail AS text,
        toString(kind) AS tags
    FROM anomalies WHERE {_OF_VEHICLE} AND $__timeFilter(timestamp)
    ORDER BY time LIMIT 1000
"""


def _numbers() -> list[Shown]:
    values = f"SELECT sum(count) AS values FROM signals_1h_states WHERE {_HOURS}"
    signals = f"SELECT uniqExact(message, signal) AS signals FROM signals_1h_states WHERE {_HOURS}"
    anomalies = f"SELECT count() AS anomalies FROM anomalies WHERE {_OF_VEHICLE} AND $__timeFilter(timestamp)"
    last = f"""
        SELECT fromUnixTimestamp64Micro(toInt64(bitShiftRight(max(last), 64))) AS last_value
        FROM signals_1h_states WHERE {_HOURS}
    """
    return [
        table(number("Last value", "dateTimeFromNow", width=6, meaning="When the newest value was measured."), last),
        table(number("Values", width=6, meaning="Of the range's hours."), values),
        table(number("Signals", width=6), signals),
        table(number("Anomalies", width=6, meaning="That began in the range."), anomalies),
    ]


def _signal() -> Shown:
    """Raw values for steps below a minute, the rollup by minute below an hour, that by hour beyond.

    A `WHERE` that is false for constants reads nothing, so of the three sources one is read. A gap is five times the
    usual distance of two points, and two steps at least: there a point without values stands, which breaks the line.
    """
    sql = f"""
        WITH
            multiIf($__interval_s < 60, $__interval_s,
                $__interval_s < 3600, intDiv($__interval_s + 59, 60) * 60,
                intDiv($__interval_s + 3599, 3600) * 3600) AS step,
            buckets AS (
                SELECT toDateTime(intDiv(at, step) * step, 'UTC') AS bucket,
                    min(low) AS lowest, max(high) AS highest, sum(total) / sum(n) AS average
                FROM (
                    SELECT toUnixTimestamp(timestamp) AS at, value AS low, value AS high, value AS total, 1 AS n
                    FROM signals WHERE step < 60 AND isFinite(value) AND {_SERIES}
                    UNION ALL
                    SELECT toUnixTimestamp(timestamp), min, max, sum, count
                    FROM signals_1m_states WHERE step >= 60 AND step < 3600 AND {_SERIES}
                    UNION ALL
                    SELECT toUnixTimestamp(timestamp), min, max, sum, count
                    FROM signals_1h_states WHERE step >= 3600 AND {_SERIES}
                )
                GROUP BY bucket
            ),
            spaced AS (
                SELECT *, leadInFrame(bucket, 1, bucket) OVER (
                    ORDER BY bucket ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) - bucket AS distance
                FROM buckets
            ),
            marked AS (
                SELECT *, distance > greatest(toFloat64(2 * step), 5 * median(distance) OVER ()) AS before_gap
                FROM spaced
            )
        SELECT
            bucket + step * gap AS time,
            if(gap, NULL, lowest) AS min,
            if(gap, NULL, highest) AS max,
            if(gap, NULL, average) AS mean
        FROM marked ARRAY JOIN if(before_gap, [0, 1], [0]) AS gap
        ORDER BY time
    """
    line = models.DynamicConfigValue("custom.lineWidth", 0)
    panel = (
        chart("$signal", "none", width=24, height=8, meaning="Mean, and the band from the least to the greatest value.")
        .repeat("signal")
        .repeat_direction("v")
        .fill_opacity(0)
        .override_by_name("min", [line, models.DynamicConfigValue("custom.hideFrom", _IN_LEGEND)])
        .override_by_name(
            "max",
            [
                line,
                models.DynamicConfigValue("custom.fillBelowTo", "min"),
                models.DynamicConfigValue("custom.fillOpacity", 20),
                models.DynamicConfigValue("custom.hideFrom", _IN_LEGEND),
            ],
        )
    )
    return series(panel, sql)


_IN_LEGEND = {"legend": True, "tooltip": False, "viz": False}


def _values() -> Shown:
    sql = f"""
        SELECT toString(message) AS message, toString(signal) AS signal,
            fromUnixTimestamp64Micro(toInt64(bitShiftRight(max(s.last), 64))) AS measured,
            reinterpretAsFloat64(toUInt64(max(s.last))) AS last,
            toFloat64(min(s.min)) AS min, sum(s.sum) / sum(s.count) AS mean, toFloat64(max(s.max)) AS max,
            sum(s.count) AS values
        FROM signals_1h_states AS s WHERE {_HOURS}
        GROUP BY message, signal ORDER BY message, signal
    """
    panel = grid(
        "Signals", width=12, height=12, meaning="Last values, and the least and greatest of the range's hours."
    )
    return table(unit_of(panel, measured="dateTimeFromNow"), sql)


def _anomalies() -> Shown:
    sql = f"""
        SELECT timestamp AS began, toString(kind) AS kind, toString(signal) AS signal, value, score, count,
            duration_ms, closed, detail
        FROM anomalies WHERE {_OF_VEHICLE} AND $__timeFilter(timestamp)
        ORDER BY began DESC LIMIT 500
    """
    return table(unit_of(grid("Anomalies", width=12, height=12), duration_ms="ms"), sql)


def _frames() -> Shown:
    sql = f"""
        SELECT concat('0x', lower(hex(arbitration_id))) AS id, is_extended, channel, count() AS frames,
            max(timestamp) AS last_seen, avg(length(data)) AS bytes,
            count() / greatest(1, $__toTime - $__fromTime) AS frames_a_second,
            quantile(0.5)(toUnixTimestamp64Milli(received_at) - toUnixTimestamp64Milli(timestamp)) AS delay
        FROM frames WHERE {_OF_VEHICLE} AND $__timeFilter(timestamp)
        GROUP BY arbitration_id, is_extended, channel ORDER BY frames DESC LIMIT 500
    """
    panel = grid("Frames by arbitration id", meaning="`delay`: median from a frame's time to its receipt.")
    return table(unit_of(panel, last_seen="dateTimeFromNow", delay="ms", bytes="bytes"), sql)
