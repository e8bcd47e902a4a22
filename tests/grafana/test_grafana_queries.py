"""Every statement of every dashboard, expanded as the data source expands it, over a simulated fleet's data."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from grafana_feed import FLEET, GAP, SECONDS, START, VEHICLE
from grafana_macros import ALL, Range, expanded
from grafana_pages import Asked, page, statements, targets

LOOKED_AT = Range(START - 60, START + SECONDS + 60, 2.0)
CHOSEN = {"fleet": FLEET, "vehicle": VEHICLE, "signal": "Powertrain.EngineSpeed", "kind": ALL}


def ask(client: httpx.Client, sql: str, form: str = "JSONCompact") -> httpx.Response:
    answer = client.post("/", params={"default_format": form}, content=sql)
    assert answer.status_code == 200, f"{answer.text}\n{sql}"
    return answer


def sql_of(name: str, title: str) -> Asked:
    [one] = (one for one in statements() if (one.page, one.title) == (name, title))
    return one


@pytest.fixture(scope="module")
def chosen(filled: httpx.Client) -> dict[str, Any]:
    """The variables, each with the first value that its own statement gives."""
    values: dict[str, Any] = dict(CHOSEN)
    for name in ("fleet", "vehicle", "signal"):
        found = ask(filled, expanded(sql_of("vehicle", f"variable {name}").sql, LOOKED_AT, values)).json()["data"]
        values[name] = found[0][0]
    assert (values["fleet"], values["vehicle"]) == (FLEET, VEHICLE)
    return values


def named(one: Asked) -> str:
    return f"{one.page}-{one.title}".replace(" ", "-")


@pytest.mark.parametrize("asked", statements(), ids=named)
def test_it_runs_and_returns_rows(filled: httpx.Client, chosen: dict[str, Any], asked: Asked) -> None:
    runs_and_returns_rows(filled, chosen, asked)


@pytest.mark.parametrize("asked", [one for one in statements() if "$kind" in one.sql], ids=named)
def test_it_does_so_for_several_values_of_a_variable(
    filled: httpx.Client, chosen: dict[str, Any], asked: Asked
) -> None:
    kinds = ask(filled, expanded(sql_of("anomalies", "variable kind").sql, LOOKED_AT, chosen)).json()["data"]
    assert len(kinds) > 1
    runs_and_returns_rows(filled, chosen | {"kind": [kind for [kind] in kinds]}, asked)


def runs_and_returns_rows(filled: httpx.Client, chosen: dict[str, Any], asked: Asked) -> None:
    looked_at = Range(LOOKED_AT.start, LOOKED_AT.end, max(LOOKED_AT.interval_s, asked.least_s))
    answer = ask(filled, expanded(asked.sql, looked_at, chosen)).json()
    assert answer["rows"] > 0
    kinds = [column["type"] for column in answer["meta"]]
    if asked.is_series:
        # The data source makes series of rows in the order of a time that is never null, with a number in each.
        assert kinds[0].startswith("DateTime")
        times = [row[0] for row in answer["data"]]
        assert times == sorted(times)
        assert any("Int" in kind or "Float" in kind for kind in kinds[1:])
    else:
        assert any(value is not None for value in answer["data"][0])


def test_what_is_shown_is_what_is_stored(filled: httpx.Client, chosen: dict[str, Any]) -> None:
    def one_number(name: str, title: str) -> float:
        [[value]] = ask(filled, expanded(sql_of(name, title).sql, LOOKED_AT, chosen)).json()["data"]
        return float(value)

    def count(what: str) -> int:
        return int(ask(filled, f"SELECT {what}", "TabSeparated").text)

    assert count("count() FROM anomalies") > 5
    assert one_number("anomalies", "Anomalies") == count("count() FROM anomalies")
    assert one_number("storage", "Frames") == count("count() FROM frames")
    total = page("fleet")
    [panel] = [
        target for panel, target in targets(total, "grafana-clickhouse-datasource") if panel["title"] == "Vehicles seen"
    ]
    shown = ask(filled, expanded(panel["rawSql"], Range(LOOKED_AT.start, LOOKED_AT.end, 60.0), chosen)).json()["data"]
    assert max(int(n) for _, n in shown) == 8


def band(client: httpx.Client, chosen: dict[str, Any], looked_at: Range) -> tuple[list[list[Any]], dict[str, Any]]:
    """Points of the vehicle's chart, and what was read for them."""
    answer = ask(client, expanded(sql_of("vehicle", "$signal").sql, looked_at, chosen))
    return answer.json()["data"], json.loads(answer.headers["X-ClickHouse-Summary"])


def test_gaps_are_gaps_and_the_band_holds_the_mean(filled: httpx.Client, chosen: dict[str, Any]) -> None:
    points, _ = band(filled, chosen, LOOKED_AT)
    empty = [time for time, *values in points if values == [None] * 3]
    assert len(empty) == 1
    before = [time for time, low, *_ in points if low is not None and time < empty[0]]
    after = [time for time, low, *_ in points if low is not None and time > empty[0]]
    at = ask(filled, f"SELECT toUnixTimestamp('{before[-1]}', 'UTC'), toUnixTimestamp('{after[0]}', 'UTC')")
    [[last, first]] = at.json()["data"]
    assert GAP[0] - 5 <= last <= GAP[0] <= GAP[1] <= first + 2 <= GAP[1] + 7
    assert all(low <= mean <= high for _, low, high, mean in points if low is not None)


@pytest.mark.parametrize(
    ("interval_s", "source"), [(1, "signals"), (30, "signals"), (60, "signals_1m_states"), (7200, "signals_1h_states")]
)
def test_the_range_chooses_the_resolution(
    filled: httpx.Client, chosen: dict[str, Any], interval_s: int, source: str
) -> None:
    points, summary = band(filled, chosen, Range(LOOKED_AT.start, LOOKED_AT.end, interval_s))
    full = {low for _, low, *_ in points if low is not None}
    assert full
    # The other two sources are not read: what was read is no more than a granule of each part of this one.
    rows = int(ask(filled, f"SELECT count() FROM {source}", "TabSeparated").text)
    assert 0 < int(summary["read_rows"]) <= rows
    if source != "signals":
        assert int(summary["read_rows"]) < int(ask(filled, "SELECT count() FROM signals", "TabSeparated").text) / 10


def test_the_band_is_the_same_at_every_resolution(filled: httpx.Client, chosen: dict[str, Any]) -> None:
    lowest, highest = set(), set()
    for interval_s in (2, 60, 3600):
        points, _ = band(filled, chosen, Range(START - 3600, LOOKED_AT.end, interval_s))
        lowest.add(min(low for _, low, *_ in points if low is not None))
        highest.add(max(high for _, _, high, _ in points if high is not None))
    assert (len(lowest), len(highest)) == (1, 1)
