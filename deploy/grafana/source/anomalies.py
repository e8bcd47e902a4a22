"""Anomalies of a fleet: what, when, where, and from there to the vehicle."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from deploy.grafana.source.clickhouse import FLEET, series, table, variable
from deploy.grafana.source.panels import Shown, bars, board, grid, number, ranking, unit_of

_KIND = """
    SELECT DISTINCT toString(kind) AS kind FROM anomalies_log
    WHERE fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp) ORDER BY kind
"""
_CHOSEN = """fleet = ${fleet:sqlstring} AND $__timeFilter(timestamp)
            AND $__conditionalAll(kind IN (${kind:sqlstring}), $kind)"""


def dashboard() -> build.Dashboard:
    """The dashboard `canfleet-anomalies`."""
    page = (
        board("anomalies", "What was wrong, when, and with which vehicle.", since="now-24h")
        .with_variable(variable("fleet", "Fleet", FLEET))
        .with_variable(variable("kind", "Kinds", _KIND, multi=True, everything=True))
    )
    for panel in (*_numbers(), _over_time(), _by("kind", "kind"), _by("signal", "concat(message, '.', signal)")):
        page = page.with_panel(panel)
    return page.with_panel(_vehicles()).with_panel(_newest())


def _numbers() -> list[Shown]:
    all_of_them = f"SELECT count() AS anomalies FROM anomalies WHERE {_CHOSEN}"
    still_open = f"SELECT countIf(NOT closed) AS open FROM anomalies WHERE {_CHOSEN}"
    vehicles = f"SELECT uniqExact(vehicle_id) AS vehicles FROM anomalies WHERE {_CHOSEN}"
    delay = f"""
        SELECT quantile(0.5)(toUnixTimestamp64Milli(detected_at) - toUnixTimestamp64Milli(timestamp)) AS delay
        FROM anomalies WHERE {_CHOSEN}
    """
    return [
        table(number("Anomalies", width=6), all_of_them),
        table(number("Open", width=6, meaning="That have not ended."), still_open),
        table(number("Vehicles", width=6, meaning="With an anomaly."), vehicles),
        table(number("Detected after", "ms", width=6, meaning="Median from the beginning to the detection."), delay),
    ]


def _over_time() -> Shown:
    sql = f"""
        SELECT $__timeInterval(timestamp) AS time, toString(kind) AS kind, count() AS anomalies
        FROM anomalies WHERE {_CHOSEN}
        GROUP BY time, kind ORDER BY time, kind
    """
    return series(bars("Anomalies by kind", width=24).interval("1m"), sql)


def _by(name: str, key: str) -> Shown:
    sql = f"""
        SELECT toString({key}) AS name, count() AS anomalies FROM anomalies WHERE {_CHOSEN}
        GROUP BY name ORDER BY anomalies DESC, name LIMIT 20
    """
    return table(ranking(f"By {name}"), sql)


def _vehicles() -> Shown:
    sql = f"""
        SELECT toString(vehicle_id) AS vehicle, count() AS anomalies, countIf(NOT closed) AS open,
            uniqExact(kind) AS kinds, max(timestamp) AS newest, max(score) AS highest_score
        FROM anomalies WHERE {_CHOSEN}
        GROUP BY vehicle_id ORDER BY anomalies DESC, vehicle LIMIT 100
    """
    panel = grid("Vehicles with the most", meaning="A click on a vehicle leads to it.")
    return table(unit_of(panel, newest="dateTimeFromNow"), sql)


def _newest() -> Shown:
    sql = f"""
        SELECT timestamp AS began, toString(vehicle_id) AS vehicle, toString(kind) AS kind,
            toString(message) AS message, toString(signal) AS signal, arbitration_id, value, score, count,
            duration_ms, closed, detail
        FROM anomalies WHERE {_CHOSEN}
        ORDER BY began DESC, id LIMIT 1000
    """
    return table(unit_of(grid("Newest", height=14), duration_ms="ms"), sql)
