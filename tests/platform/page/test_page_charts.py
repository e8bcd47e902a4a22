"""Charts of a vehicle: the right resolution for each zoom, gaps, anomalies, and the arithmetic behind them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from page_fleet import BEGIN_US
from playwright.sync_api import expect

pytestmark = pytest.mark.platform
PLACE = f"vehicle/gappy?charts=EngineData.EngineSpeed&from={BEGIN_US}&to={BEGIN_US + 3 * 3_600_000_000}"
FIGURE = "figure[data-signal=EngineSpeed]"


def test_a_zoom_asks_again_at_the_resolution_it_needs(visit: Callable, fleet: str) -> None:
    window = visit()
    page = window.page
    window.open(fleet, PLACE)
    figure, plot = page.locator(FIGURE), page.locator(f"{FIGURE} .plot")
    expect(figure).to_have_attribute("data-resolution", re.compile(r"^\d+s$"))
    expect(plot).to_have_attribute("aria-label", re.compile(r"buckets of .* 1 gap, 1 anomaly"))
    coarse = figure.get_attribute("data-resolution")
    before = len(window.asked)
    box = page.locator(f"{FIGURE} .u-over").bounding_box()
    assert box is not None
    # From 40 to 50 minutes of the three hours: away from the gap, with the anomaly at 50 min outside.
    x = [box["x"] + box["width"] * part for part in (40 / 180, 48 / 180)]
    page.mouse.move(x[0], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(x[1], box["y"] + 60, steps=5)
    page.mouse.up()
    expect(figure).to_have_attribute("data-resolution", "raw")
    expect(plot).to_have_attribute("aria-label", re.compile(r"4[78]\d values, 0 gaps, 0 anomalies"))
    asked = [url for url in window.asked[before:] if "/signals/EngineSpeed" in url]
    [start, end] = [int(re.search(rf"{name}=(\d+)", asked[-1]).group(1)) for name in ("from", "to")]
    assert start == pytest.approx(BEGIN_US + 40 * 60e6, abs=30e6)
    assert end == pytest.approx(BEGIN_US + 48 * 60e6, abs=30e6)
    assert f"from={start}" in page.url
    page.get_by_role("button", name="Back to the range before").click()
    expect(figure).to_have_attribute("data-resolution", coarse or "")
    page.get_by_role("button", name="Zoom in").first.click()
    page.get_by_role("button", name="Zoom out").first.click()
    page.get_by_role("button", name="The last 1 h").click()
    expect(page.get_by_role("button", name="The last 1 h")).to_have_attribute("aria-pressed", "true")
    expect(figure).to_contain_text("no values in this range")


def test_gaps_are_holes_and_anomalies_red(visit: Callable, fleet: str) -> None:
    window = visit(reduced_motion="reduce")
    page = window.page
    window.open(fleet, PLACE)
    expect(page.locator(f"{FIGURE} .plot")).to_have_attribute("aria-label", re.compile("1 gap, 1 anomaly"))
    # Of each column of the canvas' pixels: how many are blue (the line) and red (the mark).
    columns: list[list[int]] = page.evaluate(
        """() => {
            const canvas = document.querySelector('figure[data-signal=EngineSpeed] canvas');
            const { width, height } = canvas;
            const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
            return Array.from({ length: width }, (_, x) => {
                let [blue, red] = [0, 0];
                for (let y = 0; y < height; y += 1) {
                    const [r, g, b, a] = data.subarray(4 * (y * width + x), 4 * (y * width + x) + 4);
                    if (a > 200 && b > 120 && r < 90) blue += 1;
                    if (a > 200 && r > 150 && g < 90) red += 1;
                }
                return [blue, red];
            });
        }"""
    )
    blue = [x for x, (count, _) in enumerate(columns) if count]
    red = [x for x, (_, count) in enumerate(columns) if count]
    left, right = min(blue), max(blue)

    def at(second: int) -> float:
        return left + (right - left) * second / 10_799

    assert not [x for x in blue if at(6060) < x < at(6840)]
    assert [x for x in blue if at(5700) < x < at(5990)]
    assert [x for x in blue if at(6910) < x < at(7200)]
    assert red
    assert min(red) <= at(3000) <= max(red)
    assert max(red) - min(red) < 30
    page.get_by_text("As a table").click()
    rows = page.get_by_role("table", name="Values of EngineSpeed").locator("tbody tr")
    expect(rows).not_to_have_count(0)
    assert rows.count() <= 100


def test_charts_open_and_close_from_the_table_of_signals(visit: Callable, fleet: str) -> None:
    window = visit()
    page = window.page
    window.open(fleet, "vehicle/veh-00001")
    expect(page.locator("figure.chart")).to_have_count(2)
    button = page.get_by_role("button", name="OilTemperature", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("figure[data-signal=OilTemperature] canvas")).to_be_visible()
    assert "EngineData.OilTemperature" in page.evaluate("decodeURIComponent(location.hash)")
    page.get_by_role("button", name="Close the chart of OilTemperature").click()
    expect(page.locator("figure[data-signal=OilTemperature]")).to_have_count(0)
    expect(button).to_have_attribute("aria-pressed", "false")


def points(times: list[float]) -> list[dict[str, Any]]:
    return [{"timestamp": time * 1e6, "value": 1, "min": 1, "max": 1, "mean": 1} for time in times]


@pytest.mark.parametrize(
    ("times", "step", "gaps"),
    [
        ([], None, []),
        ([5.0], None, []),
        ([0, 1, 2, 3, 20, 21], None, [[3, 20]]),
        ([0, 1, 2, 3, 7, 8], None, []),  # jitter is no gap
        ([0, 10, 20, 30, 50, 60], 10, [[30, 50]]),
        ([0, 30, 60, 90, 120], 10, []),  # a signal that comes every 30 s in buckets of 10 s
        ([0, 30, 60, 150, 180], 10, [[60, 150]]),
    ],
)
def test_what_counts_as_a_gap(
    visit: Callable, platform: Any, times: list[float], step: int | None, gaps: list[list[float]]
) -> None:
    page = visit(400, 400).page
    page.goto(platform.url)
    script = "async answer => (await import('/page/chart_data.js')).columns(answer)"
    told = page.evaluate(script, {"points": points(times), "step": step})
    assert told["gaps"] == gaps
    assert len(told["data"][0]) == len(times) + len(gaps)
    assert sorted(told["data"][0]) == told["data"][0]
    assert told["data"][3].count(None) == len(gaps)


def test_the_maps_projection_is_mercators_and_reconnecting_waits_longer_each_time(
    visit: Callable, platform: Any
) -> None:
    page = visit(400, 400).page
    page.goto(platform.url)
    script = """async places => {
        const map = await import('/page/map/projection.js');
        const of = (lat, y) => [y, map.toLatitude(y), map.metresAt(y)];
        return places.map(([lat, lon]) => [map.toX(lon), ...of(lat, map.toY(lat))]);
    }"""
    cases = [(0.0, 0.0), (48.137, 11.576), (-33.9, 151.2), (85.0, -180.0), (-85.0, 180.0)]
    for (lat, lon), (x, y, back, metres) in zip(cases, page.evaluate(script, cases), strict=True):
        assert x == pytest.approx(lon / 360 + 0.5)
        assert y == pytest.approx(0.5 - math.asinh(math.tan(math.radians(lat))) / (2 * math.pi))
        assert back == pytest.approx(lat, abs=1e-9)
        assert metres == pytest.approx(2 * math.pi * 6_378_137 * math.cos(math.radians(lat)), rel=1e-6)
    script = (
        "async (all) => { const live = await import('/page/live.js'); return all.map((n) => live.waitAfter(n, 0.5)); }"
    )
    waits = page.evaluate(script, [1, 2, 3, 4, 9])
    assert waits == [1, 2, 4, 8, 30]
