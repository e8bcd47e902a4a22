"""The fleet at a glance: who is there, what comes in, what is wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from deploy.grafana.source.clickhouse import FLEET, series, table, variable
from deploy.grafana.source.panels import Shown, bars, board, chart, grid, number, ranking, row, unit_of
from deploy.grafana.source.prometheus import asks, per_second, total
from pipeline import metrics

_OF_FLEET = 'fleet="$fleet"'


def dashboard() -> build.Dashboard:
    """The dashboard `canfleet-fleet`."""
    page = board("fleet", "A fleet at a glance: its vehicles, what comes in, and what is wrong.")
    page = page.with_variable(variable("fleet", "Fleet", FLEET))
    for panel in _numbers():
        page = page.with_panel(panel)
    page = page.with_panel(_vehicles_over_time()).with_panel(_frames())
    page = page.with_panel(_anomalies()).with_panel(_dead_letters())
    page = page.with_panel(_values()).with_panel(_top_signals())
    page = page.with_panel(_vehicles())
    page = page.with_row(row("Ledger: every frame received, accounted for"))
    for name, metric in {**metrics.LEDGER, "missing": metrics.MISSING}.items():
        panel = number(name.replace("_", " "), width=3, meaning=metric.meaning)
        page = page.with_panel(asks(panel, {name: total(metric, only=_OF_FLEET)}))
    return page


def _numbers() -> list[Shown]:
    seen = """
        SELECT uniqExact(vehicle_id) AS vehicles FROM signals_1h_states
        WHERE fleet = ${fleet:sqlstring} AND timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime
    """
    open_now = """
        SELECT count() AS open FROM anomalies
        WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp) AND NOT closed
    """
    began = "SELECT count() AS anomalies FROM anomalies WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)"
    refused = """
        SELECT count() AS refused FROM dead_letters WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(received_at)
    """
    return [
        table(number("Vehicles", width=6, meaning="Vehicles with decoded values in the range, hour by hour."), seen),
        table(number("Anomalies", width=6, meaning="That began in the range."), began),
        table(number("Open anomalies", width=6, meaning="Of those, the ones that have not ended."), open_now),
        table(number("Dead letters", width=6, meaning="Rows refused in the range."), refused),
    ]


def _vehicles_over_time() -> Shown:
    sql = """
        SELECT $__timeInterval(timestamp) AS time, uniq(vehicle_id) AS vehicles
        FROM signals_1m_states WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)
        GROUP BY time ORDER BY time
    """
    return series(chart("Vehicles seen", meaning="Vehicles with values in each interval.").interval("1m"), sql)


def _frames() -> Shown:
    panel = chart("Frames a second", "cps", meaning="What became of frames, as the ledger counts them.")
    counts = {
        "accepted": metrics.ACCEPTED,
        "duplicates": metrics.DUPLICATES,
        "dead letters": metrics.DEAD_LETTERED,
        "stored": metrics.STORED,
    }
    return asks(panel, {name: per_second(metric, only=_OF_FLEET) for name, metric in counts.items()})


def _anomalies() -> Shown:
    sql = """
        SELECT $__timeInterval(timestamp) AS time, toString(kind) AS kind, count() AS anomalies
        FROM anomalies WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)
        GROUP BY time, kind ORDER BY time, kind
    """
    return series(bars("Anomalies by kind").interval("1m"), sql)


def _dead_letters() -> Shown:
    sql = """
        SELECT $__timeInterval(received_at) AS time, toString(reason) AS reason, count() AS rows
        FROM dead_letters WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(received_at)
        GROUP BY time, reason ORDER BY time, reason
    """
    return series(bars("Dead letters by reason", meaning="By the time of receipt.").interval("1m"), sql)


def _values() -> Shown:
    sql = """
        SELECT $__timeInterval(timestamp) AS time, sum(count) / $__interval_s AS values
        FROM signals_1m_states WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)
        GROUP BY time ORDER BY time
    """
    return series(chart("Decoded values a second", "cps", meaning="By event time.").interval("1m"), sql)


def _top_signals() -> Shown:
    sql = """
        SELECT concat(message, '.', signal) AS name, sum(count) AS values
        FROM signals_1h_states
        WHERE fleet = ${fleet:sqlstring} AND timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime
        GROUP BY name ORDER BY values DESC, name LIMIT 15
    """
    return table(ranking("Signals with the most values", meaning="Hour by hour."), sql)


def _vehicles() -> Shown:
    sql = """
        SELECT toString(v.vehicle_id) AS vehicle, v.last_seen AS last_seen, v.values AS values, v.signals AS signals,
            a.anomalies AS anomalies, a.open AS open_anomalies
        FROM (
            SELECT vehicle_id, fromUnixTimestamp64Micro(toInt64(bitShiftRight(max(last), 64))) AS last_seen,
                sum(count) AS values, uniqExact(message, signal) AS signals
            FROM signals_1h_states
            WHERE fleet = ${fleet:sqlstring} AND timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime
            GROUP BY vehicle_id
        ) AS v
        LEFT JOIN (
            SELECT vehicle_id, count() AS anomalies, countIf(NOT closed) AS open
            FROM anomalies WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)
            GROUP BY vehicle_id
        ) AS a ON a.vehicle_id = v.vehicle_id
        ORDER BY anomalies DESC, last_seen DESC LIMIT 500
    """
    panel = grid("Vehicles", meaning="The 500 with the most anomalies; the values are those of whole hours.")
    return table(unit_of(panel, last_seen="dateTimeFromNow"), sql)
